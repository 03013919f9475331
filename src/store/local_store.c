#include "store/local_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/status.h"
#include "store/directory_set.h"
#include "store/handle_cache.h"

enum { WRITE_BUFFER_BYTES = 128 * 1024, HANDLES_MIN = 16, HANDLES_MAX = 16384 };

struct local_store {
    struct store base;
    struct env *env;
    struct local_store_options options;
    struct handle_cache *handles;
    pthread_mutex_t directories_mutex; /* held while directories are made or removed; guards `durable` */
    struct directory_set durable;
    size_t directory_bytes; /* strlen(directory) */
    char directory[];
};

struct local_writer {
    struct store_writer base;
    struct local_store *store;
    struct env_file *file;
    char *temporary; /* paths, owned */
    char *final;
    uint64_t offset; /* where the buffer will go */
    size_t buffered_bytes;
    enum plinth_status failed; /* the first failure of a write */
    uint8_t buffer[WRITE_BUFFER_BYTES];
};

struct local_object {
    struct store_object base;
    struct local_store *store;
    struct handle handle; /* pinned while the object is mapped */
    char *path;
};

/* ---- paths ---- */

/* "<left><right>", from malloc. */
static char *string_join(const char *left, const char *right) {
    size_t left_bytes = strlen(left), right_bytes = strlen(right);
    char *joined = malloc(left_bytes + right_bytes + 1);
    if (!joined) return NULL;
    memcpy(joined, left, left_bytes);
    memcpy(joined + left_bytes, right, right_bytes + 1);
    return joined;
}

static bool is_temporary(const char *name) {
    size_t size = strlen(name);
    return size >= 4 && memcmp(name + size - 4, ".tmp", 4) == 0;
}

/* ---- directories ---- */

/* Makes `path` and makes its name durable in `parent`. */
static enum plinth_status directory_make(struct local_store *store, const char *path, const char *parent,
                                         struct plinth_error *error) {
    enum plinth_status st = env_make_directory(store->env, path, error);
    return st ? st : env_sync_directory(store->env, parent, error);
}

