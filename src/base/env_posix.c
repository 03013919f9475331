/* env on Linux: pread/pwritev, fdatasync, flock, getrandom. Interrupted calls go on, short ones are continued;
 * nothing else is retried. */
#include "base/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

/* Data is for the server's user and group, not for the world. */
enum { FILE_MODE = 0640, DIRECTORY_MODE = 0750 };

struct posix_file {
    struct env_file base;
    int descriptor;
    pthread_mutex_t map_mutex; /* guards the two below */
    uint8_t *mapped;
    uint64_t mapped_bytes;
    char path[];
};

static struct posix_file *posix_file_of(struct env_file *file) { return (struct posix_file *)file; }

static enum plinth_status posix_read(struct env_file *base, uint64_t offset, void *into, size_t size, size_t *got,
                                     struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    while (*got < size) {
        ssize_t n = pread(file->descriptor, (uint8_t *)into + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_set_errno(error, errno, "%s: read at %llu", file->path, (unsigned long long)offset);
        if (n == 0) break;
        *got += (size_t)n;
    }
    return PLINTH_OK;
}

static enum plinth_status posix_write(struct env_file *base, uint64_t offset, const struct iovec *parts, int count,
                                      struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    enum { BATCH = 64 };
    struct iovec batch[BATCH];
    size_t skip = 0; /* bytes of parts[0] already written */
    while (count > 0) {
        int n = count < BATCH ? count : BATCH;
        memcpy(batch, parts, (size_t)n * sizeof batch[0]);
        batch[0].iov_base = (uint8_t *)batch[0].iov_base + skip;
        batch[0].iov_len -= skip;
        ssize_t wrote = pwritev(file->descriptor, batch, n, (off_t)offset);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0)
            return error_set_errno(error, errno, "%s: write at %llu", file->path, (unsigned long long)offset);
        offset += (uint64_t)wrote;
        size_t left = (size_t)wrote + skip;
        while (count > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (wrote == 0 && count > 0) {
            return error_set(error, PLINTH_IO_ERROR, "%s: write at %llu wrote nothing", file->path,
                             (unsigned long long)offset);
        }
        skip = left;
    }
    return PLINTH_OK;
}

static enum plinth_status posix_sync(struct env_file *base, struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    if (fdatasync(file->descriptor) == 0) return PLINTH_OK;
    return error_set_errno(error, errno, "%s: fdatasync", file->path);
}

static enum plinth_status posix_size(struct env_file *base, uint64_t *size, struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    struct stat status;
    if (fstat(file->descriptor, &status)) return error_set_errno(error, errno, "%s: stat", file->path);
    *size = (uint64_t)status.st_size;
    return PLINTH_OK;
}

static enum plinth_status posix_allocate(struct env_file *base, uint64_t size, struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    uint64_t now = 0;
    enum plinth_status st = posix_size(base, &now, error);
    if (st || size <= now) return st;
    int failure;
    do {
        failure = fallocate(file->descriptor, 0, (off_t)now, (off_t)(size - now)) ? errno : 0;
    } while (failure == EINTR);
    /* File systems without fallocate still get the size; the space is then not reserved. */
    if (failure == EOPNOTSUPP) failure = ftruncate(file->descriptor, (off_t)size) ? errno : 0;
    if (!failure) return PLINTH_OK;
    return error_set_errno(error, failure, "%s: reserving %llu bytes", file->path, (unsigned long long)size);
}

static enum plinth_status posix_truncate(struct env_file *base, uint64_t size, struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    while (ftruncate(file->descriptor, (off_t)size)) {
        if (errno == EINTR) continue;
        return error_set_errno(error, errno, "%s: truncate to %llu", file->path, (unsigned long long)size);
    }
    return PLINTH_OK;
}

static enum plinth_status posix_map(struct env_file *base, const uint8_t **data, uint64_t *size,
                                    struct plinth_error *error) {
    struct posix_file *file = posix_file_of(base);
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&file->map_mutex);
    if (!file->mapped) {
        uint64_t bytes = 0;
        st = posix_size(base, &bytes, error);
        if (st || bytes == 0) goto done;
        void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file->descriptor, 0);
        if (at == MAP_FAILED) {
            st = error_set_errno(error, errno, "%s: mapping %llu bytes", file->path, (unsigned long long)bytes);
            goto done;
        }
        file->mapped = at;
        file->mapped_bytes = bytes;
    }
    *data = file->mapped;
    *size = file->mapped_bytes;
