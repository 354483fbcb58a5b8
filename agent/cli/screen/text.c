// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/text.h"

#include <stdbool.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"

/* How long the UTF-8 sequence at `bytes` is; 0 when there is none. */
static size_t sequence_bytes(const unsigned char *bytes, size_t left_bytes)
{
    static const struct {
        unsigned char mask;
        unsigned char lead;
        unsigned char second_min; /* smaller ones are overlong, surrogates aside */
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0}, {0xf0, 0xe0, 0xa0}, {0xf8, 0xf0, 0x90}};

    for (size_t form = 0; form < ARRAY_COUNT(forms); form++) {
        if ((bytes[0] & forms[form].mask) != forms[form].lead) {
            continue;
        }
        if (form + 1 > left_bytes || (form == 1 && bytes[0] < 0xc2)) {
            return 0;
        }
        for (size_t i = 1; i <= form; i++) {
            if ((bytes[i] & 0xc0) != 0x80) {
                return 0;
            }
        }
        bool overlong = (bytes[0] == 0xe0 || bytes[0] == 0xf0) && bytes[1] < forms[form].second_min;
        bool surrogate = bytes[0] == 0xed && bytes[1] >= 0xa0;
        bool beyond = bytes[0] > 0xf4 || (bytes[0] == 0xf4 && bytes[1] >= 0x90);

        return overlong || surrogate || beyond ? 0 : form + 1;
    }
    return 0;
}

/* Would a terminal obey the character rather than show it? Also those that reorder text. */
static bool is_control(const unsigned char *bytes, size_t length_bytes)
{
    if (length_bytes == 1) {
        return bytes[0] < 0x20 || bytes[0] == 0x7f;
    }
    if (length_bytes == 2) {
        return bytes[0] == 0xc2 && bytes[1] < 0xa0; /* C1 */
    }
    return length_bytes == 3 && bytes[0] == 0xe2 &&
           ((bytes[1] == 0x80 && bytes[2] >= 0xaa && bytes[2] <= 0xae) ||
            (bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9));
}

static void clean(char *text, size_t length_bytes, bool keeps_lines)
{
    unsigned char *bytes = (unsigned char *)text;
    size_t i = 0;

    while (i < length_bytes) {
        size_t sequence = sequence_bytes(bytes + i, length_bytes - i);
        bool kept = keeps_lines && (bytes[i] == '\n' || bytes[i] == '\t');

        if (sequence == 0) {
            bytes[i++] = '?';
            continue;
        }
        if (!kept && is_control(bytes + i, sequence)) {
            memset(bytes + i, '?', sequence);
        }
        i += sequence;
    }
}

void text_clean(char *text)
{
    clean(text, strlen(text), false);
}

void text_clean_output(char *text, size_t length_bytes)
{
    clean(text, length_bytes, true);
}

size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return width;
}

size_t text_prefix_bytes(const char *text, size_t width)
{
    size_t i = 0;

    for (; text[i] != '\0'; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            if (width == 0) {
                break;
            }
            width--;
        }
    }
    return i;
}

struct folded {
    char *out;
    size_t out_bytes;
    size_t length;
};

static void add(struct folded *folded, const char *bytes, size_t count)
{
    size_t room = folded->out_bytes - 1 - folded->length;

    count = count < room ? count : room;
    memcpy(folded->out + folded->length, bytes, count);
    folded->length += count;
    folded->out[folded->length] = '\0';
}

void text_fold(const char *text, size_t width, size_t indent, char *out, size_t out_bytes)
{
    struct folded folded = {out, out_bytes, 0};
    size_t column = 0; /* of the next character */
    bool is_empty = true;

    CHECK(out_bytes > 0);
    out[0] = '\0';
    while (*text != '\0') {
        size_t gap = strspn(text, " ");
        size_t word = strcspn(text + gap, " ");
        size_t chars = text_width(text) - text_width(text + gap + word) - gap;

        if (width > 0 && !is_empty && word > 0 && column + gap + chars > width) {
            add(&folded, "\n", 1);
            for (size_t i = 0; i < indent; i++) {
                add(&folded, " ", 1);
            }
            column = indent;
        } else if (word > 0 || width == 0) {
            add(&folded, text, gap);
            column += gap;
        }
        add(&folded, text + gap, word);
        column += chars;
        is_empty = false;
        text += gap + word;
    }
}

enum { WORD_CHARS_MAX = 31 };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Damerau, 1964, in its restricted form. */
uint32_t text_distance(const char *a, const char *b)
{
    uint32_t rows[WORD_CHARS_MAX + 1][WORD_CHARS_MAX + 1];
    size_t a_length = strnlen(a, WORD_CHARS_MAX);
    size_t b_length = strnlen(b, WORD_CHARS_MAX);

    for (size_t i = 0; i <= a_length; i++) {
        for (size_t j = 0; j <= b_length; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = (uint32_t)(i + j);
                continue;
            }
            rows[i][j] = least(rows[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1U : 0U),
                               least(rows[i - 1][j], rows[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
            }
        }
    }
    return rows[a_length][b_length];
}
