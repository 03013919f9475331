/* Paths as strings from malloc; null when memory is out. */
#ifndef PLINTH_BASE_PATH_H
#define PLINTH_BASE_PATH_H

/* "<directory>/<name>" */
char *path_join(const char *directory, const char *name);
/* The directory that holds `path`: "." for a bare name, "/" for what stands in the root. */
char *path_parent(const char *path);

#endif
