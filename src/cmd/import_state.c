#include "cmd/import_state.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/hash.h"
#include "base/status.h"

enum { STATE_BYTES_MAX = 512 };
static const char format[] = "plinth-import 1\nproducer %" PRIu64 "\nstarted_us %" PRIu64 "\nsequence %" PRIu64
                             "\nchain %" PRIu64 "\nsent %" PRIu64 "\nrows %" PRIu64 "\nfiles %" PRIu64 "\n";
static const char scan_format[] = "plinth-import 1 producer %" SCNu64 " started_us %" SCNu64 " sequence %" SCNu64
                                  " chain %" SCNu64 " sent %" SCNu64 " rows %" SCNu64 " files %" SCNu64;

/* The folder for states; null: nowhere. Freed by the caller. */
static char *folder(void) {
    const char *own = getenv("PLINTH_STATE_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size = own && *own       ? asprintf(&path, "%s", own)
               : state && *state ? asprintf(&path, "%s/plinth", state)
               : home && *home   ? asprintf(&path, "%s/.local/state/plinth", home)
                                 : -1;
    return size < 0 ? NULL : path;
}

/* Makes the folder and those above it. */
static enum plinth_status make_folders(char *path, struct plinth_error *error) {
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        int failed = mkdir(path, 0777) && errno != EEXIST; /* what is wrong is told by the last one */
        *at = '/';
        if (failed) break;
    }
    return env_make_directory(env_posix(), path, error);
}

static bool append_path(struct buffer *into, const char *path) {
    char *whole = strcmp(path, "-") == 0 ? NULL : realpath(path, NULL);
    const char *named = whole ? whole : path;
    bool ok = buffer_append(into, named, strlen(named) + 1);
    free(whole);
    return ok;
}

uint64_t import_state_files(char *const *paths, int path_count) {
    uint64_t hash = 0;
    for (int i = 0; i < path_count; i++) {
        struct stat info;
        if (stat(paths[i], &info)) memset(&info, 0, sizeof info);
        const uint64_t parts[] = {hash, (uint64_t)info.st_size, (uint64_t)info.st_mtim.tv_sec,
                                  (uint64_t)info.st_mtim.tv_nsec};
        hash = hash_stable(parts, sizeof parts);
    }
    return hash;
}

static void read_state(const char *path, struct import_state *state) {
    char text[STATE_BYTES_MAX + 1];
    size_t got = 0;
    struct env_file *file;
    struct plinth_error ignored;
    if (env_open(env_posix(), path, ENV_READ, &file, &ignored)) return;
    enum plinth_status st = file_read(file, 0, text, STATE_BYTES_MAX, &got, &ignored);
    file_close(file);
    text[got] = '\0';
    struct import_state read = {0};
    if (!st && sscanf(text, scan_format, &read.producer_id, &read.started_us, &read.sequence, &read.chain, &read.sent,
                      &read.rows, &read.files) == 7)
        *state = read;
}

/* The path without ending, by what is imported. */
static char *state_path(const char *directory, const char *table, char *const *paths, int path_count) {
    struct buffer named = BUFFER_INIT;
    char *path = NULL;
    bool ok = buffer_append(&named, table, strlen(table) + 1);
    for (int i = 0; ok && i < path_count; i++) ok = append_path(&named, paths[i]);
    if (ok && asprintf(&path, "%s/import-%016" PRIx64, directory, hash_stable(named.data, named.size)) < 0) path = NULL;
    buffer_deinit(&named);
    return path;
}

enum plinth_status import_state_open(const char *table, char *const *paths, int path_count,
                                     struct import_state_file *file, struct import_state *state,
                                     struct plinth_error *error) {
    *file = (struct import_state_file){0};
    *state = (struct import_state){0};
    error_clear(error);
    char *directory = folder(), *path = NULL, *lock = NULL;
    enum plinth_status st = PLINTH_OK;
    if (!directory) {
        error_set(error, PLINTH_NOT_FOUND, "neither PLINTH_STATE_DIR nor HOME is set");
        goto done;
    }
    if (make_folders(directory, error)) goto done;
    path = state_path(directory, table, paths, path_count);
    if (!path || asprintf(&lock, "%s.lock", path) < 0) {
        lock = NULL;
        st = error_no_memory(error, "import");
        goto done;
    }
    st = env_lock(env_posix(), lock, &file->lock, error);
    if (st == PLINTH_LOCKED) goto done;
    if (st) {
        st = PLINTH_OK;
        goto done;
    }
    file->path = path;
    path = NULL;
    read_state(file->path, state);
done:
    free(directory);
    free(path);
    free(lock);
    return st;
}

void import_state_write(const struct import_state_file *file, const struct import_state *state) {
    char text[STATE_BYTES_MAX], *fresh;
    struct env_file *to;
    struct plinth_error ignored;
    if (!file->path || asprintf(&fresh, "%s.new", file->path) < 0) return;
    int size = snprintf(text, sizeof text, format, state->producer_id, state->started_us, state->sequence, state->chain,
                        state->sent, state->rows, state->files);
    if (!env_open(env_posix(), fresh, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &to, &ignored)) {
        enum plinth_status st = file_write(to, 0, text, (size_t)size, &ignored);
        file_close(to);
        if (!st) st = env_rename(env_posix(), fresh, file->path, &ignored);
    }
    free(fresh);
}

void import_state_forget(const struct import_state_file *file) {
    struct plinth_error ignored;
    if (file->path && env_remove(env_posix(), file->path, &ignored)) return;
}

void import_state_close(struct import_state_file *file) {
    char *lock;
    struct plinth_error ignored;
    if (file->path && file->lock && asprintf(&lock, "%s.lock", file->path) >= 0) {
        if (env_remove(env_posix(), lock, &ignored)) ignored.text[0] = '\0'; /* it stays: no harm */
        free(lock);
    }
    file_close(file->lock);
    free(file->path);
    *file = (struct import_state_file){0};
}
