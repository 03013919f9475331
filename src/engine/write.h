/* A write, checked and encoded once, before any lock is taken. */
#ifndef PLINTH_ENGINE_WRITE_H
#define PLINTH_ENGINE_WRITE_H

#include "engine/engine.h"

struct write_plan {
    struct operation *operations; /* the last one on each key */
    struct slice *keys;           /* their stored keys */
    uint64_t *hashes;             /* hash_stable of them */
    struct slice *uppers;         /* stored upper bounds of range deletes, null data for others; null: there are none */
    bool expires;                 /* some key does */
    size_t count;
    struct buffer operations_payload; /* encoded: count, operations */
    size_t bytes_max;                 /* of it */
    size_t reference_count;           /* values that lie in the store: values_put puts them there */
    struct plinth *db;                /* once they are put, */
    struct value_session *session;    /* under this one's job (value_store.h) */
    bool is_referred;                 /* the log has the record */
    void *memory;                     /* the arrays, and what keys and index lists point into */
};

/* Checks the operations against limits and catalog (making indexes that are named for the first time) and encodes them.
 * Large values become references that say nothing yet: values_put (value_store.h) comes before the payload is used.
 * On failure nothing is held and the error names the operation's number when there are several. */
PLINTH_MUST_CHECK enum plinth_status write_plan_init(struct plinth *db, const struct plinth_operation *operations,
                                                     size_t count, struct write_plan *plan, struct plinth_error *error);
/* Says where the value of an operation is; write_plan_encode then makes the payload again. */
void write_plan_set_reference(struct write_plan *plan, size_t at, const struct row_reference *reference);
PLINTH_MUST_CHECK enum plinth_status write_plan_encode(struct write_plan *plan, struct plinth_error *error);
/* The same with a payload that may take `bytes_max`: for writes of several records. */
PLINTH_MUST_CHECK enum plinth_status write_plan_init_large(struct plinth *db, const struct plinth_operation *operations,
                                                           size_t count, size_t bytes_max, struct write_plan *plan,
                                                           struct plinth_error *error);
/* PLINTH_NOT_FOUND unless there is this key space. */
PLINTH_MUST_CHECK enum plinth_status write_check_space(struct plinth *db, struct plinth_space space,
                                                       struct plinth_error *error);
void write_plan_deinit(struct write_plan *plan);

/* PLINTH_INVALID_ARGUMENT unless producer id and sequence are both there or both not, and durability is known. */
PLINTH_MUST_CHECK enum plinth_status write_header_init(struct plinth *db, const struct plinth_write_options *options,
                                                       enum change_kind kind, struct record_header *header,
                                                       struct plinth_error *error);
/* Sequences a record with these rows and puts them into the memtable. `*lsn` is its own LSN, or for
 * VERDICT_DUPLICATE the first one's. Conditional records that would lose are not appended: `decision` says so. */
PLINTH_MUST_CHECK enum plinth_status write_sequence(struct plinth *db, const struct record_header *header,
                                                    struct slice payload, const struct write_plan *plan, bool no_wait,
                                                    uint64_t *lsn, struct decision *decision,
                                                    struct plinth_error *error);
/* Waits until the write is durable as its header says, and applied. */
PLINTH_MUST_CHECK enum plinth_status write_wait(struct plinth *db, const struct record_header *header, uint64_t lsn,
                                                struct plinth_error *error);

/* For a record that writing found void or too old because of its producer: the error that says so. PLINTH_OK for other
 * verdicts. */
PLINTH_MUST_CHECK enum plinth_status write_check_verdict(const struct record_header *header,
                                                         const struct decision *decision, struct plinth_error *error);
/* Under the sequencing lock, which is given up while waiting: waits while too many memtables wait to be flushed. */
PLINTH_MUST_CHECK enum plinth_status write_wait_for_memory(struct plinth *db, bool no_wait, struct plinth_error *error);
/* Under the sequencing lock: cuts the active memtable when it is full. */
PLINTH_MUST_CHECK enum plinth_status write_cut_full(struct plinth *db, struct plinth_error *error);

/* space.c: the id of index `name` of a space, made by a catalog record when it is new. */
PLINTH_MUST_CHECK enum plinth_status engine_ensure_index(struct plinth *db, struct table_id space, struct slice name,
                                                         uint32_t *index_table, struct plinth_error *error);

#endif
