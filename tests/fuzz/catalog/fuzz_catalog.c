/* Any bytes as a whole catalog, and any bytes as a change of one: they are refused, or what they say keeps the rules
 * and encodes to a catalog of the same meaning. The first byte chooses; a change is applied to a table of its own. */
#include <stdlib.h>

#include "catalog/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct catalog *catalog) {
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    struct catalog read;
    for (uint32_t t = 0; t < catalog->table_count; t++) {
        const struct catalog_table *table = &catalog->tables[t];
        if (table->kind != CATALOG_ROWS) continue;
        for (uint64_t lsn = 0; lsn < 3; lsn++) {
            const struct table_schema *then = catalog_schema_at(table, lsn), *kept = catalog_schema_stored(table, lsn);
            if (!then || !kept || kept->column_count < table->schema->column_count) abort();
            for (uint32_t i = 1; i < kept->column_count; i++)
                if (kept->columns[i - 1].id >= kept->columns[i].id) abort();
            table_schema_unref(then);
            table_schema_unref(kept);
        }
    }
    if (!catalog_encode(&bytes, catalog)) abort();
    struct reader from = reader_of(buffer_slice(&bytes));
    if (catalog_decode(&from, &read, NULL) || reader_left(&from)) abort();
    if (!catalog_encode(&again, &read) || !slice_equal(buffer_slice(&bytes), buffer_slice(&again))) abort();
    catalog_deinit(&read);
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}

static void make_table(struct catalog *catalog) {
    static const struct catalog_column columns[] = {
        {{(const uint8_t *)"id", 2}, {.kind = COLUMN_INT32}, false},
        {{(const uint8_t *)"small", 5}, {.kind = COLUMN_INT8}, true},
        {{(const uint8_t *)"note", 4}, {.kind = COLUMN_STRING}, true},
        {{(const uint8_t *)"price", 5}, {.kind = COLUMN_DECIMAL, .precision = 4, .scale = 2}, true}};
    struct catalog_change change = {.version = 2,
                                    .kind = CATALOG_CREATE_TABLE,
                                    .tenant = CATALOG_TENANT_DEFAULT,
                                    .database = 1,
                                    .name = slice_of_string("t"),
                                    .columns = columns,
                                    .column_count = 4,
                                    .key = {1},
                                    .key_count = 1};
    if (catalog_init(catalog, NULL) || catalog_apply(catalog, &change, NULL)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct catalog catalog;
    if (!size) return 0;
    struct reader from = reader_of(slice_of(data + 1, size - 1));
    if (data[0] & 1) {
        if (catalog_decode(&from, &catalog, NULL)) return 0;
        look_at(&catalog);
        catalog_deinit(&catalog);
        return 0;
    }
    struct arena arena;
    arena_init(&arena);
    make_table(&catalog);
    for (uint64_t lsn = 1; reader_left(&from); lsn++) { /* one change behind the other */
        struct catalog_change change;
        if (!catalog_change_decode(&from, &arena, &change)) break;
        change.version = catalog.version + 1;
        change.schema_version =
            catalog_table_by_id(&catalog, 3) ? catalog_table_by_id(&catalog, 3)->schema->version : 0;
        change.lsn = lsn;
        if (!catalog_apply(&catalog, &change, NULL)) look_at(&catalog);
    }
    catalog_deinit(&catalog);
    arena_deinit(&arena);
    return 0;
}
