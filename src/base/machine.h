/* How much memory there is, and how much of it this process has. Read through env, so that a simulated machine has none
 * to tell of. */
#ifndef PLINTH_BASE_MACHINE_H
#define PLINTH_BASE_MACHINE_H

#include "base/env.h"

/* What this process may have: the machine's memory, or what its control groups (version 2 or 1) leave it of that. 0
 * when that cannot be told. */
uint64_t machine_memory_bytes(struct env *env);
/* Resident memory of this process (VmRSS); 0 when that cannot be told. */
uint64_t machine_resident_bytes(struct env *env);
/* Gives memory that was freed back to the operating system: what threads have freed in the middle of glibc's arenas, or
 * jemalloc keeps for a while, stays resident until somebody asks. */
void machine_trim_memory(void);
/* Sets glibc's allocator, for the whole process, so that freed memory is soon given back: blocks of 256 KiB and more
 * are mapped on their own (else glibc raises that bound to 32 MiB as soon as such a block is freed, and then they leave
 * holes), and there are few arenas, each of which keeps what its threads have freed. Costs page faults. */
void machine_spare_memory(void);

#endif