/* Makes every directory between the store's own and the object at `path`. */
static enum plinth_status parents_make(struct local_store *store, const char *path, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    char *partial = strdup(path);
    char *parent = strdup(store->directory);
    if (!partial || !parent) {
        st = error_no_memory(error, "object path");
        goto done;
    }
    pthread_mutex_lock(&store->directories_mutex);
    for (char *slash = strchr(partial + store->directory_bytes + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        struct slice known = slice_of_string(partial);
        if (!directory_set_has(&store->durable, known)) {
            st = directory_make(store, partial, parent, error);
            if (!st) directory_set_add(&store->durable, known);
        }
        free(parent);
        parent = strdup(partial);
        if (!st && !parent) st = error_no_memory(error, "object path");
        if (st) break;
        *slash = '/';
    }
    pthread_mutex_unlock(&store->directories_mutex);
done:
    free(partial);
    free(parent);
    return st;
}

/* With directories_mutex: removes the directories that the removal of `path` left empty. Best effort: an empty
 * directory harms nothing. */
static void empty_parents_remove(struct local_store *store, const char *path) {
    char *partial = strdup(path);
    if (!partial) return;
    for (char *slash = strrchr(partial, '/'); slash; slash = strrchr(partial, '/')) {
        *slash = '\0';
        if (strlen(partial) <= store->directory_bytes) break;
        /* Forgotten first: whoever makes it again must sync it again. */
        directory_set_remove(&store->durable, slice_of_string(partial));
        if (env_remove(store->env, partial, NULL)) break;
    }
    free(partial);
}

/* ---- writing ---- */

static void writer_destroy(struct local_writer *writer) {
    file_close(writer->file);
    free(writer->temporary);
    free(writer->final);
    free(writer);
}

static enum plinth_status writer_put(struct local_writer *writer, const void *data, size_t size,
                                     struct plinth_error *error) {
    enum plinth_status st = file_write(writer->file, writer->offset, data, size, error);
    if (st) writer->failed = st;
    writer->offset += size;
    return st;
}

static enum plinth_status writer_drain(struct local_writer *writer, struct plinth_error *error) {
    size_t size = writer->buffered_bytes;
    writer->buffered_bytes = 0;
    return size ? writer_put(writer, writer->buffer, size, error) : PLINTH_OK;
}

static enum plinth_status writer_failed(struct local_writer *writer, struct plinth_error *error) {
    return error_set(error, writer->failed, "%s: an earlier write failed", writer->final);
}

static enum plinth_status local_write(struct store_writer *base, struct slice bytes, struct plinth_error *error) {
    struct local_writer *writer = (struct local_writer *)base;
    if (writer->failed) return writer_failed(writer, error);
    if (bytes.size > WRITE_BUFFER_BYTES - writer->buffered_bytes) {
        enum plinth_status st = writer_drain(writer, error);
        if (st) return st;
    }
    if (bytes.size >= WRITE_BUFFER_BYTES) return writer_put(writer, bytes.data, bytes.size, error);
    if (bytes.size) memcpy(writer->buffer + writer->buffered_bytes, bytes.data, bytes.size);
    writer->buffered_bytes += bytes.size;
    return PLINTH_OK;
}

static void local_abort(struct store_writer *base) {
    struct local_writer *writer = (struct local_writer *)base;
    struct env *env = writer->store->env;
    file_close(writer->file);
    writer->file = NULL;
    (void)!env_remove(env, writer->temporary, NULL); /* else the next open removes it */
    pthread_mutex_lock(&writer->store->directories_mutex);
    empty_parents_remove(writer->store, writer->final);
    pthread_mutex_unlock(&writer->store->directories_mutex);
    writer_destroy(writer);
}

static enum plinth_status local_commit(struct store_writer *base, struct plinth_error *error) {
    struct local_writer *writer = (struct local_writer *)base;
    struct env *env = writer->store->env;
    enum plinth_status st = writer->failed ? writer_failed(writer, error) : writer_drain(writer, error);
    if (!st) st = file_sync(writer->file, error);
    if (!st) {
        st = handle_cache_lock_name(writer->store->handles, writer->final, error);
        if (!st) st = env_rename(env, writer->temporary, writer->final, error);
        handle_cache_unlock_name(writer->store->handles);
    }
    if (st) {
        local_abort(base);
        return st;
    }
    char *parent = path_parent(writer->final);
    st = parent ? env_sync_directory(env, parent, error) : error_no_memory(error, "object path");
    free(parent);
    if (st) {
        /* It has its name now, but a crash may take that away. */
        error_prefix(error, "%s: the object may or may not be there", writer->final);
        if (error) error->status = PLINTH_OUTCOME_UNKNOWN;
        st = PLINTH_OUTCOME_UNKNOWN;
    }
    writer_destroy(writer);
    return st;
}

static const struct store_writer_ops local_writer_ops = {
    .write = local_write,
    .commit = local_commit,
    .abort = local_abort,
};

static enum plinth_status read_only_error(struct local_store *store, struct plinth_error *error) {
    return error_set(error, PLINTH_READ_ONLY, "store %s is open for reading only", store->directory);
}

/* A directory that has just become empty may be removed between making it and using it: then make it again. */
static enum plinth_status temporary_open(struct local_store *store, const char *path, struct env_file **file,
                                         struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (int attempt = 0; attempt < 16; attempt++) {
        st = parents_make(store, path, error);
        if (st) return st;
        st = env_open(store->env, path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, file, error);
        if (st != PLINTH_NOT_FOUND) return st;
    }
    return st;
}

static enum plinth_status local_create(struct store *base, const char *name, struct store_writer **created,
                                       struct plinth_error *error) {
    struct local_store *store = (struct local_store *)base;
    if (store->options.read_only) return read_only_error(store, error);
    struct local_writer *writer = malloc(sizeof *writer);
    if (!writer) return error_no_memory(error, "object writer");
    writer->base.ops = &local_writer_ops;
    writer->store = store;
    writer->file = NULL;
    writer->offset = 0;
    writer->buffered_bytes = 0;
    writer->failed = PLINTH_OK;
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".%016llx.tmp", (unsigned long long)env_random_u64(store->env));
    writer->final = path_join(store->directory, name);
    writer->temporary = writer->final ? string_join(writer->final, suffix) : NULL;
    enum plinth_status st = writer->temporary ? PLINTH_OK : error_no_memory(error, "object path");
    if (!st) st = temporary_open(store, writer->temporary, &writer->file, error);
    if (st) {
        writer_destroy(writer);
        return st;
    }
    *created = &writer->base;
    error_clear(error); /* a first attempt may have left its text */
    return PLINTH_OK;
}

