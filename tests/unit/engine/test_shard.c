/* The state of a shard as a function of its log: verdicts, checkpoints, and replays that end in the same state. */
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "engine/rows_record.h"
#include "engine/shard_hash.h"
#include "engine/shard_hosts.h"
#include "support/test_support.h"

enum { RECORDS_MAX = 6000 };

/* A log in an array. */
struct script {
    struct record_header headers[RECORDS_MAX];
    struct buffer payloads[RECORDS_MAX];
    uint64_t count;
};

static struct buffer *add(struct script *script, enum change_kind kind) {
    struct record_header *header = &script->headers[script->count];
    *header = (struct record_header){.kind = (uint8_t)kind, .time_us = 1000 * (script->count + 1)};
    struct buffer *payload = &script->payloads[script->count++];
    *payload = (struct buffer)BUFFER_INIT;
    return payload;
}

static void append_operations(struct buffer *payload, const char *key, const char *value) {
    struct operation operation = {.kind = value ? OPERATION_SET : OPERATION_DELETE, .table = {1, 1, 2}};
    operation.key = slice_of_string(key);
    if (value) operation.value = slice_of_string(value);
    assert_true(buffer_append_varint(payload, 1));
    assert_true(operation_append(payload, &operation, NULL));
}

static void add_write(struct script *script, const char *key, const char *value) {
    append_operations(add(script, CHANGE_WRITE), key, value);
}

static void add_conditional(struct script *script, uint64_t snapshot, const char *key, const char *value) {
    struct buffer *payload = add(script, CHANGE_CONDITIONAL);
    uint8_t stored[64];
    size_t size = table_prefix_encode(stored, (struct table_id){1, 1, 2});
    memcpy(stored + size, key, strlen(key));
    size += strlen(key);
    assert_true(buffer_append_varint(payload, snapshot) && buffer_append_varint(payload, 1) &&
                buffer_append_string(payload, slice_of(stored, size)) && buffer_append_varint(payload, 0));
    append_operations(payload, key, value);
}

static uint64_t add_varint(struct script *script, enum change_kind kind, uint64_t value) {
    assert_true(buffer_append_varint(add(script, kind), value));
    return script->count;
}

static uint64_t add_job(struct script *script, enum job_kind kind) {
    struct buffer *payload = add(script, CHANGE_JOB_BEGIN);
    assert_true(buffer_append_varint(payload, kind) && buffer_append_u64(payload, 1));
    return script->count;
}

static struct segment_info info_of(uint64_t job, int number) {
    struct segment_info info = {
        .table = {1, 1, 2}, .job = job, .lsn_min = 1, .lsn_max = job, .rows = 10, .bytes = 1000};
    snprintf(info.name, sizeof info.name, "segments/%d/%d.parquet", (int)job, number);
    assert_true(buffer_append(&info.key_min, "a", 1) && buffer_append(&info.key_max, "z", 1));
    return info;
}

static uint64_t add_flush(struct script *script, uint64_t job, uint64_t cut) {
    struct segment_info info = info_of(job, (int)cut);
    struct commit commit = {.job = job, .cut = cut, .segments = &info, .segment_count = 1};
    assert_true(commit_encode(add(script, CHANGE_FLUSH_COMMIT), CHANGE_FLUSH_COMMIT, &commit));
    segment_info_deinit(&info);
    return script->count;
}

static uint64_t add_merge(struct script *script, uint64_t job, const uint64_t *inputs, uint64_t count) {
    struct segment_info info = info_of(job, 1);
    struct commit commit = {.job = job,
                            .table = {1, 1, 2},
                            .inputs = (uint64_t *)inputs,
                            .input_count = count,
                            .level = 1,
                            .segments = &info,
                            .segment_count = 1};
    assert_true(commit_encode(add(script, CHANGE_COMPACT_COMMIT), CHANGE_COMPACT_COMMIT, &commit));
    segment_info_deinit(&info);
    return script->count;
}

/* A table of rows with the key "id"; behind what raises the feature level. Two records. */
static void add_table(struct script *script, const struct catalog *catalog, const char *name) {
    add_varint(script, CHANGE_FEATURE_LEVEL, CATALOG_FEATURE_LEVEL_TABLES);
    struct catalog_column column = {slice_of_string("id"), column_type_of(COLUMN_INT64), false};
    struct catalog_change change = {.version = catalog->version + 1,
                                    .kind = CATALOG_CREATE_TABLE,
                                    .tenant = 1,
                                    .database = 1,
                                    .name = slice_of_string(name),
                                    .columns = &column,
                                    .column_count = 1,
                                    .key = {1},
                                    .key_count = 1};
    assert_true(catalog_change_encode(add(script, CHANGE_CATALOG), &change));
}

