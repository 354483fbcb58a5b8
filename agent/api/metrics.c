// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/moment.h"
#include "agent/api/route.h"
#include "base/attributes.h"

enum { LINE_BYTES_MAX = 512, LABEL_BYTES_MAX = 160, METRICS_BYTES_MAX = 1048576 };

struct page {
    struct buffer *out;
    int r; /* the first error */
};

PRINTF_LIKE(2, 3) static void line(struct page *page, const char *format, ...)
{
    char text[LINE_BYTES_MAX];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(text)) {
        page->r = page->r == 0 ? -EMSGSIZE : page->r;
    }
    if (page->r == 0) {
        page->r = buffer_append(page->out, text, (size_t)length);
    }
}

static void head(struct page *page, const char *name, const char *type, const char *help)
{
    line(page, "# HELP minga_%s %s\n# TYPE minga_%s %s\n", name, help, name, type);
}

static void value(struct page *page, uint64_t amount, bool is_permille)
{
    if (is_permille) {
        line(page, "%" PRIu64 ".%03u\n", amount / 1000, (unsigned)(amount % 1000));
    } else {
        line(page, "%" PRIu64 "\n", amount);
    }
}

static void number(struct page *page, const char *name, const char *type, uint64_t amount,
                   const char *help)
{
    head(page, name, type, help);
    line(page, "minga_%s ", name);
    value(page, amount, false);
}

static void gauge(struct page *page, const char *name, uint64_t value, const char *help)
{
    number(page, name, "gauge", value, help);
}

static void counter(struct page *page, const char *name, uint64_t value, const char *help)
{
    number(page, name, "counter", value, help);
}

static void cores(struct page *page, const char *name, uint64_t cpu_permille, const char *help)
{
    head(page, name, "gauge", help);
    line(page, "minga_%s ", name);
    value(page, cpu_permille, true);
}

/* A label's value: other people's text, so that nothing in it ends the label. */
static const char *label(const char *text, char out[LABEL_BYTES_MAX])
{
    size_t length = 0;

    for (; *text != '\0' && length < LABEL_BYTES_MAX - 1; text++) {
        bool is_plain = *text >= ' ' && *text < 0x7f && *text != '"' && *text != '\\';

        out[length++] = *text;
        if (!is_plain) {
            out[length - 1] = '?';
        }
    }
    out[length] = '\0';
    return out;
}

/* ------------------------------------------------------------------ this node */

static void print_share(struct page *page, const char *what, const struct sandbox_limits *share,
                        const char *help)
{
    char name[64];

    snprintf(name, sizeof(name), "%s_cpu_cores", what);
    cores(page, name, share->cpu_permille, help);
    snprintf(name, sizeof(name), "%s_memory_bytes", what);
    gauge(page, name, share->memory_bytes, help);
    snprintf(name, sizeof(name), "%s_disk_bytes", what);
    gauge(page, name, share->disk_bytes, help);
    snprintf(name, sizeof(name), "%s_pids", what);
    gauge(page, name, share->pid_count, help);
}

static void print_node(struct page *page, const struct core *core)
{
    const struct overlay *overlay = core_overlay(core);
    struct node_id self = overlay_self(overlay);
    struct node_status status;
    char community[LABEL_BYTES_MAX];
    char hex[ID_HEX_CHARS + 1];

    core_node_status(core, &status);
    id_to_hex(&self.id, hex);
    head(page, "build_info", "gauge", "Version, node and community, as labels.");
    line(page, "minga_build_info{version=\"%s\",node=\"%s\",community=\"%s\"} 1\n", MINGA_VERSION,
         hex, label(overlay_belongs(overlay) ? overlay_community_name(overlay) : "", community));
    head(page, "node_state", "gauge", "1 for the state this node is in.");
    line(page, "minga_node_state{state=\"%s\"} 1\n", status.state);
    gauge(page, "node_runs", status.runs ? 1 : 0, "Whether it would take a replica now.");
    print_share(page, "given", &status.contribution, "What the owner gives to the community.");
    gauge(page, "given_storage_bytes", status.storage_bytes,
          "The share of the community's storage.");
    print_share(page, "promised", &status.promised, "The limits of what runs here, summed.");
    print_share(page, "used", &status.used, "What the replicas here use, as measured.");
    gauge(page, "used_storage_bytes", status.storage_used_bytes, "Chunks stored here.");
}

/* ------------------------------------------------------------------ the overlay */

static void print_members(struct page *page, const struct overlay *overlay)
{
    static const struct {
        enum member_state state;
        const char *name;
    } states[] = {{MEMBER_UP, "up"},
                  {MEMBER_SUSPECT, "suspect"},
                  {MEMBER_DOWN, "down"},
                  {MEMBER_LEFT, "left"},
                  {MEMBER_EXPELLED, "expelled"}};

    head(page, "members", "gauge", "Nodes of the community that this one knows, by state.");
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        uint32_t count = 0;

        for (uint32_t k = 0; k < overlay_member_count(overlay); k++) {
            count += overlay_member(overlay, k)->state == states[i].state ? 1 : 0;
        }
        line(page, "minga_members{state=\"%s\"} %u\n", states[i].name, count);
    }
}

