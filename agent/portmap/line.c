// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/portmap/line.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/portmap/place.h"
#include "base/attributes.h"
#include "base/check.h"

enum {
    WORDS_MAX = 6 + PORTMAP_PORTS_MAX,
    NUMBER_CHARS_MAX = 5,
    LEASE_CHARS_MAX = 9,
    EPOCH_CHARS_MAX = 10,
};

static const char *const method_names[PORTMAP_METHODS] = {[PORTMAP_NONE] = "",
                                                          [PORTMAP_PCP] = "pcp",
                                                          [PORTMAP_NATPMP] = "nat-pmp",
                                                          [PORTMAP_UPNP] = "upnp"};

const char *portmap_method_name(enum portmap_method method)
{
    CHECK((unsigned)method < ARRAY_COUNT(method_names));
    return method_names[method];
}

bool portmap_method_of(const char *name, enum portmap_method *method_out)
{
    for (int i = PORTMAP_NONE + 1; i < PORTMAP_METHODS; i++) {
        if (strcmp(name, method_names[i]) == 0) {
            *method_out = (enum portmap_method)i;
            return true;
        }
    }
    return false;
}

/* Digits and nothing else, at most `chars_max` of them. */
static bool read_number(const char *text, size_t length, size_t chars_max, uint32_t *number_out)
{
    uint32_t number = 0;

    if (length == 0 || length > chars_max) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    *number_out = number;
    return true;
}

static bool read_port(const char *text, size_t length, uint16_t *port_out)
{
    uint32_t number = 0;

    if (!read_number(text, length, NUMBER_CHARS_MAX, &number) || number > UINT16_MAX) {
        return false;
    }
    *port_out = (uint16_t)number;
    return true;
}

void portmap_port_print(const struct portmap_port *port, char text_out[PORTMAP_PORT_CHARS_MAX + 1])
{
    (void)snprintf(text_out, PORTMAP_PORT_CHARS_MAX + 1, "%s:%u:%u", port->is_udp ? "udp" : "tcp",
                   port->inside, port->outside);
}

bool portmap_port_parse(const char *text, struct portmap_port *port_out)
{
    struct portmap_port port = {.is_udp = strncmp(text, "udp:", 4) == 0};
    const char *inside = text + 4;
    const char *colon;

    if (!port.is_udp && strncmp(text, "tcp:", 4) != 0) {
        return false;
    }
    colon = strchr(inside, ':');
    if (colon == NULL || !read_port(inside, (size_t)(colon - inside), &port.inside) ||
        !read_port(colon + 1, strlen(colon + 1), &port.outside) || port.inside == 0) {
        return false;
    }
    *port_out = port;
    return true;
}

static const char *or_dash(const char *text)
{
    return text[0] == '\0' ? "-" : text;
}

size_t portmap_line_print(const struct portmap_answer *answer,
                          char line_out[PORTMAP_LINE_BYTES_MAX + 1])
{
    const size_t room = PORTMAP_LINE_BYTES_MAX + 1;
    char epoch[EPOCH_CHARS_MAX + 2] = "-";
    size_t length;

    static_assert(PORTMAP_LINE_BYTES_MAX > 64 + PORTMAP_HOST_CHARS_MAX + PORTMAP_PLACE_CHARS_MAX +
                                               PORTMAP_PORTS_MAX * (PORTMAP_PORT_CHARS_MAX + 1),
                  "a full answer fits");
    CHECK(answer->port_count <= PORTMAP_PORTS_MAX);
    if (answer->method == PORTMAP_NONE) {
        return (size_t)snprintf(line_out, room, "none %s\n", answer->why);
    }
    if (answer->has_epoch) {
        (void)snprintf(epoch, sizeof(epoch), "%u", answer->epoch_s);
    }
    length = (size_t)snprintf(line_out, room, "mapped %s %s %u %s %s",
                              portmap_method_name(answer->method), or_dash(answer->host),
                              answer->lease_s, epoch, or_dash(answer->place));
    for (uint32_t i = 0; i < answer->port_count; i++) {
        char text[PORTMAP_PORT_CHARS_MAX + 1];

        portmap_port_print(&answer->ports[i], text);
        length += (size_t)snprintf(line_out + length, room - length, " %s", text);
    }
    length += (size_t)snprintf(line_out + length, room - length, "\n");
    CHECK(length <= PORTMAP_LINE_BYTES_MAX);
    return length;
}

/* ------------------------------------------------------------------ the other way */

