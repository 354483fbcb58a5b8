// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The measuring hand of overlay.sh: asks many agents through their control sockets, fast enough
 * that the asking does not show.
 *
 *   bench_overlay_probe LIST ideal SECONDS SINCE_MS    until all have one ideal ring
 *   bench_overlay_probe LIST notice SECONDS A,B COMMAND...   runs it; until A and B are missed
 *   bench_overlay_probe LIST lookups COUNT             latency of lookups, and of the API alone
 *   bench_overlay_probe LIST rate SECONDS CLIENTS      lookups a second
 *   bench_overlay_probe LIST records KEY_FILE COUNT    puts and gets: latency, packets
 *   bench_overlay_probe LIST health SECONDS            the first: worst answer to its user, to others
 *   bench_overlay_probe LIST idle SECONDS              traffic, memory, false alarms
 *
 * LIST has a line for each agent: NUMBER PID SOCKET. Prints lines `NAME VALUE`.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/ids.h"
#include "base/keys.h"
#include "base/limits.h"
#include "images/manifest.h"
#include "overlay/signed.h"
#include "tests/bench/http.h"

enum { AGENTS_MAX = 256, SAMPLES_MAX = 100000, POLL_NS = 2000000, CLIENTS_MAX = 64 };

struct agent {
    unsigned number;
    int pid;
    struct http *http;
    char node[ID_HEX_CHARS + 1];
    char position[ID_HEX_CHARS + 1];
    bool is_victim;
    bool is_neighbour; /* of a victim */
    bool has_noticed;  /* no victim among its neighbours */
    bool has_missed;   /* counts only those that are left */
};

struct probe {
    uint32_t count;
    struct agent agents[AGENTS_MAX];
    bool has_complained;
    uint32_t sample_count;
    uint64_t samples_us[SAMPLES_MAX];
};

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static void breathe(void)
{
    nanosleep(&(struct timespec){0, POLL_NS}, NULL);
}

