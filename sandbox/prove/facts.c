// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/prove/facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/bytes.h"

static const struct {
    const char *key;
    size_t offset_bytes;
    size_t capacity_bytes; /* of a text */
} texts[] = {
#define TEXT_FACT(name)                                                        \
    {                                                                          \
#name, offsetof(struct facts, name), sizeof(((struct facts *)0)->name) \
    }
    TEXT_FACT(canary),   TEXT_FACT(canary_text), TEXT_FACT(abstract), TEXT_FACT(unix_path),
    TEXT_FACT(lan),      TEXT_FACT(router),      TEXT_FACT(boot_id),  TEXT_FACT(kernel_name),
    TEXT_FACT(shm_name), TEXT_FACT(cpu_model),
};

static const struct {
    const char *key;
    size_t offset_bytes;
} numbers[] = {
#define NUMBER_FACT(name)                   \
    {                                       \
#name, offsetof(struct facts, name) \
    }
    NUMBER_FACT(tcp_port),      NUMBER_FACT(udp_port),   NUMBER_FACT(pid),
    NUMBER_FACT(shm_key),       NUMBER_FACT(memory_kib), NUMBER_FACT(uptime_s),
    NUMBER_FACT(pid_count_max),
};

static bool take_text(const char *word, size_t key_length, struct facts *facts)
{
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (strlen(texts[i].key) == key_length && strncmp(word, texts[i].key, key_length) == 0) {
            return text_copy((char *)facts + texts[i].offset_bytes, texts[i].capacity_bytes,
                             word + key_length + 1) == 0;
        }
    }
    return false;
}

static bool take_number(const char *word, size_t key_length, struct facts *facts)
{
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (strlen(numbers[i].key) == key_length &&
            strncmp(word, numbers[i].key, key_length) == 0) {
            *(uint64_t *)(void *)((char *)facts + numbers[i].offset_bytes) =
                strtoull(word + key_length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

const char *facts_read(char *const *words, struct facts *facts_out)
{
    memset(facts_out, 0, sizeof(*facts_out));
    for (; *words != NULL; words++) {
        size_t key_length = strcspn(*words, "=");

        if ((*words)[key_length] != '=' || (!take_text(*words, key_length, facts_out) &&
                                            !take_number(*words, key_length, facts_out))) {
            return *words;
        }
    }
    return NULL;
}
