#include "crash/crash_lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "support/table_support.h"

enum { TEXT_BYTES = 16 << 10, LEASE_US_MIN = 100000, LEASE_US = 3000000, NOISE_FROM = 1000 };
#define COLUMNS "id int64, money int64, elements string"
#define NOISE_COLUMNS COLUMNS ", until timestamp(us)"
#define CLAIM_COLUMNS "writer int64, number int64, element int64"

static const char *const columns[] = {"id", "money", "elements"};
static const char *const noise_columns[] = {"id", "until"};
static const char *const claim_columns[] = {"writer", "number", "element"};

static bool is_row(uint32_t list) { return list % 2 == 0; }

/* ---- lists as text: "100:1 2 3" in keys, "1 2 3" in rows ---- */

static bool parse_elements(const char *text, struct list *list) {
    list->count = 0;
    while (*text) {
        char *end;
        unsigned long element = strtoul(text, &end, 10);
        if (end == text || !element || list->count == LIST_ELEMENTS_MAX) return false;
        list->elements[list->count++] = (uint32_t)element;
        text = end + (*end == ' ');
    }
    return true;
}

static size_t format_elements(const struct list *list, char text[TEXT_BYTES]) {
    size_t size = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < list->count; i++)
        size += (size_t)snprintf(text + size, TEXT_BYTES - size, "%s%u", i ? " " : "", list->elements[i]);
    return size;
}

static bool parse_key(struct slice value, struct list *list) {
    char text[TEXT_BYTES], *end;
    if (value.size >= sizeof text) return false;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    list->money = strtoll(text, &end, 10);
    return *end == ':' && parse_elements(end + 1, list);
}

static bool parse_row(const struct batch *batch, uint32_t row, struct list *list) {
    struct slice elements = column_bytes_at(&batch->columns[2], row);
    char text[TEXT_BYTES];
    if (column_is_null(&batch->columns[1], row) || elements.size >= sizeof text) return false;
    memcpy(text, elements.data, elements.size);
    text[elements.size] = '\0';
    list->money = ((const int64_t *)batch->columns[1].values)[row];
    return parse_elements(text, list);
}

/* ---- Arrow ---- */

struct arrow {
    struct ArrowSchema schema;
    struct ArrowArray array;
};

static enum plinth_status make_arrow(const char *named, const char *text, struct arrow *made,
                                     struct plinth_error *error) {
    struct test_rows rows;
    test_rows_init(&rows, named, text);
    enum plinth_status st = arrow_export_schema(&rows.schema, &made->schema, error);
    if (!st) st = arrow_export_batch(rows.batch, &made->array, error);
    test_rows_deinit(&rows);
    return st;
}

/* ---- in a transaction ---- */

static struct plinth_slice list_key(uint32_t list, char key[16]) {
    return plinth_bytes(key, (size_t)snprintf(key, 16, "list/%u", list));
}

/* Rows by their keys ("1;2"). The caller unrefs the batch. */
static enum plinth_status get_rows(struct plinth_transaction *transaction, const char *table, const char *key,
                                   const char *ids, const char *const *named, struct batch **batch,
                                   struct plinth_error *error) {
    struct arrow keys, got;
    *batch = NULL;
    enum plinth_status st = make_arrow(key, ids, &keys, error);
    if (!st)
        st = plinth_transaction_rows_get(transaction, NULL, table, &keys.schema, &keys.array, named, 3, &got.schema,
                                         &got.array, error);
    if (st) return st;
    st = arrow_import_batch(&got.array, &got.schema, batch, error);
    got.schema.release(&got.schema);
    return st;
}

static enum plinth_status put_row(struct plinth_transaction *transaction, const char *table, const char *named,
                                  const char *text, struct plinth_error *error) {
    struct arrow row;
    enum plinth_status st = make_arrow(named, text, &row, error);
    return st ? st : plinth_transaction_rows_write(transaction, NULL, table, &row.schema, &row.array, error);
}

