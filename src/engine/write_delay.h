/* Writers slow down when merges fall behind: gradually, and long before reads would suffer or the disk fill. Pure
 * functions; the engine measures (compaction_measure) after every flush and merge.
 *
 * Two measures say how far behind merges are: the runs that a look-up has to go through, and the bytes that are to be
 * merged. Below the soft limits writers are free. Between soft and hard limits they may write at a falling rate, from
 * what they wrote freely down to a tenth of it: somewhere in between merges keep up, and there it settles. Above, a
 * tenth. They never stop: only memory stops writers (write_wait_for_memory).
 *
 * The rate is kept by a budget: so many bytes since it was set; a writer that finds it used up waits for its time. */
#ifndef PLINTH_ENGINE_WRITE_DELAY_H
#define PLINTH_ENGINE_WRITE_DELAY_H

#include <stdbool.h>
#include <stdint.h>

struct write_delay_policy {
    uint64_t runs_soft, runs_hard; /* default 24, 96 */
    uint64_t debt_soft, debt_hard; /* bytes; default 16 GiB, 128 GiB */
    uint64_t rate_min;             /* bytes a second; default 1 MiB */
};
extern const struct write_delay_policy write_delay_policy_default;

/* How far behind, in 1/1000: 0 at or below the soft limits, 1000 at or above a hard one. */
unsigned write_delay_severity(const struct write_delay_policy *policy, uint64_t runs_most, uint64_t debt_bytes);
/* Bytes a second that writers may write, when `free_rate` is what they did while they were free; 0: as they like. */
uint64_t write_delay_rate(const struct write_delay_policy *policy, unsigned severity, uint64_t free_rate);

/* `written` counts all bytes that ever went into memtables. */
struct write_budget {
    uint64_t rate; /* 0: none is set */
    uint64_t since_ns, since_bytes;
};
/* Sets another rate; the budget begins anew. */
void write_budget_set(struct write_budget *budget, uint64_t rate, uint64_t written, uint64_t now_ns);
/* How long a writer has to wait; 0: not at all. What was not used for a while is lost. */
uint64_t write_budget_wait_us(struct write_budget *budget, uint64_t written, uint64_t now_ns);

/* What writers write when they are free: bytes a second over the last seconds. */
struct write_rate {
    uint64_t since_ns, since_bytes;
    uint64_t bytes_per_s;
};
void write_rate_note(struct write_rate *rate, uint64_t written, uint64_t now_ns);

#endif
