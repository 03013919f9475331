/* Unique indexes: single writes, transactions, updates by condition and retries against a model; writers side by side;
 * builds while writers go on; and what verify says of a value that is there twice. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "column/arrow_data.h"
#include "engine/transaction.h"
#include "plinth.h"
#include "support/engine_fixture.h"
#include "support/table_support.h"

static int setup(void **state) {
    static const struct plinth_options options = {
        .memtable_bytes = 1 << 20, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};
    fixture_setup(state, &options, NULL);
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64, v int64?, s string?", "id", false);
    return 0;
}

#define ALL "id int64, v int64, s string"

static const char *const of_v[] = {"v"};
static const char *const of_s[] = {"lower(s)"};
static const struct plinth_index unique_v = {
    .name = "one_v", .kind = PLINTH_INDEX_SORTED, .columns = of_v, .column_count = 1, .unique = true};
static const struct plinth_index unique_s = {
    .name = "one_s", .kind = PLINTH_INDEX_SORTED, .columns = of_s, .column_count = 1, .unique = true};

static void create_index(struct fixture *f, const struct plinth_index *index) {
    assert_ok(plinth_table_index_create(f->db, NULL, "t", index, &f->error), &f->error);
}

struct arrow {
    struct ArrowSchema schema;
    struct ArrowArray array;
};

static struct arrow arrow_of(const char *columns, const char *text) {
    struct arrow made;
    struct test_rows rows;
    struct plinth_error error;
    test_rows_init(&rows, columns, text);
    assert_ok(arrow_export_schema(&rows.schema, &made.schema, &error), &error);
    assert_ok(arrow_export_batch(rows.batch, &made.array, &error), &error);
    test_rows_deinit(&rows);
    return made;
}

static enum plinth_status write_rows(struct plinth *db, const char *text, const struct plinth_rows_options *options,
                                     struct plinth_rows_result *result, struct plinth_error *error) {
    struct arrow arrow = arrow_of(ALL, text);
    return plinth_rows_write(db, NULL, "t", &arrow.schema, &arrow.array, options, result, error);
}

/* Fails on rejects. */
static void put(struct fixture *f, const char *text) {
    const struct plinth_rows_options options = {.no_reject = true};
    assert_ok(write_rows(f->db, text, &options, NULL, &f->error), &f->error);
}

static void remove_rows(struct fixture *f, const char *keys) {
    struct arrow arrow = arrow_of("id int64", keys);
    assert_ok(plinth_rows_delete(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error), &f->error);
}

static struct plinth_transaction *begin(struct plinth *db) {
    struct plinth_transaction *transaction;
    struct plinth_error error;
    assert_ok(plinth_transaction_begin(db, &transaction, &error), &error);
    return transaction;
}

static void upsert_in(struct plinth_transaction *transaction, const char *text) {
    struct arrow arrow = arrow_of(ALL, text);
    struct plinth_error error;
    assert_ok(plinth_transaction_rows_write(transaction, NULL, "t", &arrow.schema, &arrow.array, &error), &error);
}

static void delete_in(struct plinth_transaction *transaction, const char *keys) {
    struct arrow arrow = arrow_of("id int64", keys);
    struct plinth_error error;
    assert_ok(plinth_transaction_rows_delete(transaction, NULL, "t", &arrow.schema, &arrow.array, &error), &error);
}

static enum plinth_status commit(struct plinth_transaction *transaction, struct plinth_error *error) {
    enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, error);
    plinth_transaction_destroy(transaction);
    return st;
}

struct problems {
    unsigned count;
    char last[1024];
};

static void on_problem(void *context, const char *object, const char *problem) {
    struct problems *problems = context;
    problems->count++;
    snprintf(problems->last, sizeof problems->last, "%s: %s", object, problem);
}

static void expect_sound(struct fixture *f) {
    struct plinth_verify_result result;
    struct problems problems = {0};
    assert_ok(plinth_verify(f->db, on_problem, &problems, &result, &f->error), &f->error);
    if (problems.count) fail_msg("%s", problems.last);
}

/* ---- one after the other ---- */

