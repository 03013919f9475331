/* Transactions over typed tables: what they see, what makes them lose, that together they are serializable, and that
 * large ones are one. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "column/arrow_data.h"
#include "column/column_builder.h"
#include "engine/transaction.h"
#include "plinth.h"
#include "support/engine_fixture.h"
#include "support/table_support.h"

static int setup(void **state) {
    static const struct plinth_options options = {
        .memtable_bytes = 1 << 20, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};
    fixture_setup(state, &options, NULL);
    test_table_create(((struct fixture *)*state)->db, "t", "id int64, v int64?, s string?", "id", false);
    return 0;
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

static void write_rows(struct fixture *f, const char *columns, const char *text) {
    struct arrow arrow = arrow_of(columns, text);
    assert_ok(plinth_rows_write(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error), &f->error);
}

static struct plinth_transaction *begin(struct fixture *f) {
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    return transaction;
}

static void upsert(struct fixture *f, struct plinth_transaction *transaction, const char *table, const char *columns,
                   const char *text) {
    struct arrow arrow = arrow_of(columns, text);
    assert_ok(plinth_transaction_rows_write(transaction, NULL, table, &arrow.schema, &arrow.array, &f->error),
              &f->error);
}

static void delete (struct fixture *f, struct plinth_transaction *transaction, const char *text) {
    struct arrow arrow = arrow_of("id int64", text);
    assert_ok(plinth_transaction_rows_delete(transaction, NULL, "t", &arrow.schema, &arrow.array, &f->error),
              &f->error);
}

/* An Arrow batch as "1,2,x;...". */
static void append_text(struct buffer *text, const struct ArrowSchema *schema, struct ArrowArray *array) {
    struct batch *batch;
    struct plinth_error error;
    assert_ok(arrow_import_batch(array, schema, &batch, &error), &error);
    for (uint32_t row = 0; row < batch->rows; row++) {
        if (text->size) assert_true(buffer_append(text, ";", 1));
        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c) assert_true(buffer_append(text, ",", 1));
            if (column_is_null(&batch->columns[c], row))
                assert_true(buffer_append(text, "-", 1));
            else
                assert_true(column_format(text, &batch->columns[c], row));
        }
    }
    batch_unref(batch);
}

static char *finish_text(struct buffer *text) {
    assert_true(buffer_append_u8(text, 0));
    return (char *)text->data;
}

static char *get_rows(struct fixture *f, struct plinth_transaction *transaction, const char *keys) {
    struct arrow arrow = arrow_of("id int64", keys), got;
    struct buffer text = BUFFER_INIT;
    assert_ok(plinth_transaction_rows_get(transaction, NULL, "t", &arrow.schema, &arrow.array, NULL, 0, &got.schema,
                                          &got.array, &f->error),
              &f->error);
    append_text(&text, &got.schema, &got.array);
    if (got.array.release) got.array.release(&got.array);
    got.schema.release(&got.schema);
    return finish_text(&text);
}

/* `transaction` null: outside of any. */
static char *query_rows(struct fixture *f, struct plinth_transaction *transaction,
                        const struct plinth_query_options *options) {
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct buffer text = BUFFER_INIT;
    if (transaction)
        assert_ok(plinth_transaction_query(transaction, NULL, "t", options, &stream, &f->error), &f->error);
    else
        assert_ok(plinth_query(f->db, NULL, "t", options, &stream, &f->error), &f->error);
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    for (;;) {
        struct ArrowArray array;
        if (stream.get_next(&stream, &array)) fail_msg("%s", stream.get_last_error(&stream));
        if (!array.release) break;
        append_text(&text, &schema, &array);
        if (array.release) array.release(&array);
    }
    schema.release(&schema);
    stream.release(&stream);
    return finish_text(&text);
}

static void check_text(char *got, const char *wanted) {
    assert_string_equal(got, wanted);
    free(got);
}

static void expect(struct fixture *f, struct plinth_transaction *transaction, const char *where, const char *wanted) {
    struct plinth_query_options options = {.where = where, .ordered = true};
    check_text(query_rows(f, transaction, &options), wanted);
}

static enum plinth_status commit(struct fixture *f, struct plinth_transaction *transaction) {
    enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error);
    plinth_transaction_destroy(transaction);
    return st;
}

static void set(struct fixture *f, const char *key, const char *value) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, NULL, &f->error), &f->error);
}

static void set_in(struct fixture *f, struct plinth_transaction *transaction, const char *key, const char *value) {
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text(key), .value = plinth_text(value)};
    assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
}

#define ALL "id int64, v int64, s string"

