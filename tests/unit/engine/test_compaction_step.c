/* Which segments go together; and what plans made of steps come to over a long time. */
#include "engine/compaction_step.h"

#include <stdlib.h>
#include <string.h>

#include "engine/compaction_policy.h"
#include "support/test_support.h"

/* ---- pictures: a segment is "af" (keys from a to f, 10 bytes), one that may move "AF" ---- */

enum { RUNS_MAX = 8, SEGMENTS_MAX = 16 };

struct picture {
    struct step_segment segments[RUNS_MAX][SEGMENTS_MAX];
    struct step_run runs[RUNS_MAX];
    size_t count;
    char text[RUNS_MAX][64];
};

static void draw(struct picture *picture, const char *const *runs, size_t count) {
    *picture = (struct picture){.count = count};
    for (size_t r = 0; r < count; r++) {
        size_t segments = 0, length = strlen(runs[r]);
        for (size_t i = 0; i < length; i++) {
            char c = runs[r][i];
            picture->text[r][i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        for (size_t i = 0; i + 1 < length; i += 3) {
            const uint8_t *at = (const uint8_t *)picture->text[r] + i;
            picture->segments[r][segments++] =
                (struct step_segment){slice_of(at, 1), slice_of(at + 1, 1), 10, runs[r][i] < 'a'};
        }
        picture->runs[r] = (struct step_run){picture->segments[r], segments};
    }
}

/* What is taken, in words: runs separated by '/', segments as drawn. */
static void expect(const char *const *runs, size_t count, const char *busy, uint64_t bytes_max, const char *wanted) {
    struct picture picture;
    struct step_part parts[RUNS_MAX];
    struct compaction_step step;
    struct step_range ranges[4];
    size_t busy_count = 0;
    draw(&picture, runs, count);
    for (const char *at = busy; *at; at += at[2] ? 3 : 2)
        ranges[busy_count++] = (struct step_range){slice_of(at, 1), slice_of(at + 1, 1)};
    char got[256] = "";
    if (compaction_step_choose(picture.runs, count, ranges, busy_count, bytes_max, parts, &step)) {
        if (step.is_move) strcat(got, "move ");
        for (size_t r = 0; r < count; r++) {
            if (r) strcat(got, "/");
            for (size_t s = 0; s < parts[r].count; s++) {
                if (s) strcat(got, " ");
                strncat(got, picture.text[r] + 3 * (parts[r].first + s), 2);
            }
        }
    }
    assert_string_equal(got, wanted);
}

#define RUNS(...) ((const char *const[]){__VA_ARGS__}), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void little_is_merged_at_once(void **state) {
    (void)state;
    expect(RUNS("af gz", "az", "bc de"), "", 100, "af gz/az/bc de");
    expect(RUNS("af"), "", 100, "");
}

static void a_step_takes_what_overlaps_below_and_nothing_above(void **state) {
    (void)state;
    expect(RUNS("ac df gk", "bd ei", "ab cc dd ef gh ii jz"), "", 60, "ac/bd/ab cc dd");
}

static void a_step_grows_to_its_size(void **state) {
    (void)state;
    expect(RUNS("ab cd ef gh", "ab cd ef gh"), "", 20, "ab/ab");
    expect(RUNS("ab cd ef gh", "ab cd ef gh"), "", 59, "ab cd/ab cd");
}

static void steps_keep_out_of_each_other_s_ranges(void **state) {
    (void)state;
    expect(RUNS("ab cd ef gh", "ac de fg"), "ad", 30, "gh/fg"); /* de, below ef, reaches into it */
}

static void a_segment_that_overlaps_nothing_below_is_moved(void **state) {
    (void)state;
    expect(RUNS("AB CD", "ef GH"), "", 100, "move ab cd/");
    expect(RUNS("AB EF", "CD GH"), "", 100, "move ab/");
    expect(RUNS("ab EF", "ab gh"), "", 100, "move ef/");
    expect(RUNS("BC", "ad", "ef"), "", 25, "bc/ad/");
}

static void when_nothing_is_small_the_smallest_is_taken(void **state) {
    (void)state;
    expect(RUNS("az", "ac dm", "ab cd ef gh"), "", 5, "/ac/ab cd");
}

/* ---- over a long time ---- */

/* Keys are numbers of 32 bits; a segment is a stretch of them. */
struct stretch {
    uint8_t low[4], high[4];
    uint64_t bytes;
    bool merged;
};

struct level {
    struct stretch *stretches;
    size_t count;
    bool planned, fresh;
};

struct world {
    struct level runs[64]; /* newest first */
    size_t count;
    uint64_t flushed, rewritten, moved, step_most, steps;
    size_t runs_most;
};

static const uint64_t segment_bytes = 20 << 20, step_bytes = 256 << 20, flush_bytes = 10 << 20;

static uint64_t level_bytes(const struct level *level) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < level->count; i++) bytes += level->stretches[i].bytes;
    return bytes;
}

