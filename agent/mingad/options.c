// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "base/units.h"

const char options_usage[] =
    "Usage: mingad [OPTION]...\n"
    "Minga's agent: gives a share of this machine to a community.\n"
    "\n"
    "  --config FILE    instead of /etc/minga/minga.yaml\n"
    "  --check-config   only say whether the configuration is fine\n"
    "  --write-limits   only write the limits for minga-sandboxd; as root\n"
    "  --renew-state    forget node key and community, as for a copied disk image\n"
    "  --verbose        log what the core does, too\n"
    "  --record FILE    write down all that the core is told (minga-replay runs it again)\n"
    "  --record-limit SIZE  of that file, 256M by default; then recording ends\n"
    "  --senses FOLDER  for tests: where /proc, /sys and /dev are, for the owner's rules\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "SIGTERM hands replicas over and ends (10 s at most). SIGUSR2 ends for a restart: replicas\n"
    "keep running. SIGHUP looks at the configuration again.\n";

enum {
    OPTION_CONFIG = 256,
    OPTION_VERBOSE,
    OPTION_RECORD,
    OPTION_RECORD_LIMIT,
    OPTION_SENSES,
    OPTION_ACTION
};

static const uint64_t record_bytes_default = (uint64_t)256 << 20;

int options_parse(int argument_count, char **arguments, struct options *options_out)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"verbose", no_argument, NULL, OPTION_VERBOSE},
        {"record", required_argument, NULL, OPTION_RECORD},
        {"record-limit", required_argument, NULL, OPTION_RECORD_LIMIT},
        {"senses", required_argument, NULL, OPTION_SENSES},
        {"check-config", no_argument, NULL, OPTION_ACTION + OPTIONS_CHECK_CONFIG},
        {"write-limits", no_argument, NULL, OPTION_ACTION + OPTIONS_WRITE_LIMITS},
        {"renew-state", no_argument, NULL, OPTION_ACTION + OPTIONS_RENEW_STATE},
        {"version", no_argument, NULL, OPTION_ACTION + OPTIONS_VERSION},
        {"help", no_argument, NULL, OPTION_ACTION + OPTIONS_HELP},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.action = OPTIONS_RUN, .record_bytes_max = record_bytes_default};
    int option;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet
    while ((option = getopt_long(argument_count, arguments, "", table, NULL)) != -1) {
        if (option == OPTION_CONFIG) {
            options.config_path = optarg;
        } else if (option == OPTION_VERBOSE) {
            options.is_verbose = true;
        } else if (option == OPTION_RECORD) {
            options.record_path = optarg;
        } else if (option == OPTION_SENSES) {
            options.senses_root = optarg;
        } else if (option == OPTION_RECORD_LIMIT) {
            if (units_parse_bytes(optarg, &options.record_bytes_max) < 0) {
                fprintf(stderr, "mingad: --record-limit %s: not a size (256M)\n", optarg);
                return -EINVAL;
            }
        } else if (option > OPTION_ACTION) {
            options.action = (enum options_action)(option - OPTION_ACTION);
        } else {
            return -EINVAL; /* getopt has said why */
        }
    }
    if (optind < argument_count) {
        fprintf(stderr, "mingad: unexpected argument \"%s\"\n", arguments[optind]);
        return -EINVAL;
    }
    *options_out = options;
    return 0;
}
