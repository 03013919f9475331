/* Transactions over key spaces: what they see, what makes them lose, and that together they are serializable. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "plinth.h"
#include "support/engine_fixture.h"
#include "support/list_history.h"

static const struct plinth_options small_options = {
    .memtable_bytes = 1 << 20, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};

static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }

static void set(struct fixture *f, const char *key, const char *value) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, NULL, &f->error), &f->error);
}

static struct plinth_transaction *begin(struct fixture *f) {
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    return transaction;
}

static void write_in(struct fixture *f, struct plinth_transaction *transaction, enum plinth_operation_kind kind,
                     const char *key, const char *value) {
    struct plinth_operation operation = {.kind = kind, .space = f->space, .key = plinth_text(key)};
    if (value) operation.value = plinth_text(value);
    assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
}

/* `transaction` null: outside of any. */
static void expect(struct fixture *f, struct plinth_transaction *transaction, const char *key, const char *wanted) {
    struct plinth_buffer value = {0};
    enum plinth_status st =
        transaction ? plinth_transaction_get(transaction, f->space, plinth_text(key), &value, NULL, &f->error)
                    : plinth_get(f->db, f->space, plinth_text(key), NULL, &value, NULL, &f->error);
    assert_status(st, wanted ? PLINTH_OK : PLINTH_NOT_FOUND, &f->error);
    if (wanted) {
        assert_int_equal(value.size, strlen(wanted));
        assert_memory_equal(value.data, wanted, value.size);
    }
    plinth_buffer_deinit(&value);
}

static enum plinth_status commit(struct fixture *f, struct plinth_transaction *transaction) {
    enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error);
    plinth_transaction_destroy(transaction);
    return st;
}

static void a_transaction_sees_its_own_writes_and_nobody_else_does_until_it_commits(void **state) {
    struct fixture *f = *state;
    set(f, "cat", "1");
    set(f, "dog", "1");
    struct plinth_transaction *transaction = begin(f);
    expect(f, transaction, "cat", "1");
    write_in(f, transaction, PLINTH_SET, "cat", "2");
    write_in(f, transaction, PLINTH_SET, "cat", "3");
    write_in(f, transaction, PLINTH_DELETE, "dog", NULL);
    write_in(f, transaction, PLINTH_SET, "owl", "");
    expect(f, transaction, "cat", "3");
    expect(f, transaction, "dog", NULL);
    expect(f, transaction, "owl", "");
    expect(f, NULL, "cat", "1");
    expect(f, NULL, "dog", "1");
    expect(f, NULL, "owl", NULL);
    assert_ok(commit(f, transaction), &f->error);
    expect(f, NULL, "cat", "3");
    expect(f, NULL, "dog", NULL);
    expect(f, NULL, "owl", "");
    transaction = begin(f);
    write_in(f, transaction, PLINTH_SET, "cat", "4");
    plinth_transaction_destroy(transaction);
    expect(f, NULL, "cat", "3");
    fixture_reopen(f);
    expect(f, NULL, "cat", "3");
    expect(f, NULL, "dog", NULL);
}

static void of_two_transactions_that_read_what_the_other_writes_one_loses_and_learns_which_key(void **state) {
    struct fixture *f = *state;
    set(f, "left", "on");
    set(f, "right", "on");
    struct plinth_transaction *a = begin(f), *b = begin(f);
    expect(f, a, "left", "on");
    expect(f, a, "right", "on");
    expect(f, b, "left", "on");
    expect(f, b, "right", "on");
    write_in(f, a, PLINTH_SET, "left", "off");
    write_in(f, b, PLINTH_SET, "right", "off");
    assert_ok(commit(f, a), &f->error);
    struct plinth_conflict conflict = {0};
    assert_status(plinth_transaction_commit(b, NULL, NULL, &conflict, &f->error), PLINTH_CONFLICT, &f->error);
    assert_error_names(&f->error, "\"left\"");
    assert_int_equal(conflict.key.size, 4);
    assert_memory_equal(conflict.key.data, "left", 4);
    assert_int_equal(conflict.space.table, f->space.table);
    plinth_buffer_deinit(&conflict.key);
    plinth_transaction_destroy(b);
    expect(f, NULL, "right", "on");
}

static void a_key_that_was_missing_counts_as_read_and_writing_alone_never_conflicts(void **state) {
    struct fixture *f = *state;
    struct plinth_transaction *a = begin(f), *b = begin(f);
    expect(f, a, "new", NULL);
    write_in(f, a, PLINTH_SET, "new", "a");
    write_in(f, b, PLINTH_SET, "new", "b");
    assert_ok(commit(f, b), &f->error);
    assert_status(commit(f, a), PLINTH_CONFLICT, &f->error);
    expect(f, NULL, "new", "b");
}