static enum plinth_status read_row(struct plinth_transaction *transaction, uint32_t number, struct list *list,
                                   struct plinth_error *error) {
    char text[16];
    struct batch *batch;
    snprintf(text, sizeof text, "%u", number);
    enum plinth_status st = get_rows(transaction, LISTS_TABLE, "id int64", text, columns, &batch, error);
    if (!st && (batch->rows != 1 || !parse_row(batch, 0, list)))
        st = error_set(error, PLINTH_CORRUPT, "list %u makes no sense", number);
    if (batch) batch_unref(batch);
    return st;
}

static enum plinth_status read_list(struct plinth_transaction *transaction, struct plinth_space space, uint32_t number,
                                    struct list *list, struct plinth_error *error) {
    if (is_row(number)) return read_row(transaction, number, list, error);
    char key[16];
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_transaction_get(transaction, space, list_key(number, key), &value, NULL, error);
    if (!st && !parse_key(slice_of(value.data, value.size), list))
        st = error_set(error, PLINTH_CORRUPT, "list %u makes no sense", number);
    plinth_buffer_deinit(&value);
    return st;
}

static enum plinth_status write_key(struct plinth_transaction *transaction, struct plinth_operation operation,
                                    struct plinth_error *error) {
    return plinth_transaction_write(transaction, &operation, error);
}

static enum plinth_status write_list(struct plinth_transaction *transaction, struct plinth_space space, uint32_t number,
                                     const struct list *list, struct plinth_error *error) {
    static _Thread_local char elements[TEXT_BYTES], text[TEXT_BYTES + 64];
    format_elements(list, elements);
    if (is_row(number)) {
        snprintf(text, sizeof text, "%u,%lld,%s", number, (long long)list->money, elements);
        return put_row(transaction, LISTS_TABLE, COLUMNS, text, error);
    }
    char key[16];
    int size = snprintf(text, sizeof text, "%lld:%s", (long long)list->money, elements);
    return write_key(transaction,
                     (struct plinth_operation){.kind = PLINTH_SET,
                                               .space = space,
                                               .key = list_key(number, key),
                                               .value = plinth_bytes(text, (size_t)size)},
                     error);
}

/* The writer's mark takes the place of the one before; its lease expires. */
static enum plinth_status write_marks(struct plinth_transaction *transaction, struct plinth_space space,
                                      uint32_t writer, uint32_t element, uint64_t expires_us,
                                      struct plinth_error *error) {
    char lower[32], upper[32], mark[32], lease[32], text[16];
    snprintf(lower, sizeof lower, "mark/%u/", writer);
    snprintf(upper, sizeof upper, "mark/%u0", writer); /* '0' follows '/' */
    snprintf(mark, sizeof mark, "mark/%u/%u", writer, element);
    snprintf(lease, sizeof lease, "lease/%u/%u", writer, element % LEASES);
    struct plinth_slice number = plinth_bytes(text, (size_t)snprintf(text, sizeof text, "%u", element));
    enum plinth_status st = write_key(
        transaction,
        (struct plinth_operation){
            .kind = PLINTH_DELETE_RANGE, .space = space, .key = plinth_text(lower), .upper = plinth_text(upper)},
        error);
    if (!st)
        st = write_key(
            transaction,
            (struct plinth_operation){.kind = PLINTH_SET, .space = space, .key = plinth_text(mark), .value = number},
            error);
    if (!st)
        st = write_key(transaction,
                       (struct plinth_operation){.kind = PLINTH_SET,
                                                 .space = space,
                                                 .key = plinth_text(lease),
                                                 .value = number,
                                                 .expires_at_us = expires_us},
                       error);
    return st;
}

static enum plinth_status write_claim(struct plinth_transaction *transaction, uint32_t writer, uint32_t element,
                                      uint64_t number, struct plinth_error *error) {
    char text[64];
    snprintf(text, sizeof text, "%u,%llu,%u", writer, (unsigned long long)number, element);
    return put_row(transaction, CLAIMS_TABLE, CLAIM_COLUMNS, text, error);
}

