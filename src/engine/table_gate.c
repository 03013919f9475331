#include "engine/table_gate.h"

#include <stdlib.h>

#include "engine/engine.h"

struct table_gates {
    pthread_rwlock_t locks[TABLE_GATES];
};

struct table_gates *table_gates_create(void) {
    struct table_gates *gates = malloc(sizeof *gates);
    if (!gates) return NULL;
    /* Writers of rows are the lock's readers: one after the other must not keep the gate from closing. */
    pthread_rwlockattr_t closing_first;
    pthread_rwlockattr_init(&closing_first);
    pthread_rwlockattr_setkind_np(&closing_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (int i = 0; i < TABLE_GATES; i++) pthread_rwlock_init(&gates->locks[i], &closing_first);
    pthread_rwlockattr_destroy(&closing_first);
    return gates;
}

void table_gates_destroy(struct table_gates *gates) {
    for (int i = 0; gates && i < TABLE_GATES; i++) pthread_rwlock_destroy(&gates->locks[i]);
    free(gates);
}

static pthread_rwlock_t *gate_of(struct plinth *db, uint32_t table) {
    return &db->table_gates->locks[table % TABLE_GATES];
}

bool engine_table_gate_enter(struct plinth *db, uint32_t table, bool no_wait) {
    if (no_wait) return pthread_rwlock_tryrdlock(gate_of(db, table)) == 0;
    pthread_rwlock_rdlock(gate_of(db, table));
    return true;
}

void engine_table_gate_leave(struct plinth *db, uint32_t table) { pthread_rwlock_unlock(gate_of(db, table)); }
void engine_table_gate_close(struct plinth *db, uint32_t table) { pthread_rwlock_wrlock(gate_of(db, table)); }
void engine_table_gate_open(struct plinth *db, uint32_t table) { pthread_rwlock_unlock(gate_of(db, table)); }
