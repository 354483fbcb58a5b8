// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-replay: runs again, through the same core, what `mingad --record FILE` wrote, and compares
 * what comes out of each step with what came out then.
 *
 * Ends with 0 when all was equal, 1 at the first difference, 2 for a file that is no recording.
 * Where the recorded process died within a step, so will this one: that is the point.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "tests/replay/print.h"

enum { STATUS_SAME, STATUS_DIFFERS, STATUS_USAGE, SIGNATURES_MAX = 1024 };

static const char usage[] =
    "Usage: minga-replay [--quiet] [--from N] [--to N] FILE\n"
    "Runs what `mingad --record FILE` wrote through the same core again and prints it.\n"
    "\n"
    "  --quiet      only the last line, and the first difference\n"
    "  --from N     print from event N on\n"
    "  --to N       stop behind event N\n";

struct replay {
    struct bytes file;
    bool is_quiet;
    uint64_t from;
    uint64_t to;
    struct recording_entry entry; /* the one that is done */
    struct core *core;
    struct core_effects *effects;
    struct signer signer;
    struct signature signatures[SIGNATURES_MAX]; /* of the present entry */
    uint32_t signature_count;
    uint32_t signature_next;
    uint32_t life_count;
    uint64_t event_count;
    uint64_t start_ms;
    uint8_t *data; /* stands for any chunk's */
    bool has_end;
    uint32_t then_count; /* what DONE says */
    uint64_t then_digest;
};

/* Whatever is asked for beyond what was recorded differs anyway, and is seen by the digest. */
static struct signature sign(void *self, const struct secret_key *secret, const char *purpose,
                             struct bytes body)
{
    struct replay *replay = self;

    (void)secret;
    (void)purpose;
    (void)body;
    if (replay->signature_next < replay->signature_count) {
        return replay->signatures[replay->signature_next++];
    }
    return (struct signature){{0}};
}

/* What follows an entry and belongs to it: signatures, and the end. */
static int read_rest(struct replay *replay)
{
    static struct recording_entry next;

    replay->signature_count = 0;
    replay->signature_next = 0;
    replay->has_end = false;
    while (!replay->has_end) {
        struct bytes rest = replay->file;
        int r = recording_next(&rest, &next);

        if (r == -ENODATA || r == -EAGAIN) {
            return 0;
        }
        if (r < 0) {
            return r;
        }
        if (next.kind == RECORDING_SIGNATURE && replay->signature_count < SIGNATURES_MAX) {
            replay->signatures[replay->signature_count++] = next.signature;
        } else if (next.kind == RECORDING_DONE) {
            replay->has_end = true;
            replay->then_count = next.effect_count;
            replay->then_digest = next.digest;
        } else {
            return 0;
        }
        replay->file = rest;
    }
    return 0;
}

static bool is_shown(const struct replay *replay)
{
    return !replay->is_quiet && replay->event_count >= replay->from;
}

/* Equal? */
static bool compare(struct replay *replay)
{
    uint64_t digest = effects_digest(replay->effects);

    if (is_shown(replay)) {
        print_effects(replay->effects);
    }
    if (!replay->has_end) {
        printf("# event %" PRIu64 " has no end in the recording: the process died there, or was "
               "stopped\n",
               replay->event_count);
        return true;
    }
    if (digest == replay->then_digest && replay->effects->count == replay->then_count) {
        return true;
    }
    printf("# event %" PRIu64 " differs: %u effects, digest %016" PRIx64 "; recorded were %u, "
           "%016" PRIx64 "\n",
           replay->event_count, replay->effects->count, digest, replay->then_count,
           replay->then_digest);
    if (!is_shown(replay)) {
        print_event(replay->event_count, 0, &replay->entry.event.event);
        print_effects(replay->effects);
    }
    return false;
}

static int begin_life(struct replay *replay)
{
    struct core_config *config = &replay->entry.config;

    core_free(replay->core);
    print_life(&replay->entry);
    config->overlay.node_key.signer = &replay->signer;
    replay->core = core_new(config);
    replay->life_count++;
    return replay->core == NULL ? -ENOMEM : 0;
}

