// SPDX-License-Identifier: GPL-3.0-or-later
/* Whatever a minga-portmap that somebody has taken over may say. */
#include "agent/portmap/line.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/portmap/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static const struct portmap_port asked[] = {
        {false, 7400, 7400}, {false, 31000, 31000}, {true, 31001, 31001}};
    struct portmap_answer answer;
    struct portmap_answer again;
    char line[PORTMAP_LINE_BYTES_MAX + 1];

    if (portmap_line_parse((struct bytes){data, length}, asked, 3, &answer) < 0) {
        return 0;
    }
    /* What could be read can be written, and means the same. */
    if ((answer.place[0] != '\0' && !place_is_plain(answer.place)) || answer.port_count > 3 ||
        portmap_line_print(&answer, line) > PORTMAP_LINE_BYTES_MAX ||
        portmap_line_parse(bytes_of_text(line), asked, 3, &again) < 0 ||
        again.port_count != answer.port_count || strcmp(again.host, answer.host) != 0 ||
        memcmp(again.ports, answer.ports, answer.port_count * sizeof(answer.ports[0])) != 0) {
        abort();
    }
    return 0;
}
