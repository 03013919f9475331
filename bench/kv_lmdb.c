/* kv_lmdb: LMDB, for kv_workload.c. It has no log and nothing to merge: a write that is not synced is one whose pages
 * are handed to the operating system (MDB_NOSYNC), a crash of the machine then may damage the file. */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kv_store.h"

struct kv_store {
    MDB_env *env;
    MDB_dbi dbi;
    unsigned number; /* of the stores of this process, from 1 */
};

static void check(int code) {
    if (code) bench_die("lmdb: %s", mdb_strerror(code));
}

const char *kv_store_title(void) { return mdb_version(NULL, NULL, NULL); }

struct kv_store *kv_store_open(const struct kv_options *options) {
    struct kv_store *store = calloc(1, sizeof *store);
    MDB_txn *txn;
    static unsigned stores;
    if (!store) bench_die("out of memory");
    store->number = ++stores;
    check(mdb_env_create(&store->env));
    check(mdb_env_set_mapsize(store->env, (options->data_bytes * 4 + (UINT64_C(1) << 30)) & ~UINT64_C(0xfffff)));
    check(mdb_env_open(store->env, options->directory, (options->synced ? 0u : MDB_NOSYNC) | MDB_NORDAHEAD | MDB_NOTLS,
                       0600));
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    check(mdb_dbi_open(txn, NULL, 0, &store->dbi));
    check(mdb_txn_commit(txn));
    return store;
}

void kv_store_close(struct kv_store *store) {
    mdb_env_close(store->env);
    free(store);
}

static void put(struct kv_store *store, MDB_txn *txn, const struct kv_pair *pair) {
    MDB_val key = {sizeof pair->key, (void *)pair->key}, value = {sizeof pair->value, (void *)pair->value};
    check(mdb_put(txn, store->dbi, &key, &value, 0));
}

void kv_store_set(struct kv_store *store, const struct kv_pair *pair) {
    MDB_txn *txn;
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    put(store, txn, pair);
    check(mdb_txn_commit(txn));
}

void kv_store_batch(struct kv_store *store, const struct kv_pair *pairs, size_t count) {
    MDB_txn *txn;
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    for (size_t i = 0; i < count; i++) put(store, txn, &pairs[i]);
    check(mdb_txn_commit(txn));
}

/* A thread's read transaction, renewed for each call. */
static MDB_txn *reader(struct kv_store *store) {
    static _Thread_local MDB_txn *txn;
    static _Thread_local unsigned number;
    if (number != store->number) {
        check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
        number = store->number;
    } else {
        check(mdb_txn_renew(txn));
    }
    return txn;
}

bool kv_store_get(struct kv_store *store, const char key[BENCH_KEY_BYTES], uint8_t value[BENCH_VALUE_BYTES]) {
    MDB_txn *txn = reader(store);
    MDB_val wanted = {BENCH_KEY_BYTES, (void *)key}, found;
    int code = mdb_get(txn, store->dbi, &wanted, &found);
    if (!code) {
        if (found.mv_size != BENCH_VALUE_BYTES) bench_die("lmdb: a value of %zu bytes", found.mv_size);
        memcpy(value, found.mv_data, found.mv_size);
    } else if (code != MDB_NOTFOUND) {
        check(code);
    }
    mdb_txn_reset(txn);
    return !code;
}

unsigned kv_store_scan(struct kv_store *store, const char key[BENCH_KEY_BYTES], unsigned rows) {
    MDB_txn *txn = reader(store);
    MDB_cursor *cursor;
    check(mdb_cursor_open(txn, store->dbi, &cursor));
    MDB_val at = {BENCH_KEY_BYTES, (void *)key}, value;
    unsigned count = 0;
    int code = mdb_cursor_get(cursor, &at, &value, MDB_SET_RANGE);
    for (; !code && count < rows; count++) {
        if (at.mv_size != BENCH_KEY_BYTES || value.mv_size != BENCH_VALUE_BYTES) bench_die("lmdb: a bad row");
        if (count + 1 < rows) code = mdb_cursor_get(cursor, &at, &value, MDB_NEXT);
    }
    if (code && code != MDB_NOTFOUND) check(code);
    mdb_cursor_close(cursor);
    mdb_txn_reset(txn);
    return count;
}

void kv_store_settle(struct kv_store *store) { check(mdb_env_sync(store->env, 1)); }

void kv_store_compact(struct kv_store *store) { kv_store_settle(store); }

uint64_t kv_store_bytes(struct kv_store *store) {
    MDB_envinfo info;
    MDB_stat stat;
    check(mdb_env_info(store->env, &info));
    check(mdb_env_stat(store->env, &stat));
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}