struct attempt {
    struct plinth_transaction *transaction;
    struct plinth_space space;
    struct list_event *event;
    uint32_t element, writer;
    uint64_t expires_us;
};

static enum plinth_status fill_transaction(struct attempt *attempt, struct test_random *random,
                                           struct plinth_error *error) {
    static _Thread_local struct list target, other, third;
    uint32_t first = (uint32_t)test_random_below(random, LISTS), step = 1 + (uint32_t)test_random_below(random, 2);
    struct list *read[] = {&target, &other, &third};
    enum plinth_status st = PLINTH_OK;
    list_event_append(attempt->event, first);
    for (uint32_t i = 0; !st && i < 3; i++) {
        uint32_t number = (first + i * step) % LISTS;
        st = read_list(attempt->transaction, attempt->space, number, read[i], error);
        if (!st) list_event_read(attempt->event, number, read[i]->count);
    }
    if (st) return st;
    int64_t money = (int64_t)test_random_below(random, 20);
    if (money > target.money) money = target.money;
    target.money -= money;
    other.money += money;
    if (target.count == LIST_ELEMENTS_MAX) return error_set(error, PLINTH_TOO_LARGE, "list %u is full", first);
    target.elements[target.count++] = attempt->element;
    st = write_list(attempt->transaction, attempt->space, first, &target, error);
    if (!st) st = write_list(attempt->transaction, attempt->space, (first + step) % LISTS, &other, error);
    if (!st)
        st = write_marks(attempt->transaction, attempt->space, attempt->writer, attempt->element, attempt->expires_us,
                         error);
    if (!st && test_random_below(random, 3) == 0)
        st = write_claim(attempt->transaction, attempt->writer, attempt->element, test_random_below(random, CLAIMS),
                         error);
    return st;
}

enum plinth_status lists_attempt(struct plinth *db, struct list_history *history, uint32_t writer, uint64_t now_us,
                                 struct test_random *random, struct plinth_error *error) {
    uint32_t element = list_history_begin(history);
    if (!element) return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "the history is full");
    struct attempt attempt = {.event = list_history_event(history, element),
                              .element = element,
                              .writer = writer,
                              .expires_us = now_us + LEASE_US_MIN + test_random_below(random, LEASE_US)};
    enum list_outcome outcome = LIST_REFUSED; /* until it is tried */
    enum plinth_status st = plinth_space_find(db, NULL, NULL, &attempt.space, error);
    if (!st) st = plinth_transaction_begin(db, &attempt.transaction, error);
    if (!st) st = fill_transaction(&attempt, random, error);
    if (!st && test_random_below(random, 10)) { /* one in ten is given up */
        outcome = LIST_UNKNOWN;
        st = plinth_transaction_commit(attempt.transaction, NULL, NULL, NULL, error);
        if (!st) outcome = LIST_COMMITTED;
    }
    if (st == PLINTH_CONFLICT || st == PLINTH_ALREADY_EXISTS) {
        outcome = LIST_REFUSED;
        st = PLINTH_OK;
    }
    attempt.event->outcome = outcome;
    plinth_transaction_destroy(attempt.transaction);
    return st;
}

static void format_time(uint64_t us, char text[40]) {
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t size = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + size, 40 - size, ".%06u", (unsigned)(us % 1000000));
}

enum plinth_status lists_make_noise(struct plinth *db, uint64_t now_us, struct test_random *random,
                                    struct plinth_error *error) {
    char text[4096], until[40];
    size_t size = 0;
    struct rows_result result;
    for (int i = 0; i < 20; i++) {
        format_time(now_us + LEASE_US_MIN + test_random_below(random, LEASE_US), until);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu,%llu,noise of a row,%s", i ? ";" : "",
                                 (unsigned long long)(NOISE_FROM + test_random_below(random, LISTS_NOISE)),
                                 (unsigned long long)test_random_below(random, 1000), until);
    }
    enum plinth_status st = test_rows_write(db, LISTS_TABLE, ROWS_UPSERT, NOISE_COLUMNS, text, NULL, &result, error);
    rows_result_deinit(&result);
    return st;
}

