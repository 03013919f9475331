/* A model of two typed tables for tests: what steps write into them, and comparison of all that an engine shows with
 * it.
 *
 *   metrics  keyed (part, id), with a sorted index on "name": upserts and deletes of numbered rows, also atomic ones of
 *            several records
 *   events   without a key: rows that are only ever added, in batches of several records, atomic or not
 *
 * Every row carries the number of the step that wrote it. Every step is written with a producer's sequence, so that it
 * may be sent again. Records are made small (plinth.rows_record_bytes_max): the larger steps take several. */
#ifndef PLINTH_TESTS_SUPPORT_TABLE_MODEL_H
#define PLINTH_TESTS_SUPPORT_TABLE_MODEL_H

#include "engine/rows.h"
#include "support/test_support.h"

enum { TABLE_MODEL_IDS = 200, TABLE_MODEL_STEP_ROWS_MAX = 120, TABLE_MODEL_RECORD_BYTES = 4096 };

enum table_step_kind {
    TABLE_STEP_UPSERT,        /* of few rows: one record */
    TABLE_STEP_DELETE,        /* likewise */
    TABLE_STEP_UPSERT_ATOMIC, /* several records */
    TABLE_STEP_EVENTS,        /* several records, each for itself */
    TABLE_STEP_EVENTS_ATOMIC,
};

struct table_step {
    uint64_t number;
    enum table_step_kind kind;
    uint32_t count;
    uint32_t ids[TABLE_MODEL_STEP_ROWS_MAX]; /* metrics */
};

struct table_model {
    uint64_t versions[TABLE_MODEL_IDS]; /* metrics: the step that wrote the row; 0: none */
    uint64_t *events;                   /* step * TABLE_MODEL_STEP_ROWS_MAX + number in the step, as they arrived */
    uint64_t event_count;
};

/* The step `number` of the workload `seed`: always the same. */
struct table_step table_step_of(uint64_t seed, uint64_t number);
void table_model_deinit(struct table_model *model);
void table_model_apply(struct table_model *model, const struct table_step *step);
bool table_model_equal(const struct table_model *a, const struct table_model *b);
/* Whether `shown` is `model` and a first part of what `step` adds, if that may happen to it. */
bool table_model_is_partial(const struct table_model *shown, const struct table_model *model,
                            const struct table_step *step);

/* Makes tables and index where they are missing, and records small. */
enum plinth_status table_model_prepare(struct plinth *db, struct plinth_error *error);
/* Writes a step and waits for it. `*duplicate`: it was there already. */
enum plinth_status table_model_write(struct plinth *db, uint64_t seed, const struct table_step *step,
                                     enum plinth_durability durability, bool *duplicate, struct plinth_error *error);
/* What the engine shows; fails the test when a row is not what its step wrote, or the index is not that of the rows.
 * Deinited by the caller. */
enum plinth_status table_model_read(struct plinth *db, struct table_model *shown, struct plinth_error *error);

#endif
