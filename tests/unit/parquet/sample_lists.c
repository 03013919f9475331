/* See sample_lists.h. */
#include "sample_lists.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool ok) {
    if (!ok) abort();
}

static void init_nodes(struct sample_lists *table) {
    static char names[SAMPLE_COLUMNS][32];
    enum parquet_repetition list = table->plan.null_list_one_in ? PARQUET_OPTIONAL : PARQUET_REQUIRED;
    table->nodes[0] = (struct parquet_node){.name = "row", .type = PARQUET_TYPE_INT64};
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        struct parquet_node *nodes = &table->nodes[1 + 3 * c];
        snprintf(names[c], sizeof names[c], "%s", table->elements.nodes[c].name);
        nodes[0] = (struct parquet_node){.name = names[c],
                                         .is_group = true,
                                         .child_count = 1,
                                         .repetition = list,
                                         .logical = {.kind = PARQUET_LOGICAL_LIST}};
        nodes[1] =
            (struct parquet_node){.name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED};
        nodes[2] = table->elements.nodes[c];
        nodes[2].name = "element";
    }
}

static uint32_t make_length(const struct sample_lists_plan *plan, uint64_t row, uint64_t *seed) {
    if (row == plan->long_row) return plan->length_max * 50;
    if (plan->empty_one_in && sample_random(seed) % plan->empty_one_in == 0) return 0;
    return 1 + (uint32_t)(sample_random(seed) % plan->length_max);
}

static uint64_t make_shape(struct sample_lists *table, int c, uint64_t *seed) {
    const struct sample_lists_plan *plan = &table->plan;
    uint32_t end = (uint32_t)(c % 3); /* offsets need not begin with 0 */
    must(buffer_append_u32(&table->offsets[c], end) && buffer_append_zeros(&table->validity[c], plan->rows / 8 + 1));
    for (uint64_t row = 0; row < plan->rows; row++) {
        bool is_null =
            plan->null_list_one_in && row != plan->long_row && sample_random(seed) % plan->null_list_one_in == 0;
        uint32_t length = make_length(plan, row, seed);
        if (is_null && c % 2) length = 0; /* null lists of the other columns have elements, which are not theirs */
        if (!is_null) table->validity[c].data[row >> 3] |= (uint8_t)(1u << (row & 7));
        must(buffer_append_u32(&table->offsets[c], end += length));
    }
    return end;
}

void sample_lists_init(struct sample_lists *table, const struct sample_lists_plan *plan) {
    struct plinth_error error = {0};
    uint64_t seed = plan->seed, most = 0;
    *table = (struct sample_lists){.plan = *plan};
    arena_init(&table->arena);
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        uint64_t elements = make_shape(table, c, &seed);
        if (elements > most) most = elements;
    }
    sample_table_init(&table->elements, most, plan->null_element_one_in, seed);
    init_nodes(table);
    must(!parquet_schema_init(&table->schema, &table->arena, "schema", table->nodes, SAMPLE_LISTS_NODES, &error));
    for (uint64_t row = 0; row < plan->rows; row++) must(buffer_append_u64(&table->row_numbers, row));
    for (int c = 0; c < SAMPLE_COLUMNS; c++)
        table->lists[c] =
            (struct parquet_list_data){.rows = plan->rows,
                                       .validity = plan->null_list_one_in ? table->validity[c].data : NULL,
                                       .offsets = (const uint32_t *)(void *)table->offsets[c].data,
                                       .elements = table->elements.data[c]};
}

void sample_lists_deinit(struct sample_lists *table) {
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        buffer_deinit(&table->offsets[c]);
        buffer_deinit(&table->validity[c]);
    }
    buffer_deinit(&table->row_numbers);
    sample_table_deinit(&table->elements);
    arena_deinit(&table->arena);
}

void sample_lists_batch(const struct sample_lists *table, uint64_t begin, uint64_t rows,
                        struct parquet_column_buffer *levels, struct parquet_column_data *data) {
    struct plinth_error error = {0};
    data[0] = (struct parquet_column_data){.rows = rows, .values = table->row_numbers.data + begin * 8};
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        struct parquet_list_data list = table->lists[c];
        list.rows = rows;
        list.offsets += begin;
        if (list.validity) list.validity += begin / 8;
        must(!parquet_list_to_levels(&table->schema.columns[1 + c], &list, &levels[1 + c], &error));
        data[1 + c] = levels[1 + c].data;
    }
}

bool sample_lists_equal(const struct sample_lists *table, int column, uint64_t row,
                        const struct parquet_list_data *read, uint64_t read_row) {
    const struct parquet_list_data *list = &table->lists[column];
    bool is_null = list->validity && !((list->validity[row >> 3] >> (row & 7)) & 1);
    bool is_read_null = read->validity && !((read->validity[read_row >> 3] >> (read_row & 7)) & 1);
    uint32_t length = is_null ? 0 : list->offsets[row + 1] - list->offsets[row];
    if (is_null != is_read_null || read->offsets[read_row + 1] - read->offsets[read_row] != length) return false;
    for (uint32_t i = 0; i < length; i++)
        if (!sample_equal(&table->elements.nodes[column], &list->elements, list->offsets[row] + i, &read->elements,
                          read->offsets[read_row] + i))
            return false;
    return true;
}
