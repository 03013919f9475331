/* env: the one door to files, clocks, randomness and sleeping.
 *
 * Two implementations: `env_posix()` (env_posix.c) and the simulated one of the tests
 * (tests/support/sim_env.h), which forgets whatever was not synced when it "crashes", tears the last
 * write and fails the Nth call. Everything above base/ reaches the operating system through here only.
 *
 * What is durable when:
 *   - bytes of a file:      after file_sync (fdatasync) returned OK;
 *   - a name in a directory (created, renamed, removed): after env_sync_directory returned OK.
 * A failed file_sync must never be retried: the kernel may have dropped the dirty pages (fsyncgate).
 *
 * Paths are zero-terminated UTF-8. Errors name the path and the operation. All functions may be called
 * from any thread; one file may be read and written from several threads at once at different offsets. */
#ifndef PLINTH_BASE_ENV_H
#define PLINTH_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "plinth_status.h"

struct env;
struct env_file;

enum env_open_flags {
    ENV_READ = 1,
    ENV_WRITE = 2,
    ENV_CREATE = 4,    /* make it when it is missing */
    ENV_EXCLUSIVE = 8, /* with ENV_CREATE: fail with PLINTH_ALREADY_EXISTS when it is there */
    ENV_TRUNCATE = 16,
};

struct env_file_ops {
    enum plinth_status (*read)(struct env_file *, uint64_t offset, void *into, size_t size, size_t *got,
                               struct plinth_error *);
    enum plinth_status (*write)(struct env_file *, uint64_t offset, const struct iovec *parts, int count,
                                struct plinth_error *);
    enum plinth_status (*sync)(struct env_file *, struct plinth_error *);
    enum plinth_status (*allocate)(struct env_file *, uint64_t size, struct plinth_error *);
    enum plinth_status (*truncate)(struct env_file *, uint64_t size, struct plinth_error *);
    enum plinth_status (*size)(struct env_file *, uint64_t *size, struct plinth_error *);
    enum plinth_status (*map)(struct env_file *, const uint8_t **data, uint64_t *size, struct plinth_error *);
    void (*close)(struct env_file *);
};

struct env_file {
    const struct env_file_ops *ops;
    const char *path; /* for messages; owned by the implementation, valid until file_close */
};

/* Called once for each entry; `name` is valid during the call. Return false to stop. */
typedef bool env_list_visitor(void *context, const char *name, bool is_directory);

struct env_file_info {
    uint64_t size;
    uint64_t modified_us; /* wall time of the last write; 0: not known */
};

struct env_ops {
    enum plinth_status (*open)(struct env *, const char *path, unsigned flags, struct env_file **,
                               struct plinth_error *);
    enum plinth_status (*make_directory)(struct env *, const char *path, struct plinth_error *);
    enum plinth_status (*sync_directory)(struct env *, const char *path, struct plinth_error *);
    enum plinth_status (*sync_tree)(struct env *, const char *path, struct plinth_error *);
    enum plinth_status (*list)(struct env *, const char *path, env_list_visitor *, void *context,
                               struct plinth_error *);
    enum plinth_status (*describe)(struct env *, const char *path, struct env_file_info *, struct plinth_error *);
    enum plinth_status (*rename)(struct env *, const char *from, const char *to, struct plinth_error *);
    enum plinth_status (*remove)(struct env *, const char *path, struct plinth_error *);
    enum plinth_status (*lock)(struct env *, const char *path, struct env_file **, struct plinth_error *);
    enum plinth_status (*free_bytes)(struct env *, const char *path, uint64_t *bytes, struct plinth_error *);
    uint64_t (*wall_time_us)(struct env *);
    uint64_t (*monotonic_ns)(struct env *);
    void (*sleep_us)(struct env *, uint64_t microseconds);
    void (*random)(struct env *, void *into, size_t size);
};

struct env {
    const struct env_ops *ops;
};

/* The operating system's; static storage, never closed. */
struct env *env_posix(void);

/* Opens a file. PLINTH_NOT_FOUND when it is missing and ENV_CREATE is not given. On success the caller
 * owns `*file` and closes it with file_close. */
PLINTH_MUST_CHECK enum plinth_status env_open(struct env *env, const char *path, unsigned flags, struct env_file **file,
                                              struct plinth_error *error);
