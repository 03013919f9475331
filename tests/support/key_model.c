#include "support/key_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const colors[KEY_MODEL_COLORS] = {"amber", "blue", "blue\x00\x01", "cyan", "", "red", "red\xff"};
static const size_t color_sizes[KEY_MODEL_COLORS] = {5, 4, 6, 4, 0, 3, 4};
static const char *const sizes[KEY_MODEL_SIZES] = {"large", "medium", "small"};

static size_t make_key(int number, char *key) {
    if (number == KEY_MODEL_COUNTER) return (size_t)sprintf(key, "~counter");
    /* Prefixes of each other, zero bytes and high bytes among them. */
    if (number % 10 == 3) {
        memcpy(key, "k\0\xff", 3);
        return 3 + (size_t)sprintf(key + 3, "%d", number);
    }
    return (size_t)sprintf(key, "key/%03d%s", number / 2, number % 2 ? "/longer" : "");
}

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t make_value(int number, uint64_t version, char *value) {
    if (number == KEY_MODEL_COUNTER) {
        memcpy(value, &version, sizeof version);
        return sizeof version;
    }
    uint64_t dice = mix(version * 1000 + (uint64_t)number);
    size_t size = dice % 16 == 0 ? 0 : dice % 300;
    for (size_t i = 0; i < size; i++) value[i] = (char)(i % 3 ? 'x' : mix(dice + i));
    return size;
}

static int color_of(int number, uint64_t version) {
    return (int)(mix(version * 77 + (uint64_t)number) % KEY_MODEL_COLORS);
}
static int size_of(int number, uint64_t version) {
    return (int)(mix(version * 99 + (uint64_t)number) % KEY_MODEL_SIZES);
}
/* One key in five carries no index values. */
static bool indexed(int number, uint64_t version) {
    return number != KEY_MODEL_COUNTER && mix(version * 31 + (uint64_t)number) % 5 != 0;
}

struct key_model_step key_model_step_of(uint64_t seed, uint64_t number) {
    struct test_random random = test_random_of(mix(seed) + number);
    struct key_model_step step = {.number = number};
    step.count = test_random_below(&random, 4) ? 1 : 1 + (int)test_random_below(&random, KEY_MODEL_OPERATIONS_MAX);
    for (int i = 0; i < step.count; i++) {
        /* A few keys are hot, so that versions pile up. */
        step.keys[i] = (int)(test_random_below(&random, 3) ? test_random_below(&random, KEY_MODEL_KEYS)
                                                           : test_random_below(&random, 12));
        step.deletes[i] = test_random_below(&random, 4) == 0;
        if (test_random_below(&random, 24) == 0) step.ranges[i] = 1 + (int)test_random_below(&random, 60);
    }
    return step;
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
    return slice_compare(slice_of(a, a_size), slice_of(b, b_size));
}

/* The bounds of a step's range delete, ordered; the two keys are never the same. */
struct range_bounds {
    char lower[64], upper[64];
    size_t lower_size, upper_size;
};

static struct range_bounds bounds_of(const struct key_model_step *step, int i) {
    struct range_bounds bounds;
    int first = step->keys[i], last = (first + step->ranges[i]) % KEY_MODEL_KEYS;
    bounds.lower_size = make_key(first, bounds.lower);
    bounds.upper_size = make_key(last, bounds.upper);
    if (compare_bytes(bounds.lower, bounds.lower_size, bounds.upper, bounds.upper_size) > 0) {
        bounds.lower_size = make_key(last, bounds.lower);
        bounds.upper_size = make_key(first, bounds.upper);
    }
    return bounds;
}

static void apply_range(struct key_model *model, const struct key_model_step *step, int i) {
    struct range_bounds bounds = bounds_of(step, i);
    for (int number = 0; number < KEY_MODEL_KEYS; number++) {
        char key[64];
        size_t size = make_key(number, key);
        if (compare_bytes(key, size, bounds.lower, bounds.lower_size) >= 0 &&
            compare_bytes(key, size, bounds.upper, bounds.upper_size) < 0)
            model->entries[number].version = 0;
    }
}

void key_model_apply(struct key_model *model, const struct key_model_step *step) {
    for (int i = 0; i < step->count; i++) {
        if (step->ranges[i])
            apply_range(model, step, i);
        else
            model->entries[step->keys[i]].version = step->deletes[i] ? 0 : step->number;
    }
    model->entries[KEY_MODEL_COUNTER].version = step->number;
}

void key_model_after(struct key_model *model, uint64_t seed, uint64_t last) {
    memset(model, 0, sizeof *model);
    for (uint64_t number = 1; number <= last; number++) {
        struct key_model_step step = key_model_step_of(seed, number);
        key_model_apply(model, &step);
    }
}

