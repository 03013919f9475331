#include "engine/write_delay.h"

#define SECOND_NS (1000ull * 1000 * 1000)
/* What a budget may fall behind before it is lost. */
#define SLACK_NS (SECOND_NS / 20)

const struct write_delay_policy write_delay_policy_default = {
    .runs_soft = 24, .runs_hard = 96, .debt_soft = 16ull << 30, .debt_hard = 128ull << 30, .rate_min = 1 << 20};

static unsigned part_of(uint64_t value, uint64_t soft, uint64_t hard) {
    if (value <= soft) return 0;
    if (value >= hard) return 1000;
    return (unsigned)((double)(value - soft) * 1000 / (double)(hard - soft));
}

unsigned write_delay_severity(const struct write_delay_policy *policy, uint64_t runs_most, uint64_t debt_bytes) {
    unsigned runs = part_of(runs_most, policy->runs_soft, policy->runs_hard);
    unsigned debt = part_of(debt_bytes, policy->debt_soft, policy->debt_hard);
    return runs > debt ? runs : debt;
}

uint64_t write_delay_rate(const struct write_delay_policy *policy, unsigned severity, uint64_t free_rate) {
    if (!severity) return 0;
    uint64_t rate = free_rate / 1000 * (1000 - severity) + free_rate / 10000 * severity;
    return rate > policy->rate_min ? rate : policy->rate_min;
}

void write_budget_set(struct write_budget *budget, uint64_t rate, uint64_t written, uint64_t now_ns) {
    if (budget->rate == rate) return;
    *budget = (struct write_budget){rate, now_ns, written};
}

uint64_t write_budget_wait_us(struct write_budget *budget, uint64_t written, uint64_t now_ns) {
    if (!budget->rate || written <= budget->since_bytes) return 0;
    double due_ns = (double)(written - budget->since_bytes) / (double)budget->rate * (double)SECOND_NS;
    double elapsed_ns = (double)(now_ns - budget->since_ns);
    if (due_ns > elapsed_ns) return (uint64_t)((due_ns - elapsed_ns) / 1000) + 1;
    if (elapsed_ns - due_ns > (double)SLACK_NS) *budget = (struct write_budget){budget->rate, now_ns, written};
    return 0;
}

void write_rate_note(struct write_rate *rate, uint64_t written, uint64_t now_ns) {
    uint64_t elapsed_ns = now_ns - rate->since_ns;
    if (rate->since_ns && elapsed_ns < SECOND_NS) return;
    if (rate->since_ns) {
        uint64_t now = (uint64_t)((double)(written - rate->since_bytes) / (double)elapsed_ns * (double)SECOND_NS);
        /* Bursts count at once, pauses slowly. */
        rate->bytes_per_s = now > rate->bytes_per_s ? now : rate->bytes_per_s - (rate->bytes_per_s - now) / 8;
    }
    rate->since_ns = now_ns;
    rate->since_bytes = written;
}
