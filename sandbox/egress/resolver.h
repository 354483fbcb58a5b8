// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The host's /etc/resolv.conf, as far as passt and the filter must agree on it. */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Pure: of which families are the name servers that the text names? */
void resolver_read(struct bytes text, bool *ipv4_out, bool *ipv6_out);
/* Of this host; both false when it has none. */
void resolver_families(bool *ipv4_out, bool *ipv6_out);
/* A number that is another one when the file has been changed or replaced. */
uint64_t resolver_stamp(void);