static enum plinth_status local_put(struct store *base, const char *name, struct slice bytes,
                                    struct plinth_error *error) {
    struct store_writer *writer = NULL;
    enum plinth_status st = local_create(base, name, &writer, error);
    if (st) return st;
    st = local_write(writer, bytes, error);
    if (!st) return local_commit(writer, error);
    local_abort(writer);
    return st;
}

/* ---- reading ---- */

static enum plinth_status local_read_at(struct store_object *base, uint64_t offset, void *into, size_t size,
                                        struct plinth_error *error) {
    struct local_object *object = (struct local_object *)base;
    if (base->mapped) {
        if (size) memcpy(into, base->mapped + offset, size);
        return PLINTH_OK;
    }
    struct env_file *file;
    enum plinth_status st = handle_acquire(object->store->handles, &object->handle, &file, error);
    if (st == PLINTH_NOT_FOUND) /* it was there when the object was opened, and nobody removed it through the store */
        st = error_set(error, PLINTH_CORRUPT, "%s: the file is gone", object->path);
    if (st) return st;
    st = file_read_exact(file, offset, into, size, error);
    handle_release(&object->handle);
    return st;
}

static void local_object_close(struct store_object *base) {
    struct local_object *object = (struct local_object *)base;
    handle_deinit(object->store->handles, &object->handle);
    free(object->path);
    free(object);
}

static const struct store_object_ops local_object_ops = {.read_at = local_read_at, .close = local_object_close};

static enum plinth_status is_directory_error(const char *path, struct plinth_error *error) {
    return error_set(error, PLINTH_NOT_FOUND, "%s: is a directory", path);
}

/* Opens the file of an object; a directory or a part of the path that is an object itself is no object. */
static enum plinth_status object_file_open(struct local_store *store, const char *path, struct env_file **file,
                                           struct plinth_error *error) {
    enum plinth_status st = env_open(store->env, path, ENV_READ, file, error);
    return st == PLINTH_INVALID_ARGUMENT ? is_directory_error(path, error) : st;
}

static enum plinth_status local_open(struct store *base, const char *name, struct store_object **opened,
                                     struct plinth_error *error) {
    struct local_store *store = (struct local_store *)base;
    struct local_object *object = calloc(1, sizeof *object);
    char *path = path_join(store->directory, name);
    struct env_file *file = NULL;
    if (!object || !path) {
        free(object);
        free(path);
        return error_no_memory(error, "object handle");
    }
    object->base.ops = &local_object_ops;
    object->store = store;
    object->path = path;
    handle_init(store->handles, &object->handle, path);
    enum plinth_status st = handle_acquire(store->handles, &object->handle, &file, error);
    if (st == PLINTH_INVALID_ARGUMENT) st = is_directory_error(path, error);
    if (!st) {
        st = file_size(file, &object->base.size, error);
        uint64_t mapped_bytes = 0;
        bool maps = !st && store->options.map && !file_map(file, &object->base.mapped, &mapped_bytes, NULL);
        if (!maps) {
            object->base.mapped = NULL; /* reads go through read_at then */
            handle_release(&object->handle);
        }
    }
    if (st)
        local_object_close(&object->base);
    else
        *opened = &object->base;
    return st;
}

/* ---- listing ---- */

struct listing {
    struct local_store *store;
    const char *prefix;
    store_list_visitor *visit;
    void *context;
    bool stopped;
    enum plinth_status status;
    struct plinth_error *error;
    char *name; /* of the directory being listed, with "/" behind it, or "" */
};

static void list_directory(struct listing *listing, char *name);

/* Whether objects below the directory "<name>" can start with the prefix. */
static bool prefix_meets(const char *prefix, const char *name) {
    size_t prefix_bytes = strlen(prefix), name_bytes = strlen(name);
    size_t shared = prefix_bytes < name_bytes ? prefix_bytes : name_bytes;
    return memcmp(prefix, name, shared) == 0;
}

