/* The rows of an import, from CSV, TSV or JSON Lines.
 *
 * CSV and TSV begin with a header. The column `key` (or --key-column) is the key, `value` (or --value-column) the
 * value, and every other column an index of its name; with --index only the columns named are. An empty field of an
 * index column means that the row has no entry in that index. JSON Lines have the same names in each object.
 * Errors name line and column. Keys, values and index values are checked against their limits here, so that an error
 * names the row and not a batch. */
#ifndef PLINTH_CMD_ROW_READER_H
#define PLINTH_CMD_ROW_READER_H

#include "base/bytes.h"
#include "cmd/batch_builder.h"
#include "cmd/cli_output.h"
#include "cmd/options.h"

struct row_reader;

/* Slices are valid until the next row. */
struct import_row {
    uint64_t line;
    struct slice key;
    struct slice value;
    const struct batch_index_value *indexes;
    size_t index_count;
};

/* Reads --format (else by the name: .csv, .tsv, .jsonl before .gz or .zst; else csv), --key-column, --value-column and
 * --index of `options`. With `bytes` other than BYTES_TEXT fields are decoded. PLINTH_UNSUPPORTED: wrong usage. */
PLINTH_MUST_CHECK enum plinth_status row_reader_open(const char *path, const struct options *options,
                                                     enum bytes_format bytes, struct row_reader **reader,
                                                     struct plinth_error *error);
/* `*end` when there are no more. */
PLINTH_MUST_CHECK enum plinth_status row_reader_next(struct row_reader *reader, struct import_row *row, bool *end,
                                                     struct plinth_error *error);
const char *row_reader_name(const struct row_reader *reader);
/* Bytes of the file (0: unknown), and how many were read. */
uint64_t row_reader_size(const struct row_reader *reader);
uint64_t row_reader_consumed(const struct row_reader *reader);
/* Null is allowed. */
void row_reader_close(struct row_reader *reader);

#endif
