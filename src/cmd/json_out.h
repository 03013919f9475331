/* JSON as it is written by commands that have more to say than rows: objects and arrays inside each other, indented.
 *
 *     json_begin(out, NULL, '{') → json_text, json_number, ... json_begin, json_end ... → json_end → json_finish
 *
 * Names are null inside arrays. What fails (memory, the file) is told by json_finish. */
#ifndef PLINTH_CMD_JSON_OUT_H
#define PLINTH_CMD_JSON_OUT_H

#include <stdio.h>

#include "base/bytes.h"

enum { JSON_OUT_DEPTH_MAX = 264 }; /* beyond, json_finish fails */

struct json_out {
    FILE *file;
    struct buffer line;
    unsigned depth;
    bool has_members[JSON_OUT_DEPTH_MAX];
    char ends[JSON_OUT_DEPTH_MAX];
    bool failed;
};

void json_out_init(struct json_out *out, FILE *file);
/* `kind` is '{' or '['. */
void json_begin(struct json_out *out, const char *name, char kind);
void json_end(struct json_out *out);
/* Text that is no UTF-8 is shown with escapes, \xNN. */
void json_text(struct json_out *out, const char *name, struct slice text);
void json_number(struct json_out *out, const char *name, uint64_t number);
void json_integer(struct json_out *out, const char *name, int64_t number);
void json_bool(struct json_out *out, const char *name, bool value);
/* What is JSON already. */
void json_raw(struct json_out *out, const char *name, struct slice json);
/* Writes the rest and frees; false when anything could not be written. */
PLINTH_MUST_CHECK bool json_finish(struct json_out *out);

#endif