static void a_row_whose_value_another_row_has_is_rejected_and_the_reason_names_both(void **state) {
    struct fixture *f = *state;
    create_index(f, &unique_v);
    create_index(f, &unique_s);
    put(f, "1,10,Ada;2,20,Bob;3,-,-;4,-,-");
    struct plinth_rows_result result;
    for (int flushed = 0; flushed < 2; flushed++) {
        assert_ok(write_rows(f->db, "5,10,x;6,60,BOB;7,-,-;1,10,ada", NULL, &result, &f->error), &f->error);
        assert_int_equal(result.rows_rejected, 2);
        assert_int_equal(result.rejects[0].row, 0);
        assert_int_equal(result.rejects[0].status, PLINTH_ALREADY_EXISTS);
        assert_string_equal(result.rejects[0].reason, "unique index \"one_v\": v = 10 is that of the row with id = 1");
        assert_int_equal(result.rejects[1].row, 1);
        assert_string_equal(result.rejects[1].reason,
                            "unique index \"one_s\": lower(s) = bob is that of the row with id = 2");
        plinth_rows_result_deinit(&result);
        test_table_check(f->db, "t", "1,10,ada;2,20,Bob;3,-,-;4,-,-;7,-,-");
        const struct plinth_rows_options atomic = {.atomic = true}, absent = {.if_absent = true};
        assert_status(write_rows(f->db, "8,80,h;9,20,i", &atomic, NULL, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
        assert_error_names(&f->error, "row 1: unique index \"one_v\": v = 20");
        assert_ok(write_rows(f->db, "2,99,z;8,10,h", &absent, &result, &f->error), &f->error);
        assert_int_equal(result.rows_rejected, 2);
        plinth_rows_result_deinit(&result);
        test_table_check(f->db, "t", "1,10,ada;2,20,Bob;3,-,-;4,-,-;7,-,-");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    fixture_reopen(f);
    assert_status(write_rows(f->db, "8,10,h", &(struct plinth_rows_options){.atomic = true}, NULL, &f->error),
                  PLINTH_ALREADY_EXISTS, &f->error);
    remove_rows(f, "1");
    put(f, "8,10,h");
    expect_sound(f);
}

static void of_rows_of_one_batch_the_first_gets_a_value_but_the_row_that_has_it_keeps_it(void **state) {
    struct fixture *f = *state;
    struct plinth_rows_result result;
    create_index(f, &unique_v);
    assert_ok(write_rows(f->db, "9,5,first;1,5,second;8,6,a;8,7,b;2,6,c", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_rejected, 1);
    assert_int_equal(result.rejects[0].row, 1);
    plinth_rows_result_deinit(&result);
    test_table_check(f->db, "t", "2,6,c;8,7,b;9,5,first");
    /* 9 keeps 5, whoever comes first; and where it cannot move to 7, nobody else gets it either. */
    assert_ok(write_rows(f->db, "3,5,x;9,5,y", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_rejected, 1);
    assert_int_equal(result.rejects[0].row, 0);
    plinth_rows_result_deinit(&result);
    assert_ok(write_rows(f->db, "3,5,x;9,7,y", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_rejected, 2);
    plinth_rows_result_deinit(&result);
    test_table_check(f->db, "t", "2,6,c;8,7,b;9,5,y");
    /* Values change places, in a ring. */
    put(f, "2,7,c;8,5,b;9,6,y");
    test_table_check(f->db, "t", "2,7,c;8,5,b;9,6,y");
    expect_sound(f);
}

static void a_transaction_moves_values_between_rows(void **state) {
    struct fixture *f = *state;
    create_index(f, &unique_v);
    put(f, "1,10,a;2,20,b;3,30,c");
    for (int flushed = 0; flushed < 2; flushed++) {
        struct plinth_transaction *transaction = begin(f->db);
        upsert_in(transaction, "1,20,a"); /* two have it until the next call */
        upsert_in(transaction, "2,10,b");
        assert_ok(commit(transaction, &f->error), &f->error);
        test_table_check(f->db, "t", "1,20,a;2,10,b;3,30,c");
        transaction = begin(f->db);
        delete_in(transaction, "1");
        upsert_in(transaction, "4,20,d");
        assert_ok(commit(transaction, &f->error), &f->error);
        test_table_check(f->db, "t", "2,10,b;3,30,c;4,20,d");
        transaction = begin(f->db);
        upsert_in(transaction, "4,-,d;5,20,e");
        delete_in(transaction, "5");
        upsert_in(transaction, "1,20,a");
        assert_ok(commit(transaction, &f->error), &f->error);
        test_table_check(f->db, "t", "1,20,a;2,10,b;3,30,c;4,-,d");
        transaction = begin(f->db);
        upsert_in(transaction, "6,30,f");
        assert_status(commit(transaction, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
        assert_error_names(&f->error, "table \"t\": unique index \"one_v\": v = 30 is that of the row with id = 3");
        transaction = begin(f->db);
        upsert_in(transaction, "6,60,f");
        upsert_in(transaction, "7,60,g");
        assert_status(commit(transaction, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
        assert_error_names(&f->error, "v = 60 is that of the row with id = 6");
        transaction = begin(f->db);
        delete_in(transaction, "4");
        upsert_in(transaction, "1,10,a;2,20,b");
        assert_ok(commit(transaction, &f->error), &f->error);
        test_table_check(f->db, "t", "1,10,a;2,20,b;3,30,c");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (flushed) assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    expect_sound(f);
}

static void of_two_transactions_that_give_a_value_to_different_rows_exactly_one_commits(void **state) {
    struct fixture *f = *state;
    create_index(f, &unique_v);
    for (int single = 0; single < 2; single++) {
        struct plinth_transaction *a = begin(f->db), *b = begin(f->db);
        upsert_in(a, "1,10,a");
        upsert_in(b, "2,10,b");
        if (single)
            put(f, "3,10,c");
        else
            assert_ok(commit(a, &f->error), &f->error);
        struct plinth_conflict conflict = {0};
        assert_status(plinth_transaction_commit(b, NULL, NULL, &conflict, &f->error), PLINTH_CONFLICT, &f->error);
        assert_error_names(&f->error, "v = 10 in index one_v was written");
        assert_true(conflict.rows);
        assert_string_equal(conflict.table, "t");
        plinth_buffer_deinit(&conflict.key);
        plinth_transaction_destroy(b);
        if (single) plinth_transaction_destroy(a);
        test_table_check(f->db, "t", single ? "3,10,c" : "1,10,a");
        fixture_reopen(f); /* the same verdict */
        test_table_check(f->db, "t", single ? "3,10,c" : "1,10,a");
        remove_rows(f, "1;2;3");
    }
    /* Other values do not meet. */
    struct plinth_transaction *a = begin(f->db), *b = begin(f->db);
    upsert_in(a, "1,10,a");
    upsert_in(b, "2,11,b;3,-,x");
    put(f, "4,-,x;5,12,y");
    assert_ok(commit(a, &f->error), &f->error);
    assert_ok(commit(b, &f->error), &f->error);
    expect_sound(f);
}

static void updates_by_condition_keep_values_apart(void **state) {
    struct fixture *f = *state;
    create_index(f, &unique_v);
    put(f, "1,10,a;2,20,b;3,30,c;4,-,d");
    struct plinth_where_result result;
    const struct plinth_assignment to_20 = {.column = "v", .value = "20"}, to_40 = {.column = "v", .value = "40"};
    const struct plinth_assignment to_id = {.column = "v", .from = "id"}, to_null = {.column = "v"};
    assert_status(plinth_rows_update_where(f->db, NULL, "t", "id = 1", &to_20, 1, NULL, &result, &f->error),
                  PLINTH_ALREADY_EXISTS, &f->error);
    assert_status(plinth_rows_update_where(f->db, NULL, "t", "id < 3", &to_40, 1, NULL, &result, &f->error),
                  PLINTH_ALREADY_EXISTS, &f->error);
    test_table_check(f->db, "t", "1,10,a;2,20,b;3,30,c;4,-,d");
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", "id = 2", &to_20, 1, NULL, &result, &f->error), &f->error);
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", "id > 2", &to_id, 1, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 2);
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", "v < 15", &to_null, 1, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 3);
    test_table_check(f->db, "t", "1,-,a;2,20,b;3,-,c;4,-,d");
    expect_sound(f);
}

static void a_retry_is_answered_with_its_first_position_whatever_is_there_now(void **state) {
    struct fixture *f = *state;
    create_index(f, &unique_v);
    struct plinth_rows_options options = {.write = {.producer_id = 5, .sequence = 1}};
    struct plinth_rows_result first, again;
    assert_ok(write_rows(f->db, "1,10,a;2,20,b", &options, &first, &f->error), &f->error);
    remove_rows(f, "1");
    put(f, "3,10,c");
    for (int i = 0; i < 3; i++) {
        assert_ok(write_rows(f->db, "1,10,a;2,20,b", &options, &again, &f->error), &f->error);
        assert_true(again.duplicate);
        assert_int_equal(again.rows_rejected, 0);
        assert_int_equal(again.position.lsn, first.position.lsn);
        plinth_rows_result_deinit(&again);
        if (i == 0) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (i == 1) fixture_reopen(f);
    }
    plinth_rows_result_deinit(&first);
    /* The same of a transaction. */
    const struct plinth_write_options write = {.producer_id = 6, .sequence = 1};
    struct plinth_position positions[2];
    for (int i = 0; i < 2; i++) {
        struct plinth_transaction *transaction = begin(f->db);
        upsert_in(transaction, "4,40,d");
        assert_ok(plinth_transaction_commit(transaction, &write, &positions[i], NULL, &f->error), &f->error);
        plinth_transaction_destroy(transaction);
        if (i) break;
        remove_rows(f, "4");
        put(f, "5,40,e");
    }
    assert_int_equal(positions[0].lsn, positions[1].lsn);
    test_table_check(f->db, "t", "2,20,b;3,10,c;5,40,e");
    expect_sound(f);
}

static void a_write_of_many_records_is_checked_as_one(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 30000 };
    create_index(f, &unique_v);
    for (int round = 0; round < 2; round++) {
        struct buffer text = BUFFER_INIT;
        for (int i = 0; i < ROWS; i++) {
            char row[200];
            int size = snprintf(row, sizeof row, "%s%d,%d,%0100d", i ? ";" : "", i, round ? (i + 1) % ROWS : i, i);
            assert_true(buffer_append(&text, row, (size_t)size));
        }
        assert_true(buffer_append_u8(&text, 0));
        put(f, (char *)text.data);
        buffer_deinit(&text);
    }
    struct plinth_rows_result result;
    assert_ok(write_rows(f->db, "100000,7,x;100001,30001,y", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_rejected, 1);
    assert_string_equal(result.rejects[0].reason, "unique index \"one_v\": v = 7 is that of the row with id = 6");
    plinth_rows_result_deinit(&result);
    expect_sound(f);
}

/* ---- the model ---- */

enum { IDS = 24, VALUES = 16 };

struct cell {
    bool there;
    int v; /* 0: null */
};

static bool is_unique(const struct cell *cells) {
    for (int a = 0; a < IDS; a++)
        for (int b = 0; b < a; b++)
            if (cells[a].there && cells[b].there && cells[a].v && cells[a].v == cells[b].v) return false;
    return true;
}

static char *text_of(const struct cell *cells) {
    struct buffer text = BUFFER_INIT;
    for (int id = 0; id < IDS; id++) {
        char row[64], v[16] = "-";
        if (!cells[id].there) continue;
        if (cells[id].v) snprintf(v, sizeof v, "%d", cells[id].v);
        int size = snprintf(row, sizeof row, "%s%d,%s,x", text.size ? ";" : "", id, v);
        assert_true(buffer_append(&text, row, (size_t)size));
    }
    assert_true(buffer_append_u8(&text, 0));
    return (char *)text.data;
}

static int append_row(char *text, int at, int id, int v) {
    at += sprintf(text + at, at ? ";%d," : "%d,", id);
    return at + (v ? sprintf(text + at, "%d,x", v) : sprintf(text + at, "-,x"));
}

static void model_write(struct fixture *f, struct test_random *random, struct cell *cells) {
    char text[1024];
    int ids[12], values[12], used = 0;
    unsigned count = 1 + (unsigned)test_random_below(random, 12);
    for (unsigned i = 0; i < count; i++) {
        ids[i] = (int)test_random_below(random, IDS);
        values[i] = (int)test_random_below(random, VALUES);
        used = append_row(text, used, ids[i], values[i]);
    }
    struct plinth_rows_result result;
    const struct plinth_rows_options options = {.atomic = test_random_below(random, 4) == 0};
    enum plinth_status st = write_rows(f->db, text, &options, &result, &f->error);
    if (options.atomic) {
        struct cell wanted[IDS];
        memcpy(wanted, cells, sizeof wanted);
        for (unsigned i = 0; i < count; i++) wanted[ids[i]] = (struct cell){true, values[i]};
        assert_int_equal(st, is_unique(wanted) ? PLINTH_OK : PLINTH_ALREADY_EXISTS);
        if (!st) memcpy(cells, wanted, sizeof wanted);
        plinth_rows_result_deinit(&result);
        return;
    }
    assert_ok(st, &f->error);
    bool rejected[12] = {0};
    for (uint32_t i = 0; i < result.reject_count; i++) rejected[result.rejects[i].row] = true;
    for (unsigned i = 0; i < count; i++) {
        bool last = true;
        for (unsigned k = i + 1; k < count; k++) last &= ids[k] != ids[i];
        if (rejected[i]) assert_true(last); /* one that is replaced in the batch says nothing */
        if (last && !rejected[i]) cells[ids[i]] = (struct cell){true, values[i]};
    }
    assert_true(is_unique(cells));
    for (unsigned i = 0; i < count; i++) { /* no row is rejected that could be there */
        bool taken = false;
        for (int id = 0; id < IDS; id++) taken |= id != ids[i] && cells[id].there && cells[id].v == values[i];
        if (rejected[i]) assert_true(taken);
    }
    plinth_rows_result_deinit(&result);
}

static void model_transaction(struct fixture *f, struct test_random *random, struct cell *cells) {
    struct plinth_transaction *transaction = begin(f->db);
    struct cell wanted[IDS];
    memcpy(wanted, cells, sizeof wanted);
    for (unsigned i = 0, count = 1 + (unsigned)test_random_below(random, 6); i < count; i++) {
        char text[64];
        int id = (int)test_random_below(random, IDS), v = (int)test_random_below(random, VALUES);
        if (test_random_below(random, 3) == 0) {
            snprintf(text, sizeof text, "%d", id);
            delete_in(transaction, text);
            wanted[id].there = false;
        } else {
            append_row(text, 0, id, v);
            upsert_in(transaction, text);
            wanted[id] = (struct cell){true, v};
        }
    }
    enum plinth_status st = commit(transaction, &f->error);
    assert_int_equal(st, is_unique(wanted) ? PLINTH_OK : PLINTH_ALREADY_EXISTS);
    if (!st) memcpy(cells, wanted, sizeof wanted);
}

static void model_update(struct fixture *f, struct test_random *random, struct cell *cells) {
    int below = (int)test_random_below(random, 4), from = (int)test_random_below(random, IDS);
    int v = (int)test_random_below(random, VALUES);
    char where[64], value[16];
    struct cell wanted[IDS];
    struct plinth_where_result result;
    memcpy(wanted, cells, sizeof wanted);
    snprintf(where, sizeof where, "id >= %d AND id < %d", from, from + below);
    snprintf(value, sizeof value, "%d", v);
    for (int id = from; id < IDS && id < from + below; id++)
        if (wanted[id].there) wanted[id].v = v;
    const struct plinth_assignment set = {.column = "v", .value = v ? value : NULL};
    enum plinth_status st = plinth_rows_update_where(f->db, NULL, "t", where, &set, 1, NULL, &result, &f->error);
    assert_int_equal(st, is_unique(wanted) ? PLINTH_OK : PLINTH_ALREADY_EXISTS);
    if (!st) memcpy(cells, wanted, sizeof wanted);
}

static void random_writes_agree_with_a_model(void **state) {
    struct fixture *f = *state;
    const char *asked_for = getenv("PLINTH_TEST_SEED");
    uint64_t seed = asked_for ? strtoull(asked_for, NULL, 10) : 1, seeds = asked_for ? 1 : 3;
    create_index(f, &unique_v);
    for (; seeds--; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        struct test_random random = test_random_of(seed);
        struct cell cells[IDS] = {0};
        for (int step = 0; step < 300; step++) {
            char keys[32];
            int id = (int)test_random_below(&random, IDS);
            switch (test_random_below(&random, 24)) {
            case 0: assert_ok(plinth_flush(f->db, &f->error), &f->error); break;
            case 1:
                if (step % 4 == 0) assert_ok(plinth_compact(f->db, &f->error), &f->error);
                break;
            case 2:
                if (step % 4 == 0) fixture_reopen(f);
                break;
            case 3:
                snprintf(keys, sizeof keys, "%d", id);
                remove_rows(f, keys);
                cells[id].there = false;
                break;
            case 4:
            case 5:
            case 6: model_update(f, &random, cells); break;
            case 7:
            case 8:
            case 9:
            case 10:
            case 11:
            case 12:
            case 13: model_transaction(f, &random, cells); break;
            default: model_write(f, &random, cells);
            }
            char *wanted = text_of(cells);
            test_table_check(f->db, "t", wanted);
            free(wanted);
        }
        expect_sound(f);
        for (int id = 0; id < IDS; id++) {
            char keys[32];
            snprintf(keys, sizeof keys, "%d", id);
            remove_rows(f, keys);
        }
    }
}

/* ---- side by side ---- */

enum { WRITERS = 4, TRIES = 150, CONTESTED = 40, DROPS = 40 };

static atomic_bool dropping_ended;

struct writer {
    struct fixture *f;
    unsigned number;
    atomic_uint *wins; /* by value */
    unsigned lost, refused;
};

static void *write_contested(void *argument) {
    struct writer *writer = argument;
    struct test_random random = test_random_of(writer->number + 1);
    struct plinth_error error;
    for (int i = 0; i < TRIES; i++) {
        char text[64];
        int id = (int)(writer->number * 1000) + (int)test_random_below(&random, 100), v = 1 + i % CONTESTED;
        append_row(text, 0, id, v);
        enum plinth_status st;
        if (test_random_below(&random, 2)) {
            struct plinth_rows_result result;
            st = write_rows(writer->f->db, text, NULL, &result, &error);
            assert_true(st == PLINTH_OK || st == PLINTH_CONFLICT);
            if (!st && result.rows_rejected) st = result.rejects[0].status;
            plinth_rows_result_deinit(&result);
        } else {
            struct plinth_transaction *transaction = begin(writer->f->db);
            upsert_in(transaction, text);
            st = commit(transaction, &error);
        }
        writer->lost += st == PLINTH_CONFLICT;
        writer->refused += st == PLINTH_ALREADY_EXISTS;
        if (!st) atomic_fetch_add(&writer->wins[v], 1);
        assert_true(st == PLINTH_OK || st == PLINTH_CONFLICT || st == PLINTH_ALREADY_EXISTS);
        if (i % 50 == 49 && writer->number == 0) assert_ok(plinth_flush(writer->f->db, &error), &error);
    }
    return NULL;
}

static void expect_no_doubles(struct fixture *f) {
    char *shown = test_table_dump(f->db, "t");
    static bool seen[200000];
    memset(seen, 0, sizeof seen);
    for (char *row = shown; row && *row;) {
        const char *v = strchr(row, ',') + 1;
        if (*v != '-') {
            unsigned long value = strtoul(v, NULL, 10);
            assert_true(value < sizeof seen);
            if (seen[value]) fail_msg("%lu is there twice", value);
            seen[value] = true;
        }
        row = strchr(row, ';');
        if (row) row++;
    }
    free(shown);
}

static void writers_of_the_same_values_side_by_side_leave_each_with_one(void **state) {
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    atomic_uint wins[CONTESTED + 1] = {0};
    create_index(f, &unique_v);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i, .wins = wins};
        assert_int_equal(pthread_create(&threads[i], NULL, write_contested, &writers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        print_message("writer %u: lost %u, refused %u\n", i, writers[i].lost, writers[i].refused);
    }
    for (unsigned v = 1; v <= CONTESTED; v++) assert_true(wins[v] >= 1);
    expect_no_doubles(f);
    expect_sound(f);
    fixture_reopen(f);
    expect_no_doubles(f);
    expect_sound(f);
}

/* ---- builds ---- */

enum { OLD_ROWS = 4000 };

static enum plinth_index_state state_of(struct fixture *f) {
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, NULL, "t", &table, &f->error), &f->error);
    enum plinth_index_state now = table.index_count ? table.indexes[0].state : PLINTH_INDEX_DROPPING;
    plinth_table_description_deinit(&table);
    return now;
}

static void put_old_rows(struct fixture *f) {
    struct buffer text = BUFFER_INIT;
    for (int i = 0; i < OLD_ROWS; i++) {
        char row[64];
        int size = snprintf(row, sizeof row, "%s%d,%d,x", i ? ";" : "", 100000 + i, i + 1);
        assert_true(buffer_append(&text, row, (size_t)size));
    }
    assert_true(buffer_append_u8(&text, 0));
    put(f, (char *)text.data);
    buffer_deinit(&text);
}

/* Gives values that old rows have, and some that they have not, to rows of its own. */
static void *write_over_build(void *argument) {
    struct writer *writer = argument;
    struct test_random random = test_random_of(writer->number + 77);
    struct plinth_error error;
    for (int i = 0; i < TRIES; i++) {
        char text[64];
        int v = 1 + (int)test_random_below(&random, i % 2 ? OLD_ROWS : 10 * OLD_ROWS);
        append_row(text, 0, (int)(writer->number * 1000) + i, v);
        struct plinth_rows_result result;
        enum plinth_status st = write_rows(writer->f->db, text, NULL, &result, &error);
        assert_true(st == PLINTH_OK || st == PLINTH_CONFLICT);
        plinth_rows_result_deinit(&result);
    }
    return NULL;
}

static void an_index_that_is_built_while_writers_go_on_is_ready_only_without_doubles(void **state) {
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    put_old_rows(f);
    f->db->sizes.index_step_bytes = 2048;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_over_build, &writers[i]), 0);
    }
    enum plinth_status st = plinth_table_index_create(f->db, NULL, "t", &unique_v, &f->error);
    assert_true(st == PLINTH_OK || st == PLINTH_ALREADY_EXISTS);
    if (!st) print_message("ready at once\n");
    for (unsigned i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    /* What was acknowledged before stays, and keeps the index from becoming ready, until it goes. */
    bool ready = state_of(f) == PLINTH_INDEX_READY;
    if (!ready) {
        struct plinth_where_result deleted;
        assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "id < 100000", NULL, &deleted, &f->error), &f->error);
    }
    for (int i = 0; i < 600 && state_of(f) != PLINTH_INDEX_READY; i++) usleep(50000);
    assert_int_equal(state_of(f), PLINTH_INDEX_READY);
    expect_no_doubles(f);
    expect_sound(f);
    fixture_reopen(f);
    assert_int_equal(state_of(f), PLINTH_INDEX_READY);
    const struct plinth_rows_options atomic = {.atomic = true};
    assert_status(write_rows(f->db, "1,17,x", &atomic, NULL, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
}

/* A transaction that has begun to write before there was an index has not looked into it. */
static void a_unique_index_that_comes_meanwhile_makes_a_transaction_begin_again(void **state) {
    struct fixture *f = *state;
    put(f, "1,10,a");
    struct plinth_transaction *transaction = begin(f->db);
    upsert_in(transaction, "2,10,b");
    create_index(f, &unique_v);
    assert_status(commit(transaction, &f->error), PLINTH_CONFLICT, &f->error);
    test_table_check(f->db, "t", "1,10,a");
    transaction = begin(f->db);
    upsert_in(transaction, "2,20,b");
    assert_ok(plinth_table_index_drop(f->db, NULL, "t", "one_v", &f->error), &f->error);
    assert_status(commit(transaction, &f->error), PLINTH_CONFLICT, &f->error);
    put(f, "2,10,b");
    expect_sound(f);
}

/* A write that has looked into an index which goes before the write is in the log looks again, and is written. */
static void *write_on(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    for (int i = 0; !atomic_load(&dropping_ended); i++) {
        char text[64];
        append_row(text, 0, (int)(writer->number * 100000) + i, (int)(writer->number * 100000) + i + 1);
        const struct plinth_rows_options options = {
            .write = {.producer_id = writer->number + 1, .sequence = (uint64_t)i + 1}};
        enum plinth_status st = write_rows(writer->f->db, text, writer->number % 2 ? &options : NULL, NULL, &error);
        if (st != PLINTH_CONFLICT) assert_ok(st, &error);
    }
    return NULL;
}

static void a_unique_index_is_dropped_while_writers_go_on(void **state) {
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    create_index(f, &unique_v);
    atomic_store(&dropping_ended, false);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < DROPS; i++) {
        usleep(2000);
        assert_ok(plinth_table_index_drop(f->db, NULL, "t", "one_v", &f->error), &f->error);
        create_index(f, &unique_v);
    }
    atomic_store(&dropping_ended, true);
    for (unsigned i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    expect_sound(f);
}

/* ---- verify ---- */

/* Puts rows into the log without a look, as nobody does. */
static void write_unchecked(struct fixture *f, const char *text) {
    struct test_rows given;
    const struct table_schema *schema;
    struct record_header header;
    struct decision decision;
    uint64_t lsn;
    test_rows_init(&given, ALL, text);
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    const uint32_t ids[] = {1, 2, 3};
    struct transaction_rows rows = {schema, ROWS_UPSERT, given.batch, ids};
    struct transaction_content content = {.snapshot_lsn = engine_visible_lsn(f->db), .rows = &rows, .rows_count = 1};
    assert_ok(write_header_init(f->db, NULL, CHANGE_TRANSACTION, &header, &f->error), &f->error);
    assert_ok(transaction_append(f->db, &header, &content, false, &lsn, &decision, NULL, &f->error), &f->error);
    assert_ok(write_wait(f->db, &header, lsn, &f->error), &f->error);
    table_schema_unref(schema);
    test_rows_deinit(&given);
}

static void verify_tells_of_a_value_that_is_there_twice(void **state) {
    struct fixture *f = *state;
    struct plinth_verify_result result;
    create_index(f, &unique_v);
    put(f, "1,10,a;2,20,b");
    write_unchecked(f, "3,20,c;4,-,d;5,-,e");
    for (int flushed = 0; flushed < 2; flushed++) {
        struct problems problems = {0};
        assert_ok(plinth_verify(f->db, on_problem, &problems, &result, &f->error), &f->error);
        assert_int_equal(problems.count, 1);
        assert_string_equal(
            problems.last,
            "unique index \"one_v\" of table \"t\": 1 values are there more than once: v = 20 is that of "
            "the row with id = 2, and of that with id = 3");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    remove_rows(f, "2");
    expect_sound(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_whose_value_another_row_has_is_rejected_and_the_reason_names_both, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(of_rows_of_one_batch_the_first_gets_a_value_but_the_row_that_has_it_keeps_it,
                                        setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_transaction_moves_values_between_rows, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(of_two_transactions_that_give_a_value_to_different_rows_exactly_one_commits,
                                        setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(updates_by_condition_keep_values_apart, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_retry_is_answered_with_its_first_position_whatever_is_there_now, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_write_of_many_records_is_checked_as_one, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_writes_agree_with_a_model, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(writers_of_the_same_values_side_by_side_leave_each_with_one, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(an_index_that_is_built_while_writers_go_on_is_ready_only_without_doubles, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_unique_index_that_comes_meanwhile_makes_a_transaction_begin_again, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_unique_index_is_dropped_while_writers_go_on, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(verify_tells_of_a_value_that_is_there_twice, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