void lists_create(struct plinth *db, uint64_t now_us) {
    struct plinth_error error;
    struct plinth_transaction *transaction;
    struct plinth_space space;
    struct test_random random = test_random_of(1);
    const struct list empty = {.money = LIST_MONEY};
    const struct plinth_index unique = {.name = CLAIMS_INDEX,
                                        .kind = PLINTH_INDEX_SORTED,
                                        .columns = &claim_columns[1],
                                        .column_count = 1,
                                        .unique = true};
    const struct plinth_alteration expire = {
        .kind = PLINTH_SET_OPTIONS, .options = PLINTH_OPTION_EXPIRY, .expire_by = "until"};
    test_table_create(db, LISTS_TABLE, COLUMNS "?, until timestamp(us)?", "id", false);
    assert_ok(plinth_table_alter(db, NULL, LISTS_TABLE, &expire, 1, &error), &error);
    test_table_create(db, CLAIMS_TABLE, CLAIM_COLUMNS, "writer", false);
    assert_ok(plinth_table_index_create(db, NULL, CLAIMS_TABLE, &unique, &error), &error);
    assert_ok(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    assert_ok(plinth_transaction_begin(db, &transaction, &error), &error);
    for (uint32_t i = 0; i < LISTS; i++) assert_ok(write_list(transaction, space, i, &empty, &error), &error);
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &error), &error);
    plinth_transaction_destroy(transaction);
    for (int i = 0; i < 2 * LISTS_NOISE / 20; i++) assert_ok(lists_make_noise(db, now_us, &random, &error), &error);
}

/* ---- reading ---- */

/* "mark/1/17" and "lease/1/2". */
static void take_key(struct lists_state *state, struct slice key, struct slice value, uint64_t expires_us) {
    char text[64], number[16] = "";
    unsigned writer, at;
    assert_true(key.size < sizeof text && value.size < sizeof number);
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    memcpy(number, value.data, value.size);
    if (sscanf(text, "mark/%u/%u", &writer, &at) == 2 && writer < LISTS_WRITERS) {
        if (state->marks[writer]) fail_msg("writer %u has marks %u and %u", writer, state->marks[writer], at);
        assert_int_equal(strtoul(number, NULL, 10), at);
        state->marks[writer] = at;
    } else if (sscanf(text, "lease/%u/%u", &writer, &at) == 2 && writer < LISTS_WRITERS && at < LEASES) {
        state->leases[writer][at] = (struct lease){(uint32_t)strtoul(number, NULL, 10), expires_us};
    } else {
        fail_msg("key %s was never written", text);
    }
}

static enum plinth_status read_prefix(struct plinth_transaction *transaction, struct plinth_space space,
                                      const char *prefix, struct lists_state *state, struct plinth_error *error) {
    const struct plinth_scan_options options = {.prefix = plinth_text(prefix)};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    enum plinth_status st = plinth_transaction_scan_open(transaction, space, &options, &scan, error);
    if (st) return st;
    while (!st && found) {
        st = plinth_scan_next(scan, &row, &found, error);
        if (!st && found)
            take_key(state, slice_of(row.key.data, row.key.size), slice_of(row.value.data, row.value.size), 0);
    }
    plinth_scan_close(scan);
    return st;
}

/* Each row replaces the writer's claim. */
static uint32_t take_claims(struct lists_state *state, const struct batch *batch) {
    const int64_t *writers = batch->columns[0].values, *numbers = batch->columns[1].values,
                  *elements = batch->columns[2].values;
    for (uint32_t row = 0; row < batch->rows; row++) {
        assert_true(writers[row] >= 0 && writers[row] < LISTS_WRITERS && elements[row] > 0);
        state->claims[writers[row]] = (struct claim){(uint32_t)elements[row], numbers[row]};
    }
    return batch->rows ? (uint32_t)elements[0] : 0;
}

