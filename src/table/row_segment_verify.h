/* Verifying what only segments of typed tables have: their columns against page index, footer, bloom filters and
 * postings. segment_verify.c checks keys, versions and counts of both kinds. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_VERIFY_H
#define PLINTH_TABLE_ROW_SEGMENT_VERIFY_H

#include "table/row_segment_private.h"
#include "table/stripe.h"

struct row_verifier;

/* Problems go to `visit`, as segment_verify's. */
PLINTH_MUST_CHECK enum plinth_status row_verifier_create(struct segment *segment, segment_problem_visitor *visit,
                                                         void *context, struct row_verifier **verifier,
                                                         struct plinth_error *error);
/* Null is allowed. */
void row_verifier_destroy(struct row_verifier *verifier);
/* The columns of a stripe whose keys and operations are `rows`. Stripes come in order. */
PLINTH_MUST_CHECK enum plinth_status row_verifier_stripe(struct row_verifier *verifier, uint32_t stripe,
                                                         const struct stripe_rows *rows, struct plinth_error *error);
/* What takes all rows: postings. Not when a stripe could not be read. */
PLINTH_MUST_CHECK enum plinth_status row_verifier_finish(struct row_verifier *verifier, struct plinth_error *error);

#endif
