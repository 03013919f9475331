#include "store/store.h"

#include <string.h>

#include "base/status.h"

static bool name_byte_allowed(char c) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && strchr("._-=+@,", c) != NULL;
}

static const char *part_problem(const char *part, size_t size) {
    if (size == 0) return "has an empty part";
    if (size > 200) return "has a part of more than 200 bytes";
    if (size <= 2 && strncmp(part, "..", size) == 0) return "has a part \".\" or \"..\"";
    if (size >= 4 && memcmp(part + size - 4, ".tmp", 4) == 0) return "has a part that ends in \".tmp\"";
    for (size_t i = 0; i < size; i++) {
        if (!name_byte_allowed(part[i])) return "has a byte other than A-Z a-z 0-9 . _ - = + @ ,";
    }
    return NULL;
}

enum plinth_status store_name_check(const char *name, struct plinth_error *error) {
    size_t size = strlen(name);
    if (size > STORE_NAME_BYTES_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "object name of %zu bytes, %d are possible", size,
                         STORE_NAME_BYTES_MAX);
    }
    for (const char *part = name;;) {
        size_t part_size = strcspn(part, "/");
        const char *problem = part_problem(part, part_size);
        if (problem) return error_set(error, PLINTH_INVALID_ARGUMENT, "object name \"%s\" %s", name, problem);
        if (!part[part_size]) return PLINTH_OK;
        part += part_size + 1;
    }
}

enum plinth_status store_put(struct store *store, const char *name, struct slice bytes, struct plinth_error *error) {
    enum plinth_status st = store_name_check(name, error);
    return st ? st : store->ops->put(store, name, bytes, error);
}

enum plinth_status store_create(struct store *store, const char *name, struct store_writer **writer,
                                struct plinth_error *error) {
    *writer = NULL;
    enum plinth_status st = store_name_check(name, error);
    return st ? st : store->ops->create(store, name, writer, error);
}

enum plinth_status store_write(struct store_writer *writer, struct slice bytes, struct plinth_error *error) {
    return writer->ops->write(writer, bytes, error);
}

enum plinth_status store_commit(struct store_writer *writer, struct plinth_error *error) {
    return writer->ops->commit(writer, error);
}

void store_abort(struct store_writer *writer) {
    if (writer) writer->ops->abort(writer);
}

enum plinth_status store_open(struct store *store, const char *name, struct store_object **object,
                              struct plinth_error *error) {
    *object = NULL;
    enum plinth_status st = store_name_check(name, error);
    return st ? st : store->ops->open(store, name, object, error);
}

enum plinth_status object_read_at(struct store_object *object, uint64_t offset, void *into, size_t size,
                                  struct plinth_error *error) {
    if (offset > object->size || size > object->size - offset) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "read of %zu bytes at %llu in an object of %llu", size,
                         (unsigned long long)offset, (unsigned long long)object->size);
    }
    return object->ops->read_at(object, offset, into, size, error);
}

void object_close(struct store_object *object) {
    if (object) object->ops->close(object);
}

enum plinth_status store_list(struct store *store, const char *prefix, store_list_visitor *visit, void *context,
                              struct plinth_error *error) {
    return store->ops->list(store, prefix, visit, context, error);
}

enum plinth_status store_remove(struct store *store, const char *name, struct plinth_error *error) {
    enum plinth_status st = store_name_check(name, error);
    return st ? st : store->ops->remove(store, name, error);
}

void store_close(struct store *store) {
    if (store) store->ops->close(store);
}
