/* The options of plinth import, read; and the table that --create makes. */
#ifndef PLINTH_CMD_CLI_IMPORT_OPTIONS_H
#define PLINTH_CMD_CLI_IMPORT_OPTIONS_H

#include "cmd/cli.h"
#include "cmd/table_reader.h"
#include "cmd/table_text.h"

enum import_on_error { IMPORT_STOP, IMPORT_SKIP, IMPORT_FILE };

struct import_options {
    struct arena arena;
    enum import_on_error on_error;
    Plinth__V1__Durability durability;
    bool restart;
    bool create;
    bool adds_columns;
    struct table_text types; /* --types; no columns: not given */
    const char **key;        /* --key */
    size_t key_count;
};

/* False when said to be wrong already; deinit in any case. What `reading` points to is in `options`. */
bool import_options_parse(struct cli *cli, struct import_options *options, struct table_reader_options *reading);
void import_options_deinit(struct import_options *options);
/* Makes the table, of --types or else of the columns. The exit code, said already. */
int import_create_table(struct cli *cli, const struct import_options *options, const char *name,
                        const struct table_reader_column *columns, size_t count);

#endif
