/* A simulated machine for tests: files, directories and clocks in memory, with faults to order, all from one seed.
 *
 * What the program sees at once is the live state. What a crash leaves is the durable state plus a seeded choice of
 * what was under way:
 *   - a write (also truncate, allocate) is durable after a file_sync of its file that returned OK; each of the others
 *     survives or not by itself, and one that survives may be torn, at 512 bytes or at any byte;
 *   - a name (created, renamed, removed) is durable after an env_sync_directory of its directory; each of the others
 *     survives or not by itself. A file's own sync does not make its name durable;
 *   - a file_sync that fails loses: a seeded part of what it should have written is durable, the rest never will be,
 *     although the live state goes on showing it (as Linux does).
 *
 * Handles from before a crash fail with PLINTH_IO_ERROR; they are still to be closed. Thread-safe. The clocks stand
 * still but for sim_env_advance_us and env_sleep_us, which returns at once. */
#ifndef PLINTH_TESTS_SUPPORT_SIM_ENV_H
#define PLINTH_TESTS_SUPPORT_SIM_ENV_H

#include "base/bytes.h"
#include "base/env.h"

struct sim_env;

enum sim_call {
    SIM_OPEN,
    SIM_MAKE_DIRECTORY,
    SIM_SYNC_DIRECTORY,
    SIM_LIST,
    SIM_RENAME,
    SIM_REMOVE,
    SIM_LOCK,
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_SIZE,
    SIM_MAP,
    SIM_CALL_COUNT,
    SIM_ANY = SIM_CALL_COUNT,
};

/* The root directory "/" exists. Never fails: a test without memory is over anyway. */
struct sim_env *sim_env_create(uint64_t seed);
void sim_env_destroy(struct sim_env *sim);
struct env *sim_env_base(struct sim_env *sim);

/* The machine stops and starts again. `seed` chooses what survives. Ordered faults are forgotten. */
void sim_env_crash(struct sim_env *sim, uint64_t seed);

/* ---- faults ---- */

/* Calls of the kind (or SIM_ANY) so far. */
uint64_t sim_env_calls(struct sim_env *sim, enum sim_call kind);
/* The call of `kind` that comes after `skip` further ones fails with `status`, once; with `sticky`, that one and every
 * call of the kind after it. A failing write has written a seeded prefix. One fault at a time. */
void sim_env_fail(struct sim_env *sim, enum sim_call kind, uint64_t skip, enum plinth_status status, bool sticky);
/* No more failing. */
void sim_env_heal(struct sim_env *sim);
/* The file_sync that comes after `skip` further ones returns OK without doing anything: a test that passes with it
 * does not need that sync, or does not notice its loss. */
void sim_env_ignore_sync(struct sim_env *sim, uint64_t skip);
/* So do all syncs, of files and directories, whose path contains `part`; null: none. `part` is not copied. */
void sim_env_ignore_syncs_of(struct sim_env *sim, const char *part);
/* The same for syncs of files alone, or of directories alone. One of the three at a time. */
void sim_env_ignore_file_syncs_of(struct sim_env *sim, const char *part);
void sim_env_ignore_directory_syncs_of(struct sim_env *sim, const char *part);
/* The sizes of all files together may not grow over this: PLINTH_NO_SPACE. UINT64_MAX: no limit. */
void sim_env_limit_disk(struct sim_env *sim, uint64_t bytes);
/* Whatever changes something fails with PLINTH_READ_ONLY. */
void sim_env_set_read_only(struct sim_env *sim, bool read_only);
void sim_env_advance_us(struct sim_env *sim, uint64_t microseconds);
/* Moves the wall clock only; may go back. */
void sim_env_set_wall_us(struct sim_env *sim, uint64_t microseconds);

/* ---- looking and meddling: live and durable at once, not counted as calls ---- */

bool sim_env_exists(struct sim_env *sim, const char *path);
/* The live bytes of a file, from malloc into `bytes` (the caller deinits it); false when there is none. */
bool sim_env_file_bytes(struct sim_env *sim, const char *path, struct buffer *bytes);
/* Replaces a file, making it when it is missing (not its directory); durable. */
void sim_env_put_file(struct sim_env *sim, const char *path, struct slice bytes);
/* XORs one byte, on the disk. */
void sim_env_flip(struct sim_env *sim, const char *path, uint64_t offset, uint8_t mask);

#endif
