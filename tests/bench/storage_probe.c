// SPDX-License-Identifier: GPL-3.0-or-later
/* Records before and after kills: what is found of what was acknowledged, and how fast. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "overlay/signed.h"
#include "tests/bench/overlay_probe.h"

enum { STORED_MAX = 20000, PATH_CHARS = 160, REWRITTEN = 20 };

struct stored { /* an acknowledged record, and which agents hold it, as a set of their indexes */
    char service[ID_HEX_CHARS + 1];
    uint64_t holders[AGENTS_MAX / 64];
};

struct stock {
    uint32_t count;
    struct stored list[STORED_MAX];
};

/* ------------------------------------------------------------------ writing */

static int put_record(struct probe *probe, struct http *http, const struct probe_record *record,
                      struct stored *stored_out)
{
    struct service_id service;
    char body[8000];

    memset(stored_out, 0, sizeof(*stored_out));
    if (probe_make_record(record, body, sizeof(body), &service) < 0) {
        return -1;
    }
    id_to_hex(&service.id, stored_out->service);
    uint64_t began_us = probe_now_us();

    if (http_ask(http, "/v1/records", body) < 0 || http->status != 200) {
        return -1;
    }
    probe_add(probe, probe_now_us() - began_us);
    return 0;
}

/* A new one. */
static int put_one(struct probe *probe, const struct secret_key *owner, uint32_t index,
                   struct stored *stored_out)
{
    struct probe_record record = {.owner = owner, .sequence = 1};

    snprintf(record.name, sizeof(record.name), "kept-%u-%d", index, (int)getpid());
    return put_record(probe, probe->agents[index % probe->count].http, &record, stored_out);
}

/* Puts until there are `count`; those that were not acknowledged are not counted on. */
static uint32_t fill_stock(struct probe *probe, const struct secret_key *owner, uint32_t count,
                           struct stock *stock)
{
    uint32_t failed = 0;

    for (uint32_t i = 0; i < count && stock->count < STORED_MAX; i++) {
        if (put_one(probe, owner, i, &stock->list[stock->count]) < 0) {
            failed++;
        } else {
            stock->count++;
        }
    }
    return failed;
}

/* ------------------------------------------------------------------ where it lies */

static void learn_nodes(struct probe *probe)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        json_t *ring = http_get(probe->agents[i].http, "/v1/ring");
        const char *node = json_string_value(json_object_get(ring, "node"));

        snprintf(probe->agents[i].node, sizeof(probe->agents[i].node), "%s",
                 node == NULL ? "" : node);
        json_decref(ring);
    }
}

static void add_holder(const struct probe *probe, const char *node, struct stored *stored)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        if (strcmp(probe->agents[i].node, node) == 0) {
            stored->holders[i / 64] |= UINT64_C(1) << i % 64;
        }
    }
}

static void learn_holders(struct probe *probe, struct stock *stock)
{
    for (uint32_t i = 0; i < stock->count; i++) {
        const json_t *holder;
        char path[PATH_CHARS];
        size_t at;

        snprintf(path, sizeof(path), "/v1/lookup/%s", stock->list[i].service);
        json_t *found = http_get(probe->agents[i % probe->count].http, path);

        json_array_foreach(json_object_get(found, "holders"), at, holder)
        {
            add_holder(probe, json_string_value(holder), &stock->list[i]);
        }
        json_decref(found);
    }
}

static bool has_living_holder(const struct probe *probe, const struct stored *stored)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        if ((stored->holders[i / 64] >> i % 64 & 1) != 0 && !probe->agents[i].is_victim) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ kills */

static uint32_t kill_victims(struct probe *probe, char *numbers)
{
    uint32_t count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(numbers, ",", &rest); word != NULL;
         word = strtok_r(NULL, ",", &rest)) {
        for (uint32_t i = 0; i < probe->count; i++) {
            if (probe->agents[i].number == strtoul(word, NULL, 10)) {
                probe->agents[i].is_victim = true;
                count++;
            }
        }
    }
    for (uint32_t i = 0; i < probe->count; i++) {
        if (probe->agents[i].is_victim) {
            kill(probe->agents[i].pid, SIGKILL);
        }
    }
    return count;
}

static struct http *living(const struct probe *probe, uint32_t index)
{
    while (probe->agents[index % probe->count].is_victim) {
        index++;
    }
    return probe->agents[index % probe->count].http;
}

struct found {
    uint32_t found;
    uint32_t missed;    /* though a holder lives */
    uint32_t no_holder; /* lives, and none was found */
};

static void read_all(struct probe *probe, const struct stock *stock, struct found *found)
{
    for (uint32_t i = 0; i < stock->count; i++) {
        struct http *http = living(probe, i * 7);
        char path[PATH_CHARS];

        snprintf(path, sizeof(path), "/v1/services/%s/versions/1", stock->list[i].service);
        uint64_t began_us = probe_now_us();
        bool is_found = http_ask(http, path, NULL) == 0 && http->status == 200;

        if (is_found) {
            probe_add(probe, probe_now_us() - began_us);
            found->found++;
        } else if (has_living_holder(probe, &stock->list[i])) {
            probe_add(probe, probe_now_us() - began_us); /* waiting for nothing is waiting, too */
            found->missed++;
        } else {
            found->no_holder++;
        }
    }
}