static struct stretch stretch_of(uint64_t low, uint64_t high, uint64_t bytes) {
    struct stretch stretch = {.bytes = bytes};
    for (int i = 0; i < 4; i++) {
        stretch.low[i] = (uint8_t)(low >> (24 - 8 * i));
        stretch.high[i] = (uint8_t)(high >> (24 - 8 * i));
    }
    return stretch;
}

static uint64_t number_of(struct slice key) {
    uint64_t number = 0;
    for (size_t i = 0; i < 4; i++) number = number << 8 | key.data[i];
    return number;
}

static void drop_empty(struct world *world) {
    size_t kept = 0;
    for (size_t r = 0; r < world->count; r++) {
        if (world->runs[r].count)
            world->runs[kept++] = world->runs[r];
        else
            free(world->runs[r].stretches);
    }
    world->count = kept;
}

static void remove_part(struct level *level, struct step_part part) {
    memmove(&level->stretches[part.first], &level->stretches[part.first + part.count],
            (level->count - part.first - part.count) * sizeof *level->stretches);
    level->count -= part.count;
}

static void put(struct level *level, const struct stretch *made, size_t count) {
    level->stretches = realloc(level->stretches, (level->count + count) * sizeof *level->stretches);
    size_t at = 0;
    while (at < level->count && memcmp(level->stretches[at].low, made[0].low, 4) < 0) at++;
    memmove(&level->stretches[at + count], &level->stretches[at], (level->count - at) * sizeof *level->stretches);
    memcpy(&level->stretches[at], made, count * sizeof *made);
    level->count += count;
    for (size_t i = 1; i < level->count; i++) /* ranges stay disjoint */
        assert_true(memcmp(level->stretches[i - 1].high, level->stretches[i].low, 4) < 0);
}

static struct step_run as_seen(const struct level *level) {
    struct step_segment *segments = calloc(level->count, sizeof *segments);
    for (size_t s = 0; s < level->count; s++) {
        const struct stretch *from = &level->stretches[s];
        segments[s] = (struct step_segment){slice_of(from->low, 4), slice_of(from->high, 4), from->bytes,
                                            from->merged && from->bytes >= 4 << 20};
    }
    return (struct step_run){segments, level->count};
}

/* The output of a step: as dense everywhere, cut where the runs behind it ask for it and when a segment is full. */
static size_t write(const struct world *world, size_t behind, const struct compaction_step *step,
                    struct stretch **made) {
    struct step_run runs[64];
    struct slice cuts[1024];
    size_t behind_count = world->count - behind, count = 0;
    for (size_t i = 0; i < behind_count; i++) runs[i] = as_seen(&world->runs[behind + i]);
    size_t cut_count =
        compaction_step_cut(runs, behind_count, &step->range, step->bytes, step_bytes / 2, 1 << 20, cuts, 1024);
    uint64_t low = number_of(step->range.key_min), high = number_of(step->range.key_max);
    double density = (double)step->bytes / (double)(high - low + 1);
    *made = malloc((step->bytes / segment_bytes + 2 * cut_count + 4) * sizeof **made);
    for (size_t c = 0; c <= cut_count; c++) {
        uint64_t end = c < cut_count ? number_of(cuts[c]) : high + 1;
        uint64_t bytes = (uint64_t)((double)(end - low) * density), pieces = bytes / segment_bytes + 1;
        if (pieces > end - low) pieces = end - low;
        for (uint64_t i = 0; i < pieces; i++) {
            uint64_t from = low + (end - low) * i / pieces;
            (*made)[count] = stretch_of(from, low + (end - low) * (i + 1) / pieces - 1, bytes / pieces);
            (*made)[count++].merged = true;
        }
        low = end;
    }
    for (size_t i = 0; i < behind_count; i++) free((void *)runs[i].segments);
    return count;
}