static int read_list(struct probe *probe, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL && probe->count < AGENTS_MAX) {
        struct agent *agent = &probe->agents[probe->count];
        char socket[128];

        if (sscanf(line, "%u %d %127s", &agent->number, &agent->pid, socket) == 3) {
            agent->http = http_new(socket);
            probe->count++;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return probe->count > 0 ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ samples */

static int compare_samples(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void add_sample(struct probe *probe, uint64_t us)
{
    if (probe->sample_count < SAMPLES_MAX) {
        probe->samples_us[probe->sample_count++] = us;
    }
}

static uint64_t quantile(const struct probe *probe, uint32_t permille)
{
    uint64_t index = (uint64_t)probe->sample_count * permille / 1000;

    return probe->sample_count == 0
               ? 0
               : probe->samples_us[index < probe->sample_count ? index : probe->sample_count - 1];
}

static void print_samples(struct probe *probe, const char *name)
{
    qsort(probe->samples_us, probe->sample_count, sizeof(probe->samples_us[0]), compare_samples);
    printf("%s_p50_us %" PRIu64 "\n", name, quantile(probe, 500));
    printf("%s_p99_us %" PRIu64 "\n", name, quantile(probe, 990));
    probe->sample_count = 0;
}

/* ------------------------------------------------------------------ rings */

static const char *first_of(const json_t *array)
{
    const char *text = json_string_value(json_array_get(array, 0));

    return text == NULL ? "" : text;
}

static int compare_positions(const void *a, const void *b)
{
    const struct agent *x = a;
    const struct agent *y = b;

    return strcmp(x->position, y->position);
}

/* Puts the agents into ring order. False while one of them has no place yet. */
static bool learn_positions(struct probe *probe)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        struct agent *agent = &probe->agents[i];
        json_t *ring = http_get(agent->http, "/v1/ring");

        (void)text_copy(agent->node, sizeof(agent->node),
                        ring == NULL ? "" : json_string_value(json_object_get(ring, "node")));
        (void)text_copy(agent->position, sizeof(agent->position),
                        first_of(json_object_get(ring, "positions")));
        json_decref(ring);
        if (agent->position[0] == '\0') {
            return false;
        }
    }
    qsort(probe->agents, probe->count, sizeof(probe->agents[0]), compare_positions);
    return true;
}

static bool is_ideal_at(const struct probe *probe, uint32_t index, const json_t *ring)
{
    const json_t *successors = json_object_get(ring, "successors");
    uint32_t wanted = probe->count - 1 < SUCCESSORS_MAX ? probe->count - 1 : SUCCESSORS_MAX;
    const struct agent *before = &probe->agents[(index + probe->count - 1) % probe->count];

    if (strcmp(first_of(json_object_get(ring, "predecessors")), before->node) != 0 ||
        json_array_size(successors) < wanted) {
        return false;
    }
    for (uint32_t i = 0; i < wanted; i++) {
        const char *node = json_string_value(json_array_get(successors, i));

        if (node == NULL || strcmp(node, probe->agents[(index + 1 + i) % probe->count].node) != 0) {
            return false;
        }
    }
    return true;
}

static int run_ideal(struct probe *probe, char **words)
{
    uint64_t end_us = now_us() + strtoull(words[0], NULL, 10) * 1000000;
    uint64_t since_us = strtoull(words[1], NULL, 10) * 1000;
    uint32_t index = 0;

    while (!learn_positions(probe)) {
        if (now_us() > end_us) {
            printf("ideal_ms never\n");
            return 1;
        }
        breathe();
    }
    while (index < probe->count && now_us() < end_us) {
        json_t *ring = http_get(probe->agents[index].http, "/v1/ring");

        if (is_ideal_at(probe, index, ring)) {
            index++;
        } else {
            breathe();
        }
        json_decref(ring);
    }
    if (index < probe->count) {
        printf("ideal_ms never\n");
        return 1;
    }
    printf("ideal_ms %" PRIu64 "\n", (clock_us(CLOCK_REALTIME) - since_us) / 1000);
    return 0;
}

/* ------------------------------------------------------------------ noticing */

static bool names_a_victim(const struct probe *probe, const json_t *array, size_t count_max)
{
    for (size_t i = 0; i < count_max && i < json_array_size(array); i++) {
        const char *node = json_string_value(json_array_get(array, i));

        for (uint32_t v = 0; v < probe->count; v++) {
            if (probe->agents[v].is_victim && node != NULL &&
                strcmp(probe->agents[v].node, node) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Next to a victim on the ring, in either direction. */
static bool is_beside(const struct probe *probe, const json_t *ring)
{
    return names_a_victim(probe, json_object_get(ring, "successors"), 1) ||
           names_a_victim(probe, json_object_get(ring, "predecessors"), 1);
}

static uint32_t choose_victims(struct probe *probe, char *numbers)
{
    uint32_t count = 0;

    for (char *word = strtok_r(numbers, ",", &numbers); word != NULL;
         word = strtok_r(NULL, ",", &numbers)) {
        for (uint32_t i = 0; i < probe->count; i++) {
            if (probe->agents[i].number == strtoul(word, NULL, 10)) {
                probe->agents[i].is_victim = true;
                count++;
            }
        }
    }
    for (uint32_t i = 0; i < probe->count; i++) {
        json_t *ring = http_get(probe->agents[i].http, "/v1/ring");

        probe->agents[i].is_neighbour = is_beside(probe, ring);
        json_decref(ring);
    }
    return count;
}

static void run_command(char **words)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execvp(words[0], words);
        _exit(127);
    }
    (void)waitpid(pid, &status, 0);
}

/* One look at everyone who has not noticed yet. Returns how many still have not: {near, far}. */
static void look(struct probe *probe, json_int_t left_count, uint32_t *near_out, uint32_t *far_out)
{
    *near_out = 0;
    *far_out = 0;
    for (uint32_t i = 0; i < probe->count; i++) {
        struct agent *agent = &probe->agents[i];

        if (agent->is_victim || (agent->has_missed && agent->has_noticed)) {
            continue;
        }
        json_t *ring = http_get(agent->http, "/v1/ring");

        if (ring != NULL) {
            agent->has_noticed = !is_beside(probe, ring);
            agent->has_missed = json_integer_value(json_object_get(ring, "nodes")) <= left_count;
        }
        json_decref(ring);
        *near_out += agent->is_neighbour && !agent->has_noticed ? 1 : 0;
        *far_out += !agent->has_missed;
    }
}

static int run_notice(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint64_t near_us = 0;
    uint32_t near = 1;
    uint32_t far = 1;
    uint32_t victim_count;
    uint64_t began_us;

    if (!learn_positions(probe)) {
        return 1;
    }
    victim_count = choose_victims(probe, words[1]);
    began_us = now_us();
    run_command(words + 2);
    while ((near > 0 || far > 0) && now_us() - began_us < seconds * 1000000) {
        look(probe, (json_int_t)(probe->count - victim_count), &near, &far);
        if (near == 0 && near_us == 0) {
            near_us = now_us() - began_us;
        }
        breathe();
    }
    printf(near == 0 ? "neighbours_ms %" PRIu64 "\n" : "neighbours_ms never\n", near_us / 1000);
    printf(far == 0 ? "all_ms %" PRIu64 "\n" : "all_ms never\n", (now_us() - began_us) / 1000);
    return 0;
}

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
    uint64_t began_us = now_us();
    bool is_done = http_ask(http, path, body) == 0 && http->status == 200;

    if (is_done) {
        add_sample(probe, now_us() - began_us);
    } else if (!probe->has_complained) {
        probe->has_complained = true;
        fprintf(stderr, "%s: %d %s\n", path, http->status, http->body);
    }
    return is_done;
}

static int run_lookups(struct probe *probe, char **words)
{
    uint32_t count = (uint32_t)strtoul(words[0], NULL, 10);
    uint32_t failed = 0;
    char path[128];

    for (uint32_t i = 0; i < count; i++) {
        (void)timed(probe, probe->agents[i % probe->count].http, "/v1/version", NULL);
    }
    print_samples(probe, "api");
    for (uint32_t i = 0; i < count; i++) {
        draw_lookup(path);
        failed += !timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    print_samples(probe, "lookup");
    printf("lookup_failed %u\n", failed);
    return 0;
}

static void client(struct probe *probe, uint32_t first, uint64_t end_us, int result_fd)
{
    uint64_t done = 0;
    char path[128];

    for (uint32_t i = first; now_us() < end_us; i += 7) {
        draw_lookup(path);
        done += timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    _exit(write(result_fd, &done, sizeof(done)) == sizeof(done) ? 0 : 1);
}

static int run_rate(struct probe *probe, char **words)
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
            client(probe, i, now_us() + seconds * 1000000, ends[1]);
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

static int make_record(const struct secret_key *owner, const char *name, char *body_out,
                       size_t capacity_bytes, struct service_id *service_out)
{
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key key = keys_public(owner);
    uint8_t encoded[3400];
    char text[4800];
    int length;

    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = 1;
    record.sequence = 1;
    record.written_unix_s = (uint64_t)time(NULL);
    memcpy(record.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    (void)text_copy(record.name, sizeof(record.name), name);
    randombytes_buf(version.tree, sizeof(version.tree));
    version.manifest.size = (pb_size_t)make_manifest(name, version.manifest.bytes);
    length = signed_encode_body(minga_Version_fields, &version, record.content.bytes,
                                sizeof(record.content.bytes));
    record.content.size = (pb_size_t)length;
    if (signed_make(minga_Record_fields, &record, PURPOSE_RECORD, owner, &envelope) < 0) {
        return -EMSGSIZE;
    }
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    if (length < 0 ||
        bytes_to_base64((struct bytes){encoded, (size_t)length}, text, sizeof(text)) < 0) {
        return -EMSGSIZE;
    }
    *service_out = keys_service_id(&key, name);
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
    uint64_t began_us = now_us();

    sleep(3);
    struct traffic after = traffic_now(probe);

    return (double)(after.sent_packets - before.sent_packets) / (double)(now_us() - began_us);
}

static int run_records(struct probe *probe, char **words)
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
    uint64_t began_us = now_us();

    for (uint32_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "bench-%u-%d", i, (int)getpid());
        failed += make_record(&owner, name, body, sizeof(body), &services[i]) < 0 ||
                  !timed(probe, probe->agents[i % probe->count].http, "/v1/records", body);
    }
    uint64_t took_us = now_us() - began_us;

    usleep(300000); /* acknowledged by two; the other copies are on their way */
    struct traffic after = traffic_now(probe);

    print_samples(probe, "put");
    print_packets("put", &before, &after, packets_per_us * (double)(took_us + 300000), count);
    before = traffic_now(probe);
    began_us = now_us();
    for (uint32_t i = 0; i < count; i++) {
        char hex[ID_HEX_CHARS + 1];
        char path[160];

        id_to_hex(&services[i].id, hex);
        snprintf(path, sizeof(path), "/v1/services/%s/versions/1", hex);
        failed += !timed(probe, probe->agents[(i + 5) % probe->count].http, path, NULL);
    }
    after = traffic_now(probe);
    print_packets("get", &before, &after, packets_per_us * (double)(now_us() - began_us), count);
    print_samples(probe, "get");
    printf("records_failed %u\n", failed);
    free(services);
    return 0;
}

/* ------------------------------------------------------------------ health */

/* Returns the ms that it took; counts it as failed when there was no right answer. */
static uint64_t ask_timed(struct http *http, const char *path, uint32_t *failed)
{
    uint64_t began_us = now_us();

    *failed += http_ask(http, path, NULL) < 0 || http->status != 200;
    return (now_us() - began_us) / 1000;
}

/* Through the others, keys for which the first is responsible: it has to answer them. */
static int run_health(struct probe *probe, char **words)
{
    uint64_t end_us = now_us() + strtoull(words[0], NULL, 10) * 1000000;
    struct http *first = probe->agents[0].http;
    json_t *ring = http_get(first, "/v1/ring");
    uint64_t worst_ms = 0;
    uint64_t worst_far_ms = 0;
    uint32_t failed = 0;
    char path[128];

    snprintf(path, sizeof(path), "/v1/lookup/%s", first_of(json_object_get(ring, "positions")));
    json_decref(ring);
    for (uint32_t i = 0; now_us() < end_us; i++) {
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

static int run_idle(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    struct traffic before = traffic_now(probe);
    uint64_t began_us = now_us();
    uint32_t alarms = 0;

    while (now_us() - began_us < seconds * 1000000) {
        alarms += count_alarms(probe);
        sleep(2);
    }
    struct traffic after = traffic_now(probe);
    double took_s = (double)(now_us() - began_us) / 1e6;

    printf("idle_bytes_per_s %.0f\n",
           (double)(after.sent_bytes - before.sent_bytes) / took_s / probe->count);
    printf("idle_packets_per_s %.1f\n",
           (double)(after.sent_packets - before.sent_packets) / took_s / probe->count);
    printf("false_alarms %u\n", alarms);
    for (uint32_t i = 0; i < probe->count; i++) {
        add_sample(probe, private_kib(probe->agents[i].pid));
    }
    qsort(probe->samples_us, probe->sample_count, sizeof(probe->samples_us[0]), compare_samples);
    printf("private_kib %" PRIu64 "\n", quantile(probe, 500));
    printf("private_most_kib %" PRIu64 "\n", quantile(probe, 1000));
    return 0;
}

/* ------------------------------------------------------------------ */

static const struct {
    const char *name;
    int words;
    int (*run)(struct probe *probe, char **words);
} modes[] = {
    {"ideal", 2, run_ideal}, {"notice", 3, run_notice}, {"lookups", 1, run_lookups},
    {"rate", 2, run_rate},   {"health", 1, run_health}, {"records", 2, run_records},
    {"idle", 1, run_idle},
};

int main(int count, char **words)
{
    static struct probe probe;

    if (count < 3 || sodium_init() < 0 || read_list(&probe, words[1]) < 0) {
        fprintf(stderr, "usage: bench_overlay_probe LIST MODE ... (see the source)\n");
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        if (strcmp(words[2], modes[i].name) == 0 && count - 3 >= modes[i].words) {
            int r = modes[i].run(&probe, words + 3);

            for (uint32_t a = 0; a < probe.count; a++) {
                http_free(probe.agents[a].http);
            }
            return r;
        }
    }
    fprintf(stderr, "bench_overlay_probe: no such mode: %s\n", words[2]);
    return 2;
}
