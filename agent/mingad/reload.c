// SPDX-License-Identifier: GPL-3.0-or-later
/* SIGHUP: minga.yaml is read again, and what can change while running does. */
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/owner/senses.h"
#include "base/attributes.h"
#include "base/log.h"

/*
 * Each key of the file that takes effect while running, as a field; the rest is compared after all
 * of these were taken over, and named as what needs a restart.
 */
#define FIELD(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
static const struct {
    size_t offset_bytes;
    size_t length_bytes;
} present_fields[] = {
    {FIELD(name)},
    {FIELD(label_count)},
    {FIELD(labels)},
    {FIELD(zone)},
    {FIELD(advertise)},
    {FIELD(cpu)},
    {FIELD(memory)},
    {FIELD(disk)},
    {FIELD(storage)},
    {FIELD(keep_free)},
    {FIELD(pid_count)},
    {FIELD(weight_percent)},
    {FIELD(upload_bytes_per_s)},
    {FIELD(download_bytes_per_s)},
    {FIELD(port_first)},
    {FIELD(port_last)},
    {FIELD(bind)},
    {FIELD(connections_max)},
    {FIELD(relay_bytes_per_s)},
    {FIELD(egress)},
    {FIELD(port_mapping)},
    {FIELD(role_count)},
    {FIELD(roles)},
    {FIELD(rule_count)},
    {FIELD(rules)},
    {FIELD(allow_count)},
    {FIELD(allow)},
    {FIELD(deny_count)},
    {FIELD(deny)},
};
static const struct {
    const char *key;
    size_t offset_bytes;
    size_t length_bytes;
    const char *units; /* to be restarted */
} later_fields[] = {
    {"network.listen", FIELD(listen_port), "mingad"},
    {"network.listen", FIELD(listen_host), "mingad"},
    {"user", FIELD(user), "minga-sandboxd mingad"},
    {"uids", FIELD(uid_first), "minga-sandboxd"},
    {"uids", FIELD(uid_last), "minga-sandboxd"},
    {"environment.name", FIELD(environment), "mingad"},
    {"environment.command", FIELD(environment_words), "mingad"},
    {"cgroup", FIELD(cgroup), "minga-sandboxd"},
    {"paths.state", FIELD(state), "minga-sandboxd mingad"},
    {"paths.run", FIELD(run), "minga-sandboxd mingad"},
};
#undef FIELD

static void take_fields(struct config *present, const struct config *fresh)
{
    for (size_t i = 0; i < ARRAY_COUNT(present_fields); i++) {
        memcpy((char *)present + present_fields[i].offset_bytes,
               (const char *)fresh + present_fields[i].offset_bytes,
               present_fields[i].length_bytes);
    }
}

static bool is_equal(const struct config *a, const struct config *b, size_t i)
{
    return memcmp((const char *)a + later_fields[i].offset_bytes,
                  (const char *)b + later_fields[i].offset_bytes,
                  later_fields[i].length_bytes) == 0;
}

static void name_later_fields(const struct config *present, const struct config *fresh)
{
    const char *named = "";

    for (size_t i = 0; i < ARRAY_COUNT(later_fields); i++) {
        if (!is_equal(present, fresh, i) && strcmp(named, later_fields[i].key) != 0) {
            named = later_fields[i].key;
            log_event(LOG_LEVEL_WARNING, "configuration-refused",
                      "%s: needs a restart, which keeps the replicas, and stays as it was until "
                      "then: systemctl restart %s",
                      named, later_fields[i].units);
        }
    }
}

/* Running replicas is wanted from now on: the helper is there as a rule, but root is not any more. */
static void begin_running(struct edge *edge)
{
    struct err err = {0};

    if (!config_has_role(&edge->config, CONFIG_ROLE_RUN) ||
        sandbox_link_is_started(edge->sandbox)) {
        return;
    }
    if (sandbox_link_connect(edge->sandbox, &err) < 0) {
        log_warning("roles: run is off until minga-sandboxd runs, or mingad is restarted: %s",
                    err.text);
    }
    edge_begin_running(edge);
}

/* Everything that can change while replicas run; what no longer fits is handed over. */
static void apply_config(struct edge *edge, const struct config *config,
                         const struct contribution *contribution)
{
    struct config *present = &edge->config;
    struct core_event event = {.kind = CORE_CONFIGURED, .config = &edge->terms};

    /* Both were zeroed before they were filled in, so that padding is equal, too. */
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
    bool is_same = memcmp(config, present, sizeof(*config)) == 0;

    take_fields(present, config);
    name_later_fields(present, config);
    edge->contribution = *contribution;
    edge->chunks.keep_free_bytes = contribution->keep_free_bytes;
    relays_configure(edge->relays, config->relay_bytes_per_s);
    memset(&edge->terms, 0, sizeof(edge->terms));
    edge_terms(edge, &edge->terms);
    edge_event(edge, &event);
    senses_rules(edge->senses);
    portmap_link_configure(edge);
    if (!is_same) {
        edge_describe(edge, true);
    }
    begin_running(edge);
    /* Also when nothing is new here: root may have written the helper's limits only now. */
    log_event(LOG_LEVEL_INFO, "configured", "%s",
              is_same ? "the configuration has not changed" : "the configuration is in effect");
}

void reload_on_signal(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;
    struct contribution contribution;
    struct config config;
    struct err err = {0};
    int r;

    (void)number;
    sd_notify(0, "RELOADING=1");
    r = config_load(edge->config_path, &config, &err);
    if (r == 0) {
        r = config_resolve(&config, &edge->machine, &contribution, &err);
    }
    if (r < 0) {
        log_event(LOG_LEVEL_ERROR, "configuration-refused", "the configuration stays as it was: %s",
                  err.text);
    } else {
        apply_config(edge, &config, &contribution);
    }
    sd_notify(0, "READY=1");
}
