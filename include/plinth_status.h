/* Statuses and errors shared by every public Plinth header.
 *
 * A function that can fail returns `enum plinth_status`; PLINTH_OK is 0. The text for people is put
 * into the caller's `struct plinth_error` where the failure is known: it names what was wrong and
 * where. A null error pointer is allowed everywhere and means "no text wanted". */
#ifndef PLINTH_STATUS_H
#define PLINTH_STATUS_H

#if defined(__GNUC__)
#define PLINTH_API __attribute__((visibility("default")))
#define PLINTH_MUST_CHECK __attribute__((warn_unused_result))
#define PLINTH_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define PLINTH_API
#define PLINTH_MUST_CHECK
#define PLINTH_PRINTF(format_index, first_argument)
#endif

enum plinth_status {
    PLINTH_OK = 0,
    PLINTH_INVALID_ARGUMENT = 1,    /* the request itself is wrong; repeating it cannot help */
    PLINTH_NOT_FOUND = 2,           /* the named thing does not exist */
    PLINTH_ALREADY_EXISTS = 3,      /* the named thing exists already */
    PLINTH_CONFLICT = 4,            /* a condition did not hold (compare-and-set, transaction) */
    PLINTH_TOO_LARGE = 5,           /* a key, value, record or message is over its limit */
    PLINTH_TOO_OLD = 6,             /* a snapshot or sequence lies before what is still remembered */
    PLINTH_UNSUPPORTED = 7,         /* valid, but this version cannot do it */
    PLINTH_CORRUPT = 8,             /* stored or received bytes are damaged */
    PLINTH_IO_ERROR = 9,            /* the operating system refused a read, write or sync */
    PLINTH_NO_SPACE = 10,           /* the disk is full */
    PLINTH_READ_ONLY = 11,          /* the directory or engine does not accept writes */
    PLINTH_LOCKED = 12,             /* another process holds the directory */
    PLINTH_OUT_OF_MEMORY = 13,      /* an allocation failed or a memory limit was reached */
    PLINTH_WOULD_BLOCK = 14,        /* the call was told not to wait, and would have to */
    PLINTH_CANCELLED = 15,          /* the caller gave up */
    PLINTH_DEADLINE_EXCEEDED = 16,  /* the caller's time ran out */
    PLINTH_OUTCOME_UNKNOWN = 17,    /* a write may or may not have happened; retry with the same sequence */
    PLINTH_UNAVAILABLE = 18,        /* closing, or a peer cannot be reached; retrying later may help */
    PLINTH_PERMISSION_DENIED = 19,  /* the caller may not do this */
    PLINTH_UNAUTHENTICATED = 20,    /* the caller is not known */
    PLINTH_RESOURCE_EXHAUSTED = 21, /* a quota or bound is used up */
    PLINTH_INTERNAL = 22,           /* a broken invariant inside Plinth */
    PLINTH_STATUS_COUNT
};

enum { PLINTH_ERROR_TEXT_MAX = 480 };

/* Owned by the caller. `text` is empty on success and always zero-terminated UTF-8. */
struct plinth_error {
    enum plinth_status status;
    char text[PLINTH_ERROR_TEXT_MAX];
};

/* The status as a lower-case word with underscores, e.g. "not_found"; static storage. */
PLINTH_API const char *plinth_status_name(enum plinth_status status);

#endif
