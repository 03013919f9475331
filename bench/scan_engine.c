/* The engine that bench_scan.py measures and compares with DuckDB: commands on standard input, answers on standard
 * output, one line each. A line's fields are separated by tabs.
 *
 *     scan_engine DIRECTORY ROWS      makes the table "metrics" (ingest_rows.h) there if it is missing, merges it into
 *                                     one run and says "ready"; the directory stays
 *     run THREADS COLUMNS PREDICATE AGGREGATES GROUPS FILE
 *                                     COLUMNS, GROUPS: names between commas; AGGREGATES: kind:column between commas;
 *                                     FILE: where to write the result as an Arrow IPC stream ("" : it is read and
 *                                     dropped, as a consumer without work would). Answers "<nanoseconds> <rows>
 *                                     <stripes> <stripes skipped>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest_table.h"
#include "measure.h"
#include "query/predicate_text.h"
#include "query/query.h"

enum { LOAD_ROWS = 20000, NAMES_MAX = 32, FIELDS = 6 };

static const struct {
    const char *name;
    enum query_aggregate_kind kind;
} kinds[] = {{"count", AGGREGATE_COUNT},
             {"min", AGGREGATE_MIN},
             {"max", AGGREGATE_MAX},
             {"sum", AGGREGATE_SUM},
             {"avg", AGGREGATE_AVG}};

static void load(struct plinth *db, uint64_t rows) {
    struct plinth_error error;
    struct ingest_rows *maker = ingest_rows_create();
    const struct plinth_write_options write = {0};
    struct rows_result last = {0};
    ingest_table_create(db, maker, false);
    struct table_id table = ingest_table_id(db);
    for (uint64_t first = 0; first < rows; first += LOAD_ROWS) {
        uint64_t left = rows - first;
        struct batch *batch = ingest_rows_make(maker, first, (uint32_t)(left < LOAD_ROWS ? left : LOAD_ROWS));
        last = bench_rows_submit(db, table, ingest_rows_schema(maker), batch, &write);
        batch_unref(batch);
    }
    bench_check(rows_wait(db, &write, &last, &error), &error);
    bench_check(plinth_compact(db, &error), &error);
    ingest_rows_destroy(maker);
}

/* Cuts a list between commas in place. */
static uint32_t cut(char *list, struct slice names[NAMES_MAX]) {
    uint32_t count = 0;
    char *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (count == NAMES_MAX) bench_die("more than %d names", NAMES_MAX);
        names[count++] = slice_of_string(name);
    }
    return count;
}

static void parse_aggregates(struct slice *names, uint32_t count, struct query_aggregate *aggregates) {
    for (uint32_t i = 0; i < count; i++) {
        const char *text = (const char *)names[i].data, *colon = strchr(text, ':');
        aggregates[i] = (struct query_aggregate){0};
        for (size_t k = 0; colon && k < sizeof kinds / sizeof *kinds; k++)
            if (strlen(kinds[k].name) == (size_t)(colon - text) && !memcmp(text, kinds[k].name, (size_t)(colon - text)))
                aggregates[i] = (struct query_aggregate){kinds[k].kind, slice_of_string(colon + 1)};
        if (!aggregates[i].kind) bench_die("\"%s\" is no aggregate", text);
    }
}

static void write_stream(FILE *file, struct buffer *bytes) {
    if (fwrite(bytes->data, 1, bytes->size, file) != bytes->size) bench_die("the result cannot be written");
    buffer_clear(bytes);
}

/* Reads the query to its end, and writes what it gives. */
static uint64_t drain(struct query *query, FILE *file) {
    struct plinth_error error;
    struct buffer bytes = BUFFER_INIT;
    uint64_t rows = 0;
    if (file) bench_check(arrow_write_schema(&bytes, query_schema(query), &error), &error);
    for (;;) {
        struct batch *batch;
        bench_check(query_next(query, &batch, &error), &error);
        if (!batch) break;
        rows += batch->rows;
        if (file) {
            bench_check(arrow_write_batch(&bytes, batch, ARROW_UNCOMPRESSED, &error), &error);
            write_stream(file, &bytes);
        }
        batch_unref(batch);
    }
    if (file) {
        if (!arrow_write_end(&bytes)) bench_die("out of memory");
        write_stream(file, &bytes);
    }
    buffer_deinit(&bytes);
    return rows;
}

static void run(struct plinth *db, const struct table_schema *schema, char *fields[FIELDS]) {
    struct plinth_error error;
    struct arena arena;
    struct slice columns[NAMES_MAX], aggregate_names[NAMES_MAX], groups[NAMES_MAX];
    struct query_aggregate aggregates[NAMES_MAX];
    struct query_options options = {.columns = columns, .aggregates = aggregates, .group_by = groups};
    arena_init(&arena);
    options.threads = (unsigned)strtoul(fields[0], NULL, 10);
    options.column_count = cut(fields[1], columns);
    if (*fields[2])
        bench_check(predicate_parse(slice_of_string(fields[2]), &arena, &options.predicate, &error), &error);
    options.aggregate_count = cut(fields[3], aggregate_names);
    parse_aggregates(aggregate_names, options.aggregate_count, aggregates);
    options.group_by_count = cut(fields[4], groups);
    FILE *file = *fields[5] ? fopen(fields[5], "wb") : NULL;
    if (*fields[5] && !file) bench_die("%s cannot be written", fields[5]);
    struct query *query;
    struct query_explain explain;
    uint64_t begin = bench_now_ns();
    bench_check(query_open(db, schema, &options, &query, &error), &error);
    uint64_t rows = drain(query, file);
    uint64_t ns = bench_now_ns() - begin;
    query_explain_read(query, &explain);
    if (file && fclose(file)) bench_die("%s cannot be written", fields[5]);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", ns, rows, explain.stripes, explain.stripes_skipped);
    query_close(query);
    arena_deinit(&arena);
}

static void serve(struct plinth *db, const struct table_schema *schema) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    printf("ready\n");
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        if (line[size - 1] == '\n') line[size - 1] = 0;
        char *rest = line, *fields[FIELDS] = {0};
        const char *command = strsep(&rest, "\t");
        int count = 0;
        while (count < FIELDS && rest) fields[count++] = strsep(&rest, "\t");
        if (strcmp(command, "run") != 0 || count != FIELDS || rest) bench_die("what is \"%s\"?", command);
        run(db, schema, fields);
    }
    free(line);
}

int main(int count, char **arguments) {
    if (count != 3) bench_die("usage: scan_engine DIRECTORY ROWS");
    struct plinth *db;
    struct plinth_error error;
    const struct table_schema *schema;
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_check(plinth_open(arguments[1], NULL, &db, &error), &error);
    if (engine_find_schema(db, NULL, INGEST_TABLE, &schema, &error) == PLINTH_NOT_FOUND) {
        load(db, strtoull(arguments[2], NULL, 10));
        bench_check(engine_find_schema(db, NULL, INGEST_TABLE, &schema, &error), &error);
    }
    serve(db, schema);
    table_schema_unref(schema);
    plinth_close(db);
    return 0;
}