static void a_transaction_sees_its_own_rows_and_nobody_else_does_until_it_commits(void **state) {
    struct fixture *f = *state;
    write_rows(f, ALL, "1,10,a;2,20,b;3,30,c");
    for (int flushed = 0; flushed < 2; flushed++) {
        struct plinth_transaction *transaction = begin(f);
        check_text(get_rows(f, transaction, "3;1;9;1"), "1,10,a;3,30,c");
        upsert(f, transaction, "t", ALL, "2,21,x;4,40,d");
        upsert(f, transaction, "t", ALL, "2,22,y");
        delete (f, transaction, "3;7");
        check_text(get_rows(f, transaction, "1;2;3;4"), "1,10,a;2,22,y;4,40,d");
        expect(f, transaction, NULL, "1,10,a;2,22,y;4,40,d");
        expect(f, transaction, "v > 20", "2,22,y;4,40,d");
        expect(f, transaction, "id = 2", "2,22,y");
        expect(f, transaction, "id IN (1, 3, 4) AND s <> 'a'", "4,40,d");
        struct plinth_aggregate sum = {PLINTH_SUM, "v"};
        struct plinth_query_options options = {.aggregates = &sum, .aggregate_count = 1};
        check_text(query_rows(f, transaction, &options), "72");
        options = (struct plinth_query_options){.ordered = true, .reverse = true, .limit = 2};
        check_text(query_rows(f, transaction, &options), "4,40,d;2,22,y");
        expect(f, NULL, NULL, "1,10,a;2,20,b;3,30,c");
        if (flushed) {
            assert_ok(commit(f, transaction), &f->error);
            break;
        }
        plinth_transaction_destroy(transaction);
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    expect(f, NULL, NULL, "1,10,a;2,22,y;4,40,d");
    fixture_reopen(f);
    expect(f, NULL, NULL, "1,10,a;2,22,y;4,40,d");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    fixture_reopen(f);
    expect(f, NULL, NULL, "1,10,a;2,22,y;4,40,d");
}

static void of_two_transactions_that_read_what_the_other_writes_one_loses_and_learns_which_row(void **state) {
    struct fixture *f = *state;
    write_rows(f, ALL, "1,1,on;2,1,on");
    struct plinth_transaction *a = begin(f), *b = begin(f);
    free(get_rows(f, a, "1;2"));
    free(get_rows(f, b, "1;2"));
    upsert(f, a, "t", ALL, "1,0,off");
    upsert(f, b, "t", ALL, "2,0,off");
    assert_ok(commit(f, a), &f->error);
    struct plinth_conflict conflict = {0};
    assert_status(plinth_transaction_commit(b, NULL, NULL, &conflict, &f->error), PLINTH_CONFLICT, &f->error);
    assert_error_names(&f->error, "table \"t\": the row with id = 1 was written");
    assert_true(conflict.rows);
    assert_false(conflict.too_old);
    assert_string_equal(conflict.table, "t");
    assert_int_equal(conflict.key.size, 6);
    assert_memory_equal(conflict.key.data, "id = 1", 6);
    plinth_buffer_deinit(&conflict.key);
    plinth_transaction_destroy(b);
    expect(f, NULL, NULL, "1,0,off;2,1,on");
}

static void a_row_that_appears_where_a_transaction_has_looked_makes_it_lose(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *where;   /* of a query, or */
        const char *keys;    /* of a look-up */
        const char *written; /* by others */
        bool deleted;
        bool loses;
    } cases[] = {
        {NULL, "5", "5,1,x", false, true},
        {NULL, "5", "6,1,x", false, false},
        {NULL, "5;7;9", "8,1,x", false, false},
        {NULL, "5;7;9", "7,1,x", false, true},
        {NULL, "2", "2", true, true},
        {"id = 5", NULL, "5,1,x", false, true},
        {"id = 5", NULL, "6,1,x", false, false},
        {"id BETWEEN 3 AND 6", NULL, "4,1,x", false, true},
        {"id BETWEEN 3 AND 6", NULL, "7,1,x", false, false},
        {"id > 6", NULL, "7,1,x", false, true},
        {"id > 6", NULL, "5,1,x", false, false},
        {"v = 77", NULL, "5,1,x", false, true}, /* nothing bounds the keys */
        {"id IN (1, 5) AND v = 77", NULL, "3,1,x", false, false},
        {"id = 1 AND id = 2", NULL, "1,1,x", false, false},
        {"id < 5", NULL, "2", true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("case %zu\n", i);
        write_rows(f, ALL, "1,10,a;2,20,b;3,30,c");
        struct plinth_transaction *transaction = begin(f);
        struct plinth_query_options options = {.where = cases[i].where};
        free(cases[i].keys ? get_rows(f, transaction, cases[i].keys) : query_rows(f, transaction, &options));
        set_in(f, transaction, "done", "yes");
        struct arrow arrow = arrow_of(cases[i].deleted ? "id int64" : ALL, cases[i].written);
        if (cases[i].deleted)
            assert_ok(plinth_rows_delete(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error),
                      &f->error);
        else
            assert_ok(plinth_rows_write(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error),
                      &f->error);
        assert_status(commit(f, transaction), cases[i].loses ? PLINTH_CONFLICT : PLINTH_OK, &f->error);
    }
}

static void keys_and_rows_commit_as_one(void **state) {
    struct fixture *f = *state;
    struct plinth_buffer value = {0};
    set(f, "left", "3");
    write_rows(f, ALL, "1,3,a");
    struct plinth_transaction *a = begin(f), *b = begin(f);
    for (int i = 0; i < 2; i++) {
        struct plinth_transaction *transaction = i ? b : a;
        assert_ok(plinth_transaction_get(transaction, f->space, plinth_text("left"), &value, NULL, &f->error),
                  &f->error);
        upsert(f, transaction, "t", ALL, i ? "2,1,b" : "1,2,a");
        set_in(f, transaction, "left", "2");
    }
    assert_ok(commit(f, a), &f->error);
    assert_status(commit(f, b), PLINTH_CONFLICT, &f->error);
    assert_error_names(&f->error, "key \"left\"");
    expect(f, NULL, NULL, "1,2,a");
    /* A key written makes one lose that has read rows only, and the other way round. */
    a = begin(f);
    free(get_rows(f, a, "1"));
    set_in(f, a, "other", "1");
    b = begin(f);
    upsert(f, b, "t", ALL, "1,7,z");
    set_in(f, b, "right", "1");
    struct plinth_operation range = {
        .kind = PLINTH_DELETE_RANGE, .space = f->space, .key = plinth_text("l"), .upper = plinth_text("m")};
    assert_ok(plinth_transaction_write(b, &range, &f->error), &f->error);
    assert_ok(commit(f, b), &f->error);
    assert_status(commit(f, a), PLINTH_CONFLICT, &f->error);
    assert_status(plinth_get(f->db, f->space, plinth_text("left"), NULL, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    fixture_reopen(f);
    expect(f, NULL, NULL, "1,7,z");
    assert_ok(plinth_get(f->db, f->space, plinth_text("right"), NULL, &value, NULL, &f->error), &f->error);
    assert_status(plinth_get(f->db, f->space, plinth_text("left"), NULL, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    plinth_buffer_deinit(&value);
}

static void a_state_from_before_a_flush_is_too_old_and_says_so(void **state) {
    struct fixture *f = *state;
    write_rows(f, ALL, "1,10,a");
    struct plinth_transaction *transaction = begin(f);
    free(get_rows(f, transaction, "1"));
    upsert(f, transaction, "t", ALL, "1,11,a");
    write_rows(f, ALL, "2,10,a");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    struct plinth_conflict conflict = {0};
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, &conflict, &f->error), PLINTH_CONFLICT, &f->error);
    assert_true(conflict.too_old);
    plinth_buffer_deinit(&conflict.key);
    plinth_transaction_destroy(transaction);
}

static void a_row_that_cannot_be_written_fails_the_call_and_takes_nothing(void **state) {
    struct fixture *f = *state;
    struct plinth_transaction *transaction = begin(f);
    struct arrow arrow = arrow_of("id int64, v string", "1,5;2,x");
    assert_status(plinth_transaction_rows_write(transaction, NULL, "t", &arrow.schema, &arrow.array, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    arrow = arrow_of("id int64, w int64", "1,5");
    assert_status(plinth_transaction_rows_write(transaction, NULL, "t", &arrow.schema, &arrow.array, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "no column \"w\"");
    arrow = arrow_of("id int64", "1");
    assert_status(plinth_transaction_rows_write(transaction, NULL, "none", &arrow.schema, &arrow.array, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    expect(f, transaction, NULL, "");
    assert_ok(commit(f, transaction), &f->error);
}

static void tables_without_a_key_take_rows_and_conflict_as_a_whole(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "log", "what string", "", false);
    struct plinth_transaction *transaction = begin(f);
    upsert(f, transaction, "log", "what string", "a;b");
    upsert(f, transaction, "log", "what string", "c;a");
    assert_ok(commit(f, transaction), &f->error);
    test_table_check(f->db, "log", "a;b;c;a");
    transaction = begin(f);
    upsert(f, transaction, "log", "what string", "d");
    struct ArrowArrayStream stream;
    assert_ok(plinth_transaction_query(transaction, NULL, "log", NULL, &stream, &f->error), &f->error);
    stream.release(&stream);
    struct arrow arrow = arrow_of("what string", "e");
    assert_ok(plinth_rows_write(f->db, NULL, "log", &arrow.schema, &arrow.array, NULL, NULL, &f->error), &f->error);
    assert_status(commit(f, transaction), PLINTH_CONFLICT, &f->error);
    fixture_reopen(f);
    test_table_check(f->db, "log", "a;b;c;a;e");
}

/* Rows first .. first + count - 1 of about 100 bytes. */
static struct arrow many_rows(int first, int count, int v) {
    struct buffer text = BUFFER_INIT;
    for (int i = 0; i < count; i++) {
        char row[160];
        int size = snprintf(row, sizeof row, "%s%d,%d,%080d", i ? ";" : "", first + i, v, i);
        assert_true(buffer_append(&text, row, (size_t)size));
    }
    struct arrow made = arrow_of(ALL, finish_text(&text));
    buffer_deinit(&text);
    return made;
}

static void check_counts(struct fixture *f, const char *wanted) {
    struct plinth_aggregate both[] = {{PLINTH_COUNT, NULL}, {PLINTH_SUM, "v"}};
    struct plinth_query_options options = {.aggregates = both, .aggregate_count = 2};
    check_text(query_rows(f, NULL, &options), wanted);
}

static void a_transaction_of_many_records_is_one(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 40000 };
    struct plinth_feed *feed;
    struct plinth_change change;
    bool found;
    static char value[100000];
    memset(value, 'x', sizeof value - 1);
    write_rows(f, ALL, "1,5,a");
    assert_ok(plinth_feed_open(f->db, NULL, &feed, &f->error), &f->error);
    for (int round = 0; round < 2; round++) {
        struct plinth_transaction *loser = begin(f), *winner = begin(f);
        for (int i = 0; i < 2; i++) {
            struct plinth_transaction *transaction = i ? winner : loser;
            free(get_rows(f, transaction, "1"));
            struct arrow arrow = many_rows(0, ROWS, 1 + round);
            assert_ok(plinth_transaction_rows_write(transaction, NULL, "t", &arrow.schema, &arrow.array, &f->error),
                      &f->error);
            for (int k = 0; k < 30; k++) {
                char key[16];
                snprintf(key, sizeof key, "large-%d", k);
                set_in(f, transaction, key, value);
            }
        }
        struct plinth_position position;
        assert_ok(plinth_transaction_commit(winner, NULL, &position, NULL, &f->error), &f->error);
        assert_status(plinth_transaction_commit(loser, NULL, NULL, NULL, &f->error), PLINTH_CONFLICT, &f->error);
        plinth_transaction_destroy(winner);
        plinth_transaction_destroy(loser);
        check_counts(f, round ? "40000,80000" : "40000,40000");
        if (round == 0) { /* one change, though it is of several records */
            size_t rows = 0;
            assert_ok(plinth_feed_next(feed, 1000, &change, &found, &f->error), &f->error);
            assert_true(found);
            assert_int_equal(change.position.lsn, position.lsn);
            assert_int_equal(change.operation_count, 30);
            for (size_t i = 0; i < change.rows_count; i++) rows += (size_t)change.rows[i].array->length;
            assert_int_equal(rows, ROWS);
            plinth_feed_close(feed);
        }
        fixture_reopen(f);
        check_counts(f, round ? "40000,80000" : "40000,40000");
    }
    /* Keys alone, too. */
    struct plinth_transaction *transaction = begin(f);
    for (int k = 0; k < 30; k++) {
        char key[16];
        snprintf(key, sizeof key, "alone-%d", k);
        set_in(f, transaction, key, value);
    }
    assert_ok(commit(f, transaction), &f->error);
    fixture_reopen(f);
    struct plinth_buffer got = {0};
    assert_ok(plinth_get(f->db, f->space, plinth_text("alone-29"), NULL, &got, NULL, &f->error), &f->error);
    assert_int_equal(got.size, sizeof value - 1);
    plinth_buffer_deinit(&got);
}

/* ---- against a model ---- */

enum { MODEL_ROWS = 60 };

static void transactions_agree_with_a_model_through_flushes_and_restarts(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(5);
    int model[MODEL_ROWS] = {0}; /* 0: none */
    for (int round = 0; round < 150; round++) {
        int own[MODEL_ROWS];
        memcpy(own, model, sizeof own);
        struct plinth_transaction *transaction = begin(f);
        int steps = 1 + (int)test_random_below(&random, 30);
        for (int step = 0; step < steps; step++) {
            int first = (int)test_random_below(&random, MODEL_ROWS), count = 1 + (int)test_random_below(&random, 5);
            char text[400] = "", wanted[4000] = "", where[80];
            size_t at = 0;
            if (first + count > MODEL_ROWS) count = MODEL_ROWS - first;
            int v = 1 + (int)test_random_below(&random, 1000);
            switch (test_random_below(&random, 4)) {
            case 0:
                for (int i = 0; i < count; i++) {
                    at += (size_t)snprintf(text + at, sizeof text - at, "%s%d,%d,-", i ? ";" : "", first + i, v + i);
                    own[first + i] = v + i;
                }
                upsert(f, transaction, "t", ALL, text);
                break;
            case 1:
                for (int i = 0; i < count; i++) {
                    at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", i ? ";" : "", first + i);
                    own[first + i] = 0;
                }
                delete (f, transaction, text);
                break;
            case 2:
                for (int i = 0; i < count; i++)
                    at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", i ? ";" : "", first + i);
                at = 0;
                for (int i = 0; i < count; i++)
                    if (own[first + i])
                        at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s%d,%d,-", at ? ";" : "", first + i,
                                               own[first + i]);
                check_text(get_rows(f, transaction, text), wanted);
                break;
            default:
                snprintf(where, sizeof where, "id >= %d AND v < %d", first, v);
                for (int i = first; i < MODEL_ROWS; i++)
                    if (own[i] && own[i] < v)
                        at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s%d,%d,-", at ? ";" : "", i, own[i]);
                expect(f, transaction, where, wanted);
            }
        }
        if (test_random_below(&random, 3)) {
            assert_ok(commit(f, transaction), &f->error);
            memcpy(model, own, sizeof model);
        } else {
            plinth_transaction_destroy(transaction);
        }
        if (test_random_below(&random, 10) == 0) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (test_random_below(&random, 10) == 0) fixture_reopen(f);
    }
}

/* ---- many at once ---- */

enum { ACCOUNTS = 12, BALANCE = 100, TELLERS = 4, TRANSFERS = 60 };

struct teller {
    struct fixture *f;
    uint64_t seed;
    pthread_t thread;
    int conflicts;
};

static int balance_of(struct fixture *f, struct plinth_transaction *transaction, int account) {
    char key[16];
    if (account % 3 == 0) { /* a third of the accounts are keys */
        struct plinth_buffer value = {0};
        snprintf(key, sizeof key, "acc-%d", account);
        struct plinth_error error;
        assert_ok(plinth_transaction_get(transaction, f->space, plinth_text(key), &value, NULL, &error), &error);
        char text[16] = "";
        memcpy(text, value.data, value.size);
        plinth_buffer_deinit(&value);
        return atoi(text);
    }
    struct fixture own = {.db = f->db};
    snprintf(key, sizeof key, "%d", account);
    char *row = get_rows(&own, transaction, key);
    int balance = atoi(strchr(row, ',') + 1);
    free(row);
    return balance;
}

static void set_balance(struct fixture *f, struct plinth_transaction *transaction, int account, int balance) {
    struct fixture own = {.db = f->db, .space = f->space};
    char key[16], text[48];
    if (account % 3 == 0) {
        snprintf(key, sizeof key, "acc-%d", account);
        snprintf(text, sizeof text, "%d", balance);
        set_in(&own, transaction, key, text);
        return;
    }
    snprintf(text, sizeof text, "%d,%d,-", account, balance);
    upsert(&own, transaction, "t", ALL, text);
}

static void *transfer(void *context) {
    struct teller *teller = context;
    struct test_random random = test_random_of(teller->seed);
    for (int i = 0; i < TRANSFERS;) {
        struct plinth_transaction *transaction;
        struct plinth_error error;
        assert_ok(plinth_transaction_begin(teller->f->db, &transaction, &error), &error);
        int from = (int)test_random_below(&random, ACCOUNTS), to = (int)test_random_below(&random, ACCOUNTS);
        int amount = 1 + (int)test_random_below(&random, 20);
        int left = balance_of(teller->f, transaction, from);
        if (from != to && left >= amount) {
            set_balance(teller->f, transaction, from, left - amount);
            set_balance(teller->f, transaction, to, balance_of(teller->f, transaction, to) + amount);
        }
        enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, &error);
        plinth_transaction_destroy(transaction);
        if (st == PLINTH_CONFLICT)
            teller->conflicts++;
        else
            assert_ok(st, &error);
        if (!st) i++;
    }
    return NULL;
}

static int total(struct fixture *f) {
    struct plinth_transaction *transaction = begin(f);
    int sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) sum += balance_of(f, transaction, i);
    plinth_transaction_destroy(transaction);
    return sum;
}

static void no_money_is_lost_or_made_between_keys_and_rows(void **state) {
    struct fixture *f = *state;
    struct teller tellers[TELLERS] = {0};
    struct plinth_transaction *transaction = begin(f);
    for (int i = 0; i < ACCOUNTS; i++) set_balance(f, transaction, i, BALANCE);
    assert_ok(commit(f, transaction), &f->error);
    for (int i = 0; i < TELLERS; i++) {
        tellers[i] = (struct teller){.f = f, .seed = 100 + (uint64_t)i};
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, transfer, &tellers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(total(f), ACCOUNTS * BALANCE);
        if (i % 7 == 3) assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    for (int i = 0; i < TELLERS; i++) pthread_join(tellers[i].thread, NULL);
    assert_int_equal(total(f), ACCOUNTS * BALANCE);
    fixture_reopen(f);
    assert_int_equal(total(f), ACCOUNTS * BALANCE);
}

/* ---- by condition ---- */

struct renamer {
    struct plinth *db;
    atomic_bool done;
};

static void *rename_back_and_forth(void *argument) {
    struct renamer *renamer = argument;
    struct plinth_error error;
    for (int i = 0; !atomic_load(&renamer->done); i++) {
        const struct plinth_alteration step = {PLINTH_RENAME_COLUMN, .column = i % 2 ? "other" : "s",
                                               .new_name = i % 2 ? "s" : "other"};
        assert_ok(plinth_table_alter(renamer->db, NULL, "t", &step, 1, &error), &error);
        usleep(500);
    }
    return NULL;
}

static void rows_are_read_while_their_table_is_altered(void **state) {
    struct fixture *f = *state;
    struct renamer renamer = {.db = f->db};
    pthread_t thread;
    unsigned read = 0;
    write_rows(f, ALL, "1,10,a");
    assert_int_equal(pthread_create(&thread, NULL, rename_back_and_forth, &renamer), 0);
    for (int calls = 0; read < 100 && calls < 20000; calls++) {
        struct plinth_transaction *transaction;
        struct plinth_error error;
        struct arrow keys = arrow_of("id int64", "1"), got;
        assert_ok(plinth_transaction_begin(f->db, &transaction, &error), &error);
        enum plinth_status st = plinth_transaction_rows_get(transaction, NULL, "t", &keys.schema, &keys.array, NULL, 0,
                                                            &got.schema, &got.array, &error);
        if (st) {
            assert_status(st, PLINTH_CONFLICT, &error); /* altered behind the transaction's state */
        } else {
            const char *name = got.schema.children[2]->name;
            assert_true(strcmp(name, "s") == 0 || strcmp(name, "other") == 0);
            assert_int_equal(got.array.length, 1);
            got.array.release(&got.array);
            got.schema.release(&got.schema);
            read++;
        }
        plinth_transaction_destroy(transaction);
    }
    atomic_store(&renamer.done, true);
    pthread_join(thread, NULL);
    assert_true(read > 0);
}

static void rows_are_deleted_and_updated_by_condition(void **state) {
    struct fixture *f = *state;
    struct plinth_where_result result;
    write_rows(f, ALL, "1,10,a;2,20,b;3,30,c;4,-,d;5,50,e");
    assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "v > 25 AND s <> 'e'", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 1);
    assert_int_equal(result.transactions, 1);
    expect(f, NULL, NULL, "1,10,a;2,20,b;4,-,d;5,50,e");
    static const struct plinth_assignment both[] = {{.column = "s", .value = "new"}, {.column = "v", .from = "id"}};
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", "id IN (2, 4)", both, 2, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 2);
    expect(f, NULL, NULL, "1,10,a;2,2,new;4,4,new;5,50,e");
    static const struct plinth_assignment null[] = {{.column = "v"}};
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", NULL, null, 1, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 4);
    assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "v = 1", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 0);
    fixture_reopen(f);
    expect(f, NULL, NULL, "1,-,a;2,-,new;4,-,new;5,-,e");
    static const struct {
        const char *where;
        struct plinth_assignment set;
        const char *names;
    } wrong[] = {
        {NULL, {"id", "7", NULL}, "primary key"},
        {NULL, {"w", "7", NULL}, "no column \"w\""},
        {NULL, {"v", "x", NULL}, "x"},
        {"w = 1", {"v", "1", NULL}, "w"},
        {NULL, {"v", NULL, "w"}, "no column \"w\""},
        {"v =", {"v", "1", NULL}, "end of input"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_status(
            plinth_rows_update_where(f->db, NULL, "t", wrong[i].where, &wrong[i].set, 1, NULL, NULL, &f->error),
            PLINTH_INVALID_ARGUMENT, &f->error);
        assert_error_names(&f->error, wrong[i].names);
    }
    test_table_create(f->db, "log", "what string", "", false);
    assert_status(plinth_rows_delete_where(f->db, NULL, "log", NULL, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_status(plinth_rows_delete_where(f->db, NULL, "none", NULL, NULL, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) /* minutes of it */
static void more_rows_than_a_transaction_takes_are_changed_by_several(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 900000, STEP = 60000 };
    struct plinth_where_result result;
    struct plinth_where_options parts = {.not_atomic = true};
    for (int first = 0; first < ROWS; first += STEP) {
        struct arrow arrow = many_rows(first, STEP, 1);
        assert_ok(plinth_rows_write(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error), &f->error);
    }
    static const struct plinth_assignment set[] = {{.column = "v", .value = "2"}};
    assert_status(plinth_rows_update_where(f->db, NULL, "t", "v = 1", set, 1, NULL, &result, &f->error),
                  PLINTH_TOO_LARGE, &f->error);
    check_counts(f, "900000,900000");
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", "id < 880000", set, 1, &parts, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 880000);
    assert_true(result.transactions > 5);
    check_counts(f, "900000,1780000");
    assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "v = 2", &parts, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 880000);
    check_counts(f, "20000,20000");
}
#endif

struct writer {
    struct fixture *f;
    atomic_bool stop;
    pthread_t thread;
    int written;
};

static void *write_all_the_time(void *context) {
    struct writer *writer = context;
    struct plinth_error error;
    while (!atomic_load(&writer->stop)) {
        char text[64];
        snprintf(text, sizeof text, "%d,%d,-", 1000 + writer->written, writer->written % 2);
        struct arrow arrow = arrow_of(ALL, text);
        static const struct plinth_rows_options options = {.write.durability = PLINTH_DURABILITY_BUFFERED};
        assert_ok(plinth_rows_write(writer->f->db, NULL, "t", &arrow.schema, &arrow.array, &options, NULL, &error),
                  &error);
        writer->written++;
    }
    return NULL;
}

static void a_delete_by_condition_ends_though_others_write_all_the_time(void **state) {
    struct fixture *f = *state;
    struct writer writers[2] = {{.f = f}, {.f = f}};
    uint64_t deleted = 0, conflicts = 0;
    write_rows(f, ALL, "1,1,a;2,0,b");
    writers[1].written = 500000;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all_the_time, &writers[i]), 0);
    for (int i = 0; i < 20; i++) {
        struct plinth_where_result result;
        assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "v = 1", NULL, &result, &f->error), &f->error);
        deleted += result.rows;
        conflicts += result.conflicts;
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&writers[i].stop, true);
        pthread_join(writers[i].thread, NULL);
    }
    assert_ok(plinth_flush(f->db, &f->error), &f->error); /* what is only in the log's memory is not read yet */
    struct plinth_where_result result;
    assert_ok(plinth_rows_delete_where(f->db, NULL, "t", "v = 1", NULL, &result, &f->error), &f->error);
    deleted += result.rows;
    int written = writers[0].written + writers[1].written - 500000;
    print_message("%d rows written, %d deleted, evaluated again %d times\n", written, (int)deleted, (int)conflicts);
    struct plinth_aggregate count = {PLINTH_COUNT, NULL};
    struct plinth_query_options options = {.aggregates = &count, .aggregate_count = 1};
    char *left = query_rows(f, NULL, &options);
    assert_int_equal(atoi(left) + (int)deleted, written + 2);
    free(left);
    options.where = "v = 1";
    check_text(query_rows(f, NULL, &options), "0");
}

