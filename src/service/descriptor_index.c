#include "service/descriptor_index.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
    NAME = 1, /* of every descriptor */
    SET_FILE = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    MESSAGE_EXTENSION = 6,
    MESSAGE_ONEOF = 8,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
};

enum { NESTING_MAX = 32 };

/* The next length-delimited field; others are passed over. False at the end, or with reader->failed. */
static bool next_part(struct reader *reader, unsigned *number, struct slice *part) {
    while (!reader->failed && reader_left(reader)) {
        uint64_t tag = reader_varint(reader);
        *number = (unsigned)(tag >> 3);
        switch (tag & 7) {
        case 0: (void)reader_varint(reader); break;
        case 1: (void)reader_u64(reader); break;
        case 2: *part = reader_string(reader); return !reader->failed;
        case 5: (void)reader_u32(reader); break;
        default: reader->failed = true;
        }
    }
    return false;
}

/* The first part with that number; empty when there is none. */
static struct slice part_of(struct slice message, unsigned wanted) {
    struct reader reader = reader_of(message);
    unsigned number;
    struct slice part;
    while (next_part(&reader, &number, &part)) {
        if (number == wanted) return part;
    }
    return slice_of(NULL, 0);
}

/* A symbol and the scope that it opens. */
static enum plinth_status add_symbol(struct descriptor_index *index, size_t file, const char *scope, struct slice name,
                                     const char **full_name, struct plinth_error *error) {
    *full_name = "";
    if (index->symbol_count == index->symbol_capacity) {
        size_t capacity = index->symbol_capacity ? index->symbol_capacity * 2 : 256;
        struct descriptor_symbol *grown = realloc(index->symbols, capacity * sizeof *grown);
        if (!grown) return error_no_memory(error, "index of the contract");
        index->symbols = grown;
        index->symbol_capacity = capacity;
    }
    char *joined;
    if (asprintf(&joined, "%s%s%.*s", scope, *scope ? "." : "", (int)name.size, (const char *)name.data) < 0)
        return error_no_memory(error, "index of the contract");
    index->symbols[index->symbol_count++] = (struct descriptor_symbol){joined, file};
    *full_name = joined;
    return PLINTH_OK;
}

/* What a field number of one kind of descriptor leads to. */
enum kind { KIND_NONE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_LEAF };

static enum kind kind_of(enum kind parent, unsigned number) {
    switch (parent) {
    case KIND_NONE: /* of a file */
        return number == FILE_MESSAGE     ? KIND_MESSAGE
               : number == FILE_ENUM      ? KIND_ENUM
               : number == FILE_SERVICE   ? KIND_SERVICE
               : number == FILE_EXTENSION ? KIND_LEAF
                                          : KIND_NONE;
    case KIND_MESSAGE:
        return number == MESSAGE_NESTED                                                            ? KIND_MESSAGE
               : number == MESSAGE_ENUM                                                            ? KIND_ENUM
               : number == MESSAGE_FIELD || number == MESSAGE_EXTENSION || number == MESSAGE_ONEOF ? KIND_LEAF
                                                                                                   : KIND_NONE;
    case KIND_ENUM: return number == ENUM_VALUE ? KIND_LEAF : KIND_NONE;
    case KIND_SERVICE: return number == SERVICE_METHOD ? KIND_LEAF : KIND_NONE;
    default: return KIND_NONE;
    }
}

static enum plinth_status add_symbols(struct descriptor_index *index, size_t file, enum kind parent, const char *scope,
                                      struct slice message, unsigned depth, struct plinth_error *error) {
    struct reader reader = reader_of(message);
    unsigned number;
    struct slice part;
    if (depth == NESTING_MAX) return error_set(error, PLINTH_CORRUPT, "descriptors: nested too deep");
    while (next_part(&reader, &number, &part)) {
        enum kind kind = kind_of(parent, number);
        if (kind == KIND_NONE) continue;
        const char *name;
        enum plinth_status st = add_symbol(index, file, scope, part_of(part, NAME), &name, error);
        if (!st && kind != KIND_LEAF) st = add_symbols(index, file, kind, name, part, depth + 1, error);
        if (st) return st;
    }
    return reader.failed ? error_set(error, PLINTH_CORRUPT, "descriptors: malformed below %s", scope) : PLINTH_OK;
}

