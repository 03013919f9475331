/* Arrow IPC streams and files as rows (table_reader.h). A file is read as the stream that it holds behind its magic, so
 * that pipes and compressed files work alike; the footer is not needed. */
#include <stdlib.h>

#include "base/status.h"
#include "cmd/table_reader_private.h"

enum { READ_BYTES = 1 << 20, FILE_MAGIC_BYTES = 8 };

struct arrow_file {
    struct table_reader base;
    struct file_source *source;
    struct arrow_reader *arrow;
    struct buffer bytes; /* what is read and not used up; kept aligned by moving it to the front */
    size_t at;
    bool ended; /* the end marker was read */
    bool file_over;
    struct batch *whole; /* of the last message; borrows from `bytes` */
    uint32_t whole_next;
    size_t whole_used; /* its message's bytes, given up with it */
    uint64_t rows;     /* that were given */
};

static struct arrow_file *arrow_file_of(struct table_reader *reader) { return (struct arrow_file *)reader; }

static enum plinth_status fill(struct arrow_file *file, struct plinth_error *error) {
    if (file->at) {
        memmove(file->bytes.data, file->bytes.data + file->at, file->bytes.size - file->at);
        file->bytes.size -= file->at;
        file->at = 0;
    }
    size_t wanted = file->bytes.size < READ_BYTES ? READ_BYTES : file->bytes.size, got = 0, before = file->bytes.size;
    if (!buffer_reserve(&file->bytes, wanted)) return error_no_memory(error, "Arrow message");
    while (file->bytes.size - before < wanted) {
        enum plinth_status st =
            file_source_read(file->source, file->bytes.data + file->bytes.size, wanted, &got, error);
        if (st) {
            error_prefix(error, "%s", file->base.name);
            return st;
        }
        file->bytes.size += got;
        wanted -= got;
        if (!got || wanted == 0) break;
    }
    file->file_over = file->bytes.size == before;
    return PLINTH_OK;
}

/* The next record batch, or the schema; `*batch` null at the end. */
static enum plinth_status next_message(struct arrow_file *file, bool schema_only, struct batch **batch,
                                       struct plinth_error *error) {
    *batch = NULL;
    while (!file->ended && !*batch && !(schema_only && arrow_reader_schema(file->arrow))) {
        size_t used = 0;
        struct slice left = slice_of(file->bytes.data + file->at, file->bytes.size - file->at);
        enum plinth_status st = PLINTH_OK;
        if (left.size) st = arrow_reader_next(file->arrow, left, &used, batch, &file->ended, error);
        if (st) {
            error_prefix(error, "%s", file->base.name);
            return st;
        }
        if (*batch)
            file->whole_used = used;
        else
            file->at += used;
        if (used || *batch || file->ended) continue;
        if (file->file_over) {
            if (file->bytes.size > file->at)
                return error_set(error, PLINTH_CORRUPT, "%s: cut off inside an Arrow message", file->base.name);
            break; /* a stream may lack its end marker */
        }
        st = fill(file, error);
        if (st) return st;
    }
    return PLINTH_OK;
}

static enum plinth_status read_schema(struct arrow_file *file, struct plinth_error *error) {
    struct batch *none;
    enum plinth_status st = fill(file, error);
    if (st) return st;
    if (file->bytes.size >= FILE_MAGIC_BYTES && memcmp(file->bytes.data, "ARROW1\0", 8) == 0)
        file->at = FILE_MAGIC_BYTES;
    st = next_message(file, true, &none, error);
    if (st) return st;
    const struct arrow_schema *schema = arrow_reader_schema(file->arrow);
    if (!schema) return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: no Arrow schema in it", file->base.name);
    struct slice *names = malloc((schema->field_count + 1) * sizeof *names);
    if (!names) return error_no_memory(error, "columns");
    for (uint32_t i = 0; i < schema->field_count; i++) names[i] = slice_of_string(schema->fields[i].name);
    st = table_reader_name_columns(&file->base, names, schema->field_count, error);
    free(names);
    for (uint32_t i = 0; !st && i < schema->field_count; i++) file->base.columns[i].type = schema->fields[i].type;
    return st;
}

static enum plinth_status arrow_guess(struct table_reader *base, struct plinth_error *error) {
    (void)base, (void)error; /* the schema has told */
    return PLINTH_OK;
}

static enum plinth_status arrow_bind(struct table_reader *base, struct plinth_error *error) {
    return table_reader_check_casts(base, error);
}

static void give_up_whole(struct arrow_file *file) {
    batch_unref(file->whole);
    file->whole = NULL;
    file->at += file->whole_used;
    file->whole_used = 0;
    file->whole_next = 0;
}

static enum plinth_status arrow_next(struct table_reader *base, struct table_rows *rows, bool *end,
                                     struct plinth_error *error) {
    struct arrow_file *file = arrow_file_of(base);
    while (!file->whole || file->whole_next == file->whole->rows) {
        if (file->whole) give_up_whole(file);
        enum plinth_status st = next_message(file, false, &file->whole, error);
        if (st) return st;
        *end = !file->whole;
        if (*end) return PLINTH_OK;
    }
    uint32_t count = table_reader_slice_rows(base, file->whole), left = file->whole->rows - file->whole_next;
    if (count > left) count = left;
    enum plinth_status st = table_reader_slice(base, file->whole, file->whole_next, count, file->rows + 1, rows, error);
    if (st) return st;
    file->whole_next += count;
    file->rows += count;
    return PLINTH_OK;
}

static uint64_t arrow_consumed(const struct table_reader *base) {
    return file_source_consumed(((const struct arrow_file *)base)->source);
}
static uint64_t arrow_size(const struct table_reader *base) {
    return file_source_size(((const struct arrow_file *)base)->source);
}

static void arrow_close(struct table_reader *base) {
    struct arrow_file *file = arrow_file_of(base);
    batch_unref(file->whole);
    arrow_reader_destroy(file->arrow);
    file_source_close(file->source);
    buffer_deinit(&file->bytes);
    free(file);
}

static const struct table_reader_ops arrow_ops = {.guess = arrow_guess,
                                                  .bind = arrow_bind,
                                                  .next = arrow_next,
                                                  .consumed = arrow_consumed,
                                                  .size = arrow_size,
                                                  .close = arrow_close};

enum plinth_status table_reader_arrow_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                           struct plinth_error *error) {
    struct arrow_file *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "import");
    made->base = *shape;
    made->base.ops = &arrow_ops;
    arena_init(&made->base.arena);
    enum plinth_status st = file_source_open(path, &made->source, error);
    if (!st) made->base.name = file_source_name(made->source);
    if (!st) st = arrow_reader_create(NULL, &made->arrow, error);
    if (!st) st = read_schema(made, error);
    if (st) {
        table_reader_close(&made->base);
        return st == PLINTH_UNSUPPORTED ? PLINTH_INVALID_ARGUMENT : st; /* the file's fault, not the usage's */
    }
    *reader = &made->base;
    return PLINTH_OK;
}