static void list_object(struct listing *listing, const char *name) {
    struct env_file_info info = {0};
    char *path = path_join(listing->store->directory, name);
    enum plinth_status st = path ? PLINTH_OK : error_no_memory(listing->error, "object path");
    if (!st) st = env_describe(listing->store->env, path, &info, listing->error);
    free(path);
    if (st == PLINTH_NOT_FOUND) return error_clear(listing->error); /* removed in the meantime */
    listing->status = st;
    if (!st && !listing->visit(listing->context, name, info.size)) listing->stopped = true;
}

static bool list_entry(void *context, const char *entry, bool is_directory) {
    struct listing *listing = context;
    if (!is_directory && is_temporary(entry)) return true;
    char *name = string_join(listing->name, entry);
    char *below = name && is_directory ? string_join(name, "/") : NULL;
    if (!name || (is_directory && !below)) {
        listing->status = error_no_memory(listing->error, "object name");
    } else if (is_directory) {
        if (prefix_meets(listing->prefix, below)) list_directory(listing, below);
    } else if (strncmp(name, listing->prefix, strlen(listing->prefix)) == 0) {
        list_object(listing, name);
    }
    free(below);
    free(name);
    return !listing->stopped && !listing->status;
}

static void list_directory(struct listing *listing, char *name) {
    char *outer = listing->name;
    listing->name = name;
    char *path = path_join(listing->store->directory, name);
    if (!path) {
        listing->status = error_no_memory(listing->error, "object path");
    } else {
        enum plinth_status st = env_list(listing->store->env, path, list_entry, listing, listing->error);
        if (st == PLINTH_NOT_FOUND && *name) {
            error_clear(listing->error); /* emptied and removed in the meantime */
        } else if (st && !listing->status) {
            listing->status = st;
        }
    }
    free(path);
    listing->name = outer;
}

static enum plinth_status local_list(struct store *base, const char *prefix, store_list_visitor *visit, void *context,
                                     struct plinth_error *error) {
    struct listing listing = {(struct local_store *)base, prefix, visit, context, false, PLINTH_OK, error, NULL};
    char none[1] = "";
    list_directory(&listing, none);
    return listing.status;
}

/* ---- removing ---- */

static enum plinth_status local_remove(struct store *base, const char *name, struct plinth_error *error) {
    struct local_store *store = (struct local_store *)base;
    if (store->options.read_only) return read_only_error(store, error);
    char *path = path_join(store->directory, name);
    char *parent = path ? path_parent(path) : NULL;
    struct env_file *file = NULL;
    enum plinth_status st = parent ? PLINTH_OK : error_no_memory(error, "object path");
    if (!st) st = object_file_open(store, path, &file, error); /* env_remove would take an empty directory too */
    /* In one piece: another removal must not take the emptied directory away before its sync, or a crash could bring
     * back the directory with the object in it. */
    pthread_mutex_lock(&store->directories_mutex);
    if (!st) {
        st = handle_cache_lock_name(store->handles, path, error);
        if (!st) st = env_remove(store->env, path, error);
        handle_cache_unlock_name(store->handles);
    }
    if (!st) st = env_sync_directory(store->env, parent, error);
    if (!st) empty_parents_remove(store, path);
    if (st == PLINTH_NOT_FOUND && parent) {
        /* Perhaps an earlier attempt took it away and failed at the sync: the caller must be able to rely on it. */
        struct plinth_error failure;
        enum plinth_status synced = env_sync_directory(store->env, parent, &failure);
        if (synced && synced != PLINTH_NOT_FOUND) st = error_set(error, synced, "%s", failure.text);
    }
    pthread_mutex_unlock(&store->directories_mutex);
    file_close(file);
    free(parent);
    free(path);
    return st;
}

/* ---- opening ---- */

/* Of more directories than these the whole file system is synced instead: a sync waits for the disk, also where there
 * is nothing to write, and thousands of them take many seconds. */
enum { SYNCED_EACH_MAX = 32 };

