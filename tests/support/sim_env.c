#include "support/sim_env.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "support/test_support.h"

/* ---- the model ---- */

struct node;

struct entry {
    char *name;
    struct node *node;
};

struct entries {
    struct entry *items;
    size_t count;
};

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_GROW, CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

/* Something done but not durable. In a file: bytes; in a directory: names. */
struct change {
    enum change_kind kind;
    uint64_t offset; /* of a write; the new size of a truncate or grow */
    uint8_t *data;
    size_t size;
    char *name; /* linked or unlinked; the former name of a rename */
    char *to;
    struct node *from_directory; /* of a rename */
    struct node *node;
};

/* An inode. Nodes live until the simulation ends: tests are short, and crashes bring names back. */
struct node {
    struct node *next_of_all;
    bool is_directory;
    bool locked;
    struct buffer live, durable;                  /* of a file */
    struct entries live_entries, durable_entries; /* of a directory */
    struct change *changes;
    size_t change_count, change_capacity;
};

struct sim_env {
    struct env base;
    pthread_mutex_t mutex;
    struct node *root;
    struct node *all;
    struct test_random random;
    uint64_t wall_us, monotonic_ns;
    unsigned generation; /* crashes so far */
    uint64_t calls[SIM_CALL_COUNT + 1];
    enum sim_call fail_kind;
    uint64_t fail_at;
    enum plinth_status fail_status;
    bool fail_armed, fail_sticky;
    uint64_t ignore_sync_at;
    bool ignore_sync_armed;
    const char *ignore_part;
    bool ignore_files, ignore_directories; /* whose syncs ignore_part is about */
    uint64_t disk_limit;
    bool read_only;
};

struct sim_file {
    struct env_file base;
    struct sim_env *sim;
    struct node *node;
    unsigned generation;
    bool writable;
    bool is_lock;
    uint8_t *mapped;
    char path[];
};

static void need(const void *memory) {
    if (memory) return;
    fprintf(stderr, "sim_env: out of memory\n");
    abort();
}

static void *allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    need(memory);
    return memory;
}

static char *copy_string(const char *string) {
    char *copy = strdup(string);
    need(copy);
    return copy;
}

static struct sim_env *sim_of(struct env *env) { return (struct sim_env *)env; }

/* ---- names ---- */

static struct node *node_create(struct sim_env *sim, bool is_directory) {
    struct node *node = allocate(sizeof *node);
    node->is_directory = is_directory;
    node->next_of_all = sim->all;
    sim->all = node;
    return node;
}

static struct entry *entry_find(struct entries *entries, const char *name) {
    for (size_t i = 0; i < entries->count; i++) {
        if (!strcmp(entries->items[i].name, name)) return &entries->items[i];
    }
    return NULL;
}

static void entry_set(struct entries *entries, const char *name, struct node *node) {
    struct entry *found = entry_find(entries, name);
    if (found) {
        found->node = node;
        return;
    }
    entries->items = realloc(entries->items, (entries->count + 1) * sizeof entries->items[0]);
    need(entries->items);
    entries->items[entries->count++] = (struct entry){copy_string(name), node};
}

static void entry_drop(struct entries *entries, const char *name) {
    struct entry *found = entry_find(entries, name);
    if (!found) return;
    free(found->name);
    *found = entries->items[--entries->count];
}

static void entries_clear(struct entries *entries) {
    for (size_t i = 0; i < entries->count; i++) free(entries->items[i].name);
    free(entries->items);
    *entries = (struct entries){0};
}

static void entries_copy(struct entries *to, const struct entries *from) {
    entries_clear(to);
    for (size_t i = 0; i < from->count; i++) entry_set(to, from->items[i].name, from->items[i].node);
}

/* The node at `path`, null when there is none; *parent its directory (null when that is missing) and `name` its last
 * part, cut to 255 bytes. A relative path begins at the root too. */
