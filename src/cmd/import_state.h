/* What an import must remember to go on after an interruption: its producer id, and how far it came.
 *
 * A small text file in $PLINTH_STATE_DIR (else $XDG_STATE_HOME/plinth, else ~/.local/state/plinth), named by a hash of
 * table and input files; it is there while an import runs and after one that did not end. An import that finds it
 * cuts the same files into the same batches and sends them under the same producer id and sequences: the server knows
 * those that it has. `chain` is a running hash of all batches up to the last acknowledged one, by which files that have
 * changed there are found out. The server forgets producers after a day, so an older state is not used. */
#ifndef PLINTH_CMD_IMPORT_STATE_H
#define PLINTH_CMD_IMPORT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "plinth_status.h"

struct env_file;

struct import_state {
    uint64_t producer_id;
    uint64_t started_us;
    uint64_t sequence; /* all up to this one are acknowledged */
    uint64_t chain;    /* over their bytes */
    uint64_t sent;     /* the highest sequence that was sent, at least */
    uint64_t rows;     /* of the acknowledged ones */
    uint64_t files;    /* hash of the files' sizes and times of change */
};

enum { IMPORT_STATE_AGE_MAX_S = 20 * 3600 };

struct import_state_file {
    char *path;            /* null: there is none, the import cannot be resumed */
    struct env_file *lock; /* held while the import runs */
};

/* Finds and locks the state of an import of `paths` into the table; what is there goes to `*state`, else it is zero. A
 * directory that cannot be written to leaves `file` empty and tells why in `error` with PLINTH_OK: the import can run,
 * but not be resumed. PLINTH_LOCKED: the same import is running. */
PLINTH_MUST_CHECK enum plinth_status import_state_open(const char *table, char *const *paths, int path_count,
                                                       struct import_state_file *file, struct import_state *state,
                                                       struct plinth_error *error);
/* Replaces the file; failures are not told: the import then resumes from an earlier place. */
void import_state_write(const struct import_state_file *file, const struct import_state *state);
/* Removes the file: the import is done, or begins anew. */
void import_state_forget(const struct import_state_file *file);
void import_state_close(struct import_state_file *file);

/* Sizes and times of change of the files. */
uint64_t import_state_files(char *const *paths, int path_count);

#endif
