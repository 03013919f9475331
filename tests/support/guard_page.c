/* Memory that ends where no page is. See guard_page.h. */
#include "support/guard_page.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/test_support.h"

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void guard_page_init(struct guard_page *guard, size_t size_max) {
    guard->size = (size_max + page_bytes() - 1) / page_bytes() * page_bytes();
    void *pages = mmap(NULL, guard->size + page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    guard->pages = pages;
    assert_int_equal(mprotect(guard->pages + guard->size, page_bytes(), PROT_NONE), 0);
}

void guard_page_deinit(struct guard_page *guard) { munmap(guard->pages, guard->size + page_bytes()); }

uint8_t *guard_page_last(const struct guard_page *guard, size_t size) {
    assert_true(size <= guard->size);
    return guard->pages + guard->size - size;
}

uint8_t *guard_page_copy(const struct guard_page *guard, const void *bytes, size_t size) {
    uint8_t *copy = guard_page_last(guard, size);
    if (size) memcpy(copy, bytes, size);
    return copy;
}
