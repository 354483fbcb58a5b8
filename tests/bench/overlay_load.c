// SPDX-License-Identifier: GPL-3.0-or-later
/* Modes that ask, or do not: latencies, rates, packets, and what idling costs. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/manifest.h"
#include "overlay/signed.h"
#include "tests/bench/overlay_probe.h"

enum { ACKNOWLEDGED_PUTS = 40, WINDOW_US = 70000 };

/* ------------------------------------------------------------------ lookups */

static void draw_lookup(char path_out[128])
{
    char hex[ID_HEX_CHARS + 1];
    struct id id;

    randombytes_buf(&id, sizeof(id));
    id_to_hex(&id, hex);
    snprintf(path_out, 128, "/v1/lookup/%s", hex);
}

static bool timed(struct probe *probe, struct http *http, const char *path, const char *body)
{
    uint64_t began_us = probe_now_us();
    bool is_done = http_ask(http, path, body) == 0 && http->status == 200;

    if (is_done) {
        probe_add(probe, probe_now_us() - began_us);
    } else if (!probe->has_complained) {
        probe->has_complained = true;
        fprintf(stderr, "%s: %d %s\n", path, http->status, http->body);
    }
    return is_done;
}

int run_lookups(struct probe *probe, char **words)
{
    uint32_t count = (uint32_t)strtoul(words[0], NULL, 10);
    uint32_t failed = 0;
    char path[128];

    for (uint32_t i = 0; i < count; i++) {
        (void)timed(probe, probe->agents[i % probe->count].http, "/v1/version", NULL);
    }
    probe_print(probe, "api");
    for (uint32_t i = 0; i < count; i++) {
        draw_lookup(path);
        failed += !timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    probe_print(probe, "lookup");
    printf("lookup_failed %u\n", failed);
    return 0;
}

static void client(struct probe *probe, uint32_t first, uint64_t end_us, int result_fd)
{
    uint64_t done = 0;
    char path[128];

    for (uint32_t i = first; probe_now_us() < end_us; i += 7) {
        draw_lookup(path);
        done += timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    _exit(write(result_fd, &done, sizeof(done)) == sizeof(done) ? 0 : 1);
}

int run_rate(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint32_t client_count = (uint32_t)strtoul(words[1], NULL, 10);
    uint64_t total = 0;
    int ends[2];

    if (pipe(ends) < 0 || client_count > CLIENTS_MAX || seconds == 0) {
        return 1;
    }
    for (uint32_t i = 0; i < client_count; i++) {
        if (fork() == 0) {
            client(probe, i, probe_now_us() + seconds * 1000000, ends[1]);
        }
    }
    for (uint32_t i = 0; i < client_count; i++) {
        uint64_t done = 0;

        total += read(ends[0], &done, sizeof(done)) == sizeof(done) ? done : 0;
    }
    while (wait(NULL) > 0) {
    }
    printf("lookups_per_s %" PRIu64 "\n", total / seconds);
    return 0;
}

/* ------------------------------------------------------------------ counters of interfaces */

struct traffic {
    uint64_t sent_bytes;
    uint64_t sent_packets;
};

/* What all agents' interfaces have sent; each packet is counted once. */
static struct traffic traffic_now(const struct probe *probe)
{
    struct traffic sum = {0};

    for (uint32_t i = 0; i < probe->count; i++) {
        char path[64];
        char line[256];
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/net/dev", probe->agents[i].pid);
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            uint64_t bytes;
            uint64_t packets;
            const char *counters = strstr(line, "eth0:");

            if (counters != NULL &&
                sscanf(counters + 5, "%*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &bytes,
                       &packets) == 2) {
                sum.sent_bytes += bytes;
                sum.sent_packets += packets;
            }
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    return sum;
}

/* ------------------------------------------------------------------ records */

static size_t make_manifest(const char *name, uint8_t *bytes_out)
{
    static struct manifest manifest;
    struct err err = {0};
    char yaml[128];
    int length = -1;

    snprintf(yaml, sizeof(yaml), "name: %s\ncommand: [/bin/true]\n", name);
    if (manifest_parse(bytes_of_text(yaml), "bench", &manifest, &err) == 0) {
        length = manifest_encode(&manifest, bytes_out);
    }
    return length < 0 ? 0 : (size_t)length;
}

int probe_make_record(const struct probe_record *wanted, char *body_out, size_t capacity_bytes,
                      struct service_id *service_out)
{
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key = keys_public(wanted->owner);
    uint8_t encoded[3400];
    char text[4800];
    int length;

    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = 1;
    record.sequence = wanted->sequence;
    record.written_unix_s = (uint64_t)time(NULL);
    memcpy(record.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    (void)text_copy(record.name, sizeof(record.name), wanted->name);
    randombytes_buf(version.tree, sizeof(version.tree));
    version.manifest.size = (pb_size_t)make_manifest(wanted->name, version.manifest.bytes);
    length = signed_encode_body(minga_Version_fields, &version, record.content.bytes,
                                sizeof(record.content.bytes));
    record.content.size = (pb_size_t)length;
    if (signed_make(minga_Record_fields, &record, PURPOSE_RECORD, wanted->owner, &envelope) < 0) {
        return -EMSGSIZE;
    }
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    if (length < 0 ||
        bytes_to_base64((struct bytes){encoded, (size_t)length}, text, sizeof(text)) < 0) {
        return -EMSGSIZE;
    }
    *service_out = keys_service_id(&key, wanted->name);
    snprintf(body_out, capacity_bytes, "{\"record\": \"%s\"}", text);
    return 0;
}

static void print_packets(const char *name, const struct traffic *before,
                          const struct traffic *after, double idle_packets, uint32_t count)
{
    double packets = (double)(after->sent_packets - before->sent_packets) - idle_packets;

    printf("%s_packets %.1f\n", name, packets / count);
}

/* Packets that would have been sent anyway, in that time. */
static double idle_rate(const struct probe *probe)
{
    struct traffic before = traffic_now(probe);
    uint64_t began_us = probe_now_us();

    sleep(3);
    struct traffic after = traffic_now(probe);

    return (double)(after.sent_packets - before.sent_packets) / (double)(probe_now_us() - began_us);
}

/* Packets of the next 70 ms, after a put when there is a body. */
static double window(struct probe *probe, uint32_t agent, const char *body, uint32_t *failed)
{
    struct traffic before = traffic_now(probe);
    uint64_t began_us = probe_now_us();

    if (body != NULL) {
        *failed += !timed(probe, probe->agents[agent].http, "/v1/records", body);
    }
    usleep(WINDOW_US);
    struct traffic after = traffic_now(probe);

    return (double)(after.sent_packets - before.sent_packets) * WINDOW_US /
           (double)(probe_now_us() - began_us);
}

/* What is sent before, or while, the answer comes, with TCP's acknowledgements: one put at a time,
 * since the copies that nobody waits for follow 100 ms later. What is sent anyway is measured in
 * between: it changes. */
static uint32_t count_acknowledged(struct probe *probe, const struct secret_key *owner)
{
    double packets = 0;
    uint32_t failed = 0;
    char body[8000];

    for (uint32_t i = 0; i < ACKNOWLEDGED_PUTS; i++) {
        struct service_id service;
        struct probe_record record = {.owner = owner, .sequence = 1};

        snprintf(record.name, sizeof(record.name), "alone-%u-%d", i, (int)getpid());
        failed += probe_make_record(&record, body, sizeof(body), &service) < 0;
        packets -= window(probe, 0, NULL, &failed);
        packets += window(probe, i % probe->count, body, &failed);
        usleep(230000);
    }
    probe_print(probe, "put_alone");
    printf("put_acknowledged_packets %.1f\n", packets / ACKNOWLEDGED_PUTS);
    return failed;
}

int run_records(struct probe *probe, char **words)
{
    uint32_t count = (uint32_t)strtoul(words[1], NULL, 10);
    struct service_id *services = calloc(count + 1, sizeof(*services));
    double packets_per_us = idle_rate(probe);
    struct secret_key owner;
    struct err err = {0};
    uint32_t failed = 0;
    char body[8000];

    if (services == NULL || count == 0 || keys_load(words[0], &owner, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        free(services);
        return 1;
    }
    struct traffic before = traffic_now(probe);
    uint64_t began_us = probe_now_us();

    for (uint32_t i = 0; i < count; i++) {
        struct probe_record record = {.owner = &owner, .sequence = 1};

        snprintf(record.name, sizeof(record.name), "bench-%u-%d", i, (int)getpid());
        failed += probe_make_record(&record, body, sizeof(body), &services[i]) < 0 ||
                  !timed(probe, probe->agents[i % probe->count].http, "/v1/records", body);
    }
    uint64_t took_us = probe_now_us() - began_us;

    usleep(300000); /* acknowledged by two; the other copies are on their way */
    struct traffic after = traffic_now(probe);

    probe_print(probe, "put");
    print_packets("put", &before, &after, packets_per_us * (double)(took_us + 300000), count);
    before = traffic_now(probe);
    began_us = probe_now_us();
    for (uint32_t i = 0; i < count; i++) {
        char hex[ID_HEX_CHARS + 1];
        char path[160];

        id_to_hex(&services[i].id, hex);
        snprintf(path, sizeof(path), "/v1/services/%s/versions/1", hex);
        failed += !timed(probe, probe->agents[(i + 5) % probe->count].http, path, NULL);
    }
    after = traffic_now(probe);
    print_packets("get", &before, &after, packets_per_us * (double)(probe_now_us() - began_us),
                  count);
    probe_print(probe, "get");
    failed += count_acknowledged(probe, &owner);
    printf("records_failed %u\n", failed);
    free(services);
    return 0;
}

/* ------------------------------------------------------------------ health */

/* Returns the ms that it took; counts it as failed when there was no right answer. */
static uint64_t ask_timed(struct http *http, const char *path, uint32_t *failed)
{
    uint64_t began_us = probe_now_us();

    *failed += http_ask(http, path, NULL) < 0 || http->status != 200;
    return (probe_now_us() - began_us) / 1000;
}

/* Through the others, keys for which the first is responsible: it has to answer them. */
int run_health(struct probe *probe, char **words)
{
    uint64_t end_us = probe_now_us() + strtoull(words[0], NULL, 10) * 1000000;
    struct http *first = probe->agents[0].http;
    json_t *ring = http_get(first, "/v1/ring");
    uint64_t worst_ms = 0;
    uint64_t worst_far_ms = 0;
    uint32_t failed = 0;
    char path[128];

    snprintf(path, sizeof(path), "/v1/lookup/%s",
             probe_first_of(json_object_get(ring, "positions")));
    json_decref(ring);
    for (uint32_t i = 0; probe_now_us() < end_us; i++) {
        uint64_t ms = ask_timed(first, "/v1/ring", &failed);

        worst_ms = ms > worst_ms ? ms : worst_ms;
        if (probe->count > 1) {
            ms = ask_timed(probe->agents[1 + i % (probe->count - 1)].http, path, &failed);
            worst_far_ms = ms > worst_far_ms ? ms : worst_far_ms;
        }
        http_hang_up(first); /* the next one has to be let in */
        usleep(20000);
    }
    printf("worst_ms %" PRIu64 "\nworst_member_ms %" PRIu64 "\nfailed %u\n", worst_ms, worst_far_ms,
           failed);
    return 0;
}

/* ------------------------------------------------------------------ idle */

static uint64_t private_kib(int pid)
{
    char path[64];
    char line[256];
    uint64_t sum = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint64_t kib;

        if (strncmp(line, "Private_", 8) == 0 && sscanf(line, "%*s %" SCNu64, &kib) == 1) {
            sum += kib;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return sum;
}

static uint32_t count_alarms(const struct probe *probe)
{
    uint32_t alarms = 0;

    for (uint32_t i = 0; i < probe->count; i++) {
        json_t *document = http_get(probe->agents[i].http, "/v1/nodes");
        const json_t *node;
        size_t index;

        json_array_foreach(json_object_get(document, "nodes"), index, node)
        {
            const char *state = json_string_value(json_object_get(node, "state"));

            alarms += state == NULL || strcmp(state, "up") != 0;
        }
        json_decref(document);
    }
    return alarms;
}

/* Asks nobody anything meanwhile: answers cost an agent more than its rest. */
int run_idle(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    struct traffic before = traffic_now(probe);
    uint64_t began_us = probe_now_us();

    sleep((unsigned)seconds);
    struct traffic after = traffic_now(probe);
    double took_s = (double)(probe_now_us() - began_us) / 1e6;

    printf("idle_bytes_per_s %.0f\n",
           (double)(after.sent_bytes - before.sent_bytes) / took_s / probe->count);
    printf("idle_packets_per_s %.1f\n",
           (double)(after.sent_packets - before.sent_packets) / took_s / probe->count);
    for (uint32_t i = 0; i < probe->count; i++) {
        probe_add(probe, private_kib(probe->agents[i].pid));
    }
    printf("private_kib %" PRIu64 "\n", probe_quantile(probe, 500));
    printf("private_most_kib %" PRIu64 "\n", probe_quantile(probe, 1000));
    return 0;
}

int run_alarms(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint64_t began_us = probe_now_us();
    uint32_t alarms = 0;

    while (probe_now_us() - began_us < seconds * 1000000) {
        alarms += count_alarms(probe);
        sleep(2);
    }
    printf("false_alarms %u\n", alarms);
    return 0;
}
