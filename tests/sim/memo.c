// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Remembers what two slow, pure functions of base/keys.h have returned: each signature is checked
 * by every node of the community, and here they all live in one process. The linker puts these in
 * front (--wrap); what they return is the same, sooner.
 */
#include <string.h>

#include "base/hash.h"
#include "base/keys.h"

enum { MEMO_SLOTS = 16384 };

bool __real_keys_verify(const struct public_key *key, const char *purpose, struct bytes body,
                        const struct signature *signature);
bool __wrap_keys_verify(const struct public_key *key, const char *purpose, struct bytes body,
                        const struct signature *signature);
int __real_keys_curve_public(const struct public_key *key, uint8_t curve_public_out[32]);
int __wrap_keys_curve_public(const struct public_key *key, uint8_t curve_public_out[32]);

static uint32_t slot_of(const struct id *id)
{
    return ((uint32_t)id->bytes[0] << 8 | id->bytes[1]) % MEMO_SLOTS;
}

bool __wrap_keys_verify(const struct public_key *key, const char *purpose, struct bytes body,
                        const struct signature *signature)
{
    static struct {
        struct id question;
        bool is_valid;
    } memo[MEMO_SLOTS];
    struct hash hash;
    struct id question;
    uint32_t slot;

    hash_init(&hash, purpose);
    hash_add(&hash, (struct bytes){key->bytes, sizeof(key->bytes)});
    hash_add(&hash, (struct bytes){signature->bytes, sizeof(signature->bytes)});
    hash_add(&hash, body);
    hash_done(&hash, &question);
    slot = slot_of(&question);
    if (!id_equal(&memo[slot].question, &question)) {
        memo[slot].question = question;
        memo[slot].is_valid = __real_keys_verify(key, purpose, body, signature);
    }
    return memo[slot].is_valid;
}

int __wrap_keys_curve_public(const struct public_key *key, uint8_t curve_public_out[32])
{
    static struct {
        bool used;
        struct public_key key;
        int result;
        uint8_t curve[32];
    } memo[MEMO_SLOTS];
    uint32_t slot = ((uint32_t)key->bytes[0] << 8 | key->bytes[1]) % MEMO_SLOTS;

    if (!memo[slot].used || !keys_equal(&memo[slot].key, key)) {
        memo[slot].used = true;
        memo[slot].key = *key;
        memo[slot].result = __real_keys_curve_public(key, memo[slot].curve);
    }
    if (memo[slot].result == 0) {
        memcpy(curve_public_out, memo[slot].curve, sizeof(memo[slot].curve));
    }
    return memo[slot].result;
}
