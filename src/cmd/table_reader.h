/* Files as rows of typed columns: what `plinth import` sends.
 *
 *     table_reader_open → [table_reader_guess] → table_reader_bind → table_reader_next* → table_reader_close
 *
 * CSV and TSV (csv.h) and JSON Lines (json_line.h) are parsed straight into the types of the table's columns; Arrow
 * streams and files and Parquet files have types of their own, which the server casts. Columns go together by name,
 * exactly or else in another case; maps rename and leave out.
 *
 * Batches are cut by rows and bytes of the file alone: the same file gives the same batches, which is what makes
 * sending them again harmless. A row that cannot be read ends the reading with "FILE:LINE: column NAME: why", or, with
 * `on_reject`, is told and left out. */
#ifndef PLINTH_CMD_TABLE_READER_H
#define PLINTH_CMD_TABLE_READER_H

#include "cmd/typed_text.h"
#include "column/arrow_ipc.h"

enum table_format { TABLE_CSV, TABLE_TSV, TABLE_JSONL, TABLE_ARROW, TABLE_PARQUET };

/* --map 'file=column'; an empty `column`: left out. */
struct column_map {
    const char *file;
    const char *column;
};

struct table_reader_options {
    bool has_format; /* else by the file's name: .csv, .tsv, .jsonl, .arrow, .parquet before .gz or .zst */
    enum table_format format;
    char delimiter; /* 0: the format's */
    struct text_format text;
    const char *const *columns; /* CSV: the file has no header, these are its columns; null: it has one */
    size_t column_count;
    const struct column_map *maps;
    size_t map_count;
    uint32_t batch_rows_max;
    uint32_t batch_bytes_max; /* about, in memory */
    uint32_t guess_rows_max;
    bool keeps_raw; /* rows as they are in the file, for reports */
    /* A row that cannot be read. `raw` is the row in the file, or empty. Null: it is an error. */
    void (*on_reject)(void *context, uint64_t line, struct slice raw, const char *reason);
    void *context;
};

/* A column of the table, or of the file under the name that the table has for it. */
struct table_reader_column {
    const char *name;
    struct column_type type;
    bool not_null;
    bool is_key;      /* not_null because of it */
    bool has_default; /* a file may lack the column, even if it is not_null */
};

/* Rows of one batch. `{0}` is empty; used again, it keeps its memory. */
struct table_rows {
    struct arrow_schema schema; /* valid as long as the reader */
    struct batch *batch;        /* valid until the next call */
    uint64_t first_line;        /* of the batch */
    struct buffer lines;        /* uint64 a row: its line, or number from 1 in files without lines */
    struct buffer raw;          /* with keeps_raw, of text */
    struct buffer raw_ends;     /* uint64 a row */
};
void table_rows_deinit(struct table_rows *rows);
uint64_t table_rows_line(const struct table_rows *rows, uint32_t row);
/* Empty when it is not kept. */
struct slice table_rows_raw(const struct table_rows *rows, uint32_t row);

struct table_reader;

/* `options` and what it points to are borrowed. Errors name the file. PLINTH_UNSUPPORTED: wrong usage. */
PLINTH_MUST_CHECK enum plinth_status table_reader_open(const char *path, const struct table_reader_options *options,
                                                       struct table_reader **reader, struct plinth_error *error);
/* The file's columns with their types, which of text are guessed by its first rows. Before table_reader_bind. */
PLINTH_MUST_CHECK enum plinth_status table_reader_guess(struct table_reader *reader,
                                                        const struct table_reader_column **columns, size_t *count,
                                                        struct plinth_error *error);
/* Says what the columns of the table are. With `adds_columns`, columns that it does not have keep the type they have in
 * the file; else they are an error, as are missing ones that must not be null. */
PLINTH_MUST_CHECK enum plinth_status table_reader_bind(struct table_reader *reader,
                                                       const struct table_reader_column *columns, size_t count,
                                                       bool adds_columns, struct plinth_error *error);
/* The next batch; `*end` (and no rows) when there is none. */
PLINTH_MUST_CHECK enum plinth_status table_reader_next(struct table_reader *reader, struct table_rows *rows, bool *end,
                                                       struct plinth_error *error);
/* The path as given, "standard input" for "-". */
const char *table_reader_name(const struct table_reader *reader);
/* Whether lines are lines (of text), else rows. */
bool table_reader_has_lines(const struct table_reader *reader);
/* Bytes of the file (0: unknown), and how many were read. */
uint64_t table_reader_size(const struct table_reader *reader);
uint64_t table_reader_consumed(const struct table_reader *reader);
/* Null is allowed. */
void table_reader_close(struct table_reader *reader);

#endif
