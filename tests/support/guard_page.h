/* Memory that ends where no page is: a read or write of one byte behind it stops the test. */
#ifndef PLINTH_TESTS_SUPPORT_GUARD_PAGE_H
#define PLINTH_TESTS_SUPPORT_GUARD_PAGE_H

#include <stddef.h>
#include <stdint.h>

struct guard_page {
    uint8_t *pages;
    size_t size; /* in front of the guard */
};

/* Up to `size_max` bytes can be had of it. */
void guard_page_init(struct guard_page *guard, size_t size_max);
void guard_page_deinit(struct guard_page *guard);
/* The last `size` bytes in front of the guard; they are the same memory every time. */
uint8_t *guard_page_last(const struct guard_page *guard, size_t size);
/* The same, with a copy of `bytes` in it. */
uint8_t *guard_page_copy(const struct guard_page *guard, const void *bytes, size_t size);

#endif
