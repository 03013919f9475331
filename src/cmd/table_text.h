/* Tables as people write them: columns, primary key and partitions in SQL's words, and lengths of time.
 *
 *   COLUMNS   = ITEM, ITEM … [PARTITION BY COLUMN 'INTERVAL'], or the items in parentheses
 *   ITEM      = COLUMN TYPE [NOT NULL | NULL] [PRIMARY KEY] [DEFAULT VALUE] | PRIMARY KEY (COLUMN, …)
 *   VALUE     = 'text in quotes' ('' is one quote), or all up to a comma, a blank or a parenthesis
 *   COLUMN    = a word of letters, digits and _, or "anything in double quotes" ("" is one quote)
 *   INTERVAL  = NUMBER UNIT …: us, ms, s, m, h, d, w or their names, as '1 day', '12 hours', '15m', '1 day 6 hours'
 *
 * Types are only cut out here; the server knows them. Words are taken in upper and lower case. */
#ifndef PLINTH_CMD_TABLE_TEXT_H
#define PLINTH_CMD_TABLE_TEXT_H

#include "base/arena.h"

struct table_text_column {
    const char *name;
    const char *type;
    bool not_null;
    const char *default_value; /* null: none */
};

struct table_text {
    struct table_text_column *columns;
    size_t column_count;
    const char **key;
    size_t key_count;
    const char *partition_by; /* null: none */
    uint64_t partition_us;
};

/* All memory is from `arena`. PLINTH_INVALID_ARGUMENT quotes what is wrong. */
PLINTH_MUST_CHECK enum plinth_status table_text_parse(struct arena *arena, const char *text, struct table_text *table,
                                                      struct plinth_error *error);
/* Names with commas between them; the arrays end at *count. */
PLINTH_MUST_CHECK enum plinth_status table_text_names(struct arena *arena, const char *text, const char ***names,
                                                      size_t *count, struct plinth_error *error);
/* Parts of an index, names or functions of columns, likewise: "load, lower(email), date_trunc('day', at)". */
PLINTH_MUST_CHECK enum plinth_status table_text_parts(struct arena *arena, const char *text, const char ***parts,
                                                      size_t *count, struct plinth_error *error);

/* When rows expire: 'COLUMN', or 'COLUMN + INTERVAL'. The column's name is in `arena`. PLINTH_INVALID_ARGUMENT quotes
 * the text. */
PLINTH_MUST_CHECK enum plinth_status expiry_text_parse(struct arena *arena, const char *text, char **column,
                                                       uint64_t *us, struct plinth_error *error);
/* More than zero and at most UINT64_MAX microseconds. PLINTH_INVALID_ARGUMENT quotes the text. */
PLINTH_MUST_CHECK enum plinth_status interval_parse(struct slice text, uint64_t *us, struct plinth_error *error);
/* "1 day", "90 minutes": the largest unit that divides it. */
enum { INTERVAL_TEXT_MAX = 40 };
const char *interval_format(uint64_t us, char text[INTERVAL_TEXT_MAX]);

#endif
