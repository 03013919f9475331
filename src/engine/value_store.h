/* Large values in the store: putting them there ahead of a write's record, reading them, and collecting what nobody
 * refers to (value_objects.h).
 *
 * Uploads of one engine share a job, which is begun in the log, durably, before the first of them. After
 * SESSION_OBJECTS objects, or when an upload was in vain, the job is ended, once nobody is between upload and record:
 * it is aborted in the log, and what lies under its name and is neither live nor dead is removed. Jobs of former runs
 * are ended when the engine opens. */
#ifndef PLINTH_ENGINE_VALUE_STORE_H
#define PLINTH_ENGINE_VALUE_STORE_H

#include "engine/engine.h"
#include "engine/write.h"

enum { VALUE_BYTES_MIN = 256 << 10 };

struct value_store;

PLINTH_MUST_CHECK enum plinth_status value_store_create(struct value_store **values, struct plinth_error *error);
void value_store_destroy(struct value_store *values);

/* From this size on values lie in the store. */
size_t value_bytes_min(const struct plinth *db);

/* Puts the values of a plan's SET_REFERENCE operations into the store, durably, and their references into the plan and
 * its payload. Until write_plan_deinit their job is not ended. A write whose producer has sent it before uploads
 * nothing: its record will not be appended. PLINTH_WOULD_BLOCK with `no_wait`, unless the plan has none. */
PLINTH_MUST_CHECK enum plinth_status values_put(struct plinth *db, const struct record_header *header,
                                                struct write_plan *plan, bool no_wait, struct plinth_error *error);
/* For write_plan_deinit. */
void values_end(struct write_plan *plan);

/* Reads a value, checked. `into` is emptied first. PLINTH_CORRUPT names object and offset; the caller puts the key in
 * front (values_name_key). PLINTH_NOT_FOUND never: what is missing is corrupt. */
PLINTH_MUST_CHECK enum plinth_status values_read(struct plinth *db, const struct row_reference *reference,
                                                 struct buffer *into, struct plinth_error *error);
/* "value of key ...: " in front of the error. */
void values_name_key(struct slice key, struct plinth_error *error);
/* The value of a row: its own, or read into `memory`. `memory_only`: PLINTH_WOULD_BLOCK instead of reading. */
PLINTH_MUST_CHECK enum plinth_status values_of_row(struct plinth *db, const struct row *row, bool memory_only,
                                                   struct buffer *memory, struct slice *value,
                                                   struct plinth_error *error);

/* Whether the row's object is not live: it is being deleted, or has been. */
bool values_are_gone(struct plinth *db, const struct row *row);

/* Under the sequencing lock, after a view was published: what the record at `lsn` has made dead goes when all views
 * before `view_sequence` are gone. */
void values_note_view(struct plinth *db, uint64_t lsn, uint64_t view_sequence);
/* Deletes dead objects that nobody needs, and ends jobs with uploads in vain. */
PLINTH_MUST_CHECK enum plinth_status values_collect(struct plinth *db, struct plinth_error *error);
/* Removes what lies under an aborted job's name and is neither live nor dead. */
PLINTH_MUST_CHECK enum plinth_status values_collect_job(struct plinth *db, uint64_t job, struct plinth_error *error);

/* Whether all live objects are there, with their sizes. PLINTH_CORRUPT names one that is not. */
PLINTH_MUST_CHECK enum plinth_status values_check_objects(struct plinth *db, struct plinth_error *error);

/* Objects that nobody answers for: neither live nor dead, nor of an upload that is under way. */
PLINTH_MUST_CHECK enum plinth_status values_visit_strays(struct plinth *db, void (*visit)(void *, const char *name),
                                                         void *context, struct plinth_error *error);

#endif