static struct node *path_find(struct sim_env *sim, const char *path, struct node **parent, char name[256]) {
    struct node *at = sim->root;
    *parent = NULL;
    name[0] = '\0';
    for (;;) {
        while (*path == '/') path++;
        if (!*path) return at;
        size_t size = strcspn(path, "/");
        *parent = at && at->is_directory ? at : NULL;
        snprintf(name, 256, "%.*s", (int)(size < 255 ? size : 255), path);
        path += size;
        struct entry *found = *parent ? entry_find(&(*parent)->live_entries, name) : NULL;
        at = found ? found->node : NULL;
        if (!at && path[strspn(path, "/")]) {
            *parent = NULL;
            return NULL;
        }
    }
}

/* ---- changes ---- */

static struct change *change_add(struct node *node, enum change_kind kind) {
    if (node->change_count == node->change_capacity) {
        node->change_capacity = node->change_capacity ? node->change_capacity * 2 : 8;
        node->changes = realloc(node->changes, node->change_capacity * sizeof node->changes[0]);
        need(node->changes);
    }
    struct change *change = &node->changes[node->change_count++];
    *change = (struct change){.kind = kind};
    return change;
}

static void changes_clear(struct node *node) {
    for (size_t i = 0; i < node->change_count; i++) {
        free(node->changes[i].data);
        free(node->changes[i].name);
        free(node->changes[i].to);
    }
    node->change_count = 0;
}

static void bytes_resize(struct buffer *bytes, uint64_t size) {
    if (size > bytes->size) {
        if (!buffer_append_zeros(bytes, size - bytes->size)) need(NULL);
    }
    bytes->size = size;
}

static void bytes_write(struct buffer *bytes, uint64_t offset, const uint8_t *data, size_t size) {
    if (!size) return;
    if (offset + size > bytes->size) bytes_resize(bytes, offset + size);
    memcpy(bytes->data + offset, data, size);
}

/* To the durable state; of a write only the first `size` bytes. */
static void change_apply(struct node *node, const struct change *change, size_t size) {
    switch (change->kind) {
    case CHANGE_WRITE: bytes_write(&node->durable, change->offset, change->data, size); break;
    case CHANGE_TRUNCATE: bytes_resize(&node->durable, change->offset); break;
    case CHANGE_GROW:
        if (change->offset > node->durable.size) bytes_resize(&node->durable, change->offset);
        break;
    case CHANGE_LINK: entry_set(&node->durable_entries, change->name, change->node); break;
    case CHANGE_UNLINK: entry_drop(&node->durable_entries, change->name); break;
    case CHANGE_RENAME:
        entry_drop(&change->from_directory->durable_entries, change->name);
        entry_set(&node->durable_entries, change->to, change->node);
        break;
    }
}

static void changes_make_durable(struct node *node) {
    for (size_t i = 0; i < node->change_count; i++) change_apply(node, &node->changes[i], node->changes[i].size);
    changes_clear(node);
}

/* What is left of a write: all of it, or a prefix that ends at a sector of the file or at any byte. */
static size_t torn_size(struct test_random *random, const struct change *change) {
    if (change->kind != CHANGE_WRITE || test_random_below(random, 4) != 0) return change->size;
    uint64_t cut = test_random_below(random, change->size + 1);
    if (test_random_below(random, 2)) {
        uint64_t end = (change->offset + cut) / 512 * 512;
        cut = end > change->offset ? end - change->offset : 0;
    }
    return (size_t)cut;
}

/* Three kinds of crash: nothing survives, everything but the last piece does, any mixture. */
static void changes_survive_by_chance(struct node *node, struct test_random *random) {
    uint64_t mood = test_random_below(random, 3);
    for (size_t i = 0; i < node->change_count; i++) {
        struct change *change = &node->changes[i];
        bool last = i + 1 == node->change_count;
        bool survives = mood == 1 || (mood == 2 && test_random_below(random, 2));
        if (!survives) continue;
        change_apply(node, change, mood == 2 || last ? torn_size(random, change) : change->size);
    }
    changes_clear(node);
}

