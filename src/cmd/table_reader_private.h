/* What the kinds of table readers share. */
#ifndef PLINTH_CMD_TABLE_READER_PRIVATE_H
#define PLINTH_CMD_TABLE_READER_PRIVATE_H

#include "cmd/file_source.h"
#include "cmd/table_reader.h"

struct table_reader_ops {
    enum plinth_status (*guess)(struct table_reader *, struct plinth_error *); /* fills in types of `columns` */
    enum plinth_status (*bind)(struct table_reader *, struct plinth_error *);  /* after `bound` was filled in */
    enum plinth_status (*next)(struct table_reader *, struct table_rows *, bool *end, struct plinth_error *);
    uint64_t (*consumed)(const struct table_reader *);
    uint64_t (*size)(const struct table_reader *);
    void (*close)(struct table_reader *);
};

/* Embedded, as first member, in the readers. */
struct table_reader {
    const struct table_reader_ops *ops;
    const struct table_reader_options *options;
    enum table_format format;
    const char *name;
    struct arena arena;                  /* as long as the reader */
    struct table_reader_column *columns; /* of the file, mapped names; empty name: left out */
    const char **file_names;             /* of the same columns, as in the file */
    size_t column_count;
    bool has_columns;                        /* JSON has them only when it was guessed or bound */
    struct table_reader_column *bound;       /* for each column of the file, what is sent; empty name: left out */
    const struct table_reader_column *table; /* as given to bind; names copied */
    size_t table_count;
    bool adds_columns;
    struct arrow_field *fields; /* of the batches */
};

enum plinth_status table_reader_text_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                          struct plinth_error *error);
enum plinth_status table_reader_arrow_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                           struct plinth_error *error);
enum plinth_status table_reader_parquet_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                             struct plinth_error *error);

/* Sets the columns' names, in the arena, with maps applied; types are left 0. */
PLINTH_MUST_CHECK enum plinth_status table_reader_name_columns(struct table_reader *reader, const struct slice *names,
                                                               size_t count, struct plinth_error *error);
/* The column of that name, exactly or else in another case; -1. */
int64_t table_reader_find(const struct table_reader_column *columns, size_t count, struct slice name);
/* The name that a column of the file has in the table: mapped, or its own. Empty: left out. */
struct slice table_reader_map(const struct table_reader_options *options, struct slice file);
/* A row that cannot be read: told to on_reject (then PLINTH_OK), or made an error that names file and line. */
PLINTH_MUST_CHECK enum plinth_status table_reader_reject(const struct table_reader *reader, uint64_t line,
                                                         struct slice raw, const struct plinth_error *why,
                                                         struct plinth_error *error);
/* The rows [first, first + count) of a columnar batch as `rows`: the bound columns, numbered from `number`. */
PLINTH_MUST_CHECK enum plinth_status table_reader_slice(struct table_reader *reader, struct batch *whole,
                                                        uint32_t first, uint32_t count, uint64_t number,
                                                        struct table_rows *rows, struct plinth_error *error);
/* How many rows of a batch make a request. */
uint32_t table_reader_slice_rows(const struct table_reader *reader, const struct batch *whole);
/* Columnar readers: types go together. */
PLINTH_MUST_CHECK enum plinth_status table_reader_check_casts(const struct table_reader *reader,
                                                              struct plinth_error *error);

#endif
