// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* mingad's command line. */
#include <stdbool.h>
#include <stdint.h>

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK_CONFIG,
    OPTIONS_WRITE_LIMITS,
    OPTIONS_RENEW_STATE,
    OPTIONS_VERSION,
    OPTIONS_HELP
};

struct options {
    enum options_action action;
    const char *config_path; /* NULL: the default file */
    bool is_verbose;
    const char *record_path; /* NULL: no recording */
    uint64_t record_bytes_max;
    const char *senses_root; /* NULL: this machine */
};

extern const char options_usage[];

/* Returns 0, or -EINVAL with a line on stderr that says what is wrong. */
int options_parse(int argument_count, char **arguments, struct options *options_out);