/* ---- faults ---- */

/* Counts the call; what it has to return before it does anything, or PLINTH_OK. */
static enum plinth_status call_begin(struct sim_env *sim, enum sim_call kind, const char *path,
                                     struct plinth_error *error) {
    uint64_t of_kind = sim->calls[kind]++, of_any = sim->calls[SIM_ANY]++;
    if (!sim->fail_armed || (sim->fail_kind != SIM_ANY && sim->fail_kind != kind)) return PLINTH_OK;
    uint64_t at = sim->fail_kind == SIM_ANY ? of_any : of_kind;
    if (at < sim->fail_at) return PLINTH_OK;
    if (!sim->fail_sticky) sim->fail_armed = false;
    return error_set(error, sim->fail_status, "%s: simulated failure of call %d, %s", path, (int)kind,
                     plinth_status_name(sim->fail_status));
}

static enum plinth_status change_allowed(struct sim_env *sim, const char *path, struct plinth_error *error) {
    if (!sim->read_only) return PLINTH_OK;
    return error_set(error, PLINTH_READ_ONLY, "%s: the simulated disk is read-only", path);
}

/* Sizes of the files that have a name. */
static uint64_t used_bytes(const struct node *directory) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < directory->live_entries.count; i++) {
        const struct node *node = directory->live_entries.items[i].node;
        bytes += node->is_directory ? used_bytes(node) : node->live.size;
    }
    return bytes;
}

static enum plinth_status growth_allowed(struct sim_env *sim, uint64_t growth, const char *path,
                                         struct plinth_error *error) {
    if (sim->disk_limit == UINT64_MAX || growth == 0) return PLINTH_OK;
    uint64_t used = used_bytes(sim->root);
    if (used <= sim->disk_limit && growth <= sim->disk_limit - used) return PLINTH_OK;
    return error_set(error, PLINTH_NO_SPACE, "%s: the simulated disk is full", path);
}

static bool sync_ignored(struct sim_env *sim, const char *path, bool is_file) {
    bool of_kind = is_file ? sim->ignore_files : sim->ignore_directories;
    if (of_kind && sim->ignore_part && strstr(path, sim->ignore_part)) return true;
    if (!is_file || !sim->ignore_sync_armed || sim->calls[SIM_SYNC] <= sim->ignore_sync_at) return false;
    sim->ignore_sync_armed = false;
    return true;
}

/* ---- files ---- */

/* Locks the simulation and begins a call on a handle. */
static enum plinth_status file_begin(struct env_file *base, enum sim_call kind, struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    pthread_mutex_lock(&file->sim->mutex);
    if (file->generation != file->sim->generation) {
        return error_set(error, PLINTH_IO_ERROR, "%s: handle from before the simulated crash", file->path);
    }
    return call_begin(file->sim, kind, file->path, error);
}

static enum plinth_status file_end(struct env_file *base, enum plinth_status st) {
    pthread_mutex_unlock(&((struct sim_file *)base)->sim->mutex);
    return st;
}

static enum plinth_status sim_read(struct env_file *base, uint64_t offset, void *into, size_t size, size_t *got,
                                   struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    enum plinth_status st = file_begin(base, SIM_READ, error);
    const struct buffer *live = &file->node->live;
    if (!st && offset < live->size) {
        *got = size < live->size - offset ? size : live->size - offset;
        if (*got) memcpy(into, live->data + offset, *got);
    }
    return file_end(base, st);
}

static void live_write(struct node *node, uint64_t offset, const uint8_t *data, size_t size) {
    struct change *change = change_add(node, CHANGE_WRITE);
    change->offset = offset;
    change->size = size;
    change->data = allocate(size);
    memcpy(change->data, data, size);
    bytes_write(&node->live, offset, data, size);
}

