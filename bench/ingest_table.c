#include "ingest_table.h"

#include "measure.h"

void bench_check(enum plinth_status st, const struct plinth_error *error) {
    if (st) bench_die("%s: %s", plinth_status_name(st), error->text);
}

void ingest_table_create(struct plinth *db, const struct ingest_rows *rows, unsigned indexes) {
    struct plinth_error error;
    struct plinth_column columns[INGEST_COLUMNS];
    for (int i = 0; i < INGEST_COLUMNS; i++)
        columns[i] = (struct plinth_column){ingest_rows_schema(rows)->fields[i].name, ingest_types[i], i > 1, 0};
    const char *key[] = {"host", "time"}, *path = "path", *region_time[] = {"region", "time"};
    struct plinth_table_definition definition = {
        .columns = columns, .column_count = INGEST_COLUMNS, .key = key, .key_count = 2};
    bench_check(plinth_table_create(db, NULL, INGEST_TABLE, &definition, &error), &error);
    const struct plinth_index index[INGEST_INDEXES] = {
        {.name = "by_path", .kind = PLINTH_INDEX_SORTED, .columns = &path, .column_count = 1},
        {.name = "by_region", .kind = PLINTH_INDEX_SORTED, .columns = region_time, .column_count = 2}};
    for (unsigned i = 0; i < indexes && i < INGEST_INDEXES; i++)
        bench_check(plinth_table_index_create(db, NULL, INGEST_TABLE, &index[i], &error), &error);
}

struct table_id ingest_table_id(struct plinth *db) {
    struct plinth_error error;
    const struct table_schema *schema;
    bench_check(engine_find_schema(db, NULL, INGEST_TABLE, &schema, &error), &error);
    struct table_id id = schema->id;
    table_schema_unref(schema);
    return id;
}

struct rows_result bench_rows_submit(struct plinth *db, struct table_id table, const struct arrow_schema *schema,
                                     const struct batch *batch, const struct plinth_write_options *write) {
    struct rows_write rows = {.operation = ROWS_UPSERT, .schema = schema, .batch = batch};
    struct rows_result result;
    struct plinth_error error;
    bench_check(rows_submit(db, table, &rows, write, &result, &error), &error);
    if (result.rows_rejected) bench_die("a row was rejected: %s", result.rejects[0].reason);
    return result;
}