static enum plinth_status read_claims(struct plinth_transaction *transaction, struct lists_state *state,
                                      struct plinth_error *error) {
    struct batch *batch;
    char ids[64] = "";
    for (unsigned i = 0; i < LISTS_WRITERS; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s%u", i ? ";" : "", i);
    enum plinth_status st = get_rows(transaction, CLAIMS_TABLE, "writer int64", ids, claim_columns, &batch, error);
    if (!st) (void)take_claims(state, batch);
    if (batch) batch_unref(batch);
    return st;
}

static void take_noise(struct lists_state *state, const struct column *ids, const struct column *untils, uint32_t row) {
    int64_t id = ((const int64_t *)ids->values)[row] - NOISE_FROM;
    assert_true(id >= 0 && id < LISTS_NOISE && !column_is_null(untils, row));
    state->noise_until_us[id] = (uint64_t)((const int64_t *)untils->values)[row];
}

static enum plinth_status read_noise(struct plinth_transaction *transaction, struct lists_state *state,
                                     struct plinth_error *error) {
    char where[32];
    snprintf(where, sizeof where, "id >= %d", NOISE_FROM);
    const struct plinth_query_options options = {.where = where, .columns = noise_columns, .column_count = 2};
    struct ArrowArrayStream stream;
    struct arrow got = {0};
    struct batch *batch;
    enum plinth_status st = plinth_transaction_query(transaction, NULL, LISTS_TABLE, &options, &stream, error);
    if (st) return st;
    if (stream.get_schema(&stream, &got.schema))
        st = error_set(error, PLINTH_IO_ERROR, "%s", stream.get_last_error(&stream));
    while (!st) {
        if (stream.get_next(&stream, &got.array))
            st = error_set(error, PLINTH_IO_ERROR, "%s", stream.get_last_error(&stream));
        if (st || !got.array.release) break;
        st = arrow_import_batch(&got.array, &got.schema, &batch, error);
        if (st) break;
        for (uint32_t row = 0; row < batch->rows; row++) take_noise(state, &batch->columns[0], &batch->columns[1], row);
        batch_unref(batch);
    }
    if (got.schema.release) got.schema.release(&got.schema);
    stream.release(&stream);
    return st;
}

static void check_claims(const struct lists_state *state) {
    for (uint32_t a = 0; a < LISTS_WRITERS; a++)
        for (uint32_t b = 0; b < a; b++)
            if (state->claims[a].element && state->claims[b].element &&
                state->claims[a].number == state->claims[b].number)
                fail_msg("writers %u and %u both have claim %lld", a, b, (long long)state->claims[a].number);
}

static void check_money(const struct lists_state *state) {
    int64_t money = 0;
    for (uint32_t i = 0; i < LISTS; i++) {
        assert_true(state->lists[i].money >= 0);
        money += state->lists[i].money;
    }
    assert_int_equal(money, LISTS * LIST_MONEY);
}

enum plinth_status lists_read(struct plinth *db, struct lists_state *state, struct plinth_error *error) {
    struct plinth_space space;
    struct plinth_transaction *transaction = NULL;
    memset(state, 0, sizeof *state);
    enum plinth_status st = plinth_space_find(db, NULL, NULL, &space, error);
    if (!st) st = plinth_transaction_begin(db, &transaction, error);
    for (uint32_t i = 0; !st && i < LISTS; i++) st = read_list(transaction, space, i, &state->lists[i], error);
    if (!st) st = read_prefix(transaction, space, "mark/", state, error);
    if (!st) st = read_prefix(transaction, space, "lease/", state, error);
    if (!st) st = read_claims(transaction, state, error);
    if (!st) st = read_noise(transaction, state, error);
    plinth_transaction_destroy(transaction);
    if (!st) check_money(state);
    if (!st) check_claims(state);
    return st;
}

void lists_elements(const struct lists_state *state, struct list_elements elements[LISTS]) {
    for (uint32_t i = 0; i < LISTS; i++)
        elements[i] = (struct list_elements){state->lists[i].elements, state->lists[i].count};
}

enum plinth_status lists_count_rows(struct plinth *db, const char *where, uint64_t *count, struct plinth_error *error) {
    const struct plinth_query_options options = {.where = where, .columns = columns, .column_count = 1};
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    *count = 0;
    enum plinth_status st = plinth_query(db, NULL, LISTS_TABLE, &options, &stream, error);
    if (st) return st;
    while (!st) {
        if (stream.get_next(&stream, &array))
            st = error_set(error, PLINTH_IO_ERROR, "%s", stream.get_last_error(&stream));
        if (st || !array.release) break;
        *count += (uint64_t)array.length;
        array.release(&array);
    }
    stream.release(&stream);
    return st;
}

/* ---- the follower ---- */

#define SNAPSHOT "follower"

void follower_init(struct follower *follower, struct plinth *db) {
    struct plinth_error error;
    *follower = (struct follower){0};
    assert_ok(plinth_snapshot_keep(db, SNAPSHOT, NULL, true, &follower->position, &error), &error);
    assert_ok(lists_read(db, &follower->state, &error), &error);
}

enum plinth_status follower_move_snapshot(struct follower *follower, struct plinth *db, struct plinth_error *error) {
    return plinth_snapshot_move(db, SNAPSHOT, follower->position, error);
}

/* A list as a change has it: what it was, or that and one element more. */
static uint32_t take_list(struct lists_state *state, uint32_t number, const struct list *now) {
    struct list *list = &state->lists[number];
    if (now->count < list->count || now->count > list->count + 1 ||
        (list->count && memcmp(now->elements, list->elements, list->count * sizeof *list->elements) != 0))
        fail_msg("list %u changed from %u elements to other %u", number, list->count, now->count);
    uint32_t added = now->count > list->count ? now->elements[list->count] : 0;
    *list = *now;
    return added;
}

static uint32_t take_operation(struct lists_state *state, const struct plinth_operation *operation) {
    static struct list list;
    struct slice key = slice_of(operation->key.data, operation->key.size),
                 value = slice_of(operation->value.data, operation->value.size);
    char text[64];
    unsigned number;
    assert_true(key.size < sizeof text);
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    if (operation->kind == PLINTH_DELETE_RANGE) {
        assert_int_equal(sscanf(text, "mark/%u/", &number), 1);
        state->marks[number] = 0;
        return 0;
    }
    assert_int_equal(operation->kind, PLINTH_SET);
    if (sscanf(text, "list/%u", &number) != 1) {
        take_key(state, key, value, operation->expires_at_us);
        return 0;
    }
    assert_true(number < LISTS && !is_row(number) && parse_key(value, &list));
    return take_list(state, number, &list);
}

static void check_names(const struct ArrowSchema *schema, const char *const names[3]) {
    assert_true(schema->n_children >= 3);
    for (int i = 0; i < 3; i++) assert_string_equal(schema->children[i]->name, names[i]);
}

/* Gives the element that the rows have added to a list, or 0; `*claimer` becomes the one that made a claim. */
static uint32_t take_rows(struct lists_state *state, const struct plinth_feed_rows *rows, uint32_t *claimer) {
    static struct list list;
    struct batch *batch;
    struct plinth_error error;
    uint32_t added = 0;
    bool claims = strcmp(rows->table, CLAIMS_TABLE) == 0;
    assert_false(rows->deleted);
    check_names(rows->schema, claims ? claim_columns : columns);
    assert_ok(arrow_import_batch(rows->array, rows->schema, &batch, &error), &error);
    if (claims) *claimer = take_claims(state, batch);
    for (uint32_t row = 0; !claims && row < batch->rows; row++) {
        uint64_t id = ((const uint64_t *)batch->columns[0].values)[row];
        if (id >= NOISE_FROM) {
            assert_true(batch->column_count >= LISTS_COLUMNS);
            assert_string_equal(rows->schema->children[3]->name, "until");
            take_noise(state, &batch->columns[0], &batch->columns[3], row);
            continue;
        }
        assert_true(id < LISTS && is_row((uint32_t)id) && parse_row(batch, row, &list));
        uint32_t element = take_list(state, (uint32_t)id, &list);
        assert_true(!element || !added);
        if (element) added = element;
    }
    batch_unref(batch);
    return added;
}

/* One transaction: one new element, as the mark and the lease say, too; or noise. */
static void take_change(struct follower *follower, const struct plinth_change *change) {
    struct lists_state *state = &follower->state;
    uint32_t added = 0, count = 0, claimer = 0;
    for (size_t i = 0; i < change->operation_count; i++) {
        uint32_t element = take_operation(state, &change->operations[i].operation);
        if (element) added = element, count++;
    }
    for (size_t i = 0; i < change->rows_count; i++) {
        uint32_t element = take_rows(state, &change->rows[i], &claimer);
        if (element) added = element, count++;
    }
    bool is_noise = !change->operation_count;
    if (count != !is_noise) fail_msg("a change has %u new elements", count);
    if (is_noise) return;
    uint32_t marked = 0, leased = 0;
    for (uint32_t w = 0; w < LISTS_WRITERS; w++) {
        marked += state->marks[w] == added;
        leased += state->leases[w][added % LEASES].element == added;
    }
    if (marked != 1 || leased != 1) fail_msg("element %u came without its mark or lease", added);
    if (claimer && claimer != added) fail_msg("element %u came with the claim of %u", added, claimer);
    check_money(state);
    check_claims(state);
    follower->changes++;
}

enum plinth_status follower_catch_up(struct follower *follower, struct plinth *db, struct plinth_error *error) {
    const struct plinth_feed_options options = {.after = follower->position, .until_now = true};
    struct plinth_feed *feed;
    struct plinth_change change;
    bool found = true;
    enum plinth_status st = plinth_feed_open(db, &options, &feed, error);
    if (st) return st;
    while (found) {
        st = plinth_feed_next(feed, 0, &change, &found, error);
        if (st) break;
        if (found) take_change(follower, &change);
        follower->position = plinth_feed_position(feed);
    }
    plinth_feed_close(feed);
    return st;
}

enum { LATE_US = 150000 }; /* reads move shard time on when it is more than 0.1 s behind */

static void check_lease(struct lease lease, uint32_t shown, uint64_t now_us) {
    if (lease.element && lease.expires_us > now_us && !shown)
        fail_msg("lease %u is gone before its time", lease.element);
    if (shown && shown != lease.element) fail_msg("lease %u is shown instead of %u", shown, lease.element);
    if (shown && lease.expires_us + LATE_US < now_us) fail_msg("lease %u is there after its time", shown);
}

static void check_noise(uint64_t until_us, uint64_t shown_us, uint64_t now_us) {
    if (until_us > now_us && !shown_us) fail_msg("a row is gone before its time");
    if (shown_us && shown_us != until_us) fail_msg("a row of before is shown");
    if (shown_us && until_us + LATE_US < now_us) fail_msg("a row is there after its time");
}

void follower_check(const struct follower *follower, const struct lists_state *shown, uint64_t now_us) {
    const struct lists_state *state = &follower->state;
    for (uint32_t i = 0; i < LISTS; i++) {
        const struct list *list = &state->lists[i], *there = &shown->lists[i];
        if (there->count != list->count || there->money != list->money ||
            (list->count && memcmp(there->elements, list->elements, list->count * sizeof *list->elements) != 0))
            fail_msg("list %u has %u elements and %lld; changes say %u and %lld", i, there->count,
                     (long long)there->money, list->count, (long long)list->money);
    }
    for (uint32_t w = 0; w < LISTS_WRITERS; w++) {
        assert_int_equal(shown->marks[w], state->marks[w]);
        assert_int_equal(shown->claims[w].element, state->claims[w].element);
        assert_int_equal(shown->claims[w].number, state->claims[w].number);
        for (uint32_t k = 0; k < LEASES; k++) check_lease(state->leases[w][k], shown->leases[w][k].element, now_us);
    }
    for (uint32_t i = 0; i < LISTS_NOISE; i++) check_noise(state->noise_until_us[i], shown->noise_until_us[i], now_us);
}