static enum plinth_status sim_write(struct env_file *base, uint64_t offset, const struct iovec *parts, int count,
                                    struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    struct buffer whole = BUFFER_INIT;
    for (int i = 0; i < count; i++) {
        if (!buffer_append(&whole, parts[i].iov_base, parts[i].iov_len)) need(NULL);
    }
    enum plinth_status st = file_begin(base, SIM_WRITE, error);
    if (st && file->generation == file->sim->generation && whole.size) {
        live_write(file->node, offset, whole.data, test_random_below(&file->sim->random, whole.size));
    }
    if (!st && !file->writable) st = error_set(error, PLINTH_IO_ERROR, "%s: opened for reading only", file->path);
    if (!st) st = change_allowed(file->sim, file->path, error);
    uint64_t end = offset + whole.size, size = file->node->live.size;
    if (!st) st = growth_allowed(file->sim, end > size ? end - size : 0, file->path, error);
    if (!st && whole.size) live_write(file->node, offset, whole.data, whole.size);
    buffer_deinit(&whole);
    return file_end(base, st);
}

static enum plinth_status sim_sync(struct env_file *base, struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    enum plinth_status st = file_begin(base, SIM_SYNC, error);
    if (st && file->generation == file->sim->generation) {
        changes_survive_by_chance(file->node, &file->sim->random);
    } else if (!st && !sync_ignored(file->sim, file->path, true)) {
        changes_make_durable(file->node);
    }
    return file_end(base, st);
}

static enum plinth_status sim_resize(struct env_file *base, enum sim_call kind, uint64_t size,
                                     struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    enum plinth_status st = file_begin(base, kind, error);
    uint64_t now = file->node->live.size;
    bool grows = size > now;
    if (!st) st = change_allowed(file->sim, file->path, error);
    if (!st) st = growth_allowed(file->sim, grows ? size - now : 0, file->path, error);
    if (!st && (grows || kind == SIM_TRUNCATE)) {
        change_add(file->node, kind == SIM_TRUNCATE ? CHANGE_TRUNCATE : CHANGE_GROW)->offset = size;
        bytes_resize(&file->node->live, size);
    }
    return file_end(base, st);
}

static enum plinth_status sim_allocate(struct env_file *base, uint64_t size, struct plinth_error *error) {
    return sim_resize(base, SIM_ALLOCATE, size, error);
}

static enum plinth_status sim_truncate(struct env_file *base, uint64_t size, struct plinth_error *error) {
    return sim_resize(base, SIM_TRUNCATE, size, error);
}

static enum plinth_status sim_size(struct env_file *base, uint64_t *size, struct plinth_error *error) {
    enum plinth_status st = file_begin(base, SIM_SIZE, error);
    if (!st) *size = ((struct sim_file *)base)->node->live.size;
    return file_end(base, st);
}

static enum plinth_status sim_map(struct env_file *base, const uint8_t **data, uint64_t *size,
                                  struct plinth_error *error) {
    struct sim_file *file = (struct sim_file *)base;
    enum plinth_status st = file_begin(base, SIM_MAP, error);
    const struct buffer *live = &file->node->live;
    if (!st && live->size) {
        if (!file->mapped) {
            file->mapped = allocate(live->size);
            memcpy(file->mapped, live->data, live->size);
        }
        *data = file->mapped;
        *size = live->size;
    }
    return file_end(base, st);
}

static void sim_close(struct env_file *base) {
    struct sim_file *file = (struct sim_file *)base;
    pthread_mutex_lock(&file->sim->mutex);
    if (file->is_lock && file->generation == file->sim->generation) file->node->locked = false;
    pthread_mutex_unlock(&file->sim->mutex);
    free(file->mapped);
    free(file);
}

static const struct env_file_ops sim_file_ops = {
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .allocate = sim_allocate,
    .truncate = sim_truncate,
    .size = sim_size,
    .map = sim_map,
    .close = sim_close,
};

