/* The contract of this server as protobuf descriptors, found by file name and by symbol.
 *
 * Built once from a serialized google.protobuf.FileDescriptorSet (api/CMakeLists.txt embeds one). Only what the index
 * needs is read: names, packages and imports; the files themselves are handed out as the bytes that they are. */
#ifndef PLINTH_SERVICE_DESCRIPTOR_INDEX_H
#define PLINTH_SERVICE_DESCRIPTOR_INDEX_H

#include "base/bytes.h"

struct descriptor_file {
    struct slice name;
    struct slice bytes; /* a FileDescriptorProto */
    struct slice *imports;
    size_t import_count;
};

struct descriptor_symbol {
    char *name; /* "package.Message.Nested.field" */
    size_t file;
};

struct descriptor_index {
    struct descriptor_file *files;
    size_t file_count;
    struct descriptor_symbol *symbols; /* sorted by name */
    size_t symbol_count;
    size_t symbol_capacity;
};

/* `set` is borrowed for as long as the index lives. PLINTH_CORRUPT when it is no descriptor set. */
PLINTH_MUST_CHECK enum plinth_status descriptor_index_init(struct descriptor_index *index, struct slice set,
                                                           struct plinth_error *error);
void descriptor_index_deinit(struct descriptor_index *index);

/* Null when there is none. */
const struct descriptor_file *descriptor_index_file(const struct descriptor_index *index, struct slice name);
const struct descriptor_file *descriptor_index_symbol(const struct descriptor_index *index, const char *name);

/* `file` and everything it imports, each once, into `found` (room for file_count); returns how many. */
size_t descriptor_index_closure(const struct descriptor_index *index, const struct descriptor_file *file,
                                const struct descriptor_file **found);

#endif
