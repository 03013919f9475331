#include "base/env.h"

#include "base/status.h"

enum plinth_status env_open(struct env *env, const char *path, unsigned flags, struct env_file **file,
                            struct plinth_error *error) {
    *file = NULL;
    return env->ops->open(env, path, flags, file, error);
}

enum plinth_status env_make_directory(struct env *env, const char *path, struct plinth_error *error) {
    return env->ops->make_directory(env, path, error);
}

enum plinth_status env_sync_directory(struct env *env, const char *path, struct plinth_error *error) {
    return env->ops->sync_directory(env, path, error);
}

enum plinth_status env_list(struct env *env, const char *path, env_list_visitor *visit, void *context,
                            struct plinth_error *error) {
    return env->ops->list(env, path, visit, context, error);
}

enum plinth_status env_sync_tree(struct env *env, const char *path, struct plinth_error *error) {
    return env->ops->sync_tree(env, path, error);
}

enum plinth_status env_describe(struct env *env, const char *path, struct env_file_info *info,
                                struct plinth_error *error) {
    *info = (struct env_file_info){0};
    return env->ops->describe(env, path, info, error);
}

enum plinth_status env_rename(struct env *env, const char *from, const char *to, struct plinth_error *error) {
    return env->ops->rename(env, from, to, error);
}

enum plinth_status env_remove(struct env *env, const char *path, struct plinth_error *error) {
    return env->ops->remove(env, path, error);
}

enum plinth_status env_lock(struct env *env, const char *path, struct env_file **lock, struct plinth_error *error) {
    *lock = NULL;
    return env->ops->lock(env, path, lock, error);
}

enum plinth_status env_free_bytes(struct env *env, const char *path, uint64_t *bytes, struct plinth_error *error) {
    *bytes = 0;
    return env->ops->free_bytes(env, path, bytes, error);
}

uint64_t env_wall_time_us(struct env *env) { return env->ops->wall_time_us(env); }
uint64_t env_monotonic_ns(struct env *env) { return env->ops->monotonic_ns(env); }
void env_sleep_us(struct env *env, uint64_t microseconds) { env->ops->sleep_us(env, microseconds); }
void env_random(struct env *env, void *into, size_t size) { env->ops->random(env, into, size); }

uint64_t env_random_u64(struct env *env) {
    uint64_t value = 0;
    env->ops->random(env, &value, sizeof value);
    return value;
}

enum plinth_status file_read(struct env_file *file, uint64_t offset, void *into, size_t size, size_t *got,
                             struct plinth_error *error) {
    *got = 0;
    return file->ops->read(file, offset, into, size, got, error);
}

enum plinth_status file_read_exact(struct env_file *file, uint64_t offset, void *into, size_t size,
                                   struct plinth_error *error) {
    size_t got = 0;
    enum plinth_status st = file->ops->read(file, offset, into, size, &got, error);
    if (st) return st;
    if (got == size) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "%s: ends at byte %llu, wanted %zu bytes at %llu", file->path,
                     (unsigned long long)(offset + got), size, (unsigned long long)offset);
}

enum plinth_status file_write(struct env_file *file, uint64_t offset, const void *data, size_t size,
                              struct plinth_error *error) {
    struct iovec part = {(void *)(uintptr_t)data, size};
    return file->ops->write(file, offset, &part, 1, error);
}

enum plinth_status file_writev(struct env_file *file, uint64_t offset, const struct iovec *parts, int count,
                               struct plinth_error *error) {
    return file->ops->write(file, offset, parts, count, error);
}

enum plinth_status file_sync(struct env_file *file, struct plinth_error *error) { return file->ops->sync(file, error); }

enum plinth_status file_allocate(struct env_file *file, uint64_t size, struct plinth_error *error) {
    return file->ops->allocate(file, size, error);
}

enum plinth_status file_truncate(struct env_file *file, uint64_t size, struct plinth_error *error) {
    return file->ops->truncate(file, size, error);
}

enum plinth_status file_size(struct env_file *file, uint64_t *size, struct plinth_error *error) {
    *size = 0;
    return file->ops->size(file, size, error);
}

enum plinth_status file_map(struct env_file *file, const uint8_t **data, uint64_t *size, struct plinth_error *error) {
    *data = NULL;
    *size = 0;
    return file->ops->map(file, data, size, error);
}

void file_close(struct env_file *file) {
    if (file) file->ops->close(file);
}