/* Rows that a scan gives, up to `count`. */
static void scan_in(struct fixture *f, struct plinth_transaction *transaction,
                    const struct plinth_scan_options *options, int count) {
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    assert_ok(plinth_transaction_scan_open(transaction, f->space, options, &scan, &f->error), &f->error);
    while (found && count--) assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    plinth_scan_close(scan);
}

static void a_row_that_appears_where_a_transaction_has_scanned_makes_it_lose(void **state) {
    struct fixture *f = *state;
    for (char key[] = "a"; key[0] <= 'j'; key[0]++) set(f, key, "x");
    static const struct {
        struct plinth_scan_options options;
        int rows;
        const char *written;
        bool loses;
    } cases[] = {
        {{{0}}, 100, "zz", true},
        {{{0}}, 3, "bb", true},
        {{{0}}, 3, "cc", false}, /* behind the third row */
        {{{0}}, 3, "c", true},
        {{{0}}, 0, "a", false}, /* nothing was read yet */
        {{.reverse = true}, 3, "hh", true},
        {{.reverse = true}, 3, "zz", true},
        {{.reverse = true}, 3, "gg", false},
        {{.prefix = {"d", 1}}, 9, "dd", true},
        {{.prefix = {"d", 1}}, 9, "e", false},
        {{.lower = {"c", 1}, .upper = {"f", 1}}, 9, "ee", true},
        {{.lower = {"c", 1}, .upper = {"f", 1}}, 9, "f", false},
        {{.lower = {"c", 1}, .upper = {"f", 1}}, 9, "bz", false},
        {{.lower = {"c", 1}, .upper = {"f", 1}, .limit = 1}, 9, "cc", false},
        {{.upper = {"f", 1}, .reverse = true, .limit = 2}, 9, "dd", true},
        {{.upper = {"f", 1}, .reverse = true, .limit = 2}, 9, "cc", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("case %zu\n", i);
        struct plinth_transaction *transaction = begin(f);
        scan_in(f, transaction, &cases[i].options, cases[i].rows);
        write_in(f, transaction, PLINTH_SET, "result", "y");
        set(f, cases[i].written, "x");
        assert_status(commit(f, transaction), cases[i].loses ? PLINTH_CONFLICT : PLINTH_OK, &f->error);
        assert_ok(plinth_delete(f->db, f->space, plinth_text("result"), NULL, NULL, &f->error), &f->error);
        if (strlen(cases[i].written) == 1) continue; /* one of the rows */
        assert_ok(plinth_delete(f->db, f->space, plinth_text(cases[i].written), NULL, NULL, &f->error), &f->error);
    }
}

/* ---- scans against a model ---- */

enum { MODEL_KEYS = 64 };

struct model {
    int values[MODEL_KEYS]; /* 0: none */
};

static void key_of(int number, char key[8]) { snprintf(key, 8, "k%02d", number); }

static void check_scan(struct fixture *f, struct plinth_transaction *transaction, const struct model *model,
                       struct test_random *random) {
    int low = (int)test_random_below(random, MODEL_KEYS + 1), high = (int)test_random_below(random, MODEL_KEYS + 1);
    bool reverse = test_random_below(random, 2);
    uint64_t limit = test_random_below(random, 3) ? 0 : test_random_below(random, 10) + 1;
    char lower[8], upper[8];
    key_of(low, lower);
    key_of(high, upper);
    struct plinth_scan_options options = {.reverse = reverse, .limit = limit};
    if (low < MODEL_KEYS) options.lower = plinth_text(lower);
    if (high < MODEL_KEYS) options.upper = plinth_text(upper);
    int first = low < MODEL_KEYS ? low : 0, end = high < MODEL_KEYS ? high : MODEL_KEYS;
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    uint64_t given = 0;
    assert_ok(plinth_transaction_scan_open(transaction, f->space, &options, &scan, &f->error), &f->error);
    for (int i = 0; i < end - first; i++) {
        int number = reverse ? end - 1 - i : first + i;
        if (!model->values[number]) continue;
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        if (limit && given == limit) break;
        char key[8], value[16];
        key_of(number, key);
        snprintf(value, sizeof value, "%d", model->values[number]);
        assert_true(found);
        assert_int_equal(row.key.size, strlen(key));
        assert_memory_equal(row.key.data, key, row.key.size);
        assert_int_equal(row.value.size, strlen(value));
        assert_memory_equal(row.value.data, value, row.value.size);
        given++;
    }
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_false(found);
    plinth_scan_close(scan);
}

static void scans_show_the_snapshot_with_the_transactions_own_writes_over_it(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(5);
    struct model committed = {0};
    struct plinth_write_options written = {.durability = PLINTH_DURABILITY_SYNCED};
    for (int round = 0; round < 60; round++) {
        struct plinth_transaction *transaction = begin(f);
        struct model seen = committed;
        for (int i = 0; i < 40; i++) {
            int number = (int)test_random_below(&random, MODEL_KEYS);
            char key[8], value[16];
            key_of(number, key);
            seen.values[number] = test_random_below(&random, 3) ? round * 100 + i + 1 : 0;
            snprintf(value, sizeof value, "%d", seen.values[number]);
            write_in(f, transaction, seen.values[number] ? PLINTH_SET : PLINTH_DELETE, key, value);
            check_scan(f, transaction, &seen, &random);
        }
        if (round % 8 == 7) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        enum plinth_status st = plinth_transaction_commit(transaction, &written, NULL, NULL, &f->error);
        if (round % 8 != 7) assert_ok(st, &f->error);
        if (!st) committed = seen;
        plinth_transaction_destroy(transaction);
    }
    struct plinth_transaction *transaction = begin(f);
    for (int i = 0; i < 50; i++) check_scan(f, transaction, &committed, &random);
    plinth_transaction_destroy(transaction);
}

/* ---- limits and misuse ---- */

static void what_cannot_be_judged_or_logged_is_refused(void **state) {
    struct fixture *f = *state;
    set(f, "cat", "1");
    struct plinth_transaction *transaction = begin(f);
    expect(f, transaction, "cat", "1");
    write_in(f, transaction, PLINTH_SET, "dog", "1");
    set(f, "owl", "1");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    struct plinth_conflict conflict = {0};
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, &conflict, &f->error), PLINTH_CONFLICT, &f->error);
    assert_true(conflict.too_old);
    assert_error_names(&f->error, "no longer all remembered");
    plinth_transaction_destroy(transaction);

    transaction = begin(f);
    static char large[200 << 10]; /* in the log */
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .value = plinth_bytes(large, sizeof large)};
    for (int i = 0; i < PLINTH_TRANSACTION_BYTES_MAX / (int)sizeof large + 1; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i);
        operation.key = plinth_text(key);
        assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
    }
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), PLINTH_TOO_LARGE, &f->error);
    operation.key = plinth_text("");
    assert_status(plinth_transaction_write(transaction, &operation, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    operation = (struct plinth_operation){.kind = PLINTH_DELETE, .space = {0, 9, 999}, .key = plinth_text("a")};
    assert_status(plinth_transaction_write(transaction, &operation, &f->error), PLINTH_NOT_FOUND, &f->error);
    struct plinth_scan *scan;
    assert_ok(plinth_transaction_scan_open(transaction, f->space, NULL, &scan, &f->error), &f->error);
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_error_names(&f->error, "1 open scan");
    plinth_scan_close(scan);
    plinth_transaction_destroy(transaction);

    transaction = begin(f);
    expect(f, transaction, "cat", "1");
    struct plinth_position position;
    assert_ok(plinth_transaction_commit(transaction, NULL, &position, NULL, &f->error), &f->error);
    assert_true(position.lsn > 0);
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    plinth_transaction_destroy(transaction);

    operation = (struct plinth_operation){.kind = PLINTH_DELETE, .space = f->space, .key = plinth_text("cat")};
    struct plinth_reads reads = {.snapshot = {77, 5}};
    assert_status(plinth_commit(f->db, &reads, &operation, 1, NULL, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    reads.snapshot = (struct plinth_position){position.epoch, position.lsn + 1000000};
    assert_status(plinth_commit(f->db, &reads, &operation, 1, NULL, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    expect(f, NULL, "cat", "1");
}

static void a_commit_that_is_repeated_with_its_sequence_is_applied_once(void **state) {
    struct fixture *f = *state;
    set(f, "count", "1");
    struct plinth_write_options options = {.producer_id = 7, .sequence = 1};
    struct plinth_position first, second;
    for (int i = 0; i < 2; i++) {
        struct plinth_key_read key = {f->space, plinth_text("count")};
        struct plinth_operation operation = {
            .kind = PLINTH_SET, .space = f->space, .key = plinth_text("count"), .value = plinth_text("2")};
        static struct plinth_position snapshot;
        struct plinth_snapshot *now;
        assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &now, &f->error), &f->error);
        if (i == 0) snapshot = plinth_snapshot_position(now);
        plinth_snapshot_destroy(now);
        struct plinth_reads reads = {.snapshot = snapshot, .keys = &key, .key_count = 1};
        assert_ok(plinth_commit(f->db, &reads, &operation, 1, &options, i ? &second : &first, NULL, &f->error),
                  &f->error);
    }
    assert_int_equal(first.lsn, second.lsn);
}

/* ---- many at once ---- */

enum { ACCOUNTS = 12, START = 100, TELLERS = 4, TRANSFERS = 150 };

struct teller {
    struct fixture *f;
    uint64_t seed;
    uint64_t commits, conflicts;
};

static long balance(struct fixture *f, struct plinth_transaction *transaction, const char *key,
                    struct plinth_error *error) {
    struct plinth_buffer value = {0};
    assert_ok(plinth_transaction_get(transaction, f->space, plinth_text(key), &value, NULL, error), error);
    char text[32] = {0};
    memcpy(text, value.data, value.size < sizeof text ? value.size : sizeof text - 1);
    plinth_buffer_deinit(&value);
    return strtol(text, NULL, 10);
}

static void put_balance(struct fixture *f, struct plinth_transaction *transaction, const char *key, long amount,
                        struct plinth_error *error) {
    char text[32];
    snprintf(text, sizeof text, "%ld", amount);
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text(key), .value = plinth_text(text)};
    assert_ok(plinth_transaction_write(transaction, &operation, error), error);
}

static void *teller_run(void *argument) {
    struct teller *teller = argument;
    struct fixture *f = teller->f;
    struct test_random random = test_random_of(teller->seed);
    struct plinth_error error = {0};
    while (teller->commits < TRANSFERS) {
        char from[16], to[16];
        snprintf(from, sizeof from, "account%02d", (int)test_random_below(&random, ACCOUNTS));
        snprintf(to, sizeof to, "account%02d", (int)test_random_below(&random, ACCOUNTS));
        if (!strcmp(from, to)) continue;
        long amount = (long)test_random_below(&random, 30) + 1;
        struct plinth_transaction *transaction;
        assert_ok(plinth_transaction_begin(f->db, &transaction, &error), &error);
        long have = balance(f, transaction, from, &error);
        if (have < amount) amount = have;
        put_balance(f, transaction, from, have - amount, &error);
        put_balance(f, transaction, to, balance(f, transaction, to, &error) + amount, &error);
        enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, &error);
        plinth_transaction_destroy(transaction);
        if (!st)
            teller->commits++;
        else if (st == PLINTH_CONFLICT)
            teller->conflicts++;
        else
            assert_ok(st, &error);
    }
    return NULL;
}

static long total(struct fixture *f) {
    struct plinth_error error = {0};
    struct plinth_transaction *transaction;
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    long sum = 0;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &error), &error);
    struct plinth_scan_options options = {.prefix = plinth_text("account")};
    assert_ok(plinth_transaction_scan_open(transaction, f->space, &options, &scan, &error), &error);
    for (;;) {
        assert_ok(plinth_scan_next(scan, &row, &found, &error), &error);
        if (!found) break;
        char text[32] = {0};
        memcpy(text, row.value.data, row.value.size);
        long amount = strtol(text, NULL, 10);
        assert_true(amount >= 0);
        sum += amount;
    }
    plinth_scan_close(scan);
    plinth_transaction_destroy(transaction);
    return sum;
}