done:
    pthread_mutex_unlock(&file->map_mutex);
    return st;
}

static void posix_close(struct env_file *base) {
    struct posix_file *file = posix_file_of(base);
    if (file->mapped) munmap(file->mapped, file->mapped_bytes);
    close(file->descriptor);
    pthread_mutex_destroy(&file->map_mutex);
    free(file);
}

static const struct env_file_ops posix_file_ops = {
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .size = posix_size,
    .map = posix_map,
    .close = posix_close,
};

/* Takes `descriptor` over; closes it when memory is out. */
static enum plinth_status posix_file_create(const char *path, int descriptor, struct env_file **created,
                                            struct plinth_error *error) {
    size_t path_bytes = strlen(path) + 1;
    struct posix_file *file = malloc(sizeof *file + path_bytes);
    if (!file) {
        close(descriptor);
        return error_no_memory(error, "file handle");
    }
    memcpy(file->path, path, path_bytes);
    file->base = (struct env_file){&posix_file_ops, file->path};
    file->descriptor = descriptor;
    file->mapped = NULL;
    file->mapped_bytes = 0;
    pthread_mutex_init(&file->map_mutex, NULL);
    *created = &file->base;
    return PLINTH_OK;
}

static int open_retrying(const char *path, int flags) {
    int descriptor;
    do {
        descriptor = open(path, flags | O_CLOEXEC, FILE_MODE);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static enum plinth_status posix_open(struct env *env, const char *path, unsigned flags, struct env_file **file,
                                     struct plinth_error *error) {
    (void)env;
    int how = (flags & ENV_WRITE) ? (flags & ENV_READ) ? O_RDWR : O_WRONLY : O_RDONLY;
    if (flags & ENV_CREATE) how |= O_CREAT;
    if (flags & ENV_EXCLUSIVE) how |= O_EXCL;
    if (flags & ENV_TRUNCATE) how |= O_TRUNC;
    int descriptor = open_retrying(path, how);
    if (descriptor < 0) return error_set_errno(error, errno, "%s: open", path);
    struct stat status;
    if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(descriptor);
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: is a directory", path);
    }
    return posix_file_create(path, descriptor, file, error);
}

static enum plinth_status posix_make_directory(struct env *env, const char *path, struct plinth_error *error) {
    (void)env;
    if (mkdir(path, DIRECTORY_MODE) == 0) return PLINTH_OK;
    int failure = errno;
    struct stat status;
    if (failure == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return PLINTH_OK;
    return error_set_errno(error, failure, "%s: making the directory", path);
}

static enum plinth_status posix_sync_directory(struct env *env, const char *path, struct plinth_error *error) {
    (void)env;
    int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) return error_set_errno(error, errno, "%s: opening the directory", path);
    int failure = fsync(descriptor) ? errno : 0;
    close(descriptor);
    if (!failure) return PLINTH_OK;
    return error_set_errno(error, failure, "%s: fsync of the directory", path);
}

static enum plinth_status posix_sync_tree(struct env *env, const char *path, struct plinth_error *error) {
    (void)env;
    int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) return error_set_errno(error, errno, "%s: opening the directory", path);
    int failure = syncfs(descriptor) ? errno : 0;
    close(descriptor);
    if (!failure) return PLINTH_OK;
    return error_set_errno(error, failure, "%s: syncfs", path);
}

static bool entry_is_directory(int directory, const struct dirent *entry) {
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK) return entry->d_type == DT_DIR;
    struct stat status;
    return fstatat(directory, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static enum plinth_status posix_list(struct env *env, const char *path, env_list_visitor *visit, void *context,
                                     struct plinth_error *error) {
    (void)env;
    DIR *directory = opendir(path);
    if (!directory) return error_set_errno(error, errno, "%s: opening the directory", path);
    enum plinth_status st = PLINTH_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            if (errno) st = error_set_errno(error, errno, "%s: listing the directory", path);
            break;
        }
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (!visit(context, entry->d_name, entry_is_directory(dirfd(directory), entry))) break;
    }
    closedir(directory);
    return st;
}