static struct env_file *file_create(struct sim_env *sim, struct node *node, const char *path, bool writable,
                                    bool is_lock) {
    size_t path_bytes = strlen(path) + 1;
    struct sim_file *file = allocate(sizeof *file + path_bytes);
    memcpy(file->path, path, path_bytes);
    file->base = (struct env_file){&sim_file_ops, file->path};
    file->sim = sim;
    file->node = node;
    file->generation = sim->generation;
    file->writable = writable;
    file->is_lock = is_lock;
    return &file->base;
}

/* ---- directories ---- */

static struct node *child_create(struct sim_env *sim, struct node *parent, const char *name, bool is_directory) {
    struct node *node = node_create(sim, is_directory);
    entry_set(&parent->live_entries, name, node);
    struct change *change = change_add(parent, CHANGE_LINK);
    change->name = copy_string(name);
    change->node = node;
    return node;
}

/* The file at `path`, made when it is missing and may be. */
static enum plinth_status file_find(struct sim_env *sim, const char *path, unsigned flags, struct node **node,
                                    struct plinth_error *error) {
    struct node *parent;
    char name[256];
    *node = path_find(sim, path, &parent, name);
    if (*node && (*node)->is_directory) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: is a directory", path);
    }
    if (*node && (flags & ENV_EXCLUSIVE)) return error_set(error, PLINTH_ALREADY_EXISTS, "%s: exists", path);
    if (*node) return PLINTH_OK;
    if (!parent || !(flags & ENV_CREATE)) return error_set(error, PLINTH_NOT_FOUND, "%s: open: no such file", path);
    enum plinth_status st = change_allowed(sim, path, error);
    if (!st) *node = child_create(sim, parent, name, false);
    return st;
}

static enum plinth_status sim_open(struct env *env, const char *path, unsigned flags, struct env_file **file,
                                   struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_OPEN, path, error);
    if (!st) st = file_find(sim, path, flags, &node, error);
    if (!st && (flags & ENV_WRITE)) st = change_allowed(sim, path, error);
    if (!st && (flags & ENV_TRUNCATE) && node->live.size) {
        change_add(node, CHANGE_TRUNCATE)->offset = 0;
        bytes_resize(&node->live, 0);
    }
    if (!st) *file = file_create(sim, node, path, flags & ENV_WRITE, false);
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_lock(struct env *env, const char *path, struct env_file **lock,
                                   struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_LOCK, path, error);
    if (!st) st = file_find(sim, path, ENV_CREATE, &node, error);
    if (!st && node->locked) st = error_set(error, PLINTH_LOCKED, "%s: held by another process", path);
    if (!st) {
        node->locked = true;
        *lock = file_create(sim, node, path, true, true);
    }
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_make_directory(struct env *env, const char *path, struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *parent;
    char name[256];
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_MAKE_DIRECTORY, path, error);
    if (st) goto done;
    struct node *node = path_find(sim, path, &parent, name);
    if (node) {
        if (!node->is_directory) st = error_set(error, PLINTH_ALREADY_EXISTS, "%s: is a file", path);
        goto done;
    }
    st = parent ? change_allowed(sim, path, error) : error_set(error, PLINTH_NOT_FOUND, "%s: no parent", path);
    if (!st) child_create(sim, parent, name, true);
done:
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status directory_find(struct sim_env *sim, const char *path, struct node **node,
                                         struct plinth_error *error) {
    struct node *parent;
    char name[256];
    *node = path_find(sim, path, &parent, name);
    if (*node && (*node)->is_directory) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "%s: no such directory", path);
}

static enum plinth_status sim_sync_directory(struct env *env, const char *path, struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_SYNC_DIRECTORY, path, error);
    if (!st) st = directory_find(sim, path, &node, error);
    if (!st && !sync_ignored(sim, path, false)) changes_make_durable(node);
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static void make_tree_durable(struct node *node) {
    changes_make_durable(node);
    for (size_t i = 0; i < node->live_entries.count; i++)
        if (node->live_entries.items[i].node->is_directory) make_tree_durable(node->live_entries.items[i].node);
}