/* ---- if absent ---- */

static enum plinth_status insert_absent(struct fixture *f, const char *text, struct plinth_rows_options options,
                                        struct plinth_rows_result *result) {
    struct arrow arrow = arrow_of(ALL, text);
    options.if_absent = true;
    return plinth_rows_write(f->db, NULL, "t", &arrow.schema, &arrow.array, &options, result, &f->error);
}

static void rows_are_inserted_where_their_key_has_none(void **state) {
    struct fixture *f = *state;
    struct plinth_rows_result result;
    write_rows(f, ALL, "2,20,b;4,40,d");
    assert_ok(insert_absent(f, "1,1,new;2,2,new;3,3,new", (struct plinth_rows_options){0}, &result), &f->error);
    assert_int_equal(result.rows_written, 2);
    assert_int_equal(result.rows_rejected, 1);
    assert_int_equal(result.rejects[0].row, 1);
    assert_int_equal(result.rejects[0].status, PLINTH_ALREADY_EXISTS);
    plinth_rows_result_deinit(&result);
    expect(f, NULL, NULL, "1,1,new;2,20,b;3,3,new;4,40,d");
    assert_status(insert_absent(f, "5,5,e;4,4,e", (struct plinth_rows_options){.atomic = true}, &result),
                  PLINTH_ALREADY_EXISTS, &f->error);
    plinth_rows_result_deinit(&result);
    expect(f, NULL, NULL, "1,1,new;2,20,b;3,3,new;4,40,d");
    struct plinth_rows_options once = {.write = {.producer_id = 5, .sequence = 1}};
    for (int i = 0; i < 2; i++) {
        assert_ok(insert_absent(f, "6,6,f", once, &result), &f->error);
        assert_int_equal(result.duplicate, i);
        assert_int_equal(result.rows_rejected, 0);
        plinth_rows_result_deinit(&result);
    }
    struct arrow arrow = arrow_of("id int64", "6");
    assert_ok(plinth_rows_delete(f->db, NULL, "t", &arrow.schema, &arrow.array, NULL, NULL, &f->error), &f->error);
    assert_ok(insert_absent(f, "6,7,g;2,1,x", (struct plinth_rows_options){0}, &result), &f->error);
    assert_int_equal(result.rows_written, 1);
    plinth_rows_result_deinit(&result);
    fixture_reopen(f);
    expect(f, NULL, NULL, "1,1,new;2,20,b;3,3,new;4,40,d;6,7,g");
}

