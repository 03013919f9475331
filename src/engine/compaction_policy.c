#include "engine/compaction_policy.h"

#include <stdlib.h>
#include <string.h>

const struct compaction_policy compaction_policy_default = {.width_min = 4,
                                                            .width_max = 24,
                                                            .runs_max = 12,
                                                            .ratio_percent = 150,
                                                            .garbage_percent = 100,
                                                            .deletes_percent = 50,
                                                            .small_percent = 2,
                                                            .small_bytes = 256ull << 20,
                                                            .quiet_us = 60ull * 1000 * 1000};

enum { QUIET_FACTOR_MAX = 60, CLOSED_PERCENT = 5 };

const char *compaction_reason_text(enum compaction_reason reason) {
    switch (reason) {
    case COMPACTION_SIMILAR: return "similar runs";
    case COMPACTION_GARBAGE: return "newer runs outweigh the oldest";
    case COMPACTION_DELETES: return "deleted rows";
    case COMPACTION_TOO_MANY: return "too many runs";
    case COMPACTION_CLOSED: return "closed partition";
    default: return "";
    }
}

static uint64_t percent_of(uint64_t value, unsigned percent) {
    return value / 100 * percent + value % 100 * percent / 100;
}

static uint64_t sum_bytes(const struct compaction_run *runs, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += runs[i].bytes;
    return sum;
}

/* How many runs from `first` on are of similar size: each at most ratio_percent of the sum of those before it. */
static size_t similar_from(const struct compaction_policy *policy, const struct compaction_run *runs, size_t count,
                           size_t first) {
    uint64_t sum = runs[first].bytes;
    size_t end = first + 1;
    while (end < count && end - first < policy->width_max &&
           runs[end].bytes <= percent_of(sum, policy->ratio_percent) + policy->ratio_percent)
        sum += runs[end++].bytes;
    return end - first;
}

/* The `width` neighbours that are merged at the least cost. */
static size_t cheapest(const struct compaction_run *runs, size_t count, size_t width, uint64_t *cost) {
    size_t best = 0;
    *cost = UINT64_MAX;
    for (size_t first = 0; first + width <= count; first++) {
        uint64_t sum = sum_bytes(runs + first, width);
        if (sum >= *cost) continue;
        *cost = sum;
        best = first;
    }
    return best;
}

/* Runs that are tiny beside the one they would go into would each meet all of it: in a large merge they are left out,
 * to be merged among themselves first. */
static struct compaction_choice without_tiny(const struct compaction_policy *policy, const struct compaction_run *runs,
                                             struct compaction_choice choice) {
    size_t end = choice.first + choice.count;
    if (choice.count && sum_bytes(runs + choice.first, choice.count) > policy->small_bytes)
        while (choice.first + 2 < end && runs[choice.first].deletes == 0 &&
               runs[choice.first].bytes < percent_of(runs[end - 1].bytes, policy->small_percent))
            choice.first++;
    if (end - choice.first > policy->width_max) choice.first = end - policy->width_max;
    choice.count = end - choice.first;
    return choice;
}

static struct compaction_choice all_of(size_t count, enum compaction_reason reason) {
    return (struct compaction_choice){0, count, reason};
}

static bool is_closed(const struct compaction_policy *policy, const struct compaction_group *group,
                      const struct compaction_run *runs, size_t count) {
    if (!group->has_ended || (count == 1 && !runs[0].is_fresh)) return false;
    /* A few late rows now and then must not rewrite it each time. */
    uint64_t newer = sum_bytes(runs, count - 1), oldest = runs[count - 1].bytes, factor = 1;
    if (count > 1 && newer < percent_of(oldest, CLOSED_PERCENT))
        factor = newer ? percent_of(oldest, CLOSED_PERCENT) / newer + 1 : QUIET_FACTOR_MAX;
    if (factor > QUIET_FACTOR_MAX) factor = QUIET_FACTOR_MAX;
    return group->quiet_us >= policy->quiet_us * factor;
}

static bool deletes_outweigh(const struct compaction_policy *policy, const struct compaction_run *runs, size_t count) {
    uint64_t deletes = 0;
    for (size_t i = 0; i + 1 < count; i++) deletes += runs[i].deletes;
    return deletes && deletes >= percent_of(runs[count - 1].rows, policy->deletes_percent);
}

