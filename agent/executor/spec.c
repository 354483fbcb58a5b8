// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/executor/spec.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/message.h"
#include "sandbox/spec.h"

static_assert(sizeof(((struct sandbox_health *)0)->http_path) ==
                  sizeof(((struct manifest *)0)->health_http),
              "the probe's path fits");
static_assert(sizeof(((struct sandbox_spec *)0)->arguments) ==
                  sizeof(((struct manifest_words *)0)->text),
              "the command fits");
static_assert((int)MANIFEST_LOGS_BYTES_MIN == (int)SPEC_LOGS_BYTES_MIN &&
                  (int)MANIFEST_LOGS_BYTES_MAX == (int)SPEC_LOGS_BYTES_MAX,
              "the sandbox takes what a manifest may say of logs");

static void fill_health(const struct manifest *manifest, struct sandbox_health *health)
{
    memset(health, 0, sizeof(*health));
    if (!manifest->has_health) {
        return;
    }
    if (manifest->health_command.count > 0) {
        health->argument_count = manifest->health_command.count;
        memcpy(health->arguments, manifest->health_command.text, sizeof(health->arguments));
    } else {
        health->container_port = manifest->ports[manifest->health_port].container_port;
        memcpy(health->http_path, manifest->health_http, sizeof(health->http_path));
    }
    health->interval_ms = manifest->health_interval_ms;
    health->timeout_ms = manifest->health_timeout_ms;
    health->failures_max = manifest->health_failures_max;
    health->grace_ms = manifest->health_grace_ms;
}

static enum sandbox_protocol protocol_of(const struct manifest_port *port)
{
    bool is_udp = port->protocol == MANIFEST_UDP;

    if (port->visibility == MANIFEST_MEMBERS) {
        return is_udp ? SANDBOX_MEMBERS_UDP : SANDBOX_MEMBERS;
    }
    return is_udp ? SANDBOX_UDP : SANDBOX_TCP;
}

void spec_of_manifest(const struct manifest *manifest, uint32_t slot, struct sandbox_spec *spec_out)
{
    struct sandbox_spec *spec = spec_out;

    memset(spec, 0, sizeof(*spec));
    spec->argument_count = manifest->command.count;
    memcpy(spec->arguments, manifest->command.text, sizeof(spec->arguments));
    spec->environment_count = manifest->environment.count;
    memcpy(spec->environment, manifest->environment.text, sizeof(spec->environment));
    memcpy(spec->workdir, manifest->workdir, sizeof(spec->workdir));
    spec->user = manifest->user;
    spec->limits = manifest_limits(manifest);
    spec->port_count = manifest->port_count;
    for (uint32_t i = 0; i < manifest->port_count; i++) {
        spec->ports[i].container_port = manifest->ports[i].container_port;
        spec->ports[i].protocol = protocol_of(&manifest->ports[i]);
    }
    spec->egress = manifest->egress == MANIFEST_EGRESS_INTERNET;
    fill_health(manifest, &spec->health);
    spec->stop_signal = manifest->stop_signal;
    spec->stop_grace_ms = manifest->stop_grace_ms;
    spec->logs_bytes = manifest->logs_bytes;
    (void)snprintf(spec->hostname, sizeof(spec->hostname), "%s-%u", manifest->name, slot);
}
