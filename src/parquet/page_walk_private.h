/* For this folder only. */
#ifndef PLINTH_PARQUET_PAGE_WALK_PRIVATE_H
#define PLINTH_PARQUET_PAGE_WALK_PRIVATE_H

#include "parquet/metadata_private.h"
#include "parquet/page_walk.h"

/* The next page's header and body, which are valid until the next call; walk->at is then behind it. */
PLINTH_MUST_CHECK enum plinth_status page_walk_step(struct parquet_page_walk *walk, struct parquet_page_header *header,
                                                    struct slice *body, bool *found, struct plinth_error *error);

#endif