/* One line of printable characters. */
static bool is_line(struct bytes said)
{
    if (said.length_bytes < 2 || said.length_bytes > PORTMAP_LINE_BYTES_MAX ||
        said.data[said.length_bytes - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i + 1 < said.length_bytes; i++) {
        if (said.data[i] < ' ' || said.data[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Cuts at single spaces. Returns how many words, 0 when too many or one is empty. */
static uint32_t cut(char *line, char *words_out[WORDS_MAX])
{
    uint32_t count = 0;

    for (char *word = line; word != NULL;) {
        char *space = strchr(word, ' ');

        if (space != NULL) {
            *space = '\0';
        }
        if (count == WORDS_MAX || word[0] == '\0') {
            return 0;
        }
        words_out[count++] = word;
        word = space == NULL ? NULL : space + 1;
    }
    return count;
}

static bool read_host(const char *word, struct portmap_answer *answer)
{
    struct in_addr address;

    if (strcmp(word, "-") == 0) {
        return true;
    }
    /* Written out again: "1.2.3.4" and nothing else that is read as such. */
    return inet_pton(AF_INET, word, &address) == 1 &&
           inet_ntop(AF_INET, &address, answer->host, sizeof(answer->host)) != NULL;
}

static bool read_place(const char *word, struct portmap_answer *answer)
{
    if (strcmp(word, "-") == 0) {
        return true;
    }
    return place_is_plain(word) && text_copy(answer->place, sizeof(answer->place), word) == 0;
}

static bool was_asked(const struct portmap_port *port, const struct portmap_port *asked,
                      uint32_t asked_count)
{
    for (uint32_t i = 0; i < asked_count; i++) {
        if (asked[i].inside == port->inside && asked[i].is_udp == port->is_udp) {
            return true;
        }
    }
    return false;
}

static bool is_told(const struct portmap_answer *answer, const struct portmap_port *port)
{
    return was_asked(port, answer->ports, answer->port_count);
}

/* Written without zeros in front, so that there is one way to say it. */
static bool read_epoch(const char *word, struct portmap_answer *answer)
{
    size_t chars = strlen(word);
    uint64_t epoch_s = 0;

    if (strcmp(word, "-") == 0) {
        return true;
    }
    if (chars > EPOCH_CHARS_MAX || (word[0] == '0' && chars > 1)) {
        return false;
    }
    for (size_t i = 0; i < chars; i++) {
        if (word[i] < '0' || word[i] > '9') {
            return false;
        }
        epoch_s = epoch_s * 10 + (uint64_t)(word[i] - '0');
    }
    answer->has_epoch = true;
    answer->epoch_s = (uint32_t)epoch_s;
    return epoch_s <= UINT32_MAX;
}

static int read_mapped(char *words[WORDS_MAX], uint32_t word_count,
                       const struct portmap_port *asked, uint32_t asked_count,
                       struct portmap_answer *answer)
{
    if (word_count < 6 || !portmap_method_of(words[1], &answer->method) ||
        !read_host(words[2], answer) ||
        !read_number(words[3], strlen(words[3]), LEASE_CHARS_MAX, &answer->lease_s) ||
        answer->lease_s > PORTMAP_LEASE_S_MAX || !read_epoch(words[4], answer) ||
        !read_place(words[5], answer)) {
        return -EBADMSG;
    }
    for (uint32_t i = 6; i < word_count; i++) {
        struct portmap_port port;

        if (!portmap_port_parse(words[i], &port) || !was_asked(&port, asked, asked_count) ||
            is_told(answer, &port)) {
            return -EBADMSG;
        }
        answer->ports[answer->port_count++] = port;
    }
    return 0;
}

int portmap_line_parse(struct bytes said, const struct portmap_port *asked, uint32_t asked_count,
                       struct portmap_answer *answer_out)
{
    struct portmap_answer answer = {.method = PORTMAP_NONE};
    char line[PORTMAP_LINE_BYTES_MAX + 1];
    char *words[WORDS_MAX];
    uint32_t word_count;

    CHECK(asked_count <= PORTMAP_PORTS_MAX);
    if (!is_line(said)) {
        return -EBADMSG;
    }
    memcpy(line, said.data, said.length_bytes - 1);
    line[said.length_bytes - 1] = '\0';
    if (strncmp(line, "none ", 5) == 0) {
        if (text_copy(answer.why, sizeof(answer.why), line + 5) < 0) {
            return -EBADMSG;
        }
        *answer_out = answer;
        return 0;
    }
    word_count = cut(line, words);
    if (word_count == 0 || strcmp(words[0], "mapped") != 0 ||
        read_mapped(words, word_count, asked, asked_count, &answer) < 0) {
        return -EBADMSG;
    }
    *answer_out = answer;
    return 0;
}
