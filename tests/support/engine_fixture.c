#include "support/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fixture_open(struct fixture *f) {
    const struct engine_parts parts = {.env = env_posix(), .sizes = f->sizes};
    assert_ok(engine_open(f->path, &f->options, &parts, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
}

void fixture_close(struct fixture *f) {
    plinth_close(f->db);
    f->db = NULL;
}

void fixture_reopen(struct fixture *f) {
    fixture_close(f);
    fixture_open(f);
}

void fixture_crash(struct fixture *f) {
    /* What is named is copied behind what names it; a background step that ends takes its files away meanwhile. */
    static const char *const steps[] = {
        "mkdir -p store && cp -a '%s/store/checkpoints' store/", "cp -a '%s/log' .",
        "for d in '%s'/store/*; do [ \"${d##*/}\" = checkpoints ] || cp -a \"$d\" store/ 2>/dev/null || true; done",
        "find '%s' -maxdepth 1 -type f -exec cp -a {} . ';'"};
    char copy[TEST_PATH_MAX], command[6 * TEST_PATH_MAX];
    test_directory_create(copy);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int used = snprintf(command, sizeof command, "cd '%s' && ", copy);
        snprintf(command + used, sizeof command - (size_t)used, steps[i], f->path);
        assert_int_equal(system(command), 0);
    }
    fixture_close(f);
    test_directory_remove(f->path);
    memcpy(f->path, copy, sizeof copy);
    fixture_open(f);
}

int fixture_setup(void **state, const struct plinth_options *options, const struct engine_sizes *sizes) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->options = *options;
    if (sizes) f->sizes = *sizes;
    test_directory_create(f->path);
    fixture_open(f);
    *state = f;
    return 0;
}

int fixture_teardown(void **state) {
    struct fixture *f = *state;
    fixture_close(f);
    test_directory_remove(f->path);
    free(f);
    return 0;
}