static bool step(struct replay *replay)
{
    struct recorded_event *recorded = &replay->entry.event;

    replay->event_count++;
    if (recorded->event.kind == CORE_OVERLAY && recorded->overlay.data.length_bytes > 0 &&
        recorded->overlay.data.length_bytes <= CHUNK_BYTES_MAX) {
        recorded->overlay.data.data = replay->data;
    }
    if (is_shown(replay)) {
        print_event(replay->event_count, recorded->event.now_ms - replay->start_ms,
                    &recorded->event);
        fflush(stdout); /* the step may be the last thing that this process does */
    }
    replay->effects->count = 0;
    core_step(replay->core, &recorded->event, replay->effects);
    return compare(replay);
}

static bool start(struct replay *replay)
{
    replay->start_ms = replay->entry.now_ms;
    replay->effects->count = 0;
    core_start(replay->core, replay->entry.now_ms, replay->entry.wall_unix_s, replay->effects);
    return compare(replay);
}

/* Returns 0, 1 for a difference, or -errno. */
static int perform(struct replay *replay)
{
    const struct recording_entry *entry = &replay->entry;

    if (entry->kind != RECORDING_LIFE && replay->core == NULL) {
        return -EBADMSG;
    }
    switch (entry->kind) {
    case RECORDING_LIFE:
        return begin_life(replay);
    case RECORDING_BLOB:
        (void)core_load(replay->core, &entry->blob);
        return 0;
    case RECORDING_CHUNK:
        (void)core_load_chunk(replay->core, &entry->chunk, entry->chunk_bytes);
        return 0;
    case RECORDING_START:
        return start(replay) ? 0 : STATUS_DIFFERS;
    case RECORDING_EVENT:
        return step(replay) ? 0 : STATUS_DIFFERS;
    case RECORDING_FULL:
        printf("# the recording was full here\n");
        return 0;
    case RECORDING_SIGNATURE:
    case RECORDING_DONE:
    case RECORDING_KINDS:
    default:
        return -EBADMSG;
    }
}

static int run(struct replay *replay)
{
    int r = recording_open(&replay->file);

    while (r == 0 && replay->event_count < replay->to) {
        r = recording_next(&replay->file, &replay->entry);
        if (r == 0) {
            r = read_rest(replay);
        }
        if (r == 0) {
            r = perform(replay);
        }
    }
    if (r == -EAGAIN) {
        printf("# the last entry was cut off\n");
    }
    return r == -ENODATA || r == -EAGAIN ? 0 : r;
}

static int map_file(const char *path, struct bytes *file_out)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *data;

    if (fd < 0 || fstat(fd, &status) < 0) {
        return -errno;
    }
    if (status.st_size <= 0) {
        return -EBADMSG;
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        return -errno;
    }
    *file_out = (struct bytes){data, (size_t)status.st_size};
    return 0;
}

static int parse(int count, char **words, struct replay *replay)
{
    static const struct option table[] = {{"quiet", no_argument, NULL, 'q'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"to", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    int option;

    replay->to = UINT64_MAX;
    while ((option = getopt_long(count, words, "", table, NULL)) != -1) {
        if (option == 'q') {
            replay->is_quiet = true;
        } else if (option == 'f') {
            replay->from = strtoull(optarg, NULL, 10);
        } else if (option == 't') {
            replay->to = strtoull(optarg, NULL, 10);
        } else {
            return -EINVAL;
        }
    }
    return optind + 1 == count ? 0 : -EINVAL;
}

int main(int count, char **words)
{
    static struct replay replay;
    int r;

    if (sodium_init() < 0 || parse(count, words, &replay) < 0) {
        fputs(usage, stderr);
        return STATUS_USAGE;
    }
    r = map_file(words[optind], &replay.file);
    replay.signer = (struct signer){sign, &replay};
    replay.effects = calloc(1, sizeof(*replay.effects));
    replay.data = calloc(1, CHUNK_BYTES_MAX);
    CHECK(replay.effects != NULL && replay.data != NULL);
    if (r == 0) {
        r = run(&replay);
    }
    core_free(replay.core);
    free(replay.effects);
    free(replay.data);
    if (r < 0) {
        fprintf(stderr, "minga-replay: %s: %s\n", words[optind],
                r == -EBADMSG ? "not a recording, or one of another version" : strerror(-r));
        return STATUS_USAGE;
    }
    printf("replay: %" PRIu64 " events of %u lives, %s\n", replay.event_count, replay.life_count,
           r == 0 ? "all as recorded" : "then a difference");
    return r == 0 ? STATUS_SAME : STATUS_DIFFERS;
}
