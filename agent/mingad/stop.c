// SPDX-License-Identifier: GPL-3.0-or-later
/* Signals: stop and hand over, step aside for a restart, look at the configuration again. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/senses.h"
#include "base/attributes.h"
#include "base/log.h"

enum {
    BACK_SOON_MS_MAX = 1500,
    FAREWELL_MS = 60, /* for the last messages: closing drops what is still queued */
};

static void on_farewell(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* The last messages are on their way; then the loop ends. */
static void leave(struct edge *edge)
{
    uv_timer_start(&edge->stop_timer, on_farewell, FAREWELL_MS, 0);
}

static void on_late(uv_timer_t *timer)
{
    struct edge *edge = timer->data;

    log_warning("not everything has ended in time; leaving");
    uv_stop(&edge->loop);
}

void stop_answered(struct edge *edge, const struct core_answer *answer)
{
    if (answer->token == TOKEN_STEP_ASIDE) {
        aside_answered(edge, answer);
    }
    if (edge->phase != EDGE_STOPPING || answer->token >= TOKEN_DESCRIBE) {
        return;
    }
    if (answer->outcome != OVERLAY_OK && answer->reason[0] != '\0') {
        log_warning("%s", answer->reason);
    }
    leave(edge);
}

void stop_left(struct edge *edge, const struct core_answer *answer)
{
    edge->leave_token = 0;
    if (answer->outcome != OVERLAY_OK || edge->phase != EDGE_RUNNING) {
        return;
    }
    log_event(LOG_LEVEL_INFO, "left", "left the community: what was stored of it is deleted");
    edge->phase = EDGE_STOPPING;
    edge->has_left = true;
    leave(edge);
}

static void begin_stopping(struct edge *edge, enum core_request_kind kind, uint64_t token,
                           uint64_t ms_max)
{
    struct core_request request = {.kind = kind, .token = token};

    edge->phase = EDGE_STOPPING;
    sd_notify(0, "STOPPING=1");
    uv_timer_start(&edge->stop_timer, on_late, ms_max, 0);
    edge_request(edge, &request);
}

static void on_terminate(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;

    if (edge->phase != EDGE_RUNNING) {
        log_warning("%s again: leaving at once", sigdescr_np(number));
        uv_stop(&edge->loop);
        return;
    }
    log_event(LOG_LEVEL_INFO, "stopping", "stopping: replicas are handed over");
    begin_stopping(edge, CORE_SHUT_DOWN, TOKEN_SHUT_DOWN, SHUTDOWN_MS);
}

static void on_restart(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;

    (void)number;
    if (edge->phase == EDGE_RUNNING) {
        edge->is_restart = true;
        log_event(LOG_LEVEL_INFO, "restarting", "leaving for a restart: replicas keep running");
        begin_stopping(edge, CORE_BACK_SOON, TOKEN_BACK_SOON, BACK_SOON_MS_MAX);
    }
}

/*
 * Each key of the file that takes effect while running, as a field; the rest is compared after all
 * of these were taken over, and named as what needs a restart.
 */
#define FIELD(field)                                                                \
    {                                                                               \
#field, offsetof(struct config, field), sizeof(((struct config *)0)->field) \
    }
static const struct {
    const char *name;
    size_t offset_bytes;
    size_t length_bytes;
} present_fields[] =
    {
        FIELD(name),
        FIELD(label_count),
        FIELD(labels),
        FIELD(zone),
        FIELD(advertise),
        FIELD(cpu),
        FIELD(memory),
        FIELD(disk),
        FIELD(pid_count),
        FIELD(weight_percent),
        FIELD(upload_bytes_per_s),
        FIELD(download_bytes_per_s),
        FIELD(bind),
        FIELD(connections_max),
        FIELD(port_mapping),
        FIELD(rule_count),
        FIELD(rules),
        FIELD(allow_count),
        FIELD(allow),
        FIELD(deny_count),
        FIELD(deny),
},
  later_fields[] = {
      {"contribute.storage", offsetof(struct config, storage), sizeof(struct config_share)},
      {"contribute.keep_free", offsetof(struct config, keep_free), sizeof(struct config_share)},
      {"network.listen", offsetof(struct config, listen_port), sizeof(uint16_t)},
      {"network.listen", offsetof(struct config, listen_host), CONFIG_HOST_CHARS_MAX + 1},
      {"network.ports", offsetof(struct config, port_first), sizeof(uint16_t)},
      {"network.ports", offsetof(struct config, port_last), sizeof(uint16_t)},
      {"network.egress", offsetof(struct config, egress), sizeof(int)},
      FIELD(user),
      {"roles", offsetof(struct config, role_count), sizeof(uint32_t)},
      {"roles", offsetof(struct config, roles), CONFIG_ROLES_COUNT * sizeof(enum config_role)},
      {"uids", offsetof(struct config, uid_first), sizeof(uint32_t)},
      {"uids", offsetof(struct config, uid_last), sizeof(uint32_t)},
      {"environment.name", offsetof(struct config, environment),
       CONFIG_ENVIRONMENT_NAME_CHARS_MAX + 1},
      {"environment.command", offsetof(struct config, environment_words),
       sizeof(((struct config *)0)->environment_words)},
      FIELD(cgroup),
      {"paths.state", offsetof(struct config, state), CONFIG_STATE_BYTES_MAX},
      {"paths.run", offsetof(struct config, run), CONFIG_RUN_BYTES_MAX},
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

static void name_later_fields(const struct config *present, const struct config *fresh)
{
    for (size_t i = 0; i < ARRAY_COUNT(later_fields); i++) {
        if (memcmp((const char *)present + later_fields[i].offset_bytes,
                   (const char *)fresh + later_fields[i].offset_bytes,
                   later_fields[i].length_bytes) != 0) {
            log_warning("%s: needs a restart, which keeps the replicas: systemctl restart mingad",
                        later_fields[i].name);
        }
    }
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
    edge->contribution.limits = contribution->limits;
    edge->contribution.rules = contribution->rules;
    memset(&edge->terms, 0, sizeof(edge->terms));
    edge_terms(edge, &edge->terms);
    edge_event(edge, &event);
    senses_rules(edge->senses);
    portmap_link_configure(edge);
    if (!is_same) {
        edge_describe(edge, true);
    }
    /* Also when nothing is new here: root may have written the helper's limits only now. */
    log_event(LOG_LEVEL_INFO, "configured", "%s",
              is_same ? "the configuration has not changed" : "the configuration is in effect");
}

static void on_reload(uv_signal_t *signal, int number)
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

static void on_child(uv_signal_t *signal, int number)
{
    struct edge *edge = signal->data;
    int status = 0;

    (void)number;
    if (edge->helper_pid != 0 && waitpid(edge->helper_pid, &status, WNOHANG) == edge->helper_pid) {
        log_warning("minga-sandboxd (process %d) has ended", (int)edge->helper_pid);
        edge->helper_pid = 0;
    }
}

int signals_open(struct edge *edge, struct err *err)
{
    static const struct {
        int number;
        uv_signal_cb handle;
    } rows[] = {
        {SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGUSR2, on_restart},
        {SIGHUP, on_reload},     {SIGCHLD, on_child},
    };

    static_assert(ARRAY_COUNT(rows) == ARRAY_COUNT(edge->signals), "a handle for each");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uv_signal_t *handle = &edge->signals[i];

        uv_signal_init(&edge->loop, handle);
        handle->data = edge;
        int r = uv_signal_start(handle, rows[i].handle, rows[i].number);

        if (r < 0) {
            return err_set(err, r, "signals: %s", uv_strerror(r));
        }
    }
    uv_timer_init(&edge->loop, &edge->stop_timer);
    edge->stop_timer.data = edge;
    return 0;
}

void signals_close(struct edge *edge)
{
    for (size_t i = 0; i < ARRAY_COUNT(edge->signals); i++) {
        uv_close((uv_handle_t *)&edge->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&edge->stop_timer, NULL);
}
