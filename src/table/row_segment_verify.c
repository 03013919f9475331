#include "table/row_segment_verify.h"

#include <inttypes.h>
#include <math.h>
#include <roaring/roaring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/statistics.h"
#include "table/postings.h"
#include "table/row_segment_read.h"

struct row_verifier {
    struct segment *segment;
    segment_problem_visitor *visit;
    void *context;
    struct row_decoder *decoder;
    struct row_dictionaries dictionaries;
    struct arena arena;           /* of one column of a stripe */
    struct parquet_bloom *blooms; /* by column, of row group `bloom_group` */
    bool *has_bloom;
    uint32_t bloom_group;
    struct postings_builder **postings; /* by postings of the segment */
    bool is_incomplete;
};

static void problem(struct row_verifier *verifier, const char *format, ...) PLINTH_PRINTF(2, 3);
static void problem(struct row_verifier *verifier, const char *format, ...) {
    char text[PLINTH_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    verifier->visit(verifier->context, verifier->segment->info.name, text);
}

static void drop_blooms(struct row_verifier *verifier) {
    for (uint32_t i = 0; verifier->blooms && i < verifier->segment->rows->column_count; i++)
        parquet_bloom_deinit(&verifier->blooms[i]);
}

void row_verifier_destroy(struct row_verifier *verifier) {
    if (!verifier) return;
    drop_blooms(verifier);
    for (uint32_t i = 0; verifier->postings && i < verifier->segment->rows->postings_count; i++)
        postings_builder_destroy(verifier->postings[i]);
    row_dictionaries_deinit(&verifier->dictionaries);
    row_decoder_destroy(verifier->decoder);
    free(verifier->blooms);
    free(verifier->has_bloom);
    free(verifier->postings);
    arena_deinit(&verifier->arena);
    free(verifier);
}

static bool create_parts(struct row_verifier *verifier) {
    const struct row_segment *rows = verifier->segment->rows;
    verifier->blooms = calloc(rows->column_count + (size_t)1, sizeof *verifier->blooms);
    verifier->has_bloom = calloc(rows->column_count + (size_t)1, sizeof *verifier->has_bloom);
    verifier->postings = calloc(rows->postings_count + (size_t)1, sizeof *verifier->postings);
    if (!verifier->blooms || !verifier->has_bloom || !verifier->postings ||
        !row_dictionaries_init(&verifier->dictionaries, verifier->segment))
        return false;
    for (uint32_t i = 0; i < rows->postings_count; i++) {
        verifier->postings[i] = postings_builder_create(rows->postings[i].kind);
        if (!verifier->postings[i]) return false;
    }
    return true;
}

enum plinth_status row_verifier_create(struct segment *segment, segment_problem_visitor *visit, void *context,
                                       struct row_verifier **verifier, struct plinth_error *error) {
    *verifier = NULL;
    struct row_verifier *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "segment verifier");
    created->segment = segment;
    created->visit = visit;
    created->context = context;
    created->bloom_group = UINT32_MAX;
    arena_init(&created->arena);
    enum plinth_status st = create_parts(created) ? PLINTH_OK : error_no_memory(error, "segment verifier");
    if (!st) st = row_decoder_create(&created->decoder, error);
    if (st) {
        row_verifier_destroy(created);
        return st;
    }
    *verifier = created;
    return PLINTH_OK;
}

/* ---- one column of a stripe ---- */

/* What the file says of the values of a page and of their chunk. */
struct claims {
    const struct parquet_column *leaf;
    enum parquet_order order;
    const struct parquet_page_bounds *page; /* null: none */
    bool has_page_nulls;
    bool has_chunk;
    struct slice chunk_min, chunk_max;
    const struct parquet_bloom *bloom; /* null: none */
};

static enum plinth_status enter_group(struct row_verifier *verifier, uint32_t group, struct plinth_error *error) {
    const struct row_segment *rows = verifier->segment->rows;
    if (verifier->bloom_group == group) return PLINTH_OK;
    drop_blooms(verifier);
    memset(verifier->blooms, 0, rows->column_count * sizeof *verifier->blooms);
    verifier->bloom_group = group;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < rows->column_count && !st; i++) {
        st = parquet_reader_bloom(verifier->segment->reader, group, rows->columns[i].leaf, &verifier->blooms[i], error);
        verifier->has_bloom[i] = !st;
        if (st != PLINTH_NOT_FOUND) continue;
        error_clear(error);
        st = PLINTH_OK;
    }
    return st;
}

