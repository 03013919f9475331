/* How far long work has come, on standard error: one line that is drawn over on a terminal, else a plain line every
 * ten seconds. */
#ifndef PLINTH_CMD_CLI_PROGRESS_H
#define PLINTH_CMD_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;     /* "imported" */
    uint64_t bytes_total; /* 0: unknown */
    uint64_t started_ns;
    uint64_t shown_ns;
    bool quiet;
    bool terminal;
};

void progress_begin(struct progress *progress, const char *what, uint64_t bytes_total, bool quiet);
/* Cheap when nothing is due. */
void progress_update(struct progress *progress, uint64_t rows, uint64_t bytes);
/* Clears the line of a terminal. Returns the seconds since the beginning. */
double progress_end(struct progress *progress);

#endif