static enum plinth_status sim_sync_tree(struct env *env, const char *path, struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_SYNC_DIRECTORY, path, error);
    if (!st) st = directory_find(sim, path, &node, error);
    if (!st && !sync_ignored(sim, path, false)) make_tree_durable(node);
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_list(struct env *env, const char *path, env_list_visitor *visit, void *context,
                                   struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    struct entries copy = {0};
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_LIST, path, error);
    if (!st) st = directory_find(sim, path, &node, error);
    if (!st) entries_copy(&copy, &node->live_entries);
    pthread_mutex_unlock(&sim->mutex);
    for (size_t i = 0; i < copy.count; i++) {
        if (!visit(context, copy.items[i].name, copy.items[i].node->is_directory)) break;
    }
    entries_clear(&copy);
    return st;
}

static enum plinth_status sim_describe(struct env *env, const char *path, struct env_file_info *info,
                                       struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *node = NULL;
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_SIZE, path, error);
    if (!st) st = file_find(sim, path, ENV_READ, &node, error);
    if (!st) info->size = node->live.size;
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_rename(struct env *env, const char *from, const char *to, struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *from_parent, *to_parent;
    char from_name[256], to_name[256];
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_RENAME, from, error);
    if (!st) st = change_allowed(sim, from, error);
    if (st) goto done;
    struct node *node = path_find(sim, from, &from_parent, from_name);
    struct node *replaced = path_find(sim, to, &to_parent, to_name);
    if (!node || !from_parent || !to_parent) {
        st = error_set(error, PLINTH_NOT_FOUND, "%s: rename to %s: no such file or directory", from, to);
        goto done;
    }
    if (replaced && replaced->is_directory) {
        st = error_set(error, PLINTH_IO_ERROR, "%s: rename to %s: is a directory", from, to);
        goto done;
    }
    entry_drop(&from_parent->live_entries, from_name);
    entry_set(&to_parent->live_entries, to_name, node);
    struct change *change = change_add(to_parent, CHANGE_RENAME);
    change->name = copy_string(from_name);
    change->to = copy_string(to_name);
    change->from_directory = from_parent;
    change->node = node;
done:
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_remove(struct env *env, const char *path, struct plinth_error *error) {
    struct sim_env *sim = sim_of(env);
    struct node *parent;
    char name[256];
    pthread_mutex_lock(&sim->mutex);
    enum plinth_status st = call_begin(sim, SIM_REMOVE, path, error);
    if (!st) st = change_allowed(sim, path, error);
    if (st) goto done;
    struct node *node = path_find(sim, path, &parent, name);
    if (!node || !parent) {
        st = error_set(error, PLINTH_NOT_FOUND, "%s: remove: no such file", path);
        goto done;
    }
    if (node->is_directory && node->live_entries.count) {
        st = error_set(error, PLINTH_IO_ERROR, "%s: remove: directory not empty", path);
        goto done;
    }
    entry_drop(&parent->live_entries, name);
    change_add(parent, CHANGE_UNLINK)->name = copy_string(name);
done:
    pthread_mutex_unlock(&sim->mutex);
    return st;
}

static enum plinth_status sim_free_bytes(struct env *env, const char *path, uint64_t *bytes,
                                         struct plinth_error *error) {
    (void)path, (void)error;
    struct sim_env *sim = sim_of(env);
    pthread_mutex_lock(&sim->mutex);
    uint64_t used = used_bytes(sim->root);
    *bytes = sim->disk_limit == UINT64_MAX ? UINT64_C(1) << 40 : sim->disk_limit > used ? sim->disk_limit - used : 0;
    pthread_mutex_unlock(&sim->mutex);
    return PLINTH_OK;
}

/* ---- time and randomness ---- */

