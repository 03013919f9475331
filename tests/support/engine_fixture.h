/* An engine on a scratch directory, as the state of a cmocka test:
 *
 *     static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }
 *     cmocka_unit_test_setup_teardown(something_holds, setup, fixture_teardown)
 *
 * Compiled into the programs that use it. */
#ifndef PLINTH_TESTS_SUPPORT_ENGINE_FIXTURE_H
#define PLINTH_TESTS_SUPPORT_ENGINE_FIXTURE_H

#include "engine/engine.h"
#include "support/test_support.h"

struct fixture {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space; /* "default" */
    struct plinth_error error;
    struct plinth_options options;
    struct engine_sizes sizes;
};

/* Opens a new directory; `sizes` null: the usual ones. */
int fixture_setup(void **state, const struct plinth_options *options, const struct engine_sizes *sizes);
/* Closes it, if it is open, and removes the directory. */
int fixture_teardown(void **state);
/* Opens the directory with the fixture's options. */
void fixture_open(struct fixture *f);
/* In order. */
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);
/* Goes on with a copy of what the disk has now, as after a crash. No file that is needed may go meanwhile: open it with
 * no_background_compaction. */
void fixture_crash(struct fixture *f);

#endif
