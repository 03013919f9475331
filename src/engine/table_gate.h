/* The gates of tables: writes of rows go through a table's gate side by side; a change that must see no write half done
 * (building an index) closes it for a while.
 *
 * A writer enters before it takes the table's schema and leaves once its records are in the log and decided. Whoever is
 * inside must not change the catalog of that table, nor enter it again. A gate comes before every lock of the engine.
 * Tables whose ids differ by TABLE_GATES share a gate: they wait for each other more than they must, and nothing else.
 */
#ifndef PLINTH_ENGINE_TABLE_GATE_H
#define PLINTH_ENGINE_TABLE_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "plinth_status.h"

enum { TABLE_GATES = 512 };

struct plinth;
struct table_gates;

/* Null when memory is out. */
struct table_gates *table_gates_create(void);
/* Null is allowed. */
void table_gates_destroy(struct table_gates *gates);

/* False, and not entered, when the gate is closed and `no_wait`; else waits. */
PLINTH_MUST_CHECK bool engine_table_gate_enter(struct plinth *db, uint32_t table, bool no_wait);
void engine_table_gate_leave(struct plinth *db, uint32_t table);

/* Waits until everybody has left, and keeps all out until it is opened. The same thread opens. */
void engine_table_gate_close(struct plinth *db, uint32_t table);
void engine_table_gate_open(struct plinth *db, uint32_t table);

#endif