static uint64_t sim_wall_time_us(struct env *env) {
    struct sim_env *sim = sim_of(env);
    pthread_mutex_lock(&sim->mutex);
    uint64_t now = sim->wall_us;
    pthread_mutex_unlock(&sim->mutex);
    return now;
}

static uint64_t sim_monotonic_ns(struct env *env) {
    struct sim_env *sim = sim_of(env);
    pthread_mutex_lock(&sim->mutex);
    uint64_t now = sim->monotonic_ns;
    pthread_mutex_unlock(&sim->mutex);
    return now;
}

static void sim_sleep_us(struct env *env, uint64_t microseconds) {
    sim_env_advance_us(sim_of(env), microseconds);
    sched_yield();
}

static void sim_random(struct env *env, void *into, size_t size) {
    struct sim_env *sim = sim_of(env);
    pthread_mutex_lock(&sim->mutex);
    test_random_bytes(&sim->random, into, size);
    pthread_mutex_unlock(&sim->mutex);
}

static const struct env_ops sim_ops = {
    .open = sim_open,
    .make_directory = sim_make_directory,
    .sync_directory = sim_sync_directory,
    .sync_tree = sim_sync_tree,
    .list = sim_list,
    .describe = sim_describe,
    .rename = sim_rename,
    .remove = sim_remove,
    .lock = sim_lock,
    .free_bytes = sim_free_bytes,
    .wall_time_us = sim_wall_time_us,
    .monotonic_ns = sim_monotonic_ns,
    .sleep_us = sim_sleep_us,
    .random = sim_random,
};

/* ---- for the test ---- */

struct sim_env *sim_env_create(uint64_t seed) {
    struct sim_env *sim = allocate(sizeof *sim);
    sim->base.ops = &sim_ops;
    pthread_mutex_init(&sim->mutex, NULL);
    sim->random = test_random_of(seed);
    sim->wall_us = UINT64_C(1700000000000000);
    sim->monotonic_ns = 1000000000;
    sim->disk_limit = UINT64_MAX;
    sim->root = node_create(sim, true);
    return sim;
}