struct cleaning {
    struct local_store *store;
    const char *directory; /* that is being looked at */
    char *synced[SYNCED_EACH_MAX];
    size_t directory_count;
    enum plinth_status status;
    struct plinth_error *error;
};

static bool clean_entry(void *context, const char *entry, bool is_directory);

/* Removes temporary files below `path`, and notes the directories. */
static void directory_clean(struct cleaning *cleaning, const char *path) {
    const char *outer = cleaning->directory;
    cleaning->directory = path;
    enum plinth_status st = env_list(cleaning->store->env, path, clean_entry, cleaning, cleaning->error);
    cleaning->directory = outer;
    if (st && !cleaning->status) cleaning->status = st;
    if (!cleaning->status && cleaning->directory_count < SYNCED_EACH_MAX) {
        char *copy = strdup(path);
        if (!copy) cleaning->status = error_no_memory(cleaning->error, "object path");
        cleaning->synced[cleaning->directory_count] = copy;
    }
    cleaning->directory_count++;
}

static bool clean_entry(void *context, const char *entry, bool is_directory) {
    struct cleaning *cleaning = context;
    if (!is_directory && !is_temporary(entry)) return true;
    char *path = path_join(cleaning->directory, entry);
    if (!path) {
        cleaning->status = error_no_memory(cleaning->error, "object path");
    } else if (is_directory) {
        directory_clean(cleaning, path);
    } else {
        cleaning->status = env_remove(cleaning->store->env, path, cleaning->error);
    }
    free(path);
    return !cleaning->status;
}

/* Syncs each directory: a process that was killed may have removed an object and not come to the sync. Who finds it
 * missing now takes that for final, and a power cut would bring it back. */
static enum plinth_status store_clean(struct local_store *store, struct plinth_error *error) {
    struct cleaning cleaning = {.store = store, .error = error};
    directory_clean(&cleaning, store->directory);
    enum plinth_status st = cleaning.status;
    bool each = cleaning.directory_count <= SYNCED_EACH_MAX;
    for (size_t i = 0; i < cleaning.directory_count && i < SYNCED_EACH_MAX; i++) {
        if (!st && each) st = env_sync_directory(store->env, cleaning.synced[i], error);
        free(cleaning.synced[i]);
    }
    return st || each ? st : env_sync_tree(store->env, store->directory, error);
}

static void local_close(struct store *base) {
    struct local_store *store = (struct local_store *)base;
    handle_cache_destroy(store->handles);
    pthread_mutex_destroy(&store->directories_mutex);
    directory_set_deinit(&store->durable);
    free(store);
}

static const struct store_ops local_store_ops = {
    .put = local_put,
    .create = local_create,
    .open = local_open,
    .list = local_list,
    .remove = local_remove,
    .close = local_close,
};

static uint32_t default_handles_max(void) {
    long descriptors = sysconf(_SC_OPEN_MAX) / 2;
    return descriptors < HANDLES_MIN ? HANDLES_MIN : descriptors > HANDLES_MAX ? HANDLES_MAX : (uint32_t)descriptors;
}

enum plinth_status local_store_open(struct env *env, const char *directory, const struct local_store_options *options,
                                    struct store **opened, struct plinth_error *error) {
    *opened = NULL;
    size_t bytes = strlen(directory);
    struct local_store *store = calloc(1, sizeof *store + bytes + 1);
    char *parent = path_parent(directory);
    enum plinth_status st = store && parent ? PLINTH_OK : error_no_memory(error, "store");
    if (st) {
        free(store);
        goto done;
    }
    store->base.ops = &local_store_ops;
    store->env = env;
    if (options) store->options = *options;
    memcpy(store->directory, directory, bytes + 1);
    store->directory_bytes = bytes;
    pthread_mutex_init(&store->directories_mutex, NULL);
    uint32_t handles_max = store->options.handles_max ? store->options.handles_max : default_handles_max();
    st = handle_cache_create(env, handles_max, &store->handles, error);
    if (!st && !store->options.read_only) {
        st = directory_make(store, directory, parent, error);
        if (!st) st = store_clean(store, error);
    }
    if (st) {
        local_close(&store->base);
        goto done;
    }
    *opened = &store->base;
done:
    free(parent);
    return st;
}