static void money_that_is_moved_about_stays_the_same(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < ACCOUNTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "account%02d", i);
        set(f, key, "100");
    }
    struct teller tellers[TELLERS];
    pthread_t threads[TELLERS];
    for (uint64_t i = 0; i < TELLERS; i++) {
        tellers[i] = (struct teller){.f = f, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, teller_run, &tellers[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(total(f), ACCOUNTS * START);
        if (i % 8 == 0) assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    uint64_t conflicts = 0;
    for (int i = 0; i < TELLERS; i++) {
        pthread_join(threads[i], NULL);
        conflicts += tellers[i].conflicts;
    }
    print_message("%d transfers, %llu had to begin again\n", TELLERS * TRANSFERS, (unsigned long long)conflicts);
    assert_int_equal(total(f), ACCOUNTS * START);
    fixture_reopen(f);
    assert_int_equal(total(f), ACCOUNTS * START);
}

enum { LISTS = 5, WRITERS = 4, APPENDS = 120, LISTS_READ = 3 };

struct appender {
    struct fixture *f;
    struct list_history *history;
    uint64_t seed;
};

/* Reads three lists and appends to the first, and sometimes to others. */
static void append_in(struct appender *appender, struct plinth_transaction *transaction, struct test_random *random,
                      uint32_t number, struct plinth_error *error) {
    struct list_event *event = list_history_event(appender->history, number);
    struct fixture *f = appender->f;
    uint32_t first = (uint32_t)test_random_below(random, LISTS);
    for (uint32_t i = 0; i < LISTS_READ; i++) {
        char key[8];
        uint32_t list = (first + i) % LISTS;
        snprintf(key, sizeof key, "list%u", list);
        struct plinth_buffer value = {0};
        enum plinth_status st = plinth_transaction_get(transaction, f->space, plinth_text(key), &value, NULL, error);
        if (st != PLINTH_NOT_FOUND) assert_ok(st, error);
        list_event_read(event, list, (uint32_t)(value.size / sizeof number));
        if (i == 0 || test_random_below(random, 3) == 0) {
            list_event_append(event, list);
            struct plinth_buffer longer = {malloc(value.size + sizeof number), value.size + sizeof number, 0};
            if (value.size) memcpy(longer.data, value.data, value.size);
            memcpy(longer.data + value.size, &number, sizeof number);
            struct plinth_operation operation = {.kind = PLINTH_SET,
                                                 .space = f->space,
                                                 .key = plinth_text(key),
                                                 .value = plinth_bytes(longer.data, longer.size)};
            assert_ok(plinth_transaction_write(transaction, &operation, error), error);
            free(longer.data);
        }
        plinth_buffer_deinit(&value);
    }
}

static void *appender_run(void *argument) {
    struct appender *appender = argument;
    struct test_random random = test_random_of(appender->seed);
    struct plinth_error error = {0};
    uint32_t number = 0;
    for (uint32_t done = 0; done < APPENDS;) {
        struct plinth_transaction *transaction;
        if (!number) number = list_history_begin(appender->history);
        list_event_restart(list_history_event(appender->history, number));
        assert_ok(plinth_transaction_begin(appender->f->db, &transaction, &error), &error);
        append_in(appender, transaction, &random, number, &error);
        enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, NULL, &error);
        plinth_transaction_destroy(transaction);
        if (st == PLINTH_CONFLICT) continue;
        assert_ok(st, &error);
        list_history_event(appender->history, number)->outcome = LIST_COMMITTED;
        number = 0;
        done++;
    }
    return NULL;
}

static void appends_to_lists_are_in_one_order(void **state) {
    struct fixture *f = *state;
    struct list_history history;
    struct appender appenders[WRITERS];
    pthread_t threads[WRITERS];
    struct plinth_buffer values[LISTS] = {0};
    struct list_elements lists[LISTS];
    list_history_init(&history, WRITERS * APPENDS);
    for (uint32_t i = 0; i < WRITERS; i++) {
        appenders[i] = (struct appender){f, &history, i * APPENDS + 99};
        assert_int_equal(pthread_create(&threads[i], NULL, appender_run, &appenders[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    for (uint32_t list = 0; list < LISTS; list++) {
        char key[8];
        snprintf(key, sizeof key, "list%u", list);
        assert_ok(plinth_get(f->db, f->space, plinth_text(key), NULL, &values[list], NULL, &f->error), &f->error);
        lists[list] = (struct list_elements){(const uint32_t *)(const void *)values[list].data,
                                             (uint32_t)(values[list].size / sizeof(uint32_t))};
    }
    list_history_check(&history, lists, LISTS);
    for (int list = 0; list < LISTS; list++) plinth_buffer_deinit(&values[list]);
    list_history_deinit(&history);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_transaction_sees_its_own_writes_and_nobody_else_does_until_it_commits),
        TEST(of_two_transactions_that_read_what_the_other_writes_one_loses_and_learns_which_key),
        TEST(a_key_that_was_missing_counts_as_read_and_writing_alone_never_conflicts),
        TEST(a_row_that_appears_where_a_transaction_has_scanned_makes_it_lose),
        TEST(scans_show_the_snapshot_with_the_transactions_own_writes_over_it),
        TEST(what_cannot_be_judged_or_logged_is_refused),
        TEST(a_commit_that_is_repeated_with_its_sequence_is_applied_once),
        TEST(money_that_is_moved_about_stays_the_same),
        TEST(appends_to_lists_are_in_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
