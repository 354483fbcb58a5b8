// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/ids.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES) == 0;
}

int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES);
}

bool id_is_zero(const struct id *id)
{
    static const struct id zero;

    return id_equal(id, &zero);
}

struct id id_distance(const struct id *from, const struct id *to)
{
    struct id distance;
    int borrow = 0;

    for (int i = ID_BYTES - 1; i >= 0; i--) {
        int difference = to->bytes[i] - from->bytes[i] - borrow;

        borrow = difference < 0;
        distance.bytes[i] = (uint8_t)(difference & 0xff);
    }
    return distance;
}

uint64_t id_top(const struct id *id)
{
    uint64_t top = 0;

    for (int i = 0; i < 8; i++) {
        top = top << 8 | id->bytes[i];
    }
    return top;
}

bool id_in_arc(const struct id *key, const struct id *from, const struct id *to)
{
    int span = id_compare(from, to);
    bool is_past_from = id_compare(key, from) > 0;
    bool is_up_to_to = id_compare(key, to) <= 0;

    if (span == 0) {
        return true;
    }
    return span < 0 ? is_past_from && is_up_to_to : is_past_from || is_up_to_to;
}

void id_to_hex(const struct id *id, char hex_out[ID_HEX_CHARS + 1])
{
    bytes_to_hex((struct bytes){id->bytes, ID_BYTES}, hex_out);
}

void id_to_short(const struct id *id, char short_out[ID_SHORT_CHARS + 1])
{
    bytes_to_hex((struct bytes){id->bytes, ID_SHORT_CHARS / 2}, short_out);
}

int id_from_hex(const char *hex, struct id *id_out)
{
    return bytes_from_hex(hex, id_out->bytes, ID_BYTES);
}

bool id_has_prefix(const struct id *id, const char *prefix)
{
    char hex[ID_HEX_CHARS + 1];
    size_t length_chars = strlen(prefix);

    id_to_hex(id, hex);
    return length_chars > 0 && length_chars <= ID_HEX_CHARS &&
           strncasecmp(hex, prefix, length_chars) == 0;
}
