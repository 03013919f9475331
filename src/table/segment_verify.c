/* Reading all of a segment and comparing it with everything that is said about it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "parquet/page_index.h"
#include "table/row_segment_verify.h"
#include "table/stripe.h"

struct verifier {
    struct segment *segment;
    segment_problem_visitor *visit;
    void *context;
    struct stripe_decoder *decoder;
    struct row_verifier *columns; /* of typed tables; else null */
    struct buffer last_key;       /* the row before */
    uint64_t last_lsn;
    bool has_last;
    bool is_incomplete; /* a stripe could not be read: sums mean nothing */
    uint64_t rows, deletes, superseded, lsn_min, lsn_max, expiring, references;
};

static void problem(struct verifier *verifier, const char *format, ...) PLINTH_PRINTF(2, 3);
static void problem(struct verifier *verifier, const char *format, ...) {
    char text[PLINTH_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    verifier->visit(verifier->context, verifier->segment->info.name, text);
}

static bool is_null(const uint8_t *validity, uint32_t row) { return validity && !((validity[row / 8] >> row % 8) & 1); }

/* Well-formed, ordered by (table, value), no pair twice. */
static bool indexes_are_right(struct slice indexes) {
    struct reader list = reader_of(indexes);
    uint32_t table, last_table = 0;
    struct slice value, last_value = {0};
    bool has_last = false;
    while (row_indexes_next(&list, &table, &value)) {
        if (has_last && (table < last_table || (table == last_table && slice_compare(value, last_value) <= 0)))
            return false;
        last_table = table;
        last_value = value;
        has_last = true;
    }
    return !list.failed;
}

static void check_order(struct verifier *verifier, uint32_t stripe, uint32_t number, const struct row *row) {
    if (!verifier->has_last) return;
    int order = slice_compare(buffer_slice(&verifier->last_key), row->key);
    if (order > 0 || (order == 0 && verifier->last_lsn <= row->lsn))
        problem(verifier, "stripe %u, row %u: out of order", stripe, number);
    verifier->superseded += order == 0;
    bool continues = verifier->segment->stripes.flags[stripe] & STRIPE_CONTINUES;
    if (number == 0 && continues != (order == 0))
        problem(verifier, "stripe %u: it %s with the last key of the one before, the stripe index says otherwise",
                stripe, order == 0 ? "begins" : "does not begin");
}

static void check_constants(struct verifier *verifier, uint32_t stripe, uint32_t number, const struct row *row) {
    const struct stripe_index *index = &verifier->segment->stripes;
    uint8_t flags = index->flags[stripe];
    if ((flags & STRIPE_LSN_CONSTANT) && row->lsn != index->lsns[stripe])
        problem(verifier, "stripe %u, row %u: the page index gives LSN %" PRIu64 ", the page %" PRIu64, stripe, number,
                index->lsns[stripe], row->lsn);
    if ((flags & STRIPE_OPERATION_CONSTANT) && (unsigned)row->operation != (unsigned)flags >> STRIPE_OPERATION_SHIFT)
        problem(verifier, "stripe %u, row %u: the operation is not the page index's", stripe, number);
    if ((flags & STRIPE_NO_INDEXES) && row->indexes.size)
        problem(verifier, "stripe %u, row %u: index entries in a page that the page index calls null", stripe, number);
}

/* Value and _index, of key spaces. */
static void check_value(struct verifier *verifier, uint32_t stripe, uint32_t number, const struct row *row) {
    const struct segment *segment = verifier->segment;
    bool has_value = stripe_decoder_has_read(verifier->decoder, SEGMENT_VALUE) &&
                     !is_null(stripe_decoder_validity(verifier->decoder, SEGMENT_VALUE), number);
    bool wants_value = row->operation == ROW_SET && !row_has_reference(row->indexes);
    if (segment->has_column[SEGMENT_VALUE] && has_value != wants_value)
        problem(verifier, "stripe %u, row %u: %s", stripe, number,
                has_value ? "a value where none belongs" : "a set without a value");
    if (!indexes_are_right(row->indexes)) problem(verifier, "stripe %u, row %u: malformed _index", stripe, number);
}

static void check_row(struct verifier *verifier, uint32_t stripe, uint32_t number, const struct row *row) {
    const struct segment *segment = verifier->segment;
    const struct segment_group *group = &segment->groups[segment->stripes.groups[stripe]];
    check_order(verifier, stripe, number, row);
    check_constants(verifier, stripe, number, row);
    if (!verifier->columns) check_value(verifier, stripe, number, row);
    if (group->has_bloom && !parquet_bloom_check_hash(&group->bloom, hash_stable(row->key.data, row->key.size)))
        problem(verifier, "stripe %u, row %u: the key is missing from the bloom filter", stripe, number);
    verifier->rows++;
    verifier->deletes += row->operation == ROW_DELETE;
    verifier->expiring += row_expires_us(row->indexes) != 0;
    verifier->references += row_has_reference(row->indexes);
    if (row->lsn < verifier->lsn_min) verifier->lsn_min = row->lsn;
    if (row->lsn > verifier->lsn_max) verifier->lsn_max = row->lsn;
}

static enum plinth_status remember(struct verifier *verifier, const struct row *row, struct plinth_error *error) {
    buffer_clear(&verifier->last_key);
    if (!buffer_append(&verifier->last_key, row->key.data, row->key.size)) return error_no_memory(error, "last key");
    verifier->last_lsn = row->lsn;
    verifier->has_last = true;
    return PLINTH_OK;
}

/* `last_key` is what the index says that the stripe ends with, if it does. */
static enum plinth_status check_stripe(struct verifier *verifier, uint32_t stripe, const struct slice *last_key,
                                       struct plinth_error *error) {
    struct stripe_rows rows;
    enum plinth_status st =
        stripe_decode(verifier->segment, stripe, STRIPE_VALUES | STRIPE_EVERY_PAGE, verifier->decoder, &rows, error);
    if (st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED) {
        problem(verifier, "%s", error->text);
        error_clear(error);
        verifier->is_incomplete = true;
        verifier->has_last = false;
        return PLINTH_OK;
    }
    for (uint32_t i = 0; i < rows.count && !st; i++) {
        struct row row;
        stripe_rows_get(&rows, i, &row);
        check_row(verifier, stripe, i, &row);
        st = remember(verifier, &row, error);
    }
    if (!st && last_key && !slice_equal(buffer_slice(&verifier->last_key), *last_key))
        problem(verifier, "stripe %u: the last key is not the page index's", stripe);
    if (!st && verifier->columns) st = row_verifier_stripe(verifier->columns, stripe, &rows, error);
    return st;
}

static enum plinth_status check_group(struct verifier *verifier, uint32_t number, struct plinth_error *error) {
    struct segment *segment = verifier->segment;
    const struct segment_group *group = &segment->groups[number];
    struct parquet_page_index keys = {0};
    enum plinth_status st = PLINTH_OK;
    if (!group->has_bloom && !verifier->columns && segment->has_column[SEGMENT_VALUE])
        problem(verifier, "row group %u: no bloom filter for the keys", number);
    if (verifier->columns) {
        for (uint32_t i = 0; i < group->stripe_count && !st; i++)
            st = check_stripe(verifier, group->first_stripe + i, NULL, error);
        return st;
    }
    st = parquet_reader_page_index(segment->reader, number, segment->leaf[SEGMENT_KEY], &keys, error);
    if (!st && (!keys.bounds || keys.page_count != group->stripe_count))
        st = error_set(error, PLINTH_CORRUPT, "row group %u: the page index has changed", number);
    if (st) return segment_error(segment, st, error);
    for (uint32_t i = 0; i < group->stripe_count && !st; i++)
        st = check_stripe(verifier, group->first_stripe + i, &keys.bounds[i].max, error);
    parquet_page_index_deinit(&keys);
    return st;
}

static void check_sums(struct verifier *verifier) {
    const struct segment_info *info = &verifier->segment->info;
    bool ends_right = slice_equal(buffer_slice(&verifier->last_key), buffer_slice(&info->key_max));
    const struct {
        const char *what;
        uint64_t found, wanted;
    } sums[] = {
        {"rows", verifier->rows, info->rows},
        {"deletes", verifier->deletes, info->deletes},
        {"superseded rows", verifier->superseded, info->superseded},
        {"references to values", verifier->references, info->job ? info->references : verifier->references},
        {"rows that expire", verifier->expiring, info->job ? info->expiring : verifier->expiring},
        {"least LSN", verifier->lsn_min, info->lsn_min},
        {"greatest LSN", verifier->lsn_max, info->lsn_max},
    };
    if (verifier->is_incomplete) return;
    if (!ends_right) problem(verifier, "the last key is not the manifest's");
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        if (sums[i].found != sums[i].wanted)
            problem(verifier, "%s: %" PRIu64 ", the manifest says %" PRIu64, sums[i].what, sums[i].found,
                    sums[i].wanted);
    }
}

