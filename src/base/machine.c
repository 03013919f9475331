#include "base/machine.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096, MAPPED_BYTES = 256 << 10, TRIM_BYTES = 1 << 20, ARENAS_MAX = 4 };

/* The beginning of a small file as a string; empty when it cannot be read. */
static void read_text(struct env *env, const char *path, char text[TEXT_BYTES]) {
    struct env_file *file;
    size_t got = 0;
    text[0] = 0;
    if (env_open(env, path, ENV_READ, &file, NULL)) return;
    if (file_read(file, 0, text, TEXT_BYTES - 1, &got, NULL)) got = 0;
    text[got] = 0;
    file_close(file);
}

static uint64_t page_bytes(void) {
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (uint64_t)bytes : 4096;
}

/* The limit in a control group's file; UINT64_MAX for none ("max", or no file). */
static uint64_t read_limit(struct env *env, const char *path) {
    char text[TEXT_BYTES], *end;
    read_text(env, path, text);
    unsigned long long bytes = strtoull(text, &end, 10);
    return end == text || !bytes ? UINT64_MAX : bytes;
}

/* The lowest limit from the group at `group` up to the root of `mount`. */
static uint64_t lowest_limit(struct env *env, const char *mount, char *group, const char *file) {
    char path[TEXT_BYTES + 64];
    uint64_t lowest = UINT64_MAX;
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", mount, group, file);
        uint64_t limit = read_limit(env, path);
        if (limit < lowest) lowest = limit;
        char *slash = strrchr(group, '/');
        if (!slash || !*group) return lowest;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup are "0::/group" (version 2) or "9:memory:/group" (version 1). */
static uint64_t group_limit(struct env *env) {
    char text[TEXT_BYTES], *rest = NULL;
    uint64_t lowest = UINT64_MAX;
    read_text(env, "/proc/self/cgroup", text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        uint64_t limit = UINT64_MAX;
        if (!controllers[1])
            limit = lowest_limit(env, "/sys/fs/cgroup", group, "memory.max");
        else if (!strcmp(controllers + 1, "memory"))
            limit = lowest_limit(env, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        if (limit < lowest) lowest = limit;
    }
    return lowest;
}

uint64_t machine_memory_bytes(struct env *env) {
    char text[TEXT_BYTES];
    read_text(env, "/proc/meminfo", text);
    const char *total = strstr(text, "MemTotal:");
    uint64_t bytes = total ? strtoull(total + strlen("MemTotal:"), NULL, 10) << 10 : 0, group = group_limit(env);
    return bytes && group < bytes ? group : bytes;
}

uint64_t machine_resident_bytes(struct env *env) {
    char text[TEXT_BYTES];
    read_text(env, "/proc/self/statm", text);
    const char *resident = strchr(text, ' ');
    return resident ? strtoull(resident, NULL, 10) * page_bytes() : 0;
}

/* jemalloc's, where the program has it. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));

void machine_trim_memory(void) {
    if (mallctl)
        (void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* MALLCTL_ARENAS_ALL */
    else
        (void)malloc_trim(0);
}

void machine_spare_memory(void) {
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
}