static enum plinth_status add_file(struct descriptor_index *index, struct slice bytes, struct plinth_error *error) {
    struct descriptor_file *grown = realloc(index->files, (index->file_count + 1) * sizeof *grown);
    if (!grown) return error_no_memory(error, "index of the contract");
    index->files = grown;
    struct descriptor_file *file = &index->files[index->file_count++];
    *file = (struct descriptor_file){.name = part_of(bytes, NAME), .bytes = bytes};
    struct reader reader = reader_of(bytes);
    unsigned number;
    struct slice part;
    while (next_part(&reader, &number, &part)) {
        if (number != FILE_DEPENDENCY) continue;
        struct slice *imports = realloc(file->imports, (file->import_count + 1) * sizeof *imports);
        if (!imports) return error_no_memory(error, "index of the contract");
        file->imports = imports;
        file->imports[file->import_count++] = part;
    }
    struct slice package = part_of(bytes, FILE_PACKAGE);
    char scope[256];
    snprintf(scope, sizeof scope, "%.*s", (int)package.size, package.size ? (const char *)package.data : "");
    return add_symbols(index, index->file_count - 1, KIND_NONE, scope, bytes, 0, error);
}

static int compare_symbols(const void *a, const void *b) {
    return strcmp(((const struct descriptor_symbol *)a)->name, ((const struct descriptor_symbol *)b)->name);
}

enum plinth_status descriptor_index_init(struct descriptor_index *index, struct slice set, struct plinth_error *error) {
    *index = (struct descriptor_index){0};
    struct reader reader = reader_of(set);
    unsigned number;
    struct slice part;
    enum plinth_status st = PLINTH_OK;
    while (!st && next_part(&reader, &number, &part)) {
        if (number == SET_FILE) st = add_file(index, part, error);
    }
    if (!st && (reader.failed || !index->file_count))
        st = error_set(error, PLINTH_CORRUPT, "descriptors: not a descriptor set");
    if (st)
        descriptor_index_deinit(index);
    else if (index->symbol_count)
        qsort(index->symbols, index->symbol_count, sizeof *index->symbols, compare_symbols);
    return st;
}

void descriptor_index_deinit(struct descriptor_index *index) {
    for (size_t i = 0; i < index->symbol_count; i++) free(index->symbols[i].name);
    for (size_t i = 0; i < index->file_count; i++) free(index->files[i].imports);
    free(index->symbols);
    free(index->files);
    *index = (struct descriptor_index){0};
}

const struct descriptor_file *descriptor_index_file(const struct descriptor_index *index, struct slice name) {
    for (size_t i = 0; i < index->file_count; i++) {
        if (slice_equal(index->files[i].name, name)) return &index->files[i];
    }
    return NULL;
}

const struct descriptor_file *descriptor_index_symbol(const struct descriptor_index *index, const char *name) {
    if (!index->symbol_count) return NULL;
    struct descriptor_symbol wanted = {.name = (char *)name};
    const struct descriptor_symbol *found =
        bsearch(&wanted, index->symbols, index->symbol_count, sizeof wanted, compare_symbols);
    return found ? &index->files[found->file] : NULL;
}

size_t descriptor_index_closure(const struct descriptor_index *index, const struct descriptor_file *file,
                                const struct descriptor_file **found) {
    size_t count = 0;
    found[count++] = file;
    for (size_t at = 0; at < count; at++) {
        for (size_t i = 0; i < found[at]->import_count; i++) {
            const struct descriptor_file *import = descriptor_index_file(index, found[at]->imports[i]);
            bool known = !import;
            for (size_t j = 0; j < count && !known; j++) known = found[j] == import;
            if (!known) found[count++] = import;
        }
    }
    return count;
}
