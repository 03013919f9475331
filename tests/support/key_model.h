/* A model of a key space for tests: numbered keys, values made from numbers, two indexes, and comparison of everything
 * an engine says with it. */
#ifndef PLINTH_TESTS_SUPPORT_KEY_MODEL_H
#define PLINTH_TESTS_SUPPORT_KEY_MODEL_H

#include "plinth.h"
#include "support/test_support.h"

enum { KEY_MODEL_KEYS = 400, KEY_MODEL_COLORS = 7, KEY_MODEL_SIZES = 3, KEY_MODEL_COUNTER = KEY_MODEL_KEYS };

/* What one key holds; version 0: nothing. */
struct key_model_entry {
    uint64_t version; /* makes the value, its size and its index values */
};

struct key_model {
    struct key_model_entry entries[KEY_MODEL_KEYS + 1]; /* the last one counts the steps */
};

/* One atomic write: sets, deletes and range deletes, and the step's number under the counter key. */
enum { KEY_MODEL_OPERATIONS_MAX = 8 };
struct key_model_step {
    uint64_t number;
    int count;
    int keys[KEY_MODEL_OPERATIONS_MAX];
    bool deletes[KEY_MODEL_OPERATIONS_MAX];
    int ranges[KEY_MODEL_OPERATIONS_MAX]; /* 0: of the key alone; else the keys between it and this many numbers on */
};

/* The step `number` of the workload `seed`: always the same. */
struct key_model_step key_model_step_of(uint64_t seed, uint64_t number);
void key_model_apply(struct key_model *model, const struct key_model_step *step);
/* The model after steps 1 to `last`. */
void key_model_after(struct key_model *model, uint64_t seed, uint64_t last);

enum plinth_status key_model_write(struct plinth *db, const struct key_model_step *step,
                                   const struct plinth_write_options *options, struct plinth_position *position,
                                   struct plinth_error *error);
/* The number of the last step that the engine shows; 0 for none. */
uint64_t key_model_last_step(struct plinth *db);
/* Fails the test unless gets, scans both ways and both indexes show exactly the model. `read` may be null. */
void key_model_check(const struct key_model *model, struct plinth *db, const struct plinth_read_options *read);

#endif