/* An int64 as it stands in a key. */
static struct slice id_key(int64_t id, uint8_t bytes[8]) {
    store_u64(bytes, __builtin_bswap64((uint64_t)id ^ (UINT64_C(1) << 63)));
    return slice_of(bytes, 8);
}

static struct batch *ids_batch(int64_t first_id, uint32_t rows) {
    struct batch *batch = batch_create(1);
    assert_non_null(batch);
    int64_t *ids = arena_alloc(&batch->arena, rows * sizeof *ids);
    for (uint32_t i = 0; i < rows; i++) ids[i] = first_id + i;
    batch->rows = rows;
    batch->columns[0] = (struct column){.type = column_type_of(COLUMN_INT64), .values = ids};
    return batch;
}

/* A transaction that has read row `read_id` of a table, or with `range` it and the nine behind it, sets a key and
 * writes rows `first_id` and behind it. */
static struct buffer transaction_body(uint64_t snapshot, struct table_id table, int64_t read_id, bool range,
                                      int64_t first_id, uint32_t rows) {
    struct buffer body = BUFFER_INIT, payload = BUFFER_INIT;
    struct row_reads reads = {.table = table};
    struct batch *batch = ids_batch(first_id, rows);
    struct rows_change change = {.table = table, .operation = 1, .rows = rows, .column_count = 1};
    const uint32_t column_ids[] = {1};
    uint8_t lower[8], upper[8];
    assert_true(buffer_append_varint(&body, snapshot) && buffer_append_varint(&body, 0) &&
                buffer_append_varint(&body, 0) && buffer_append_varint(&body, 1));
    assert_true(range ? row_reads_range(&reads, id_key(read_id, lower), id_key(read_id + 10, upper))
                      : row_reads_key(&reads, id_key(read_id, lower)));
    assert_true(row_reads_encode(&body, &reads));
    append_operations(&body, "written", "by a transaction");
    assert_true(rows_record_encode(&payload, &change, column_ids, batch));
    assert_true(buffer_append_varint(&body, 1) && buffer_append_string(&body, buffer_slice(&payload)));
    row_reads_deinit(&reads);
    buffer_deinit(&payload);
    batch_unref(batch);
    return body;
}

/* Its records: one, or `parts` of unit `unit`. */
static void add_transaction(struct script *script, uint64_t unit, uint32_t parts, struct buffer body) {
    size_t size = body.size / parts;
    for (uint32_t i = 0; i < parts; i++) {
        bool last = i + 1 == parts;
        struct transaction_part part = {.in_unit = parts > 1, .unit = unit, .offset = i * size};
        struct buffer *payload = add(script, last ? CHANGE_TRANSACTION : CHANGE_TRANSACTION_PART);
        assert_true(transaction_part_encode(payload, &part) &&
                    buffer_append(payload, body.data + i * size, last ? body.size - i * size : size));
        script->headers[script->count - 1].chunk = i;
        script->headers[script->count - 1].chunk_count = parts;
    }
    buffer_deinit(&body);
}

/* Rows `first_id` and behind it; chunk `part` of `parts`, and of a unit unless `unit` is 0. */
static void add_rows(struct script *script, struct table_id table, uint64_t unit, uint32_t part, uint32_t parts,
                     uint64_t first_ordinal, int64_t first_id, uint32_t rows) {
    struct batch *batch = ids_batch(first_id, rows);
    struct rows_change change = {.table = table,
                                 .operation = 1,
                                 .in_unit = unit != 0,
                                 .last = unit && part + 1 == parts,
                                 .unit = unit,
                                 .chunked = !unit && parts > 1,
                                 .cut = 5,
                                 .first_ordinal = first_ordinal,
                                 .rows = rows,
                                 .column_count = 1};
    const uint32_t column_ids[] = {1};
    assert_true(rows_record_encode(add(script, CHANGE_ROWS), &change, column_ids, batch));
    script->headers[script->count - 1].chunk = part;
    script->headers[script->count - 1].chunk_count = parts;
    batch_unref(batch);
}

static enum verdict decide(struct shard *shard, const struct script *script, uint64_t lsn) {
    struct decision decision;
    struct plinth_error error;
    assert_ok(shard_decide(shard, lsn, &script->headers[lsn - 1], buffer_slice(&script->payloads[lsn - 1]), NULL,
                           &decision, &error),
              &error);
    return decision.verdict;
}

