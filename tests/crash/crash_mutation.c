/* Whether the crash test would notice: one kind of sync does nothing, and crash_round must find that something
 * acknowledged is lost, within a bounded number of rounds, for each kind in turn. A kind that no round misses is
 * either not needed or not tested. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/crash_round.h"

static const struct crash_mutation mutations[] = {
    {"log records", "/db/log/0", false},
    {"log segment header", "/db/log/next", false},
    {"names in the log directory", "/db/log", true},
    {"segment and checkpoint files", "/db/store/", false},
    {"segment files", "/db/store/segments/", false},
    {"names of segments", "/db/store/segments/", true},
    {"checkpoint files", "/db/store/checkpoints/", false},
    {"names of checkpoints", "/db/store/checkpoints/", true},
    {"names in the store directory", "/db/store", true},
    {"the FORMAT file", "/db/FORMAT", false},
    {"every name", "/", true},
    {"every sync of a file", "/", false},
};

/* As many as the rarest kind may take; a shorter run of the other crash tests does not lower it. */
enum { ROUNDS_MIN = 60 };
static struct crash_options options = {.seed = 1, .rounds = ROUNDS_MIN, .cycles = 6};
static const struct crash_mutation *mutation;

static void round_of(uint64_t seed) { crash_round_run(seed, options.cycles, mutation, NULL); }

/* Runs the rounds in a process of their own, as a round that fails leaves threads behind. Its output is in `output`.
 * True when a round failed as a test does; anything else that ends it early is a failure of this one. */
static bool is_noticed(FILE *output) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(output), STDERR_FILENO);
        int failed = crash_run_rounds("crash_mutation", &options, round_of);
        fflush(NULL);
        _exit(failed);
    }
    int status = 0;
    assert_true(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) fail_msg("without syncs of %s: signal %d", mutation->name, WTERMSIG(status));
    assert_true(WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 1;
}

/* How it was noticed, and after how many rounds. */
static void describe(FILE *output) {
    char line[1024], reason[1024] = "";
    uint64_t seed = options.seed;
    rewind(output);
    while (fgets(line, sizeof line, output)) {
        char *at = strstr(line, "round of seed ");
        if (at) seed = strtoull(at + strlen("round of seed "), NULL, 10);
        if (!reason[0] && strchr(line, ' ') && line[0] != '[' && !strstr(line, "crash_mutation"))
            snprintf(reason, sizeof reason, "%s", line);
    }
    reason[strcspn(reason, "\n")] = '\0';
    print_message("%s: noticed in round %" PRIu64 ": %s\n", mutation->name, seed - options.seed + 1, reason);
}

static void a_removed_sync_is_noticed(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mutations / sizeof mutations[0]; i++) {
        mutation = &mutations[i];
        FILE *output = tmpfile();
        assert_non_null(output);
        bool noticed = is_noticed(output);
        if (noticed) describe(output);
        fclose(output);
        if (!noticed)
            fail_msg("%" PRIu64 " rounds did not notice that syncs of %s do nothing", options.rounds, mutation->name);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_removed_sync_is_noticed)};
    crash_options_read(&options, argc, argv);
    if (options.rounds < ROUNDS_MIN) options.rounds = ROUNDS_MIN;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
