/* Finds a method by its path: an open-addressing hash table built once, then only read, by any number of threads. */
#ifndef PLINTH_RPC_METHOD_TABLE_H
#define PLINTH_RPC_METHOD_TABLE_H

#include "base/bytes.h"
#include "rpc/server.h"

struct method_table {
    const struct rpc_method **slots; /* a power of two of them, at most half used */
    size_t mask;
};

/* Borrows the methods. PLINTH_INVALID_ARGUMENT for a path that does not look like "/service/method" or comes twice. */
PLINTH_MUST_CHECK enum plinth_status method_table_init(struct method_table *table, const struct rpc_method *methods,
                                                       size_t count, struct plinth_error *error);
void method_table_deinit(struct method_table *table);
/* Null when there is none. */
const struct rpc_method *method_table_find(const struct method_table *table, struct slice path);

#endif