void sim_env_destroy(struct sim_env *sim) {
    for (struct node *node = sim->all, *next; node; node = next) {
        next = node->next_of_all;
        changes_clear(node);
        free(node->changes);
        buffer_deinit(&node->live);
        buffer_deinit(&node->durable);
        entries_clear(&node->live_entries);
        entries_clear(&node->durable_entries);
        free(node);
    }
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

struct env *sim_env_base(struct sim_env *sim) {
    return &sim->base;
}

void sim_env_crash(struct sim_env *sim, uint64_t seed) {
    pthread_mutex_lock(&sim->mutex);
    struct test_random random = test_random_of(seed);
    sim->generation++;
    sim->fail_armed = sim->ignore_sync_armed = false;
    sim->ignore_part = NULL;
    for (struct node *node = sim->all; node; node = node->next_of_all) changes_survive_by_chance(node, &random);
    for (struct node *node = sim->all; node; node = node->next_of_all) {
        node->locked = false;
        entries_copy(&node->live_entries, &node->durable_entries);
        buffer_clear(&node->live);
        if (!buffer_append(&node->live, node->durable.data, node->durable.size)) need(NULL);
    }
    pthread_mutex_unlock(&sim->mutex);
}

uint64_t sim_env_calls(struct sim_env *sim, enum sim_call kind) {
    pthread_mutex_lock(&sim->mutex);
    uint64_t calls = sim->calls[kind];
    pthread_mutex_unlock(&sim->mutex);
    return calls;
}

void sim_env_fail(struct sim_env *sim, enum sim_call kind, uint64_t skip, enum plinth_status status, bool sticky) {
    pthread_mutex_lock(&sim->mutex);
    sim->fail_kind = kind;
    sim->fail_at = sim->calls[kind] + skip;
    sim->fail_status = status;
    sim->fail_sticky = sticky;
    sim->fail_armed = true;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_heal(struct sim_env *sim) {
    pthread_mutex_lock(&sim->mutex);
    sim->fail_armed = false;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_ignore_sync(struct sim_env *sim, uint64_t skip) {
    pthread_mutex_lock(&sim->mutex);
    sim->ignore_sync_at = sim->calls[SIM_SYNC] + skip;
    sim->ignore_sync_armed = true;
    pthread_mutex_unlock(&sim->mutex);
}

static void ignore_syncs(struct sim_env *sim, const char *part, bool files, bool directories) {
    pthread_mutex_lock(&sim->mutex);
    sim->ignore_part = part;
    sim->ignore_files = files;
    sim->ignore_directories = directories;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_ignore_syncs_of(struct sim_env *sim, const char *part) { ignore_syncs(sim, part, true, true); }
void sim_env_ignore_file_syncs_of(struct sim_env *sim, const char *part) { ignore_syncs(sim, part, true, false); }
void sim_env_ignore_directory_syncs_of(struct sim_env *sim, const char *part) { ignore_syncs(sim, part, false, true); }

void sim_env_limit_disk(struct sim_env *sim, uint64_t bytes) {
    pthread_mutex_lock(&sim->mutex);
    sim->disk_limit = bytes;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_set_read_only(struct sim_env *sim, bool read_only) {
    pthread_mutex_lock(&sim->mutex);
    sim->read_only = read_only;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_advance_us(struct sim_env *sim, uint64_t microseconds) {
    pthread_mutex_lock(&sim->mutex);
    sim->wall_us += microseconds;
    sim->monotonic_ns += microseconds * 1000;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_set_wall_us(struct sim_env *sim, uint64_t microseconds) {
    pthread_mutex_lock(&sim->mutex);
    sim->wall_us = microseconds;
    pthread_mutex_unlock(&sim->mutex);
}

bool sim_env_exists(struct sim_env *sim, const char *path) {
    struct node *parent;
    char name[256];
    pthread_mutex_lock(&sim->mutex);
    bool exists = path_find(sim, path, &parent, name) != NULL;
    pthread_mutex_unlock(&sim->mutex);
    return exists;
}

bool sim_env_file_bytes(struct sim_env *sim, const char *path, struct buffer *bytes) {
    struct node *parent;
    char name[256];
    *bytes = (struct buffer)BUFFER_INIT;
    pthread_mutex_lock(&sim->mutex);
    struct node *node = path_find(sim, path, &parent, name);
    bool found = node && !node->is_directory;
    if (found && !buffer_append(bytes, node->live.data, node->live.size)) need(NULL);
    pthread_mutex_unlock(&sim->mutex);
    return found;
}

void sim_env_put_file(struct sim_env *sim, const char *path, struct slice bytes) {
    struct node *parent;
    char name[256];
    pthread_mutex_lock(&sim->mutex);
    struct node *node = path_find(sim, path, &parent, name);
    if (!node) {
        need(parent);
        node = child_create(sim, parent, name, false);
        changes_make_durable(parent);
    }
    changes_clear(node);
    buffer_clear(&node->live);
    buffer_clear(&node->durable);
    if (!buffer_append(&node->live, bytes.data, bytes.size)) need(NULL);
    if (!buffer_append(&node->durable, bytes.data, bytes.size)) need(NULL);
    pthread_mutex_unlock(&sim->mutex);
}

void sim_env_flip(struct sim_env *sim, const char *path, uint64_t offset, uint8_t mask) {
    struct node *parent;
    char name[256];
    pthread_mutex_lock(&sim->mutex);
    struct node *node = path_find(sim, path, &parent, name);
    need(node);
    if (offset < node->live.size) node->live.data[offset] ^= mask;
    if (offset < node->durable.size) node->durable.data[offset] ^= mask;
    pthread_mutex_unlock(&sim->mutex);
}