static void print_overlay(struct page *page, const struct core *core, uint64_t now_ms)
{
    const struct overlay *overlay = core_overlay(core);
    struct overlay_counters counters = overlay_counters(overlay);
    struct overlay_ring_view ring;

    overlay_ring(overlay, &ring);
    print_members(page, overlay);
    gauge(page, "ring_has_arc", ring.has_arc ? 1 : 0, "Whether this node is on the ring.");
    gauge(page, "ring_answers",
          ring.has_arc && (ring.is_alone || ring.lease_until_ms > now_ms) ? 1 : 0,
          "Whether it answers for its arc: it is alone, or has a lease.");
    counter(page, "messages_sent_total", counters.sent_messages, "Messages to other nodes.");
    counter(page, "messages_received_total", counters.received_messages,
            "Messages from other nodes.");
    counter(page, "messages_refused_total", counters.refused_messages,
            "Messages that were malformed, not admitted, or over a limit.");
    counter(page, "effects_dropped_total", counters.dropped_effects,
            "What a full table made it leave undone.");
    gauge(page, "records", counters.record_count, "Owners' records stored here.");
    gauge(page, "chunks", counters.chunk_count, "Chunks stored here.");
}

static void print_managed(struct page *page, const struct core *core)
{
    uint32_t count = core_manager_count(core);
    uint32_t leading_count = 0;
    uint32_t missing_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct core_manager_view view;

        core_manager(core, i, &view);
        leading_count += view.leading ? 1 : 0;
        missing_count += view.leading && view.wanted_count > view.running_count
                             ? view.wanted_count - view.running_count
                             : 0;
    }
    gauge(page, "services_managed", leading_count, "Services that this node manages.");
    gauge(page, "services_followed", count - leading_count,
          "Services whose manager it would be next.");
    gauge(page, "replicas_missing", missing_count,
          "Replicas that services managed here want and do not have.");
}

/* ------------------------------------------------------------------ replicas */

enum { REPLICA_ROWS = 12 };

/* In the order of the rows below. */
static void values_of(const struct replica_status *status, uint64_t values_out[REPLICA_ROWS])
{
    const uint64_t values[REPLICA_ROWS] = {
        status->state == REPLICA_RUNNING ? 1 : 0,
        status->used.cpu_permille,
        status->used.memory_bytes,
        status->limits.memory_bytes,
        status->used.disk_bytes,
        status->restart_count,
        status->activity.connection_count,
        status->activity.refused_count,
        status->activity.io_read_bytes,
        status->activity.io_written_bytes,
        status->activity.sent_bytes,
        status->activity.received_bytes,
    };

    memcpy(values_out, values, sizeof(values));
}

static void print_replicas(struct page *page, const struct core *core, uint64_t now_ms)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        bool is_permille; /* printed as a whole with three decimals */
    } rows[REPLICA_ROWS] = {
        {"replica_running", "gauge", "Whether it runs.", false},
        {"replica_cpu_cores", "gauge", "CPU that it uses.", true},
        {"replica_memory_bytes", "gauge", "Memory that it uses.", false},
        {"replica_memory_limit_bytes", "gauge", "Its limit of memory.", false},
        {"replica_disk_bytes", "gauge", "Disk that it uses.", false},
        {"replica_restarts_total", "counter", "Restarts in its slot here.", false},
        {"replica_connections", "gauge", "Connections to its ports now.", false},
        {"replica_connections_refused_total", "counter", "Connections over a port's limit.", false},
        {"replica_io_read_bytes_total", "counter", "Read from its own disk.", false},
        {"replica_io_written_bytes_total", "counter", "Written to its own disk.", false},
        {"replica_sent_bytes_total", "counter", "Sent by its ports and its way out.", false},
        {"replica_received_bytes_total", "counter", "Received likewise.", false},
    };

    gauge(page, "replicas", core_replica_count(core), "Replicas on this node, in any state.");
    for (size_t row = 0; row < REPLICA_ROWS; row++) {
        head(page, rows[row].name, rows[row].type, rows[row].help);
        for (uint32_t i = 0; i < core_replica_count(core); i++) {
            struct core_replica replica;
            uint64_t values[REPLICA_ROWS];
            char hex[ID_HEX_CHARS + 1];

            core_replica(core, i, now_ms, &replica);
            values_of(&replica.status, values);
            id_to_hex(&replica.key.service.id, hex);
            line(page, "minga_%s{service=\"%.*s\",replica=\"%s/%u\"} ", rows[row].name,
                 ID_SHORT_CHARS, hex, replica.service_name, replica.status.slot);
            value(page, values[row], rows[row].is_permille);
        }
    }
}

int metrics_print(const struct core *core, uint64_t now_ms, struct buffer *out)
{
    struct page page = {.out = out};

    print_node(&page, core);
    print_overlay(&page, core, now_ms);
    print_managed(&page, core);
    print_replicas(&page, core, now_ms);
    return page.r;
}

void handle_metrics(struct exchange *exchange)
{
    uint64_t now_ms = exchange_moment(exchange).now_ms;

    exchange->bytes.bytes_max = METRICS_BYTES_MAX;
    if (metrics_print(exchange_core(exchange), now_ms, &exchange->bytes) < 0) {
        exchange_fail(exchange, 500, "metrics", "too many for one answer", "");
        return;
    }
    exchange->bytes_type = "text/plain; version=0.0.4; charset=utf-8";
    exchange->status = 200; /* bytes, no document */
}
