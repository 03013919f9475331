#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *path_join(const char *directory, const char *name) {
    size_t bytes = strlen(directory) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) snprintf(path, bytes, "%s/%s", directory, name);
    return path;
}

char *path_parent(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--; /* a trailing slash names nothing */
    while (end > 0 && path[end - 1] != '/') end--;
    if (end == 0) return strdup(".");
    while (end > 1 && path[end - 1] == '/') end--;
    return strndup(path, end);
}