static enum plinth_status posix_describe(struct env *env, const char *path, struct env_file_info *info,
                                         struct plinth_error *error) {
    (void)env;
    struct stat status;
    if (stat(path, &status)) return error_set_errno(error, errno, "%s: stat", path);
    if (S_ISDIR(status.st_mode)) return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: is a directory", path);
    info->size = (uint64_t)status.st_size;
    info->modified_us = (uint64_t)status.st_mtim.tv_sec * 1000000 + (uint64_t)status.st_mtim.tv_nsec / 1000;
    return PLINTH_OK;
}

static enum plinth_status posix_rename(struct env *env, const char *from, const char *to, struct plinth_error *error) {
    (void)env;
    if (rename(from, to) == 0) return PLINTH_OK;
    return error_set_errno(error, errno, "%s: rename to %s", from, to);
}

static enum plinth_status posix_remove(struct env *env, const char *path, struct plinth_error *error) {
    (void)env;
    if (unlink(path) == 0) return PLINTH_OK;
    int failure = errno;
    if (failure == EISDIR) failure = rmdir(path) ? errno : 0;
    if (!failure) return PLINTH_OK;
    return error_set_errno(error, failure, "%s: remove", path);
}

/* flock belongs to the open file, so a second lock in the same process is refused as well. The holder writes
 * its process id into the file, for messages only. */
static enum plinth_status posix_lock(struct env *env, const char *path, struct env_file **lock,
                                     struct plinth_error *error) {
    (void)env;
    int descriptor = open_retrying(path, O_RDWR | O_CREAT);
    if (descriptor < 0) return error_set_errno(error, errno, "%s: opening the lock file", path);
    int failure;
    do {
        failure = flock(descriptor, LOCK_EX | LOCK_NB) ? errno : 0;
    } while (failure == EINTR);
    char holder[32] = {0};
    if (failure == EWOULDBLOCK) {
        ssize_t n = pread(descriptor, holder, sizeof holder - 1, 0);
        holder[n > 0 ? strspn(holder, "0123456789") : 0] = '\0';
        close(descriptor);
        return error_set(error, PLINTH_LOCKED, "%s: held by %s%s", path, *holder ? "process " : "another process",
                         holder);
    }
    if (failure) {
        close(descriptor);
        return error_set_errno(error, failure, "%s: flock", path);
    }
    int used = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) || pwrite(descriptor, holder, (size_t)used, 0) != used) {
        /* The lock holds without the note. */
    }
    return posix_file_create(path, descriptor, lock, error);
}

static enum plinth_status posix_free_bytes(struct env *env, const char *path, uint64_t *bytes,
                                           struct plinth_error *error) {
    (void)env;
    struct statvfs status;
    if (statvfs(path, &status)) return error_set_errno(error, errno, "%s: statvfs", path);
    *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return PLINTH_OK;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t posix_wall_time_us(struct env *env) {
    (void)env;
    return clock_ns(CLOCK_REALTIME) / 1000;
}

static uint64_t posix_monotonic_ns(struct env *env) {
    (void)env;
    return clock_ns(CLOCK_MONOTONIC);
}

static void posix_sleep_us(struct env *env, uint64_t microseconds) {
    (void)env;
    struct timespec left = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000 * 1000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

static void posix_random(struct env *env, void *into, size_t size) {
    (void)env;
    uint8_t *at = into;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) abort(); /* Linux without getrandom: nothing random can be promised */
        at += got;
        size -= (size_t)got;
    }
}

static const struct env_ops posix_ops = {
    .open = posix_open,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .sync_tree = posix_sync_tree,
    .list = posix_list,
    .describe = posix_describe,
    .rename = posix_rename,
    .remove = posix_remove,
    .lock = posix_lock,
    .free_bytes = posix_free_bytes,
    .wall_time_us = posix_wall_time_us,
    .monotonic_ns = posix_monotonic_ns,
    .sleep_us = posix_sleep_us,
    .random = posix_random,
};

struct env *env_posix(void) {
    static struct env env = {&posix_ops};
    return &env;
}
