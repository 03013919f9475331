/* The threads of a writer: the columns of a row group share nothing, so each is encoded by whoever is free. The caller
 * is one of them, and goes on when all columns are done. What comes out does not depend on who did what. For this
 * folder only.
 *
 * Each member has scratch memory and an arena for page bounds of its own; the arenas live as long as the crew. */
#ifndef PLINTH_PARQUET_COLUMN_CREW_H
#define PLINTH_PARQUET_COLUMN_CREW_H

#include "base/arena.h"
#include "parquet/column_writer.h"

enum { COLUMN_CREW_THREADS_MAX = 64 };

struct column_crew;

/* What is done with column `column`; called for different columns at the same time. */
typedef enum plinth_status column_work(void *context, uint32_t column, struct encode_scratch *scratch,
                                       struct arena *arena, struct plinth_error *error);

/* `threads`, the caller's included; 0 and 1: no others are started. At most COLUMN_CREW_THREADS_MAX. */
PLINTH_MUST_CHECK enum plinth_status column_crew_create(uint32_t threads, struct column_crew **crew,
                                                        struct plinth_error *error);
/* Null is allowed. */
void column_crew_destroy(struct column_crew *crew);
/* Does the work for columns 0 to `columns` - 1. One thread does them in order, up to the first failure; several do all
 * of them. The status and error are those of the first column that failed. */
PLINTH_MUST_CHECK enum plinth_status column_crew_run(struct column_crew *crew, uint32_t columns, column_work *work,
                                                     void *context, struct plinth_error *error);
/* The caller's scratch memory, between runs. */
struct encode_scratch *column_crew_scratch(struct column_crew *crew);
/* All memory held. */
size_t column_crew_memory(const struct column_crew *crew);

#endif