struct inserter {
    struct fixture *f;
    pthread_t thread;
    int number, inserted;
};

static void *insert_all(void *context) {
    struct inserter *inserter = context;
    for (int i = 0; i < 40; i++) {
        struct fixture own = {.db = inserter->f->db};
        struct plinth_rows_result result;
        char text[80];
        snprintf(text, sizeof text, "%d,%d,-;%d,%d,-", i, inserter->number, i + 1, inserter->number);
        assert_ok(insert_absent(&own, text, (struct plinth_rows_options){0}, &result), &own.error);
        inserter->inserted += (int)result.rows_written;
        plinth_rows_result_deinit(&result);
    }
    return NULL;
}

static void of_many_that_insert_the_same_keys_one_does(void **state) {
    struct fixture *f = *state;
    struct inserter inserters[4];
    int inserted = 0;
    for (int i = 0; i < 4; i++) {
        inserters[i] = (struct inserter){.f = f, .number = i};
        assert_int_equal(pthread_create(&inserters[i].thread, NULL, insert_all, &inserters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(inserters[i].thread, NULL);
        inserted += inserters[i].inserted;
    }
    assert_int_equal(inserted, 41);
    struct plinth_aggregate count = {PLINTH_COUNT, NULL};
    struct plinth_query_options options = {.aggregates = &count, .aggregate_count = 1};
    check_text(query_rows(f, NULL, &options), "41");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_transaction_sees_its_own_rows_and_nobody_else_does_until_it_commits),
        TEST(of_two_transactions_that_read_what_the_other_writes_one_loses_and_learns_which_row),
        TEST(a_row_that_appears_where_a_transaction_has_looked_makes_it_lose),
        TEST(keys_and_rows_commit_as_one),
        TEST(a_state_from_before_a_flush_is_too_old_and_says_so),
        TEST(a_row_that_cannot_be_written_fails_the_call_and_takes_nothing),
        TEST(tables_without_a_key_take_rows_and_conflict_as_a_whole),
        TEST(a_transaction_of_many_records_is_one),
        TEST(transactions_agree_with_a_model_through_flushes_and_restarts),
        TEST(rows_are_read_while_their_table_is_altered),
        TEST(rows_are_deleted_and_updated_by_condition),
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        TEST(more_rows_than_a_transaction_takes_are_changed_by_several),
#endif
        TEST(a_delete_by_condition_ends_though_others_write_all_the_time),
        TEST(rows_are_inserted_where_their_key_has_none),
        TEST(of_many_that_insert_the_same_keys_one_does),
        TEST(no_money_is_lost_or_made_between_keys_and_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
