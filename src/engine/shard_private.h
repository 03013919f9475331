/* What the deciding of data records shares (shard.c, shard_transaction.c). */
#ifndef PLINTH_ENGINE_SHARD_PRIVATE_H
#define PLINTH_ENGINE_SHARD_PRIVATE_H

#include "engine/shard.h"

/* Registers the keys of a data record in the window; false when the payload is malformed. */
bool shard_register_keys(struct shard *shard, uint64_t lsn, struct slice operations, const struct write_keys *written);
/* Notes the range deletes of a data record; false when memory is out. */
bool shard_note_ranges(struct shard *shard, uint64_t lsn, struct slice operations, const struct write_keys *written);
/* Whether the jobs under which the values lie are there. */
bool shard_references_are_valid(const struct shard *shard, struct slice operations, const struct write_keys *written);
/* Counts the references of an applied record; false when memory is out. */
PLINTH_MUST_CHECK bool shard_note_references(struct shard *shard, uint64_t lsn, struct slice operations,
                                             const struct write_keys *written);
/* Whether every operation is well-formed and of a kind that this feature level knows. */
bool shard_operations_are_sound(const struct shard *shard, struct slice operations);
/* What the record's producer makes of it. `first_lsn` is for duplicates. */
enum verdict shard_judge_producer(const struct shard *shard, const struct record_header *header,
                                  struct producer_part part, uint64_t *first_lsn);
PLINTH_MUST_CHECK enum plinth_status shard_add_producer(struct shard *shard, uint64_t lsn,
                                                        const struct record_header *header, struct producer_part part,
                                                        struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status shard_note_void(struct shard *shard, uint64_t lsn, struct plinth_error *error);
/* What the window knows the rows of a record by: of the runs that were made for it (rows_record.h) those of the table
 * and of unique indexes that are not younger than the record's schema version, and gone. A replay finds the same. */
void shard_keep_runs(const struct shard *shard, const struct record_header *header, struct key_run **runs);
/* How many that are for one table's rows in a record. */
uint64_t shard_runs_wanted(const struct shard *shard, const struct record_header *header,
                           const struct table_schema *schema, uint8_t operation);

/* Whether rows of a table do not count any more. What is not in the catalog was dropped: ids are never used again. */
bool shard_is_dropped(const struct shard *shard, struct table_id table);

/* VALUES_DROPPED and VALUES_GONE records. */
PLINTH_MUST_CHECK enum plinth_status shard_decide_values_dropped(struct shard *shard, struct slice payload,
                                                                 struct decision *decision, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status shard_decide_values_gone(struct shard *shard, struct slice payload,
                                                              struct decision *decision, struct plinth_error *error);

/* shard_transaction.c: TRANSACTION and TRANSACTION_PART records. */
PLINTH_MUST_CHECK enum plinth_status shard_decide_transaction(struct shard *shard, uint64_t lsn,
                                                              const struct record_header *header, struct slice payload,
                                                              const struct write_keys *written,
                                                              struct decision *decision, struct plinth_error *error);
void shard_replay_transaction(struct shard *shard, uint64_t lsn, const struct record_header *header,
                              struct slice payload);

#endif
