#include "rpc/method_table.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"

static const struct rpc_method **find_slot(const struct method_table *table, struct slice path) {
    size_t i = hash_fast(path.data, path.size) & table->mask;
    while (table->slots[i] && !slice_equal(slice_of_string(table->slots[i]->path), path)) i = (i + 1) & table->mask;
    return &table->slots[i];
}

const struct rpc_method *method_table_find(const struct method_table *table, struct slice path) {
    return *find_slot(table, path);
}

static enum plinth_status add(struct method_table *table, const struct rpc_method *method, struct plinth_error *error) {
    const char *path = method->path;
    if (!path || path[0] != '/' || !strchr(path + 1, '/') || !method->ops)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "method \"%s\" has no path of the form /service/method, or no ops", path ? path : "");
    const struct rpc_method **slot = find_slot(table, slice_of_string(path));
    if (*slot) return error_set(error, PLINTH_INVALID_ARGUMENT, "method %s is in the table twice", path);
    *slot = method;
    return PLINTH_OK;
}

enum plinth_status method_table_init(struct method_table *table, const struct rpc_method *methods, size_t count,
                                     struct plinth_error *error) {
    size_t slots = 8;
    while (slots < 2 * count) slots *= 2;
    table->slots = calloc(slots, sizeof(*table->slots));
    table->mask = slots - 1;
    if (!table->slots) return error_no_memory(error, "method table");
    for (size_t i = 0; i < count; i++) {
        enum plinth_status status = add(table, &methods[i], error);
        if (status) return status;
    }
    return PLINTH_OK;
}

void method_table_deinit(struct method_table *table) {
    free(table->slots);
    table->slots = NULL;
}
