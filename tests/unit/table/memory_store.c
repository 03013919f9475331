#include "memory_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

struct memory_object {
    struct memory_object *next;
    char name[128];
    struct buffer bytes;
};

struct memory_writer {
    struct store_writer base;
    struct memory_store *store;
    char name[128];
    struct buffer bytes;
};

struct memory_handle {
    struct store_object base;
    struct memory_store *store;
    struct buffer bytes; /* its own copy, so that reads past its end are seen by the sanitizers */
};

static enum plinth_status count_call(struct memory_store *store, struct plinth_error *error) {
    store->calls++;
    if (!store->failing_call || store->calls < store->failing_call) return PLINTH_OK;
    return error_set(error, PLINTH_IO_ERROR, "call %llu fails as told", (unsigned long long)store->calls);
}

static struct memory_object *find(struct memory_store *store, const char *name) {
    struct memory_object *object = store->objects;
    while (object && strcmp(object->name, name) != 0) object = object->next;
    return object;
}

static enum plinth_status put(struct memory_store *store, const char *name, struct slice bytes,
                              struct plinth_error *error) {
    struct memory_object *object = find(store, name);
    if (!object) {
        object = calloc(1, sizeof *object);
        if (!object) return error_no_memory(error, "object");
        strncpy(object->name, name, sizeof object->name - 1);
        object->next = store->objects;
        store->objects = object;
    }
    buffer_clear(&object->bytes);
    return buffer_append(&object->bytes, bytes.data, bytes.size) ? PLINTH_OK : error_no_memory(error, "object");
}

static enum plinth_status memory_put(struct store *base, const char *name, struct slice bytes,
                                     struct plinth_error *error) {
    struct memory_store *store = (struct memory_store *)base;
    enum plinth_status st = count_call(store, error);
    return st ? st : put(store, name, bytes, error);
}

/* ---- writers ---- */

static void memory_writer_abort(struct store_writer *base) {
    struct memory_writer *writer = (struct memory_writer *)base;
    buffer_deinit(&writer->bytes);
    free(writer);
}

static enum plinth_status memory_writer_write(struct store_writer *base, struct slice bytes,
                                              struct plinth_error *error) {
    struct memory_writer *writer = (struct memory_writer *)base;
    enum plinth_status st = count_call(writer->store, error);
    if (!st && !buffer_append(&writer->bytes, bytes.data, bytes.size)) st = error_no_memory(error, "object");
    return st;
}

static enum plinth_status memory_writer_commit(struct store_writer *base, struct plinth_error *error) {
    struct memory_writer *writer = (struct memory_writer *)base;
    enum plinth_status st = count_call(writer->store, error);
    if (!st) st = put(writer->store, writer->name, buffer_slice(&writer->bytes), error);
    memory_writer_abort(base);
    return st;
}

static const struct store_writer_ops writer_ops = {memory_writer_write, memory_writer_commit, memory_writer_abort};

static enum plinth_status memory_create(struct store *base, const char *name, struct store_writer **writer,
                                        struct plinth_error *error) {
    struct memory_store *store = (struct memory_store *)base;
    *writer = NULL;
    enum plinth_status st = count_call(store, error);
    if (st) return st;
    struct memory_writer *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "object writer");
    created->base.ops = &writer_ops;
    created->store = store;
    strncpy(created->name, name, sizeof created->name - 1);
    *writer = &created->base;
    return PLINTH_OK;
}

/* ---- handles ---- */

static enum plinth_status memory_read_at(struct store_object *base, uint64_t offset, void *into, size_t size,
                                         struct plinth_error *error) {
    struct memory_handle *handle = (struct memory_handle *)base;
    enum plinth_status st = count_call(handle->store, error);
    if (st) return st;
    if (offset > handle->bytes.size || size > handle->bytes.size - offset)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%zu bytes at %llu are past the end", size,
                         (unsigned long long)offset);
    if (size) memcpy(into, handle->bytes.data + offset, size);
    return PLINTH_OK;
}

static void memory_handle_close(struct store_object *base) {
    struct memory_handle *handle = (struct memory_handle *)base;
    free(handle->bytes.data);
    free(handle);
}

static const struct store_object_ops handle_ops = {memory_read_at, memory_handle_close};

static enum plinth_status memory_open(struct store *base, const char *name, struct store_object **object,
                                      struct plinth_error *error) {
    struct memory_store *store = (struct memory_store *)base;
    *object = NULL;
    enum plinth_status st = count_call(store, error);
    if (st) return st;
    struct memory_object *found = find(store, name);
    if (!found) return error_set(error, PLINTH_NOT_FOUND, "no object %s", name);
    struct memory_handle *handle = calloc(1, sizeof *handle);
    uint8_t *copy = malloc(found->bytes.size ? found->bytes.size : 1);
    if (!handle || !copy) {
        free(handle);
        free(copy);
        return error_no_memory(error, "object");
    }
    if (found->bytes.size) memcpy(copy, found->bytes.data, found->bytes.size);
    handle->bytes = (struct buffer){copy, found->bytes.size, found->bytes.size};
    handle->store = store;
    handle->base = (struct store_object){&handle_ops, found->bytes.size, store->map ? copy : NULL};
    *object = &handle->base;
    return PLINTH_OK;
}

static enum plinth_status memory_list(struct store *base, const char *prefix, store_list_visitor *visit, void *context,
                                      struct plinth_error *error) {
    struct memory_store *store = (struct memory_store *)base;
    enum plinth_status st = count_call(store, error);
    for (struct memory_object *object = store->objects; object && !st; object = object->next)
        if (strncmp(object->name, prefix, strlen(prefix)) == 0 && !visit(context, object->name, object->bytes.size))
            break;
    return st;
}

static enum plinth_status memory_remove(struct store *base, const char *name, struct plinth_error *error) {
    struct memory_store *store = (struct memory_store *)base;
    enum plinth_status st = count_call(store, error);
    if (st) return st;
    struct memory_object **at = &store->objects;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    if (!*at) return error_set(error, PLINTH_NOT_FOUND, "no object %s", name);
    struct memory_object *object = *at;
    *at = object->next;
    buffer_deinit(&object->bytes);
    free(object);
    return PLINTH_OK;
}

static void memory_close(struct store *base) { (void)base; }

static const struct store_ops store_ops = {memory_put,  memory_create, memory_open,
                                           memory_list, memory_remove, memory_close};

void memory_store_init(struct memory_store *store, bool map) {
    *store = (struct memory_store){.base = {&store_ops}, .map = map};
}

void memory_store_deinit(struct memory_store *store) {
    while (store->objects) {
        struct memory_object *next = store->objects->next;
        buffer_deinit(&store->objects->bytes);
        free(store->objects);
        store->objects = next;
    }
}

struct buffer *memory_store_bytes(struct memory_store *store, const char *name) {
    struct memory_object *object = find(store, name);
    return object ? &object->bytes : NULL;
}