/* OK also when the directory exists already. The parent must exist. */
PLINTH_MUST_CHECK enum plinth_status env_make_directory(struct env *env, const char *path, struct plinth_error *error);
/* Makes creations, renames and removals directly inside `path` durable. */
PLINTH_MUST_CHECK enum plinth_status env_sync_directory(struct env *env, const char *path, struct plinth_error *error);
/* The same for `path` and every directory below, with one wait for the disk however many they are: it writes out all of
 * the file system that holds them. */
PLINTH_MUST_CHECK enum plinth_status env_sync_tree(struct env *env, const char *path, struct plinth_error *error);
/* Calls `visit` for each entry but "." and "..", in no particular order. */
PLINTH_MUST_CHECK enum plinth_status env_list(struct env *env, const char *path, env_list_visitor *visit, void *context,
                                              struct plinth_error *error);
/* What a file is like, without opening it. PLINTH_NOT_FOUND; PLINTH_INVALID_ARGUMENT for a directory. */
PLINTH_MUST_CHECK enum plinth_status env_describe(struct env *env, const char *path, struct env_file_info *info,
                                                  struct plinth_error *error);
/* Atomically replaces `to`. Durable only after env_sync_directory. */
PLINTH_MUST_CHECK enum plinth_status env_rename(struct env *env, const char *from, const char *to,
                                                struct plinth_error *error);
/* Removes a file or an empty directory. PLINTH_NOT_FOUND when it is missing. */
PLINTH_MUST_CHECK enum plinth_status env_remove(struct env *env, const char *path, struct plinth_error *error);
/* Creates `path` if needed and holds an exclusive lock on it until file_close. PLINTH_LOCKED, naming the
 * holder's process id where it is known, when another process (or another open in this one) holds it. */
PLINTH_MUST_CHECK enum plinth_status env_lock(struct env *env, const char *path, struct env_file **lock,
                                              struct plinth_error *error);
/* Bytes an unprivileged writer may still use on the file system that holds `path`. */
PLINTH_MUST_CHECK enum plinth_status env_free_bytes(struct env *env, const char *path, uint64_t *bytes,
                                                    struct plinth_error *error);
/* Microseconds since 1970-01-01 UTC; may jump. */
uint64_t env_wall_time_us(struct env *env);
/* Nanoseconds since an arbitrary start; never goes back. */
uint64_t env_monotonic_ns(struct env *env);
void env_sleep_us(struct env *env, uint64_t microseconds);
/* Unpredictable bytes (getrandom); never fails. */
void env_random(struct env *env, void *into, size_t size);
uint64_t env_random_u64(struct env *env);

/* Reads up to `size` bytes at `offset`; `*got` is smaller only at the end of the file. */
PLINTH_MUST_CHECK enum plinth_status file_read(struct env_file *file, uint64_t offset, void *into, size_t size,
                                               size_t *got, struct plinth_error *error);
/* Reads exactly `size` bytes; PLINTH_CORRUPT when the file ends before. */
PLINTH_MUST_CHECK enum plinth_status file_read_exact(struct env_file *file, uint64_t offset, void *into, size_t size,
                                                     struct plinth_error *error);
/* Writes all bytes at `offset`, going on after short writes. */
PLINTH_MUST_CHECK enum plinth_status file_write(struct env_file *file, uint64_t offset, const void *data, size_t size,
                                                struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status file_writev(struct env_file *file, uint64_t offset, const struct iovec *parts,
                                                 int count, struct plinth_error *error);
/* fdatasync: all bytes written so far and the file's size are durable when it returns OK. */
PLINTH_MUST_CHECK enum plinth_status file_sync(struct env_file *file, struct plinth_error *error);
/* Reserves disk space and grows the file to `size` bytes of zeros past its former end. */
PLINTH_MUST_CHECK enum plinth_status file_allocate(struct env_file *file, uint64_t size, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status file_truncate(struct env_file *file, uint64_t size, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status file_size(struct env_file *file, uint64_t *size, struct plinth_error *error);
/* Maps the whole file for reading; valid until file_close. Only for files that are not written any more. */
PLINTH_MUST_CHECK enum plinth_status file_map(struct env_file *file, const uint8_t **data, uint64_t *size,
                                              struct plinth_error *error);
/* Closes and frees; also unlocks. Null is allowed. Does not sync. */
void file_close(struct env_file *file);

#endif
