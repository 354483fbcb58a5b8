// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/exhaustive/pages.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

enum { PAGE_BYTES = 4096, PAGES_MAX = 1024 };

struct object {
    uint8_t *bytes;
    size_t length_bytes;
    uint8_t *copy; /* as it was at first */
    uint8_t *first_page;
    uint32_t page_count; /* of those that lie within it as a whole */
    bool is_written[PAGES_MAX];
};

static struct object objects[PAGES_OBJECTS_MAX];

static void protect(const struct object *object, uint32_t page, int rights)
{
    CHECK(mprotect(&object->first_page[(size_t)page * PAGE_BYTES], PAGE_BYTES, rights) == 0);
}

static void on_write(int signal_number, siginfo_t *info, void *context)
{
    const uint8_t *at = info->si_addr;

    (void)context;
    for (uint32_t i = 0; i < PAGES_OBJECTS_MAX; i++) {
        struct object *object = &objects[i];
        size_t offset = (size_t)(at - object->first_page);

        if (object->bytes != NULL && at >= object->first_page &&
            offset < (size_t)object->page_count * PAGE_BYTES &&
            !object->is_written[offset / PAGE_BYTES]) {
            object->is_written[offset / PAGE_BYTES] = true;
            protect(object, (uint32_t)(offset / PAGE_BYTES), PROT_READ | PROT_WRITE);
            return;
        }
    }
    /* a fault of another kind: it comes again, and ends us */
    (void)sigaction(signal_number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

void pages_watch(uint32_t number, void *bytes, size_t length_bytes)
{
    struct object *object = &objects[number];
    struct sigaction action = {.sa_sigaction = on_write, .sa_flags = SA_SIGINFO};
    uintptr_t begin = (uintptr_t)bytes;
    uintptr_t first = (begin + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;

    CHECK(number < PAGES_OBJECTS_MAX && object->bytes == NULL);
    CHECK(length_bytes >= PAGE_BYTES && length_bytes / PAGE_BYTES < PAGES_MAX);
    memset(object, 0, sizeof(*object));
    object->bytes = bytes;
    object->length_bytes = length_bytes;
    object->first_page = (uint8_t *)bytes + (first - begin);
    object->page_count = (uint32_t)((begin + length_bytes - first) / PAGE_BYTES);
    object->copy = malloc(length_bytes);
    CHECK(object->copy != NULL);
    memcpy(object->copy, bytes, length_bytes);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK(mprotect(object->first_page, (size_t)object->page_count * PAGE_BYTES, PROT_READ) == 0);
}

void pages_unwatch(void)
{
    for (uint32_t i = 0; i < PAGES_OBJECTS_MAX; i++) {
        struct object *object = &objects[i];

        if (object->bytes != NULL) {
            CHECK(mprotect(object->first_page, (size_t)object->page_count * PAGE_BYTES,
                           PROT_READ | PROT_WRITE) == 0);
            free(object->copy);
            object->bytes = NULL;
        }
    }
}

/* The bytes before the first whole page, and behind the last one, always count as written. */
static bool may_be_written(const struct object *object, size_t offset, size_t *end_out)
{
    size_t before = (size_t)(object->first_page - object->bytes);
    size_t page = offset < before ? 0 : (offset - before) / PAGE_BYTES;

    if (offset < before) {
        *end_out = before;
        return true;
    }
    if (page >= object->page_count) {
        *end_out = object->length_bytes;
        return true;
    }
    *end_out = before + (page + 1) * PAGE_BYTES;
    return object->is_written[page];
}

bool pages_next(uint32_t number, size_t *begin_out, size_t *end_out)
{
    const struct object *object = &objects[number];
    size_t at = *end_out;
    size_t next = at;

    while (at < object->length_bytes && !may_be_written(object, at, &next)) {
        at = next;
    }
    *begin_out = at;
    while (at < object->length_bytes && may_be_written(object, at, &next)) {
        at = next;
    }
    *end_out = at;
    return *begin_out < *end_out;
}

const uint8_t *pages_first(uint32_t number)
{
    return objects[number].copy;
}
