/* Parquet by itself: some columns of the rows whose column lies between two numbers, into another file.
 *
 *     parquet_filter IN.parquet OUT.parquet COLUMN LEAST GREATEST [COLUMN...]
 *
 * COLUMN must be a 64-bit integer (or a time stamp); the columns behind it are those to keep (default: all). Row groups
 * and pages that cannot have such rows are not read.
 *
 * Build it against an installed library with: cc parquet_filter.c $(pkg-config --cflags --libs plinth-parquet) */
#include <stdio.h>
#include <stdlib.h>

#include <plinth_parquet.h>

static int fail(const char *what, const struct plinth_error *error) {
    fprintf(stderr, "parquet_filter: %s: %s: %s\n", what, plinth_status_name(error->status), error->text);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: parquet_filter IN.parquet OUT.parquet COLUMN LEAST GREATEST [COLUMN...]\n");
        return 2;
    }
    int64_t least = strtoll(argv[4], NULL, 10), greatest = strtoll(argv[5], NULL, 10);
    struct plinth_parquet_bounds bounds = {
        .column = argv[3], .min = &least, .max = &greatest, .min_size = sizeof least, .max_size = sizeof greatest};
    struct plinth_parquet_selection selection = {.bounds = &bounds, .bounds_count = 1};
    if (argc > 6) {
        selection.columns = (const char *const *)argv + 6;
        selection.column_count = (uint32_t)argc - 6;
    }

    struct plinth_error error;
    struct plinth_parquet_file *file;
    struct ArrowArrayStream rows;
    if (plinth_parquet_open(argv[1], NULL, &file, &error)) return fail(argv[1], &error);
    enum plinth_status status = plinth_parquet_read(file, &selection, &rows, &error);
    plinth_parquet_close(file); /* the stream keeps what it needs */
    if (status) return fail(argv[1], &error);
    status = plinth_parquet_write_stream(argv[2], &rows, NULL, &error);
    rows.release(&rows);
    if (status) return fail(argv[2], &error);

    struct plinth_parquet_info info;
    if (plinth_parquet_open(argv[2], NULL, &file, &error)) return fail(argv[2], &error);
    plinth_parquet_get_info(file, &info);
    printf("%llu rows in %u columns\n", (unsigned long long)info.row_count, info.column_count);
    plinth_parquet_close(file);
    return 0;
}