/* Readers of Parquet look at the magic number at the end; that at the beginning is checked here. */
static enum plinth_status check_beginning(struct verifier *verifier, struct plinth_error *error) {
    char magic[4];
    enum plinth_status st = object_read_at(verifier->segment->object, 0, magic, sizeof magic, error);
    if (st) return segment_error(verifier->segment, st, error);
    if (memcmp(magic, "PAR1", sizeof magic) != 0) problem(verifier, "the file does not begin with PAR1");
    return PLINTH_OK;
}

enum plinth_status segment_verify(struct segment *segment, segment_problem_visitor *visit, void *context,
                                  struct plinth_error *error) {
    struct plinth_error own;
    struct verifier verifier = {.segment = segment, .visit = visit, .context = context, .lsn_min = UINT64_MAX};
    if (!error) error = &own; /* problems are made of its text */
    enum plinth_status st = segment_load(segment, error);
    if (!st) st = stripe_decoder_acquire(&verifier.decoder, error);
    if (!st) st = check_beginning(&verifier, error);
    if (!st && segment->rows) st = row_verifier_create(segment, visit, context, &verifier.columns, error);
    for (uint32_t group = 0; group < segment->group_count && !st; group++) st = check_group(&verifier, group, error);
    if (!st) check_sums(&verifier);
    if (!st && verifier.columns) st = row_verifier_finish(verifier.columns, error);
    row_verifier_destroy(verifier.columns);
    stripe_decoder_release(verifier.decoder);
    buffer_deinit(&verifier.last_key);
    return st;
}
