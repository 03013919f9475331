#include "cmd/json_out.h"

#include <inttypes.h>

#include "cmd/byte_text.h"

enum { FLUSH_BYTES = 64 << 10 };

static void put(struct json_out *out, const char *text) {
    if (!buffer_append(&out->line, text, strlen(text))) out->failed = true;
}

static void flush(struct json_out *out) {
    if (out->line.size && fwrite(out->line.data, 1, out->line.size, out->file) != out->line.size) out->failed = true;
    buffer_clear(&out->line);
}

static void put_indent(struct json_out *out) {
    put(out, "\n");
    for (unsigned i = 0; i < out->depth; i++) put(out, "  ");
}

/* What stands before a value. */
static void put_name(struct json_out *out, const char *name) {
    if (out->line.size > FLUSH_BYTES) flush(out);
    if (out->depth && out->depth <= JSON_OUT_DEPTH_MAX) {
        if (out->has_members[out->depth - 1]) put(out, ",");
        out->has_members[out->depth - 1] = true;
        put_indent(out);
    }
    if (!name) return;
    if (!json_string_append(&out->line, slice_of_string(name))) out->failed = true;
    put(out, ": ");
}

void json_out_init(struct json_out *out, FILE *file) { *out = (struct json_out){.file = file}; }

void json_begin(struct json_out *out, const char *name, char kind) {
    put_name(out, name);
    put(out, kind == '{' ? "{" : "[");
    if (out->depth < JSON_OUT_DEPTH_MAX) {
        out->has_members[out->depth] = false;
        out->ends[out->depth] = kind == '{' ? '}' : ']';
    } else {
        out->failed = true;
    }
    out->depth++;
}

void json_end(struct json_out *out) {
    if (--out->depth >= JSON_OUT_DEPTH_MAX) return; /* failed */
    const char end[2] = {out->ends[out->depth], '\0'};
    if (out->has_members[out->depth]) put_indent(out);
    put(out, end);
}

void json_text(struct json_out *out, const char *name, struct slice text) {
    put_name(out, name);
    struct buffer escaped = BUFFER_INIT;
    bool is_ok = true;
    if (!bytes_are_utf8(text)) {
        is_ok = escaped_text_append(&escaped, text);
        text = buffer_slice(&escaped);
    }
    if (!is_ok || !json_string_append(&out->line, text)) out->failed = true;
    buffer_deinit(&escaped);
}

void json_number(struct json_out *out, const char *name, uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    put_name(out, name);
    put(out, text);
}

void json_integer(struct json_out *out, const char *name, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    put_name(out, name);
    put(out, text);
}

void json_bool(struct json_out *out, const char *name, bool value) {
    put_name(out, name);
    put(out, value ? "true" : "false");
}

void json_raw(struct json_out *out, const char *name, struct slice json) {
    put_name(out, name);
    if (!buffer_append(&out->line, json.data, json.size)) out->failed = true;
}

bool json_finish(struct json_out *out) {
    put(out, "\n");
    flush(out);
    if (fflush(out->file) || ferror(out->file)) out->failed = true;
    buffer_deinit(&out->line);
    return !out->failed;
}
