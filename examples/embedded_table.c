/* A typed table in process: rows as an Arrow record batch in, a query's Arrow stream out.
 *
 *     embedded_table [DIRECTORY]          (default ./embedded-table-data)
 *
 * Build it against an installed Plinth with: cc embedded_table.c $(pkg-config --cflags --libs plinth) -o embedded_table
 *
 * The batch is made by hand here, to show what it is; libraries such as nanoarrow, pyarrow or polars export the same
 * structs (https://arrow.apache.org/docs/format/CDataInterface.html). */
#include <stdio.h>
#include <stdlib.h>

#include <plinth.h>
#include <plinth_arrow.h>

enum { ROWS = 5, COLUMNS = 3 };

static void check(enum plinth_status status, const struct plinth_error *error) {
    if (!status) return;
    fprintf(stderr, "embedded_table: %s: %s\n", plinth_status_name(status), error->text);
    exit(1);
}

/* ---- a batch: station (string), day (int32), celsius (float64, one is null) ---- */

static const int32_t station_offsets[ROWS + 1] = {0, 4, 8, 12, 18, 24};
static const char station_bytes[] = "OsloOsloOsloTromsoTromso";
static const int32_t days[ROWS] = {2, 1, 3, 1, 2};
static const double celsius[ROWS] = {3.5, 4.25, 0, -6, -7.5};
static const uint8_t celsius_validity[1] = {0x1B}; /* the third is null */

/* Everything is static: there is nothing to free. */
static void release_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static void release_array(struct ArrowArray *array) { array->release = NULL; }

static void make_schema(struct ArrowSchema *schema) {
    static struct ArrowSchema columns[COLUMNS], *children[COLUMNS] = {&columns[0], &columns[1], &columns[2]};
    static const char *const names[COLUMNS] = {"station", "day", "celsius"}, *const formats[COLUMNS] = {"u", "i", "g"};
    for (int i = 0; i < COLUMNS; i++)
        columns[i] = (struct ArrowSchema){
            .format = formats[i], .name = names[i], .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
    *schema = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = COLUMNS, .children = children, .release = release_schema};
}

static void make_batch(struct ArrowArray *batch) {
    static struct ArrowArray columns[COLUMNS], *children[COLUMNS] = {&columns[0], &columns[1], &columns[2]};
    static const void *buffers[COLUMNS][3] = {
        {NULL, station_offsets, station_bytes}, {NULL, days}, {celsius_validity, celsius}};
    static const void *none[1] = {NULL};
    for (int i = 0; i < COLUMNS; i++)
        columns[i] = (struct ArrowArray){.length = ROWS,
                                         .null_count = i == 2,
                                         .n_buffers = i == 0 ? 3 : 2,
                                         .buffers = buffers[i],
                                         .release = release_array};
    *batch = (struct ArrowArray){.length = ROWS,
                                 .n_buffers = 1,
                                 .buffers = none,
                                 .n_children = COLUMNS,
                                 .children = children,
                                 .release = release_array};
}

/* ---- the table ---- */

static void create_table(struct plinth *db) {
    static const struct plinth_column columns[] = {{.name = "station", .type = "string"},
                                                   {.name = "day", .type = "int32"},
                                                   {.name = "celsius", .type = "float64", .nullable = true}};
    static const char *const key[] = {"station", "day"};
    static const struct plinth_table_definition definition = {
        .columns = columns, .column_count = COLUMNS, .key = key, .key_count = 2};
    struct plinth_error error;
    enum plinth_status status = plinth_table_create(db, NULL, "weather", &definition, &error);
    if (status != PLINTH_ALREADY_EXISTS) check(status, &error);
}

static void write_rows(struct plinth *db) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    struct plinth_rows_result result;
    struct plinth_error error;
    make_schema(&schema);
    make_batch(&batch);
    check(plinth_rows_write(db, NULL, "weather", &schema, &batch, NULL, &result, &error), &error);
    printf("wrote %llu rows, durable in the log\n", (unsigned long long)result.rows_written);
    plinth_rows_result_deinit(&result);
}

/* Deletes the row of Oslo's second day: a batch of the key's columns. */
static void delete_row(struct plinth *db) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    struct plinth_error error;
    make_schema(&schema);
    make_batch(&batch);
    schema.n_children = batch.n_children = 2;
    batch.length = batch.children[0]->length = batch.children[1]->length = 1;
    check(plinth_rows_delete(db, NULL, "weather", &schema, &batch, NULL, NULL, &error), &error);
    printf("deleted one\n");
}

/* ---- a query ---- */

static void print_batch(const struct ArrowArray *batch) {
    const struct ArrowArray *station = batch->children[0], *day = batch->children[1], *value = batch->children[2];
    for (int64_t i = 0; i < batch->length; i++) {
        const int32_t *offsets = (const int32_t *)station->buffers[1] + station->offset + i;
        const uint8_t *validity = value->buffers[0];
        int64_t at = value->offset + i;
        printf("  %.*s, day %d: ", (int)(offsets[1] - offsets[0]), (const char *)station->buffers[2] + offsets[0],
               ((const int32_t *)day->buffers[1])[day->offset + i]);
        if (validity && !(validity[at / 8] >> at % 8 & 1))
            printf("not measured\n");
        else
            printf("%.2f\n", ((const double *)value->buffers[1])[at]);
    }
}

static void print_query(struct plinth *db, const char *where) {
    struct plinth_query_options options = {.where = where, .ordered = true};
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    struct plinth_error error;
    check(plinth_query(db, NULL, "weather", &options, &stream, &error), &error);
    printf("where %s:\n", where);
    for (;;) {
        if (stream.get_next(&stream, &batch)) {
            fprintf(stderr, "embedded_table: %s\n", stream.get_last_error(&stream));
            exit(1);
        }
        if (!batch.release) break; /* the end */
        print_batch(&batch);
        batch.release(&batch);
    }
    stream.release(&stream);
}

int main(int argc, char **argv) {
    const char *directory = argc > 1 ? argv[1] : "./embedded-table-data";
    struct plinth *db;
    struct plinth_error error;
    check(plinth_open(directory, NULL, &db, &error), &error);
    create_table(db);
    write_rows(db);
    print_query(db, "station = 'Oslo'");
    print_query(db, "celsius < 0 OR celsius IS NULL");
    delete_row(db);
    print_query(db, "station = 'Oslo'");
    check(plinth_flush(db, &error), &error);
    printf("flushed: the Parquet files are in %s\n", directory);
    plinth_close(db);
    return 0;
}
