// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/shares.h"

enum { LINES_IDLE_MS = 1000 };

static uint64_t stricter(uint64_t a, uint64_t b) /* 0: no limit */
{
    if (a == 0 || b == 0) {
        return a == 0 ? b : a;
    }
    return a < b ? a : b;
}

static bool uses(const struct replica *replica, enum line_part part)
{
    if (replica->line_fd < 0 || replica->state == REPLICA_FREE ||
        replica->state == REPLICA_ENDING) {
        return false;
    }
    return part == LINE_PORTS ? replica->spec.port_count > 0 : replica->spec.egress;
}

/* --- a replica's file --- */

static void tell(struct replica *replica, enum line_part part, enum line_direction direction,
                 uint64_t bytes_per_s)
{
    uint64_t *given = &replica->line.parts[part][direction].given_bytes_per_s;
    const off_t offset =
        (off_t)(offsetof(struct line_file, cells) +
                ((size_t)part * LINE_DIRECTIONS + (size_t)direction) * sizeof(struct line_cell) +
                offsetof(struct line_cell, bytes_per_s));

    if (*given == bytes_per_s) {
        return;
    }
    if (pwrite(replica->line_fd, &bytes_per_s, sizeof(bytes_per_s), offset) !=
        (ssize_t)sizeof(bytes_per_s)) {
        log_warning("%s: its part of the line: %m", replica->name.text);
        return;
    }
    *given = bytes_per_s;
}

/* Its own processes may have put anything there: numbers, to be compared and no more. */
static bool read_file(const struct replica *replica, struct line_file *file_out)
{
    return replica->line_fd >= 0 &&
           pread(replica->line_fd, file_out, sizeof(*file_out), 0) == (ssize_t)sizeof(*file_out);
}

static uint64_t more_than(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static uint64_t per_second(uint64_t bytes, uint64_t elapsed_ms)
{
    return bytes > UINT64_MAX / 1000 ? UINT64_MAX : bytes * 1000 / elapsed_ms;
}

static void look_at_cell(struct line_look *look, const struct line_cell *cell, uint64_t elapsed_ms)
{
    uint64_t passed_bytes = atomic_load(&cell->passed_bytes);
    uint64_t held_count = atomic_load(&cell->held_count);

    look->used_bytes_per_s = per_second(more_than(passed_bytes, look->passed_bytes), elapsed_ms);
    look->wants_more = held_count != look->held_count;
    look->passed_bytes = passed_bytes;
    look->held_count = held_count;
}

/* Returns whether anything has passed, or waited, since the last look. */
static bool look_at(struct replica *replica, uint64_t elapsed_ms)
{
    struct line_file file;
    bool any = false;

    if (!read_file(replica, &file)) {
        return false;
    }
    for (enum line_part part = 0; part < LINE_PARTS; part++) {
        for (enum line_direction direction = 0; direction < LINE_DIRECTIONS; direction++) {
            struct line_look *look = &replica->line.parts[part][direction];

            look_at_cell(look, &file.cells[part][direction], elapsed_ms);
            any = any || look->used_bytes_per_s > 0 || look->wants_more;
        }
    }
    return any;
}

/* --- dividing --- */

static struct share share_of(const struct replica *replica, enum line_direction direction)
{
    struct share share = {0};

    for (enum line_part part = 0; part < LINE_PARTS; part++) {
        const struct line_look *look = &replica->line.parts[part][direction];

        if (!uses(replica, part)) {
            continue;
        }
        share.wants_more = share.wants_more || look->wants_more;
        share.used_bytes_per_s = look->used_bytes_per_s > UINT64_MAX - share.used_bytes_per_s
                                     ? UINT64_MAX
                                     : share.used_bytes_per_s + look->used_bytes_per_s;
    }
    return share;
}

struct division { /* the parts of all replicas in one direction */
    uint32_t count;
    struct {
        struct replica *replica;
        enum line_part part;
        uint64_t bytes_per_s;
    } parts[REPLICAS_PER_NODE_MAX * LINE_PARTS];
};

static void add_parts(struct division *division, struct replica *replica,
                      enum line_direction direction, uint64_t bytes_per_s)
{
    struct share shares[LINE_PARTS];
    enum line_part parts[LINE_PARTS];
    uint32_t count = 0;

    for (enum line_part part = 0; part < LINE_PARTS; part++) {
        const struct line_look *look = &replica->line.parts[part][direction];

        if (uses(replica, part)) {
            parts[count] = part;
            shares[count++] = (struct share){look->used_bytes_per_s, look->wants_more, 0};
        }
    }
    if (bytes_per_s > 0) {
        shares_divide(bytes_per_s, shares, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        division->parts[division->count].replica = replica;
        division->parts[division->count].part = parts[i];
        division->parts[division->count].bytes_per_s =
            bytes_per_s > 0 ? shares[i].given_bytes_per_s : 0;
        division->count++;
    }
}

static void divide(struct helper *helper, enum line_direction direction,
                   struct division *division_out)
{
    const uint64_t total = helper->line_bytes_per_s[direction];
    struct replica *users[REPLICAS_PER_NODE_MAX];
    struct share shares[REPLICAS_PER_NODE_MAX];
    uint32_t count = 0;

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (uses(replica, LINE_PORTS) || uses(replica, LINE_EGRESS)) {
            users[count] = replica;
            shares[count++] = share_of(replica, direction);
        }
    }
    if (total > 0) {
        shares_divide(total, shares, count);
    }
    division_out->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        add_parts(division_out, users[i], direction, total > 0 ? shares[i].given_bytes_per_s : 0);
    }
}

