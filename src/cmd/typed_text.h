/* Values of files as text, appended to the builders of typed columns; and what type texts seem to have. */
#ifndef PLINTH_CMD_TYPED_TEXT_H
#define PLINTH_CMD_TYPED_TEXT_H

#include "cmd/json_line.h"
#include "column/column_builder.h"

struct text_format {
    const struct slice *nulls; /* texts that mean null */
    size_t null_count;
    bool empty_is_null;      /* an unquoted empty field, too; of other types than text it always is */
    const char *date_format; /* time_pattern.h; null: YYYY-MM-DD */
    const char *time_format; /* null: ISO 8601 */
};

bool text_is_null(const struct text_format *format, struct slice text, bool quoted, struct column_type type);

/* Appends a value that is not null, or tells what is wrong: "'abc' is not a number (int32)". Nothing is then appended.
 * Spaces around anything but strings and bytes are passed over. */
PLINTH_MUST_CHECK enum plinth_status text_append(struct column_builder *builder, const struct text_format *format,
                                                 struct slice text, struct plinth_error *error);
/* The same for a value of JSON, nulls included; arrays are lists. `scratch` is for the elements. */
PLINTH_MUST_CHECK enum plinth_status json_append(struct column_builder *builder, const struct text_format *format,
                                                 const struct json_member *member, struct arena *scratch,
                                                 struct plinth_error *error);

/* ---- what type is it? ---- */

/* What the values seen so far could all be. `{0}`: none were seen. */
struct type_guess {
    uint32_t impossible; /* bits 1 << enum guess */
    uint64_t values;     /* that were not null */
    bool is_list;
    uint32_t element_impossible; /* of list elements */
    uint64_t elements;
};

void guess_text(struct type_guess *guess, const struct text_format *format, struct slice text);
void guess_json(struct type_guess *guess, const struct text_format *format, const struct json_member *member,
                struct arena *scratch);
/* bool, int64, uint64, float64, date, timestamp(us), timestamp(us, utc), uuid, the first that all values are; else, and
 * where there were none, string. Numbers with leading zeros or of more digits than the types have stay strings: they
 * would not come out again as they went in. */
struct column_type guess_type(const struct type_guess *guess);

#endif
