/* What a record of the log says, in a few words for people. */
#ifndef PLINTH_ENGINE_RECORD_TEXT_H
#define PLINTH_ENGINE_RECORD_TEXT_H

#include "catalog/catalog.h"
#include "log/record.h"

enum { RECORD_TEXT_BYTES = 400 };

struct record_text {
    char what[RECORD_TEXT_BYTES];
    uint64_t rows;    /* keys or rows that it writes; of commits: in the segments that they bring. 0: none */
    bool has_verdict; /* the state knows whether it did something: it writes keys or rows */
};

/* `catalog` gives tables their names: as they are now, so that those of dropped tables are numbers. Malformed payloads
 * are called that. */
void record_describe(const struct catalog *catalog, const struct record *record, struct record_text *text);

#endif
