#include "engine/compaction_policy.h"

const struct compaction_policy compaction_policy_default = {
    .width_min = 4, .runs_max = 12, .ratio_percent = 150, .garbage_percent = 100};

/* How many runs from `first` on are of similar size: each at most ratio_percent of the sum of those before it. */
static size_t similar_from(const struct compaction_policy *policy, const uint64_t *bytes, size_t count, size_t first) {
    uint64_t sum = bytes[first];
    size_t end = first + 1;
    while (end < count && bytes[end] <= sum / 100 * policy->ratio_percent + policy->ratio_percent) sum += bytes[end++];
    return end - first;
}

/* The neighbours whose merge brings the count down to runs_max at the least cost. */
static struct compaction_choice cheapest(const uint64_t *bytes, size_t count, size_t width) {
    struct compaction_choice best = {0, width};
    uint64_t best_bytes = UINT64_MAX;
    for (size_t first = 0; first + width <= count; first++) {
        uint64_t sum = 0;
        for (size_t i = first; i < first + width; i++) sum += bytes[i];
        if (sum < best_bytes) {
            best_bytes = sum;
            best.first = first;
        }
    }
    return best;
}

struct compaction_choice compaction_choose(const struct compaction_policy *policy, const uint64_t *bytes,
                                           size_t count) {
    struct compaction_choice nothing = {0, 0};
    if (count < 2) return nothing;
    uint64_t newer = 0;
    for (size_t i = 0; i + 1 < count; i++) newer += bytes[i];
    if (count >= policy->width_min && newer >= bytes[count - 1] / 100 * policy->garbage_percent)
        return (struct compaction_choice){0, count};
    for (size_t first = 0; first + policy->width_min <= count; first++) {
        size_t similar = similar_from(policy, bytes, count, first);
        if (similar >= policy->width_min) return (struct compaction_choice){first, similar};
    }
    if (count > policy->runs_max) return cheapest(bytes, count, count - policy->runs_max + 1);
    return nothing;
}
