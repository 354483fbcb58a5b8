// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Any bytes as a list of entries: kind, path and target, each ended by NUL. What is kept must lie
 * in the tree, and every link that is kept must stay there.
 */
#include "images/archive_rules.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next text, or NULL when no NUL is left. */
static const char *next_text(const uint8_t **data, size_t *left_bytes)
{
    const uint8_t *end = *left_bytes == 0 ? NULL : memchr(*data, '\0', *left_bytes);
    const char *text = (const char *)*data;

    if (end == NULL) {
        return NULL;
    }
    *left_bytes -= (size_t)(end - *data) + 1;
    *data = end + 1;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct archive_rules *rules; /* 38 MiB: kept from run to run */
    struct archive_verdict verdict = {.kind = ARCHIVE_KEEP};

    rules = rules == NULL ? archive_rules_new() : rules;
    CHECK(rules != NULL);
    archive_rules_reset(rules);
    while (size > 0 && verdict.kind != ARCHIVE_REFUSE) {
        struct archive_item entry = {.kind = (enum archive_kind)(*data % 5),
                                     .mode = 07777U & *data};

        data++;
        size--;
        entry.path = next_text(&data, &size);
        entry.target = entry.path == NULL ? NULL : next_text(&data, &size);
        if (entry.target == NULL) {
            break;
        }
        archive_rules_judge(rules, &entry, &verdict);
        CHECK(verdict.kind != ARCHIVE_REFUSE || verdict.rule != NULL);
        if (verdict.kind == ARCHIVE_KEEP || verdict.kind == ARCHIVE_DROP_BITS) {
            CHECK(archive_path_fault(verdict.path) == NULL);
            CHECK((verdict.mode & ~0777) == 0);
        }
    }
    archive_rules_finish(rules, &verdict);
    return 0;
}