static enum plinth_status find_claims(struct row_verifier *verifier, uint32_t stripe, uint32_t number,
                                      struct claims *claims, struct plinth_error *error) {
    struct segment *segment = verifier->segment;
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    uint32_t group = segment->stripes.groups[stripe], leaf = segment->rows->columns[number].leaf;
    const struct parquet_page_index *pages;
    *claims = (struct claims){.leaf = &metadata->schema.columns[leaf]};
    claims->order = parquet_column_order(claims->leaf);
    claims->bloom = verifier->has_bloom[number] ? &verifier->blooms[number] : NULL;
    enum plinth_status st = row_segment_pages(segment, group, leaf, &pages, error);
    if (st) return st;
    if (pages->bounds) claims->page = &pages->bounds[stripe - segment->groups[group].first_stripe];
    claims->has_page_nulls = pages->has_null_counts;
    claims->has_chunk = parquet_statistics_bounds(claims->leaf, &metadata->row_groups[group].columns[leaf].statistics,
                                                  &claims->chunk_min, &claims->chunk_max);
    return PLINTH_OK;
}

static bool is_outside(const struct claims *claims, struct slice plain, struct slice min, struct slice max) {
    return parquet_value_compare(claims->order, plain, min) < 0 || parquet_value_compare(claims->order, plain, max) > 0;
}

static bool is_nan(const struct column *column, uint32_t row) {
    if (column->type.kind == COLUMN_FLOAT32) return isnan(((const float *)column->values)[row]);
    return column->type.kind == COLUMN_FLOAT64 && isnan(((const double *)column->values)[row]);
}

static bool is_negative_zero(const struct column *column, uint32_t row) {
    if (column->type.kind == COLUMN_FLOAT32) return ((const float *)column->values)[row] == 0;
    return column->type.kind == COLUMN_FLOAT64 && ((const double *)column->values)[row] == 0;
}

static const char *value_problem(const struct row_segment_column *column, const struct claims *claims,
                                 const struct column *values, uint32_t row) {
    uint8_t scratch[16];
    if (column->type.kind == COLUMN_STRING && utf8_find_invalid(column_bytes_at(values, row)) != SIZE_MAX)
        return "a text that is not UTF-8";
    if (column->type.kind == COLUMN_LIST) return NULL;
    if (is_nan(values, row)) return column->has_no_nan ? "a NaN, though the file says that there is none" : NULL;
    struct slice plain = row_column_to_plain(values, row, scratch);
    if (claims->page && claims->page->is_null_page) return "a value in a page that the page index calls null";
    if (claims->page && !is_negative_zero(values, row) &&
        is_outside(claims, plain, claims->page->min, claims->page->max))
        return "a value outside the page index's bounds";
    if (claims->has_chunk && is_outside(claims, plain, claims->chunk_min, claims->chunk_max))
        return "a value outside the footer's bounds";
    if (claims->bloom && !parquet_bloom_check(claims->bloom, plain)) return "a value that the bloom filter denies";
    return NULL;
}

static void check_column(struct row_verifier *verifier, uint32_t stripe, uint32_t number, const struct claims *claims,
                         const struct column *values, const struct stripe_rows *rows) {
    const struct row_segment_column *column = &verifier->segment->rows->columns[number];
    const char *path = claims->leaf->path;
    bool is_key = false;
    for (uint32_t i = 0; i < verifier->segment->rows->key_count; i++)
        is_key |= verifier->segment->rows->key[i] == number;
    for (uint32_t row = 0; row < rows->count; row++) {
        enum row_operation operation = rows->operations ? (enum row_operation)rows->operations[row] : rows->operation;
        if (column_is_null(values, row)) continue;
        const char *what = operation == ROW_DELETE && !is_key && verifier->segment->rows->key_count
                               ? "a delete with a value"
                               : value_problem(column, claims, values, row);
        if (!what) continue;
        problem(verifier, "stripe %u, row %u, column %.100s: %s", stripe, row, path, what);
        return; /* one a page says enough */
    }
    if (column->type.kind != COLUMN_LIST && claims->page && claims->has_page_nulls &&
        claims->page->null_count != values->null_count)
        problem(verifier, "stripe %u, column %.100s: %" PRIu64 " nulls, the page index says %" PRIu64, stripe, path,
                values->null_count, claims->page->null_count);
}

static enum plinth_status collect_postings(struct row_verifier *verifier, uint32_t stripe, uint32_t number,
                                           const struct column *values, uint32_t count, struct plinth_error *error) {
    const struct row_segment *rows = verifier->segment->rows;
    uint64_t first_row = segment_stripe_first_row(verifier->segment, stripe);
    for (uint32_t i = 0; i < rows->postings_count; i++) {
        if (rows->postings[i].column_id != rows->columns[number].id) continue;
        if (!postings_builder_add(verifier->postings[i], values, count, first_row))
            return error_no_memory(error, "segment verifier");
    }
    return PLINTH_OK;
}