static struct plinth_space default_space(struct plinth *db) {
    struct plinth_space space;
    struct plinth_error error;
    assert_ok(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    return space;
}

enum plinth_status key_model_write(struct plinth *db, const struct key_model_step *step,
                                   const struct plinth_write_options *options, struct plinth_position *position,
                                   struct plinth_error *error) {
    struct plinth_operation operations[KEY_MODEL_OPERATIONS_MAX + 1];
    struct plinth_index_value indexes[KEY_MODEL_OPERATIONS_MAX + 1][2];
    static _Thread_local char keys[KEY_MODEL_OPERATIONS_MAX + 1][64], values[KEY_MODEL_OPERATIONS_MAX + 1][512];
    struct plinth_space space = default_space(db);
    struct range_bounds bounds[KEY_MODEL_OPERATIONS_MAX];
    for (int i = 0; i <= step->count; i++) {
        if (i < step->count && step->ranges[i]) {
            bounds[i] = bounds_of(step, i);
            operations[i] = (struct plinth_operation){.kind = PLINTH_DELETE_RANGE,
                                                      .space = space,
                                                      .key = plinth_bytes(bounds[i].lower, bounds[i].lower_size),
                                                      .upper = plinth_bytes(bounds[i].upper, bounds[i].upper_size)};
            continue;
        }
        int number = i == step->count ? KEY_MODEL_COUNTER : step->keys[i];
        bool delete = i < step->count && step->deletes[i];
        operations[i] = (struct plinth_operation){.kind = delete ? PLINTH_DELETE : PLINTH_SET, .space = space};
        operations[i].key = plinth_bytes(keys[i], make_key(number, keys[i]));
        if (delete) continue;
        operations[i].value = plinth_bytes(values[i], make_value(number, step->number, values[i]));
        if (!indexed(number, step->number)) continue;
        int color = color_of(number, step->number);
        indexes[i][0] =
            (struct plinth_index_value){plinth_text("color"), plinth_bytes(colors[color], color_sizes[color])};
        indexes[i][1] =
            (struct plinth_index_value){plinth_text("size"), plinth_text(sizes[size_of(number, step->number)])};
        operations[i].indexes = indexes[i];
        operations[i].index_count = 2;
    }
    return plinth_write(db, operations, (size_t)step->count + 1, options, position, error);
}

uint64_t key_model_last_step(struct plinth *db) {
    struct plinth_buffer value = {0};
    struct plinth_error error;
    uint64_t last = 0;
    enum plinth_status st = plinth_get(db, default_space(db), plinth_text("~counter"), NULL, &value, NULL, &error);
    if (st != PLINTH_NOT_FOUND) {
        assert_ok(st, &error);
        assert_int_equal(value.size, sizeof last);
        memcpy(&last, value.data, sizeof last);
    }
    plinth_buffer_deinit(&value);
    return last;
}

static void check_gets(const struct key_model *model, struct plinth *db, const struct plinth_read_options *read) {
    struct plinth_buffer value = {0};
    struct plinth_error error;
    struct plinth_space space = default_space(db);
    for (int number = 0; number <= KEY_MODEL_KEYS; number++) {
        char key[64], wanted[512];
        size_t key_size = make_key(number, key);
        uint64_t version = model->entries[number].version;
        enum plinth_status st = plinth_get(db, space, plinth_bytes(key, key_size), read, &value, NULL, &error);
        if (!version) {
            assert_status(st, PLINTH_NOT_FOUND, &error);
            continue;
        }
        assert_ok(st, &error);
        assert_int_equal(value.size, make_value(number, version, wanted));
        assert_true(value.size == 0 || memcmp(value.data, wanted, value.size) == 0);
    }
    plinth_buffer_deinit(&value);
}

struct expected {
    char key[64], index_value[8];
    size_t key_size, index_size;
    int number;
};

static int expected_compare(const void *a, const void *b) {
    const struct expected *left = a, *right = b;
    int order = compare_bytes(left->index_value, left->index_size, right->index_value, right->index_size);
    return order ? order : compare_bytes(left->key, left->key_size, right->key, right->key_size);
}

/* Walks a scan and compares it with `expected`, forwards or backwards. */
static void check_rows(const struct key_model *model, struct plinth_scan *scan, const struct expected *expected,
                       size_t count, bool reverse, bool with_values) {
    struct plinth_error error;
    struct plinth_row row;
    bool found = true;
    for (size_t i = 0; i < count; i++) {
        const struct expected *wanted = &expected[reverse ? count - 1 - i : i];
        assert_ok(plinth_scan_next(scan, &row, &found, &error), &error);
        assert_true(found);
        assert_int_equal(row.key.size, wanted->key_size);
        assert_memory_equal(row.key.data, wanted->key, wanted->key_size);
        assert_int_equal(row.index_value.size, wanted->index_size);
        if (wanted->index_size) assert_memory_equal(row.index_value.data, wanted->index_value, wanted->index_size);
        char value[512];
        size_t value_size = with_values ? make_value(wanted->number, model->entries[wanted->number].version, value) : 0;
        assert_int_equal(row.value.size, value_size);
        if (value_size) assert_memory_equal(row.value.data, value, value_size);
    }
    assert_ok(plinth_scan_next(scan, &row, &found, &error), &error);
    assert_false(found);
    plinth_scan_close(scan);
}

static void check_scans(const struct key_model *model, struct plinth *db, const struct plinth_read_options *read) {
    struct expected *expected = calloc(KEY_MODEL_KEYS + 1, sizeof *expected);
    struct plinth_error error;
    size_t count = 0;
    for (int number = 0; number <= KEY_MODEL_KEYS; number++) {
        if (!model->entries[number].version) continue;
        expected[count].number = number;
        expected[count].key_size = make_key(number, expected[count].key);
        count++;
    }
    qsort(expected, count, sizeof *expected, expected_compare);
    for (int way = 0; way < 4; way++) {
        struct plinth_scan_options options = {.reverse = way & 1, .keys_only = way & 2};
        if (read) options.read = *read;
        struct plinth_scan *scan;
        assert_ok(plinth_scan_open(db, default_space(db), &options, &scan, &error), &error);
        check_rows(model, scan, expected, count, options.reverse, !options.keys_only);
    }
    /* Bounds: keys from "key/05" up to "key/15". */
    size_t first = 0, last = 0;
    while (first < count && compare_bytes(expected[first].key, expected[first].key_size, "key/05", 6) < 0) first++;
    while (last < count && compare_bytes(expected[last].key, expected[last].key_size, "key/15", 6) < 0) last++;
    for (int way = 0; way < 2; way++) {
        struct plinth_scan_options options = {.prefix = plinth_text("key/"),
                                              .lower = plinth_text("key/05"),
                                              .upper = plinth_text("key/15"),
                                              .reverse = way & 1};
        if (read) options.read = *read;
        struct plinth_scan *scan;
        assert_ok(plinth_scan_open(db, default_space(db), &options, &scan, &error), &error);
        check_rows(model, scan, expected + first, last - first, options.reverse, true);
    }
    free(expected);
}

static void check_index(const struct key_model *model, struct plinth *db, const struct plinth_read_options *read,
                        const char *name) {
    struct expected *expected = calloc(KEY_MODEL_KEYS + 1, sizeof *expected);
    struct plinth_error error;
    bool by_color = strcmp(name, "color") == 0;
    size_t count = 0;
    for (int number = 0; number < KEY_MODEL_KEYS; number++) {
        uint64_t version = model->entries[number].version;
        if (!version || !indexed(number, version)) continue;
        struct expected *entry = &expected[count++];
        const char *text = by_color ? colors[color_of(number, version)] : sizes[size_of(number, version)];
        entry->number = number;
        entry->index_size = by_color ? color_sizes[color_of(number, version)] : strlen(text);
        memcpy(entry->index_value, text, entry->index_size);
        entry->key_size = make_key(number, entry->key);
    }
    qsort(expected, count, sizeof *expected, expected_compare);
    for (int way = 0; way < 4; way++) {
        struct plinth_index_scan_options options = {
            .index = plinth_text(name), .match = PLINTH_INDEX_RANGE, .reverse = way & 1, .with_values = way & 2};
        if (read) options.read = *read;
        struct plinth_scan *scan;
        enum plinth_status st = plinth_index_scan_open(db, default_space(db), &options, &scan, &error);
        if (st == PLINTH_NOT_FOUND && count == 0) break; /* no set has named it yet */
        assert_ok(st, &error);
        check_rows(model, scan, expected, count, options.reverse, options.with_values);
    }
    for (size_t first = 0; first < count;) {
        size_t end = first + 1;
        while (end < count && compare_bytes(expected[first].index_value, expected[first].index_size,
                                            expected[end].index_value, expected[end].index_size) == 0)
            end++;
        struct plinth_index_scan_options options = {
            .index = plinth_text(name),
            .match = PLINTH_INDEX_EXACT,
            .value = plinth_bytes(expected[first].index_value, expected[first].index_size)};
        if (read) options.read = *read;
        struct plinth_scan *scan;
        assert_ok(plinth_index_scan_open(db, default_space(db), &options, &scan, &error), &error);
        check_rows(model, scan, expected + first, end - first, false, false);
        first = end;
    }
    free(expected);
}

void key_model_check(const struct key_model *model, struct plinth *db, const struct plinth_read_options *read) {
    check_gets(model, db, read);
    check_scans(model, db, read);
    check_index(model, db, read, "color");
    check_index(model, db, read, "size");
}