/* What there is to do among the oldest `count` runs of the group, none of them busy. */
static struct compaction_choice choose_bottom(const struct compaction_policy *policy,
                                              const struct compaction_group *group, const struct compaction_run *runs,
                                              size_t count) {
    struct compaction_choice nothing = {0};
    const struct compaction_run *oldest = &runs[count - 1];
    if (is_closed(policy, group, runs, count)) return all_of(count, COMPACTION_CLOSED);
    if (oldest->purgeable && oldest->purgeable >= percent_of(oldest->rows, policy->deletes_percent))
        return all_of(count, COMPACTION_DELETES);
    if (count < 2) return nothing;
    if (deletes_outweigh(policy, runs, count)) return all_of(count, COMPACTION_DELETES);
    uint64_t newer = sum_bytes(runs, count - 1);
    if (count >= policy->width_min && newer >= percent_of(oldest->bytes, policy->garbage_percent))
        return all_of(count, COMPACTION_GARBAGE);
    return nothing;
}

/* What there is to do among neighbours none of which is busy. `runs_to_be`: of the group, once its plans are done. */
static struct compaction_choice choose_among(const struct compaction_policy *policy,
                                             const struct compaction_group *group, size_t begin, size_t end,
                                             size_t runs_to_be) {
    const struct compaction_run *runs = group->runs + begin;
    size_t count = end - begin;
    struct compaction_choice choice = {0};
    if (end == group->count) choice = choose_bottom(policy, group, runs, count);
    for (size_t first = 0; !choice.count && first + policy->width_min <= count; first++) {
        size_t similar = similar_from(policy, runs, count, first);
        if (similar >= policy->width_min) choice = (struct compaction_choice){first, similar, COMPACTION_SIMILAR};
    }
    if (!choice.count && runs_to_be > policy->runs_max && count > 1) {
        size_t width = runs_to_be - policy->runs_max + 1;
        if (width > count) width = count;
        if (width > policy->width_max) width = policy->width_max;
        uint64_t cost;
        choice = (struct compaction_choice){cheapest(runs, count, width, &cost), width, COMPACTION_TOO_MANY};
    }
    choice = without_tiny(policy, runs, choice);
    choice.first += begin;
    return choice;
}

struct compaction_choice compaction_choose(const struct compaction_policy *policy,
                                           const struct compaction_group *group) {
    size_t runs_to_be = 0;
    for (size_t i = 0; i < group->count; i++)
        runs_to_be += !group->runs[i].is_busy || i == 0 || !group->runs[i - 1].is_busy;
    /* The newest stretch first: it is the cheapest, and grows the fastest. */
    for (size_t begin = 0, end; begin < group->count; begin = end + 1) {
        end = begin;
        while (end < group->count && !group->runs[end].is_busy) end++;
        if (end == begin) continue;
        struct compaction_choice choice = choose_among(policy, group, begin, end, runs_to_be);
        if (choice.count) return choice;
    }
    return (struct compaction_choice){0};
}

/* The runs as they are after a merge. */
static size_t merge_runs(struct compaction_run *runs, size_t count, const struct compaction_choice *choice) {
    struct compaction_run merged = {0};
    bool bottom = choice->first + choice->count == count;
    for (size_t i = choice->first; i < choice->first + choice->count; i++) {
        merged.bytes += runs[i].bytes;
        merged.rows += runs[i].rows;
        merged.deletes += bottom ? 0 : runs[i].deletes;
    }
    runs[choice->first] = merged;
    memmove(&runs[choice->first + 1], &runs[choice->first + choice->count],
            (count - choice->first - choice->count) * sizeof *runs);
    return count - choice->count + 1;
}

uint64_t compaction_debt(const struct compaction_policy *policy, const struct compaction_group *group) {
    struct compaction_run few[32], *runs = group->count <= 32 ? few : malloc(group->count * sizeof *runs);
    uint64_t debt = 0;
    if (!runs) return 0;
    struct compaction_group left = *group;
    left.runs = runs;
    for (size_t i = 0; i < group->count; i++) {
        runs[i] = group->runs[i];
        runs[i].is_busy = false;
    }
    for (;;) {
        struct compaction_choice choice = compaction_choose(policy, &left);
        if (!choice.count) break;
        debt += sum_bytes(runs + choice.first, choice.count);
        left.count = merge_runs(runs, left.count, &choice);
    }
    if (runs != few) free(runs);
    return debt;
}