/* One step of the plan that has the runs [first, first + count); false when there is none. */
static bool make_step(struct world *world, size_t first, size_t count) {
    struct step_run runs[64];
    struct step_part parts[64];
    struct compaction_step step;
    for (size_t i = 0; i < count; i++) runs[i] = as_seen(&world->runs[first + i]);
    bool found = compaction_step_choose(runs, count, NULL, 0, step_bytes, parts, &step);
    if (found) {
        struct stretch *made = NULL;
        size_t made_count = 0;
        if (step.is_move) {
            for (size_t i = 0; i < count; i++)
                if (parts[i].count) {
                    made_count = parts[i].count;
                    made = malloc(made_count * sizeof *made);
                    memcpy(made, &world->runs[first + i].stretches[parts[i].first], made_count * sizeof *made);
                }
            world->moved += step.bytes;
        } else {
            made_count = write(world, first + count, &step, &made);
            world->rewritten += step.bytes;
            world->steps++;
            if (step.bytes > world->step_most) world->step_most = step.bytes;
        }
        for (size_t i = 0; i < count; i++) remove_part(&world->runs[first + i], parts[i]);
        put(&world->runs[first + count - 1], made, made_count);
        world->runs[first + count - 1].fresh = false;
        free(made);
    }
    for (size_t i = 0; i < count; i++) free((void *)runs[i].segments);
    drop_empty(world);
    return found;
}

/* Follows the policy until it is content; a plan is made to its end. */
static void settle(struct world *world) {
    for (;;) {
        struct compaction_run runs[64];
        for (size_t i = 0; i < world->count; i++)
            runs[i] = (struct compaction_run){.bytes = level_bytes(&world->runs[i]), .is_fresh = world->runs[i].fresh};
        for (size_t i = 0; i < world->count; i++) runs[i].rows = runs[i].bytes;
        const struct compaction_group group = {.runs = runs, .count = world->count};
        struct compaction_choice choice = compaction_choose(&compaction_policy_default, &group);
        if (!choice.count) break;
        size_t behind = world->count - choice.first - choice.count; /* older runs stay as they are */
        for (size_t width = choice.count; width > 1 && make_step(world, choice.first, width);)
            width = world->count - choice.first - behind;
    }
    if (world->count > world->runs_most) world->runs_most = world->count;
}

static void flush(struct world *world, uint64_t low, uint64_t high) {
    memmove(&world->runs[1], &world->runs[0], world->count++ * sizeof *world->runs);
    world->runs[0] = (struct level){.stretches = malloc(sizeof(struct stretch)), .count = 1, .fresh = true};
    world->runs[0].stretches[0] = stretch_of(low, high, flush_bytes);
    world->flushed += flush_bytes;
    settle(world);
}

static void report(const char *what, const struct world *world) {
    print_message("%s: written %.2f times, moved %.2f times, at most %zu runs, steps up to %.0f MiB\n", what,
                  (double)(world->flushed + world->rewritten) / (double)world->flushed,
                  (double)world->moved / (double)world->flushed, world->runs_most,
                  (double)world->step_most / (1 << 20));
}

static void end(struct world *world) {
    for (size_t r = 0; r < world->count; r++) free(world->runs[r].stretches);
}

enum { FLUSHES = 3000 }; /* 30 GiB */

/* Every flush spans all keys: 6 + log4(3,000) = 12 writes a row at most. */
static void keys_in_any_order_are_rewritten_a_bounded_number_of_times(void **state) {
    (void)state;
    struct world world = {0};
    struct test_random random = test_random_of(1);
    for (int i = 0; i < FLUSHES; i++)
        flush(&world, test_random_below(&random, 1 << 20), UINT32_MAX - test_random_below(&random, 1 << 20));
    report("keys in any order", &world);
    assert_true(world.flushed + world.rewritten <= 12 * world.flushed);
    assert_true(world.runs_most <= compaction_policy_default.runs_max + 1);
    assert_true(world.step_most <= 4 * step_bytes);
    end(&world);
}

/* Time goes on: once by the flush, once into large segments, and then no more. */
static void keys_in_order_are_hardly_rewritten(void **state) {
    (void)state;
    struct world world = {0};
    for (uint64_t i = 0; i < FLUSHES; i++) flush(&world, i << 20, (i << 20) + (1 << 20) - 1);
    report("keys in order", &world);
    assert_true(world.flushed + world.rewritten <= 3 * world.flushed);
    assert_true(world.step_most <= 2 * step_bytes);
    end(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_merged_at_once),
        cmocka_unit_test(a_step_takes_what_overlaps_below_and_nothing_above),
        cmocka_unit_test(a_step_grows_to_its_size),
        cmocka_unit_test(steps_keep_out_of_each_other_s_ranges),
        cmocka_unit_test(a_segment_that_overlaps_nothing_below_is_moved),
        cmocka_unit_test(when_nothing_is_small_the_smallest_is_taken),
        cmocka_unit_test(keys_in_any_order_are_rewritten_a_bounded_number_of_times),
        cmocka_unit_test(keys_in_order_are_hardly_rewritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
