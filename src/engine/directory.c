#include "engine/directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char format_text[] = "plinth directory ";
enum { DIRECTORY_FORMAT = 1 };

char *directory_join(const char *path, const char *name) {
    size_t path_size = strlen(path);
    while (path_size > 1 && path[path_size - 1] == '/') path_size--;
    char *joined = malloc(path_size + strlen(name) + 2);
    if (joined) sprintf(joined, "%.*s/%s", (int)path_size, path, name);
    return joined;
}

struct stranger {
    char name[128];
    bool found;
};

/* Notes the first entry that a Plinth directory does not have. */
static bool note_stranger(void *context, const char *name, bool is_directory) {
    (void)is_directory;
    static const char *const known[] = {"FORMAT", "FORMAT.tmp", "LOCK", "log", "store", "lost+found"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0) return true;
    struct stranger *stranger = context;
    stranger->found = true;
    snprintf(stranger->name, sizeof stranger->name, "%s", name);
    return false;
}

static enum plinth_status check_format(struct env *env, const char *path, bool *fresh, struct plinth_error *error) {
    char *name = directory_join(path, "FORMAT");
    if (!name) return error_no_memory(error, path);
    struct env_file *file = NULL;
    char text[64] = {0};
    size_t got = 0;
    enum plinth_status st = env_open(env, name, ENV_READ, &file, error);
    *fresh = st == PLINTH_NOT_FOUND;
    if (*fresh) {
        error_clear(error);
        st = PLINTH_OK;
    } else if (!st) {
        st = file_read(file, 0, text, sizeof text - 1, &got, error);
        unsigned version = 0;
        size_t prefix = sizeof format_text - 1;
        if (!st && (strncmp(text, format_text, prefix) != 0 || sscanf(text + prefix, "%u", &version) != 1))
            st = error_set(error, PLINTH_CORRUPT, "%s is damaged: it does not start with \"%s<version>\"", name,
                           format_text);
        else if (!st && version != DIRECTORY_FORMAT)
            st = error_set(error, PLINTH_UNSUPPORTED,
                           "%s has directory format %u; this version of Plinth (%s) reads and writes format %d", path,
                           version, PLINTH_VERSION, DIRECTORY_FORMAT);
    }
    file_close(file);
    free(name);
    return st;
}

/* A missing directory is made, and its name in the parent made durable. */
static enum plinth_status make(struct env *env, const char *path, struct plinth_error *error) {
    enum plinth_status st = env_make_directory(env, path, error);
    if (st) return st;
    char *parent = strdup(path);
    if (!parent) return error_no_memory(error, path);
    size_t size = strlen(parent);
    while (size > 1 && parent[size - 1] == '/') parent[--size] = '\0';
    char *slash = strrchr(parent, '/');
    const char *name = !slash ? "." : slash == parent ? "/" : parent;
    if (slash && slash != parent) *slash = '\0';
    st = env_sync_directory(env, name, error);
    /* A parent that may not be opened is its owner's business; the directory itself was made. */
    if (st == PLINTH_READ_ONLY) {
        error_clear(error);
        st = PLINTH_OK;
    }
    free(parent);
    return st;
}

enum plinth_status directory_open(struct env *env, const char *path, bool must_exist, struct env_file **lock,
                                  bool *fresh, struct plinth_error *error) {
    *lock = NULL;
    *fresh = false;
    struct stranger stranger = {{0}, false};
    enum plinth_status st = env_list(env, path, note_stranger, &stranger, error);
    bool missing = st == PLINTH_NOT_FOUND && !must_exist;
    if (missing) {
        error_clear(error);
        st = make(env, path, error);
    }
    if (!st) st = check_format(env, path, fresh, error);
    if (!st && *fresh && stranger.found)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "%s is not a Plinth directory and not empty: it contains \"%s\"",
                       path, stranger.name);
    if (!st && *fresh && must_exist)
        st = error_set(error, PLINTH_NOT_FOUND, "%s is not a Plinth directory: it has no FORMAT file", path);
    /* Somebody made it, perhaps a process that was killed before its name was durable. */
    if (!st && *fresh && !missing) st = make(env, path, error);
    if (st) return st;
    char *name = directory_join(path, "LOCK");
    st = name ? env_lock(env, name, lock, error) : error_no_memory(error, path);
    free(name);
    return st;
}

enum plinth_status directory_complete(struct env *env, const char *path, struct plinth_error *error) {
    char text[64];
    int size = snprintf(text, sizeof text, "%s%d\n", format_text, DIRECTORY_FORMAT);
    char *name = directory_join(path, "FORMAT"), *temporary = directory_join(path, "FORMAT.tmp");
    struct env_file *file = NULL;
    enum plinth_status st = name && temporary ? PLINTH_OK : error_no_memory(error, path);
    if (!st) st = env_open(env, temporary, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file, error);
    if (!st) st = file_write(file, 0, text, (size_t)size, error);
    if (!st) st = file_sync(file, error);
    file_close(file);
    if (!st) st = env_rename(env, temporary, name, error);
    if (!st) st = env_sync_directory(env, path, error);
    free(name);
    free(temporary);
    return st;
}