static enum plinth_status verify_column(struct row_verifier *verifier, uint32_t stripe, uint32_t number,
                                        const struct stripe_rows *rows, struct plinth_error *error) {
    struct segment *segment = verifier->segment;
    const struct row_segment_column *column = &segment->rows->columns[number];
    const struct stripe_range range = {stripe, 0, rows->count};
    const struct row_read read = {.segment = segment,
                                  .ranges = &range,
                                  .range_count = 1,
                                  .rows = rows->count,
                                  .every_page = true,
                                  .arena = &verifier->arena,
                                  .dictionaries = &verifier->dictionaries};
    struct claims claims;
    struct column values;
    arena_reset(&verifier->arena);
    enum plinth_status st = find_claims(verifier, stripe, number, &claims, error);
    if (!st) st = row_decoder_column(verifier->decoder, &read, column->id, column->type, &values, error);
    if (st) return st;
    check_column(verifier, stripe, number, &claims, &values, rows);
    return collect_postings(verifier, stripe, number, &values, rows->count, error);
}

/* A problem of the file is told and remembered; what remains is a failure to look. */
static enum plinth_status tell(struct row_verifier *verifier, enum plinth_status status, struct plinth_error *error) {
    if (status != PLINTH_CORRUPT && status != PLINTH_UNSUPPORTED) return status;
    problem(verifier, "%s", error->text);
    error_clear(error);
    verifier->is_incomplete = true;
    return PLINTH_OK;
}

enum plinth_status row_verifier_stripe(struct row_verifier *verifier, uint32_t stripe, const struct stripe_rows *rows,
                                       struct plinth_error *error) {
    enum plinth_status st = enter_group(verifier, verifier->segment->stripes.groups[stripe], error);
    if (st) st = tell(verifier, segment_error(verifier->segment, st, error), error);
    for (uint32_t i = 0; i < verifier->segment->rows->column_count && !st; i++) {
        st = verify_column(verifier, stripe, i, rows, error);
        if (st) st = tell(verifier, st, error);
    }
    return st;
}

/* ---- postings ---- */

static enum plinth_status compare_term(struct row_verifier *verifier, const struct postings_view *stored,
                                       const struct postings_view *wanted, uint32_t number, bool *is_same,
                                       struct plinth_error *error) {
    uint64_t rows = verifier->segment->info.rows;
    roaring_bitmap_t *a = NULL, *b = NULL;
    *is_same = false;
    if (!slice_equal(postings_view_term(stored, number), postings_view_term(wanted, number))) return PLINTH_OK;
    enum plinth_status st = postings_view_rows(stored, number, rows, &a, error);
    if (!st) st = postings_view_rows(wanted, number, rows, &b, error);
    if (!st) *is_same = roaring_bitmap_equals(a, b);
    if (a) roaring_bitmap_free(a);
    if (b) roaring_bitmap_free(b);
    return st;
}

static enum plinth_status verify_postings(struct row_verifier *verifier, uint32_t number, struct plinth_error *error) {
    struct segment *segment = verifier->segment;
    const struct postings_block *postings = &segment->rows->postings[number];
    struct buffer owned = BUFFER_INIT, built = BUFFER_INIT;
    struct postings_view *stored = NULL, *wanted = NULL;
    struct slice bytes;
    bool is_same = true;
    enum plinth_status st = row_segment_read_block(segment, &postings->block, &owned, &bytes, error);
    if (!st) st = postings_view_create(bytes, &owned, &stored, error);
    if (!st && !postings_builder_finish(verifier->postings[number], 0, &built)) st = error_no_memory(error, "postings");
    bytes = buffer_slice(&built);
    if (!st) st = postings_view_create(bytes, &built, &wanted, error);
    if (!st) is_same = stored->terms == wanted->terms;
    for (uint32_t i = 0; !st && is_same && i < stored->terms; i++)
        st = compare_term(verifier, stored, wanted, i, &is_same, error);
    if (!st && !is_same)
        problem(verifier, "the postings of the column with the id %u are not those of its rows", postings->column_id);
    postings_view_destroy(stored);
    postings_view_destroy(wanted);
    buffer_deinit(&owned);
    buffer_deinit(&built);
    return st;
}

enum plinth_status row_verifier_finish(struct row_verifier *verifier, struct plinth_error *error) {
    const struct row_segment *rows = verifier->segment->rows;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < rows->postings_count && !st && !verifier->is_incomplete; i++) {
        if (!row_segment_find(verifier->segment, rows->postings[i].column_id) ||
            postings_builder_overflowed(verifier->postings[i])) {
            problem(verifier, "postings of the column with the id %u, which cannot have any",
                    rows->postings[i].column_id);
            continue;
        }
        st = verify_postings(verifier, i, error);
        if (st) st = tell(verifier, segment_error(verifier->segment, st, error), error);
    }
    return st;
}
