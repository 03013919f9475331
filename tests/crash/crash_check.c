#include "crash/crash_check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log_event.h"
#include "engine/engine.h"

/* ---- orders ---- */

static uint64_t number_of(const char *name, const char *text) {
    char *end;
    uint64_t number = text ? strtoull(text, &end, 10) : 0;
    if (text && *text && !*end) return number;
    fprintf(stderr, "%s needs a number, not \"%s\"\n", name, text ? text : "");
    exit(2);
}

void crash_options_read(struct crash_options *options, int argc, char **argv) {
    if (getenv("PLINTH_SEED")) options->seed = number_of("PLINTH_SEED", getenv("PLINTH_SEED"));
    if (getenv("PLINTH_CRASH_ROUNDS")) {
        uint64_t cost = options->cost ? options->cost : 1;
        options->rounds = (number_of("PLINTH_CRASH_ROUNDS", getenv("PLINTH_CRASH_ROUNDS")) + cost - 1) / cost;
    }
    for (int i = 1; i < argc; i += 2) {
        uint64_t *into = strcmp(argv[i], "--seed") == 0     ? &options->seed
                         : strcmp(argv[i], "--rounds") == 0 ? &options->rounds
                         : strcmp(argv[i], "--cycles") == 0 ? &options->cycles
                                                            : NULL;
        if (!into) {
            fprintf(stderr, "usage: %s [--seed S] [--rounds N] [--cycles C]\n", argv[0]);
            exit(2);
        }
        *into = number_of(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
    }
}

/* ---- checks ---- */

static void on_problem(void *context, const char *object, const char *problem) {
    (void)context;
    print_error("verify: %s: %s\n", object, problem);
}

void crash_check_verify(struct plinth *db) {
    struct plinth_verify_result result;
    struct plinth_error error;
    assert_ok(plinth_verify(db, on_problem, NULL, &result, &error), &error);
    assert_int_equal(result.problems, 0);
}

/* Whether somebody answers for the object `name`, which begins with "segments/". */
static bool is_known(struct plinth *db, const char *name) {
    uint64_t job = strtoull(name + strlen("segments/"), NULL, 16);
    bool known = false;
    pthread_mutex_lock(&db->sequence_mutex);
    const struct shard *shard = &db->shard;
    for (uint64_t t = 0; t < shard->table_count; t++)
        for (uint64_t r = 0; r < shard->tables[t].run_count; r++)
            for (uint64_t s = 0; s < shard->tables[t].runs[r].segment_count; s++)
                known |= strcmp(shard->tables[t].runs[r].segments[s].name, name) == 0;
    for (uint64_t i = 0; i < shard->garbage_count; i++) known |= strcmp(shard->garbage[i].name, name) == 0;
    const struct shard_job *owner = shard_find_job(shard, job);
    known |= owner != NULL;
    pthread_mutex_unlock(&db->sequence_mutex);
    return known;
}

/* The same for one that begins with "values/": live, dead, or of an upload that may be under way. */
static bool is_known_value(struct plinth *db, const char *name) {
    char *end;
    uint64_t job = strtoull(name + strlen("values/"), &end, 16);
    uint32_t number = *end == '/' ? (uint32_t)strtoul(end + 1, NULL, 16) : 0;
    pthread_mutex_lock(&db->sequence_mutex);
    bool known = shard_find_job(&db->shard, job) || value_objects_find(&db->shard.values, job, number) ||
                 value_objects_is_dead(&db->shard.values, job, number);
    pthread_mutex_unlock(&db->sequence_mutex);
    return known;
}

struct walk {
    struct plinth *db;
    struct sim_env *sim;
    const char *store; /* the store's directory */
    const char *directory;
};

static bool check_entry(void *context, const char *name, bool is_directory) {
    struct walk *walk = context;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", walk->directory, name);
    if (is_directory) {
        struct walk below = {walk->db, walk->sim, walk->store, path};
        struct plinth_error error;
        enum plinth_status st = env_list(sim_env_base(walk->sim), path, check_entry, &below, &error);
        if (st != PLINTH_NOT_FOUND) assert_ok(st, &error); /* an emptied directory may go meanwhile */
        return true;
    }
    const char *object = path + strlen(walk->store) + 1;
    /* What was removed between the listing and the look is no orphan. */
    bool belongs = strncmp(object, "segments/", 9) != 0 || is_known(walk->db, object);
    if (strncmp(object, "values/", 7) == 0) belongs = is_known_value(walk->db, object);
    if (!belongs && sim_env_exists(walk->sim, path)) fail_msg("%s belongs to nothing", path);
    return true;
}

void crash_check_files(struct plinth *db, struct sim_env *sim, const char *path, bool just_opened) {
    char store[512];
    struct plinth_error error;
    snprintf(store, sizeof store, "%s/store", path);
    struct walk walk = {db, sim, store, store};
    assert_ok(env_list(sim_env_base(sim), store, check_entry, &walk, &error), &error);
    pthread_mutex_lock(&db->sequence_mutex);
    for (uint64_t i = 0; just_opened && i < db->shard.job_count; i++)
        if (db->shard.jobs[i].aborted) fail_msg("job %" PRIu64 " of a former run is still there", db->shard.jobs[i].id);
    pthread_mutex_unlock(&db->sequence_mutex);
}

/* ---- rounds ---- */

static char watch_text[160];

static void on_alarm(int number) {
    (void)number;
    if (write(STDERR_FILENO, watch_text, strlen(watch_text)) < 0) _exit(4);
    abort(); /* a core shows where it hangs */
}

void crash_watch(unsigned seconds, uint64_t seed) {
    snprintf(watch_text, sizeof watch_text, "seed %" PRIu64 " hangs: nothing for %u s\n", seed, seconds);
    signal(SIGALRM, on_alarm);
    alarm(seconds);
}

static const struct crash_options *run_options;
static void (*run_round)(uint64_t seed);
static uint64_t run_seed;

static void every_round_keeps_what_was_acknowledged(void **state) {
    (void)state;
    for (uint64_t i = 0; i < run_options->rounds; i++) {
        run_seed = run_options->seed + i;
        run_round(run_seed);
    }
}

int crash_run_rounds(const char *program, const struct crash_options *options, void (*round)(uint64_t seed)) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_round_keeps_what_was_acknowledged)};
    run_options = options;
    run_round = round;
    log_event_configure(getenv("PLINTH_CRASH_LOG") ? LOG_INFO : LOG_OFF,
                        false); /* failed calls are what the test is about */
    printf("%s: seed %" PRIu64 ", %" PRIu64 " rounds\n", program, options->seed, options->rounds);
    fflush(stdout);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed)
        fprintf(stderr,
                "%s failed in the round of seed %" PRIu64 "; repeat it with: %s --seed %" PRIu64 " --rounds 1\n",
                program, run_seed, program, run_seed);
    return failed ? 1 : 0;
}