int run_survive(struct probe *probe, char **words)
{
    static struct stock stock;
    uint32_t count = (uint32_t)strtoul(words[1], NULL, 10);
    uint64_t wait_us = strtoull(words[2], NULL, 10) * 1000;
    struct found found = {0};
    struct secret_key owner;
    struct err err = {0};

    if (keys_load(words[0], &owner, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("put_failed %u\n", fill_stock(probe, &owner, count, &stock));
    probe_print(probe, "put");
    usleep(2000000); /* acknowledged by two, then spread to all */
    learn_nodes(probe);
    learn_holders(probe, &stock);
    read_all(probe, &stock, &found);
    probe_print(probe, "before");
    printf("before_missed %u\n", found.missed + found.no_holder);
    found = (struct found){0};
    uint64_t killed_us = probe_now_us();

    printf("victims %u\n", kill_victims(probe, words[3]));
    while (probe_now_us() < killed_us + wait_us) {
        usleep(1000);
    }
    read_all(probe, &stock, &found);
    probe_print(probe, "after");
    printf("records %u\nfound %u\nmissed %u\nno_holder %u\n", stock.count, found.found,
           found.missed, found.no_holder);
    return 0;
}

/* ------------------------------------------------------------------ writers and readers for kills */

/* The sequence of what stands; 0: none was found. */
static uint64_t read_sequence(struct http *http, const char *service)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Record record = minga_Record_init_zero;
    uint8_t bytes[4096];
    char path[PATH_CHARS];

    snprintf(path, sizeof(path), "/v1/services/%s/versions/1", service);
    json_t *document = http_get(http, path);
    const char *text = json_string_value(json_object_get(document, "record"));
    int length = text == NULL ? -1 : bytes_from_base64(text, bytes, sizeof(bytes));
    bool is_read = length > 0 &&
                   signed_decode((struct bytes){bytes, (size_t)length}, &envelope) == 0 &&
                   signed_open(&envelope, PURPOSE_RECORD, minga_Record_fields, &record) == 0;

    json_decref(document);
    return is_read ? record.sequence : 0;
}

/* Writes some records again and again, for ever, and prints what was acknowledged: ID SEQUENCE. */
int run_write(struct probe *probe, char **words)
{
    static uint64_t sequences[REWRITTEN];
    struct secret_key owner;
    struct err err = {0};

    if (keys_load(words[0], &owner, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint32_t i = 0;; i = (i + 1) % REWRITTEN) {
        struct http *http = probe->agents[i % probe->count].http;
        struct probe_record record = {.owner = &owner, .sequence = sequences[i] + 1};
        struct stored stored;

        snprintf(record.name, sizeof(record.name), "kept-%u-%d", i, (int)getpid());
        if (put_record(probe, http, &record, &stored) == 0) {
            printf("%s %" PRIu64 "\n", stored.service, ++sequences[i]);
            continue;
        }
        /* It may have been written and not acknowledged. */
        uint64_t stands = read_sequence(http, stored.service);

        sequences[i] = stands > sequences[i] ? stands : sequences[i];
        usleep(2000);
    }
}

/* Are all those there, or newer ones? Each is asked for until `words[1]` seconds are over. */
int run_check(struct probe *probe, char **words)
{
    uint64_t end_us = probe_now_us() + strtoull(words[1], NULL, 10) * 1000000;
    FILE *file = fopen(words[0], "re");
    char line[128];
    uint32_t count = 0;
    uint32_t missed = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        struct http *http = probe->agents[count++ % probe->count].http;
        uint64_t acknowledged =
            strlen(line) > ID_HEX_CHARS ? strtoull(line + ID_HEX_CHARS, NULL, 10) : UINT64_MAX;
        bool is_found = false;

        line[ID_HEX_CHARS] = '\0';
        while (!is_found) {
            is_found = read_sequence(http, line) >= acknowledged;
            if (probe_now_us() > end_us) {
                break;
            }
        }
        missed += !is_found;
    }
    if (file != NULL) {
        fclose(file);
    }
    printf("checked %u\nmissed %u\n", count, missed);
    return 0;
}

/* ------------------------------------------------------------------ rates */

static void write_until(struct probe *probe, const struct secret_key *owner, uint32_t client,
                        uint64_t end_us, int result_fd)
{
    uint64_t done = 0;
    struct stored stored;

    for (uint32_t i = client * 1000; probe_now_us() < end_us; i++) {
        done += put_one(probe, owner, i, &stored) == 0;
    }
    _exit(write(result_fd, &done, sizeof(done)) == sizeof(done) ? 0 : 1);
}

/* Puts a second of so many clients at once. */
int run_puts(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[1], NULL, 10);
    uint32_t client_count = (uint32_t)strtoul(words[2], NULL, 10);
    struct secret_key owner;
    struct err err = {0};
    uint64_t total = 0;
    int ends[2];

    if (keys_load(words[0], &owner, &err) < 0 || pipe(ends) < 0 || seconds == 0 ||
        client_count > CLIENTS_MAX) {
        fprintf(stderr, "puts: %s\n", err.text);
        return 1;
    }
    for (uint32_t i = 0; i < client_count; i++) {
        if (fork() == 0) {
            write_until(probe, &owner, i, probe_now_us() + seconds * 1000000, ends[1]);
        }
    }
    for (uint32_t i = 0; i < client_count; i++) {
        uint64_t done = 0;

        total += read(ends[0], &done, sizeof(done)) == sizeof(done) ? done : 0;
    }
    while (wait(NULL) > 0) {
    }
    printf("puts_per_s %" PRIu64 "\n", total / seconds);
    return 0;
}