static void add_host(struct script *script, enum change_kind kind, uint64_t id, uint64_t incarnation, uint64_t needed) {
    struct host_change change = {.id = id,
                                 .incarnation = incarnation,
                                 .name = slice_of_string("a host"),
                                 .needed_lsn = needed,
                                 .needed_time_us = 1000 * needed};
    assert_true(host_change_encode(add(script, kind), kind, &change));
}

/* Fails with the names of the parts that differ. */
static void assert_same_state(const struct shard *a, const struct shard *b) {
    struct shard_hashes left, right;
    assert_true(shard_hash_parts(a, &left) && shard_hash_parts(b, &right));
    for (int part = 0; part < SHARD_PARTS; part++)
        if (left.parts[part] != right.parts[part])
            fail_msg("at %llu: %s differ", (unsigned long long)a->lsn, shard_part_name((enum shard_part)part));
}

static void script_deinit(struct script *script) {
    for (uint64_t i = 0; i < script->count; i++) buffer_deinit(&script->payloads[i]);
    free(script);
}

static void a_conditional_write_loses_to_a_write_after_its_snapshot(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    add_write(script, "a", "1");          /* 1 */
    add_conditional(script, 1, "a", "2"); /* 2: nothing between */
    add_conditional(script, 1, "a", "3"); /* 3: 2 was between */
    add_conditional(script, 2, "a", "4"); /* 4: 3 was void, so nothing was between */
    add_conditional(script, 1, "b", "5"); /* 5: another key */
    const enum verdict wanted[] = {VERDICT_APPLIED, VERDICT_APPLIED, VERDICT_CONFLICT, VERDICT_APPLIED,
                                   VERDICT_APPLIED};
    for (uint64_t lsn = 1; lsn <= 5; lsn++) assert_int_equal(decide(&shard, script, lsn), wanted[lsn - 1]);
    assert_true(shard_is_void(&shard, 3));
    assert_false(shard_is_void(&shard, 4));
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_repeated_sequence_is_void_everywhere(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    for (int i = 0; i < 2; i++) {
        add_write(script, "a", "1");
        script->headers[i].producer = 77;
        script->headers[i].sequence = 1;
    }
    assert_int_equal(decide(&shard, script, 1), VERDICT_APPLIED);
    assert_int_equal(decide(&shard, script, 2), VERDICT_DUPLICATE);
    shard_deinit(&shard);
    script_deinit(script);
}

static void cuts_flushes_and_merges_follow_the_log(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    add_write(script, "a", "1");                          /* 1 */
    uint64_t cut1 = add_varint(script, CHANGE_CUT, 0);    /* 2 */
    add_varint(script, CHANGE_CUT, 0);                    /* 3: names a cut that is no longer the last */
    add_write(script, "b", "1");                          /* 4 */
    uint64_t cut2 = add_varint(script, CHANGE_CUT, cut1); /* 5 */
    uint64_t job1 = add_job(script, JOB_FLUSH);           /* 6 */
    add_flush(script, job1, cut2);                        /* 7: not the oldest cut */
    uint64_t run1 = add_flush(script, job1, cut1);        /* 8 */
    uint64_t job2 = add_job(script, JOB_FLUSH);           /* 9 */
    add_flush(script, job2, cut1);                        /* 10: flushed already */
    uint64_t run2 = add_flush(script, job2, cut2);        /* 11 */
    uint64_t job3 = add_job(script, JOB_COMPACT);         /* 12 */
    add_merge(script, job3, (uint64_t[]){run1, run2}, 2); /* 13: not in this order */
    uint64_t run3 = add_merge(script, job3, (uint64_t[]){run2, run1}, 2); /* 14 */
    uint64_t job4 = add_job(script, JOB_COMPACT);                         /* 15 */
    add_varint(script, CHANGE_JOB_ABORT, job4);                           /* 16 */
    add_merge(script, job4, (uint64_t[]){run3}, 1);                       /* 17: its job was aborted */
    const uint64_t voids[] = {3, 7, 10, 13, 17};
    for (uint64_t lsn = 1; lsn <= script->count; lsn++) {
        bool wanted_void = false;
        for (size_t i = 0; i < 5; i++) wanted_void |= voids[i] == lsn;
        assert_int_equal(decide(&shard, script, lsn), wanted_void ? VERDICT_VOID : VERDICT_APPLIED);
    }
    assert_int_equal(shard.flushed_lsn, cut2);
    assert_int_equal(shard.table_count, 1);
    assert_int_equal(shard.tables[0].run_count, 1);
    assert_int_equal(shard.tables[0].runs[0].id, run3);
    assert_int_equal(shard.garbage_count, 2);
    assert_int_equal(shard.job_count, 1);
    assert_true(shard.jobs[0].aborted);
    shard_deinit(&shard);
    script_deinit(script);
}

static void far_time_jumps_count_only_when_a_host_has_checked_them(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    add(script, CHANGE_TICK);
    add_write(script, "a", "1");
    add(script, CHANGE_TICK);
    add_write(script, "a", "2");
    script->headers[0].time_us = 1000000000;
    script->headers[1].time_us = 1000000000 + 11000000;
    script->headers[2].time_us = 1000000000 + 60000000;
    script->headers[3].time_us = 1000000000 + 5;
    const uint64_t wanted[] = {1000000000, 1000000000, 1060000000, 1060000000};
    for (uint64_t lsn = 1; lsn <= 4; lsn++) {
        decide(&shard, script, lsn);
        assert_int_equal(shard.time_us, wanted[lsn - 1]);
    }
    assert_int_equal(shard.time_alarms, 1);
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_malformed_record_is_refused_and_changes_nothing(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    for (int kind = 1; kind <= CHANGE_ROWS; kind++) {
        if (kind == CHANGE_TICK) continue;
        assert_true(buffer_append(add(script, (enum change_kind)kind), "\xff\xff", 2));
    }
    add_varint(script, CHANGE_FEATURE_LEVEL, 99);
    add(script, (enum change_kind)200);
    for (uint64_t lsn = 1; lsn <= script->count; lsn++) assert_int_equal(decide(&shard, script, lsn), VERDICT_REFUSED);
    assert_int_equal(shard.alarms, script->count);
    assert_int_equal(shard.feature_level, 1);
    shard_deinit(&shard);
    script_deinit(script);
}

static void rows_need_their_table_and_feature_level(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    struct table_id table = {1, 1, 3};
    add_rows(script, table, 0, 0, 1, 0, 5, 2); /* 1: the level is not raised yet */
    add_table(script, &shard.catalog, "t");    /* 2, 3 */
    add_rows(script, table, 0, 0, 1, 0, 5, 2); /* 4 */
    table.table = 2;
    add_rows(script, table, 0, 0, 1, 0, 5, 2); /* 5: a key space */
    table = (struct table_id){1, 2, 3};
    add_rows(script, table, 0, 0, 1, 0, 5, 2); /* 6: not in this database */
    table = (struct table_id){1, 1, 3};
    add_rows(script, table, 0, 1, 1, 0, 5, 2); /* 7: chunk 1 of 1 */
    add_rows(script, table, 0, 0, 1, 0, 5, 2); /* 8: of a schema that is not known yet */
    script->headers[7].schema_version = 4;
    const enum verdict wanted[] = {VERDICT_REFUSED, VERDICT_APPLIED, VERDICT_APPLIED, VERDICT_APPLIED,
                                   VERDICT_VOID,    VERDICT_VOID,    VERDICT_REFUSED, VERDICT_REFUSED};
    for (uint64_t lsn = 1; lsn <= 8; lsn++) assert_int_equal(decide(&shard, script, lsn), wanted[lsn - 1]);
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_replay_begins_at_the_first_part_of_what_is_not_in_segments(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    struct table_id table = {1, 1, 3};
    add_table(script, &shard.catalog, "t");
    add_rows(script, table, 7, 0, 2, 0, 0, 10);  /* 3 */
    add_varint(script, CHANGE_CUT, 0);           /* 4 */
    uint64_t job = add_job(script, JOB_FLUSH);   /* 5 */
    add_flush(script, job, 4);                   /* 6 */
    add_rows(script, table, 7, 1, 2, 10, 50, 1); /* 7 */
    add_varint(script, CHANGE_CUT, 4);           /* 8 */
    job = add_job(script, JOB_FLUSH);            /* 9 */
    add_flush(script, job, 8);                   /* 10 */
    for (uint64_t lsn = 1; lsn <= 10; lsn++) {
        assert_int_equal(decide(&shard, script, lsn), VERDICT_APPLIED);
        if (lsn >= 6 && lsn < 10) assert_int_equal(shard_replay_lsn(&shard), 3);
    }
    assert_int_equal(shard_replay_lsn(&shard), 9);
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_transaction_loses_when_rows_that_it_read_were_written_since(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    struct table_id table = {1, 1, 3}, gone = {1, 1, 9};
    add_table(script, &shard.catalog, "t");                                       /* 1, 2 */
    add_transaction(script, 0, 1, transaction_body(2, table, 5, false, 1, 1));    /* 3: below the feature level */
    add_varint(script, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_TRANSACTIONS);         /* 4 */
    add_rows(script, table, 0, 0, 1, 0, 10, 5);                                   /* 5: rows 10 to 14 */
    add_transaction(script, 0, 1, transaction_body(3, table, 50, false, 1, 1));   /* 6: from before the window */
    add_transaction(script, 0, 1, transaction_body(4, table, 14, false, 1, 1));   /* 7 */
    add_transaction(script, 0, 1, transaction_body(4, table, 15, false, 20, 1));  /* 8: writes row 20 */
    add_transaction(script, 0, 1, transaction_body(7, table, 11, true, 1, 1));    /* 9: [11, 21) has it */
    add_transaction(script, 0, 1, transaction_body(7, table, 10, true, 1, 1));    /* 10: [10, 20) has not */
    add_transaction(script, 0, 1, transaction_body(10, gone, 10, true, 1, 1));    /* 11 */
    add_rows(script, table, 7, 0, 2, 0, 70, 1);                                   /* 12: a unit; */
    add_transaction(script, 0, 1, transaction_body(11, table, 70, false, 1, 1));  /* 13: it is not there yet */
    add_rows(script, table, 7, 1, 2, 1, 71, 1);                                   /* 14: now it is */
    add_transaction(script, 0, 1, transaction_body(13, table, 70, false, 1, 1));  /* 15 */
    add_transaction(script, 8, 2, transaction_body(14, table, 70, false, 80, 1)); /* 16, 17 */
    add_transaction(script, 9, 2, transaction_body(15, table, 80, false, 81, 1)); /* 18, 19 */
    static const enum verdict wanted[] = {VERDICT_APPLIED,  VERDICT_APPLIED, VERDICT_REFUSED,  VERDICT_APPLIED,
                                          VERDICT_APPLIED,  VERDICT_TOO_OLD, VERDICT_CONFLICT, VERDICT_APPLIED,
                                          VERDICT_CONFLICT, VERDICT_APPLIED, VERDICT_VOID,     VERDICT_APPLIED,
                                          VERDICT_APPLIED,  VERDICT_APPLIED, VERDICT_CONFLICT, VERDICT_APPLIED,
                                          VERDICT_APPLIED,  VERDICT_APPLIED, VERDICT_CONFLICT};
    for (uint64_t lsn = 1; lsn <= script->count; lsn++) assert_int_equal(decide(&shard, script, lsn), wanted[lsn - 1]);
    assert_int_equal(shard.units.open_count, 0);
    shard_deinit(&shard);
    script_deinit(script);
}

/* Rows of a unit count as written by its last part, also those of parts from before anybody remembered rows. */
static void a_unit_that_begins_below_the_feature_level_is_remembered_as_a_whole(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct table_id table = {1, 1, 3};
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    add_table(script, &shard.catalog, "t");                                     /* 1, 2 */
    add_rows(script, table, 7, 0, 3, 0, 70, 1);                                 /* 3 */
    add_varint(script, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_TRANSACTIONS);       /* 4 */
    add_rows(script, table, 7, 1, 3, 1, 71, 1);                                 /* 5 */
    add_rows(script, table, 7, 2, 3, 2, 72, 1);                                 /* 6 */
    add_transaction(script, 0, 1, transaction_body(5, table, 70, false, 1, 1)); /* 7: row 70 was not there at 5 */
    add_transaction(script, 0, 1, transaction_body(6, table, 70, false, 1, 1)); /* 8 */
    shard_deinit(&shard);
    for (uint64_t lsn = 2; lsn <= 6; lsn++) { /* also when it is replayed from a checkpoint */
        struct shard other;
        struct buffer checkpoint = BUFFER_INIT;
        assert_ok(shard_init(&shard, NULL), NULL);
        for (uint64_t i = 1; i <= lsn; i++) assert_int_equal(decide(&shard, script, i), VERDICT_APPLIED);
        assert_true(shard_encode(&checkpoint, &shard));
        assert_ok(shard_decode(buffer_slice(&checkpoint), &other, NULL), NULL);
        for (uint64_t i = shard_replay_lsn(&other); i <= lsn; i++)
            shard_replay(&other, i, &script->headers[i - 1], buffer_slice(&script->payloads[i - 1]));
        for (uint64_t i = lsn + 1; i <= 8; i++) {
            enum verdict wanted = i == 7 ? VERDICT_CONFLICT : VERDICT_APPLIED;
            assert_int_equal(decide(&shard, script, i), wanted);
            assert_int_equal(decide(&other, script, i), wanted);
        }
        shard_deinit(&shard);
        shard_deinit(&other);
        buffer_deinit(&checkpoint);
    }
    script_deinit(script);
}

/* Units under way in a random log, and what their next part is. */
struct open_unit {
    uint64_t id;
    uint32_t part, parts;
    uint64_t rows;
};

static void add_random_rows(struct script *script, struct test_random *random, struct open_unit *units) {
    struct table_id table = {1, 1, test_random_below(random, 20) ? 3 : 4};
    struct open_unit *unit = &units[test_random_below(random, 4)];
    uint32_t rows = 1 + (uint32_t)test_random_below(random, 5);
    if (test_random_below(random, 3) == 0) { /* a chunk of a batch */
        uint32_t chunks = 1 + (uint32_t)test_random_below(random, 4);
        add_rows(script, table, 0, (uint32_t)test_random_below(random, chunks), chunks, 0,
                 (int64_t)test_random_below(random, 200), rows);
        return;
    }
    if (unit->part == unit->parts) {
        unit->id++;
        unit->part = 0;
        unit->parts = 1 + (uint32_t)test_random_below(random, 4);
        unit->rows = 0;
    }
    uint32_t wrong = test_random_below(random, 12) == 0; /* a part is left out */
    if (unit->part + wrong >= unit->parts) wrong = 0;
    add_rows(script, table, unit->id, unit->part + wrong, unit->parts, unit->rows,
             (int64_t)test_random_below(random, 200), rows);
    unit->part += 1 + wrong;
    unit->rows += rows;
}

/* A random log, with losers, duplicates, cuts, flushes and merges in it. */
static struct script *random_script(struct test_random *random) {
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    struct buffer *window = add(script, CHANGE_WINDOW);
    assert_true(buffer_append_varint(window, 300) && buffer_append_varint(window, 1 << 17));
    decide(&shard, script, 1);
    add_table(script, &shard.catalog, "t");
    decide(&shard, script, 2);
    decide(&shard, script, 3);
    add_varint(script, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_TRANSACTIONS);
    decide(&shard, script, 4);
    window = add(script, CHANGE_WINDOW);
    assert_true(buffer_append_varint(window, 300) && buffer_append_varint(window, 1 << 17) &&
                buffer_append_varint(window, 60) && buffer_append_varint(window, 1 << 17));
    decide(&shard, script, 5);
    uint64_t transactions = 0, conflicts = 0, too_old = 0, applied = 0;
    struct open_unit units[4] = {{1000}, {2000}, {3000}, {4000}};
    while (script->count < RECORDS_MAX - 8) {
        uint64_t before = script->count;
        char key[16];
        snprintf(key, sizeof key, "k%d", (int)test_random_below(random, 200));
        uint64_t dice = test_random_below(random, 100);
        if (dice < 25) {
            add_random_rows(script, random, units);
        } else if (dice < 45) {
            uint64_t back = test_random_below(random, 250);
            int64_t read_id = (int64_t)test_random_below(random, 200),
                    first_id = (int64_t)test_random_below(random, 200);
            struct table_id table = {1, 1, test_random_below(random, 30) ? 3 : 4};
            struct buffer body = transaction_body(before > back ? before - back : 0, table, read_id, dice < 28,
                                                  first_id, 1 + (uint32_t)test_random_below(random, 4));
            add_transaction(script, 90000 + ++transactions, 1 + (uint32_t)test_random_below(random, 3), body);
        } else if (dice < 49) {
            static const enum change_kind kinds[] = {CHANGE_HOST_JOIN, CHANGE_HOST_NEEDS, CHANGE_HOST_NEEDS,
                                                     CHANGE_HOST_NEEDS, CHANGE_HOST_EXPEL};
            enum change_kind kind = kinds[test_random_below(random, 5)];
            add_host(script, kind, 1 + test_random_below(random, 3), 1 + test_random_below(random, 9), before);
        } else if (dice < 60) {
            add_write(script, key, dice < 52 ? NULL : "value");
        } else if (dice < 85) {
            uint64_t back = test_random_below(random, 400);
            add_conditional(script, before > back ? before - back : 0, key, "other");
        } else if (dice < 95) {
            add_varint(script, CHANGE_CUT, dice < 93 ? shard.last_cut : 0);
        } else if (shard.cut_count) {
            uint64_t job = add_job(script, JOB_FLUSH);
            add_flush(script, job, shard.cuts[0]);
        } else if (shard.table_count && shard.tables[0].run_count > 2) {
            uint64_t job = add_job(script, JOB_COMPACT);
            uint64_t inputs[] = {shard.tables[0].runs[0].id, shard.tables[0].runs[1].id};
            add_merge(script, job, inputs, 2);
        }
        for (uint64_t lsn = before + 1; lsn <= script->count; lsn++) {
            if (test_random_below(random, 3) == 0) {
                script->headers[lsn - 1].producer = 1 + test_random_below(random, 3);
                script->headers[lsn - 1].sequence = 1 + test_random_below(random, 500);
            }
            enum verdict verdict = decide(&shard, script, lsn);
            if (script->headers[lsn - 1].kind != CHANGE_TRANSACTION) continue;
            conflicts += verdict == VERDICT_CONFLICT;
            too_old += verdict == VERDICT_TOO_OLD;
            applied += verdict == VERDICT_APPLIED;
        }
    }
    print_message("%llu transactions: %llu applied, %llu conflicts, %llu too old\n", (unsigned long long)transactions,
                  (unsigned long long)applied, (unsigned long long)conflicts, (unsigned long long)too_old);
    assert_true(conflicts > 30 && too_old > 30 && applied > 100); /* there is something to agree on */
    shard_deinit(&shard);
    return script;
}

static void an_expelled_host_begins_and_commits_nothing_until_it_joins_again(void **state) {
    (void)state;
    struct script *script = calloc(1, sizeof *script);
    struct shard shard;
    assert_ok(shard_init(&shard, NULL), NULL);
    add_host(script, CHANGE_HOST_JOIN, 1, 1, 0);
    assert_int_equal(decide(&shard, script, 1), VERDICT_REFUSED); /* below its feature level */
    assert_false(shard_has_hosts(&shard));
    add_varint(script, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_HOSTS);
    add_host(script, CHANGE_HOST_JOIN, 1, 1, 0);
    add_host(script, CHANGE_HOST_JOIN, 2, 1, 0);
    add_host(script, CHANGE_HOST_JOIN, 1, 1, 0); /* a repeated append */
    for (uint64_t lsn = 2; lsn <= 4; lsn++) assert_int_equal(decide(&shard, script, lsn), VERDICT_APPLIED);
    assert_int_equal(decide(&shard, script, 5), VERDICT_VOID);
    assert_int_equal(shard_needed_lsn(&shard, 0), 3);
    assert_int_equal(shard_needed_lsn(&shard, 1), 4);
    assert_int_equal(shard_lead_host(&shard), 1);

    uint64_t cut = add_varint(script, CHANGE_CUT, 0);
    uint64_t job = add_job(script, JOB_FLUSH); /* of host 1 */
    add_host(script, CHANGE_HOST_NEEDS, 1, 1, job);
    for (uint64_t lsn = cut; lsn <= script->count; lsn++)
        assert_int_equal(decide(&shard, script, lsn), VERDICT_APPLIED);
    assert_int_equal(shard_needed_lsn(&shard, 2), job);
    add_host(script, CHANGE_HOST_NEEDS, 1, 1, job - 1); /* it has given that up */
    assert_int_equal(decide(&shard, script, script->count), VERDICT_VOID);
    add_host(script, CHANGE_HOST_EXPEL, 1, 1, 0);
    assert_int_equal(decide(&shard, script, script->count), VERDICT_APPLIED);
    assert_true(shard_find_job(&shard, job)->aborted);
    assert_int_equal(shard_lead_host(&shard), 2);
    assert_int_equal(shard_needed_lsn(&shard, 0), 4);

    add_flush(script, job, cut);
    add_job(script, JOB_FLUSH);
    add_host(script, CHANGE_HOST_NEEDS, 1, 1, script->count);
    add_host(script, CHANGE_HOST_EXPEL, 1, 1, 0);
    for (uint64_t lsn = script->count - 3; lsn <= script->count; lsn++)
        assert_int_equal(decide(&shard, script, lsn), VERDICT_VOID);
    assert_int_equal(shard.flushed_lsn, 0);

    add_host(script, CHANGE_HOST_JOIN, 1, 2, 0);
    assert_int_equal(decide(&shard, script, script->count), VERDICT_APPLIED);
    assert_true(shard_host_is_in(&shard, 1, 2) && !shard_host_is_in(&shard, 1, 1));
    job = add_job(script, JOB_FLUSH);
    assert_int_equal(decide(&shard, script, job), VERDICT_APPLIED);
    assert_int_equal(decide(&shard, script, add_flush(script, job, cut)), VERDICT_APPLIED);

    struct buffer bytes = BUFFER_INIT;
    struct shard other;
    struct plinth_error error;
    assert_true(shard_encode(&bytes, &shard));
    assert_ok(shard_decode(buffer_slice(&bytes), &other, &error), &error);
    assert_same_state(&other, &shard);
    assert_string_equal(shard_find_host(&other, 1)->name, "a host");
    buffer_deinit(&bytes);
    shard_deinit(&other);
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_checkpoint_and_the_log_behind_it_give_the_same_state(void **state) {
    (void)state;
    uint64_t seed = 41;
    struct test_random random = test_random_of(seed);
    struct script *script = random_script(&random);
    struct shard shard;
    struct plinth_error error;
    assert_ok(shard_init(&shard, NULL), NULL);
    static bool was_void[RECORDS_MAX + 1];
    for (uint64_t lsn = 1; lsn <= script->count; lsn++) {
        was_void[lsn] = decide(&shard, script, lsn) != VERDICT_APPLIED;
        if (lsn % 997 != 0) continue;
        struct buffer bytes = BUFFER_INIT;
        struct shard other;
        assert_true(shard_encode(&bytes, &shard));
        assert_ok(shard_decode(buffer_slice(&bytes), &other, &error), &error);
        for (uint64_t replay = shard_replay_lsn(&other); replay <= lsn; replay++) {
            const struct record_header *header = &script->headers[replay - 1];
            shard_replay(&other, replay, header, buffer_slice(&script->payloads[replay - 1]));
            if (header->kind == CHANGE_WRITE || header->kind == CHANGE_CONDITIONAL || header->kind == CHANGE_ROWS ||
                header->kind == CHANGE_TRANSACTION || header->kind == CHANGE_TRANSACTION_PART)
                assert_int_equal(shard_is_void(&other, replay), was_void[replay]);
        }
        assert_same_state(&other, &shard);
        for (uint64_t later = lsn + 1; later <= script->count; later++) decide(&other, script, later);
        struct shard whole;
        assert_ok(shard_init(&whole, NULL), NULL);
        for (uint64_t all = 1; all <= script->count; all++) decide(&whole, script, all);
        assert_int_equal(shard_hash(&other), shard_hash(&whole));
        shard_deinit(&other);
        shard_deinit(&whole);
        buffer_deinit(&bytes);
    }
    shard_deinit(&shard);
    script_deinit(script);
}

static void a_damaged_checkpoint_is_refused(void **state) {
    (void)state;
    struct test_random random = test_random_of(5);
    struct script *script = random_script(&random);
    struct shard shard, other;
    struct plinth_error error;
    assert_ok(shard_init(&shard, NULL), NULL);
    for (uint64_t lsn = 1; lsn <= 2000; lsn++) decide(&shard, script, lsn);
    struct buffer bytes = BUFFER_INIT;
    assert_true(shard_encode(&bytes, &shard));
    for (size_t at = 0; at < bytes.size; at += 1 + at / 64) {
        bytes.data[at] ^= 0x10;
        assert_status(shard_decode(buffer_slice(&bytes), &other, &error), PLINTH_CORRUPT, &error);
        bytes.data[at] ^= 0x10;
        assert_status(shard_decode(slice_of(bytes.data, at), &other, &error), PLINTH_CORRUPT, &error);
    }
    assert_ok(shard_decode(buffer_slice(&bytes), &other, &error), &error);
    shard_deinit(&other);
    /* A sound checkpoint of another format is no damage. */
    store_u32(bytes.data + 8, 2);
    store_u32(bytes.data + 12, crc32c(crc32c(0, bytes.data + 8, 4), bytes.data + 16, bytes.size - 16));
    assert_status(shard_decode(buffer_slice(&bytes), &other, &error), PLINTH_UNSUPPORTED, &error);
    assert_error_names(&error, "format 2");
    buffer_deinit(&bytes);
    shard_deinit(&shard);
    script_deinit(script);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conditional_write_loses_to_a_write_after_its_snapshot),
        cmocka_unit_test(a_repeated_sequence_is_void_everywhere),
        cmocka_unit_test(cuts_flushes_and_merges_follow_the_log),
        cmocka_unit_test(far_time_jumps_count_only_when_a_host_has_checked_them),
        cmocka_unit_test(a_malformed_record_is_refused_and_changes_nothing),
        cmocka_unit_test(rows_need_their_table_and_feature_level),
        cmocka_unit_test(a_replay_begins_at_the_first_part_of_what_is_not_in_segments),
        cmocka_unit_test(a_transaction_loses_when_rows_that_it_read_were_written_since),
        cmocka_unit_test(a_unit_that_begins_below_the_feature_level_is_remembered_as_a_whole),
        cmocka_unit_test(an_expelled_host_begins_and_commits_nothing_until_it_joins_again),
        cmocka_unit_test(a_checkpoint_and_the_log_behind_it_give_the_same_state),
        cmocka_unit_test(a_damaged_checkpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
