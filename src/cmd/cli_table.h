/* What the commands on tables have in common. */
#ifndef PLINTH_CMD_CLI_TABLE_H
#define PLINTH_CMD_CLI_TABLE_H

#include "cmd/cli.h"
#include "cmd/table_text.h"
#include "plinth/v1/admin.pb-c.h"

extern const char *const cli_codec_names[]; /* by number; ends with null */

/* The table of that name in the database that the command is about; borrowed. */
Plinth__V1__Table cli_table_of(const struct cli *cli, const char *name);
/* Columns as messages; memory is from `arena`. */
Plinth__V1__Column **cli_column_messages(struct arena *arena, const struct table_text *table);
/* Prints what was made, changed or dropped: its names. `what` null: the table only. Gives the exit code. */
int cli_print_names(const struct cli *cli, const char *table, const char *what, const char *name);

#endif