/* Those who get less are told first: together they never have more than there is. */
static void share_out(struct helper *helper, enum line_direction direction)
{
    struct division division;

    divide(helper, direction, &division);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < division.count; i++) {
            struct replica *replica = division.parts[i].replica;
            enum line_part part = division.parts[i].part;
            uint64_t fresh = division.parts[i].bytes_per_s;
            uint64_t given = replica->line.parts[part][direction].given_bytes_per_s;

            if (round == 1 || stricter(fresh, given) == fresh) {
                tell(replica, part, direction, fresh);
            }
        }
    }
}

static void share_out_both(struct helper *helper)
{
    for (enum line_direction direction = 0; direction < LINE_DIRECTIONS; direction++) {
        share_out(helper, direction);
    }
}

void lines_limit(struct helper *helper, uint64_t upload_bytes_per_s, uint64_t download_bytes_per_s)
{
    uint64_t *present = helper->line_bytes_per_s;
    uint64_t upload = stricter(helper->limits.upload_bytes_per_s, upload_bytes_per_s);
    uint64_t download = stricter(helper->limits.download_bytes_per_s, download_bytes_per_s);

    if (present[LINE_UP] != upload || present[LINE_DOWN] != download) {
        present[LINE_UP] = upload;
        present[LINE_DOWN] = download;
        share_out_both(helper);
    }
}

void lines_tick(struct helper *helper, uint64_t at_ms)
{
    uint64_t elapsed_ms = at_ms - helper->line_looked_ms;
    bool busy = false;

    if (helper->line_bytes_per_s[LINE_UP] == 0 && helper->line_bytes_per_s[LINE_DOWN] == 0) {
        helper->line_busy = false;
        return;
    }
    if (elapsed_ms < (helper->line_busy ? LINES_BUSY_MS : LINES_IDLE_MS)) {
        return;
    }
    helper->line_looked_ms = at_ms;
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (helper->replicas[i].state != REPLICA_FREE) {
            busy = look_at(&helper->replicas[i], elapsed_ms) || busy;
        }
    }
    helper->line_busy = busy;
    share_out_both(helper);
}

void lines_measure(struct helper *helper, struct replica *replica,
                   struct sandbox_activity *activity_out)
{
    struct line_file file;

    (void)helper;
    if (!read_file(replica, &file)) {
        return;
    }
    for (enum line_part part = 0; part < LINE_PARTS; part++) {
        activity_out->sent_bytes += atomic_load(&file.cells[part][LINE_UP].passed_bytes);
        activity_out->received_bytes += atomic_load(&file.cells[part][LINE_DOWN].passed_bytes);
        activity_out->send_waits |= replica->line.parts[part][LINE_UP].wants_more;
        activity_out->receive_waits |= replica->line.parts[part][LINE_DOWN].wants_more;
    }
}

/* --- coming --- */

int lines_add(struct helper *helper, struct replica *replica, struct err *err)
{
    const struct line_file nothing = {0};
    char path[PATH_MAX];
    CLEANUP(cleanup_close) int fd = -1;

    CHECK(replica->line_fd < 0);
    replica_path(helper->folders.lines, replica, "", path);
    if (unlink(path) < 0 && errno != ENOENT) {
        return err_set(err, -errno, "%s: %m", path);
    }
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, &nothing, sizeof(nothing)) != (ssize_t)sizeof(nothing)) {
        return err_set(err, -errno, "%s: %m", path);
    }
    replica->line_fd = take_fd(&fd);
    share_out_both(helper);
    return 0;
}

void lines_adopt(const struct helper *helper, struct replica *replica)
{
    char path[PATH_MAX];
    struct line_file file;

    replica_path(helper->folders.lines, replica, "", path);
    replica->line_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (!read_file(replica, &file)) {
        return;
    }
    for (enum line_part part = 0; part < LINE_PARTS; part++) {
        for (enum line_direction direction = 0; direction < LINE_DIRECTIONS; direction++) {
            struct line_look *look = &replica->line.parts[part][direction];
            const struct line_cell *cell = &file.cells[part][direction];

            look->passed_bytes = atomic_load(&cell->passed_bytes);
            look->held_count = atomic_load(&cell->held_count);
            look->given_bytes_per_s = atomic_load(&cell->bytes_per_s);
        }
    }
}
