/* store: immutable objects by name, e.g. "segments/17/4f2a.parquet".
 *
 * An object appears whole and durable, or not at all: it has no name until put or commit returned OK, and is never
 * changed afterwards. Implementations: a local directory (local_store.h); object storage later.
 *
 * Names: 1 to STORE_NAME_BYTES_MAX bytes; parts joined by "/", each part 1 to 200 bytes of A-Z a-z 0-9 and
 * . _ - = + @ , not "." or "..", not ending in ".tmp" (which is the stores' own). Anything else is
 * PLINTH_INVALID_ARGUMENT.
 *
 * All functions may be called from any thread, also for the same name; one writer or object handle may be used
 * by one thread at a time, but object_read_at by any number. */
#ifndef PLINTH_STORE_STORE_H
#define PLINTH_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"

enum { STORE_NAME_BYTES_MAX = 1000 };

struct store;
struct store_writer;
struct store_object;

/* Called once for each object, in no particular order; `name` is valid during the call. Return false to stop. */
typedef bool store_list_visitor(void *context, const char *name, uint64_t size);

struct store_ops {
    enum plinth_status (*put)(struct store *, const char *name, struct slice bytes, struct plinth_error *);
    enum plinth_status (*create)(struct store *, const char *name, struct store_writer **, struct plinth_error *);
    enum plinth_status (*open)(struct store *, const char *name, struct store_object **, struct plinth_error *);
    enum plinth_status (*list)(struct store *, const char *prefix, store_list_visitor *, void *context,
                               struct plinth_error *);
    enum plinth_status (*remove)(struct store *, const char *name, struct plinth_error *);
    void (*close)(struct store *);
};

struct store {
    const struct store_ops *ops;
};

struct store_writer_ops {
    enum plinth_status (*write)(struct store_writer *, struct slice bytes, struct plinth_error *);
    enum plinth_status (*commit)(struct store_writer *, struct plinth_error *);
    void (*abort)(struct store_writer *);
};

struct store_writer {
    const struct store_writer_ops *ops;
};

struct store_object_ops {
    enum plinth_status (*read_at)(struct store_object *, uint64_t offset, void *into, size_t size,
                                  struct plinth_error *);
    void (*close)(struct store_object *);
};

struct store_object {
    const struct store_object_ops *ops;
    uint64_t size;
    const uint8_t *mapped; /* all bytes in memory, valid until close; null when the store cannot map */
};

/* PLINTH_OK when `name` follows the rules above. */
PLINTH_MUST_CHECK enum plinth_status store_name_check(const char *name, struct plinth_error *error);

/* Stores a whole object durably. An object of that name is replaced atomically (open handles keep the old one). */
PLINTH_MUST_CHECK enum plinth_status store_put(struct store *store, const char *name, struct slice bytes,
                                               struct plinth_error *error);
/* Begins an object written piece by piece. The caller ends it with exactly one store_commit or store_abort. */
PLINTH_MUST_CHECK enum plinth_status store_create(struct store *store, const char *name, struct store_writer **writer,
                                                  struct plinth_error *error);
/* Appends. After a failure only store_abort (or store_commit, which then fails the same way) makes sense. */
PLINTH_MUST_CHECK enum plinth_status store_write(struct store_writer *writer, struct slice bytes,
                                                 struct plinth_error *error);
/* Makes the object durable and visible, and frees the writer, on failure too; then the name is as before, but for
 * PLINTH_OUTCOME_UNKNOWN: the object may or may not be there (after a restart as well). */
PLINTH_MUST_CHECK enum plinth_status store_commit(struct store_writer *writer, struct plinth_error *error);
/* Drops what was written and frees the writer. Null is allowed. */
void store_abort(struct store_writer *writer);
/* PLINTH_NOT_FOUND when there is none. The handle outlives a removal or replacement of the object. */
PLINTH_MUST_CHECK enum plinth_status store_open(struct store *store, const char *name, struct store_object **object,
                                                struct plinth_error *error);
/* Reads exactly `size` bytes at `offset`; PLINTH_INVALID_ARGUMENT when that is past the end. Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status object_read_at(struct store_object *object, uint64_t offset, void *into,
                                                    size_t size, struct plinth_error *error);
/* Null is allowed. */
void object_close(struct store_object *object);
/* Every object whose name starts with the bytes of `prefix` ("" for all). Uncommitted objects are not shown. */
PLINTH_MUST_CHECK enum plinth_status store_list(struct store *store, const char *prefix, store_list_visitor *visit,
                                                void *context, struct plinth_error *error);
/* Removes an object; PLINTH_NOT_FOUND when there is none. Durable: it does not come back after a crash. */
PLINTH_MUST_CHECK enum plinth_status store_remove(struct store *store, const char *name, struct plinth_error *error);
/* All handles of it must be closed before. Null is allowed. */
void store_close(struct store *store);

#endif
