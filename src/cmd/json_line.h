/* Reads one line of JSON Lines: an object of names and texts, as `plinth kv export --format jsonl` writes it.
 *
 * Values may be strings, numbers, true, false (kept as their text) and null (kept as missing); objects and arrays
 * inside are refused, but for the list of index values:
 *
 *     "indexes": [{"index": NAME, "value": VALUE}, ...]
 *
 * A name that ends in "_base64" stands for the name without it, with bytes for a value.
 *
 * For typed columns json_line_parse_values takes any JSON value and tells its kind; arrays and objects are kept as they
 * are written, and names too. */
#ifndef PLINTH_CMD_JSON_LINE_H
#define PLINTH_CMD_JSON_LINE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "table/table_schema.h"

enum {
    JSON_MEMBERS_MAX = TABLE_COLUMNS_MAX,
    JSON_SLOTS = 4096 /* a power of two, above twice as many */
};

enum json_kind { JSON_TEXT, JSON_NUMBER, JSON_BOOL, JSON_NULL, JSON_ARRAY, JSON_OBJECT };

struct json_member {
    enum json_kind kind;
    struct slice name; /* without "_base64" */
    struct slice value;
    size_t column; /* where the value starts, from 1 */
};

/* An element of "indexes". */
struct json_index {
    struct slice index;
    struct slice value;
    size_t column; /* where the element starts, from 1 */
};

struct json_line {
    struct json_member members[JSON_MEMBERS_MAX];
    size_t count;
    struct json_index *indexes;
    size_t index_count;
    bool has_indexes;           /* a list that may be empty */
    uint16_t slots[JSON_SLOTS]; /* of many members, by name: their numbers plus 1, 0 for a free one */
};

/* Slices point into `arena`. PLINTH_INVALID_ARGUMENT, "column N: ...", for what is not such an object. */
PLINTH_MUST_CHECK enum plinth_status json_line_parse(struct json_line *line, struct slice text, struct arena *arena,
                                                     struct plinth_error *error);
/* The same for any values; nulls are members, too. */
PLINTH_MUST_CHECK enum plinth_status json_line_parse_values(struct json_line *line, struct slice text,
                                                            struct arena *arena, struct plinth_error *error);
/* The elements of a JSON_ARRAY, without names; in `arena`. */
PLINTH_MUST_CHECK enum plinth_status json_array_parse(struct slice text, struct arena *arena,
                                                      struct json_member **elements, size_t *count,
                                                      struct plinth_error *error);
/* Null when there is none of that name. */
const struct json_member *json_line_find(const struct json_line *line, const char *name);

#endif
