// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/disks.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"

static const struct disk no_disk = {.mount_fd = -1, .loop_number = -1, .network_fd = -1};

void disks_init(struct disks *disks)
{
    memset(disks, 0, sizeof(*disks));
    makers_init(&disks->makers);
    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        maker_init(&disks->jobs[i].maker);
        disks->jobs[i].uids.lock_fd = -1;
    }
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        maker_init(&disks->clearings[i].maker);
    }
    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        disks->spares[i].disk = no_disk;
    }
}

/* --- templates --- */

static struct disk_template *find_template(struct disks *disks, uint64_t size_bytes)
{
    for (size_t i = 0; i < DISK_TEMPLATES_MAX; i++) {
        if (disks->templates[i].size_bytes == size_bytes) {
            return &disks->templates[i];
        }
    }
    return NULL;
}

/* Kept for the next disk of that size; the oldest gives way. */
static void keep_template(struct disks *disks, uint64_t size_bytes, int fd)
{
    struct disk_template *slot = find_template(disks, size_bytes);

    if (slot == NULL) {
        slot = &disks->templates[disks->template_next];
        disks->template_next = (disks->template_next + 1) % DISK_TEMPLATES_MAX;
    }
    if (slot->size_bytes != 0) {
        close(slot->fd);
    }
    *slot = (struct disk_template){size_bytes, fd};
}

/* --- how many are worth having --- */

void disks_asked(struct disks *disks, uint64_t size_bytes, uint64_t at_ms)
{
    if (size_bytes != disks->asked_bytes) {
        disks->asked_bytes = size_bytes;
        memset(disks->asked_ms, 0, sizeof(disks->asked_ms));
    }
    disks->asked_ms[disks->asked_next] = at_ms;
    disks->asked_next = (disks->asked_next + 1) % DISK_ASKED_MAX;
}

uint32_t disks_spares_wanted(const struct disks *disks, uint64_t at_ms)
{
    uint32_t count = 0;

    for (size_t i = 0; i < DISK_ASKED_MAX; i++) {
        count += disks->asked_ms[i] != 0 && at_ms < disks->asked_ms[i] + DISK_SPARES_MS;
    }
    if (count < 2) { /* one start is no sign of another */
        return 0;
    }
    return count < DISK_SPARES_MAX ? count : DISK_SPARES_MAX;
}

/* --- what there is --- */

static uint64_t add(uint64_t sum_bytes, uint64_t more_bytes)
{
    return more_bytes > UINT64_MAX - sum_bytes ? UINT64_MAX : sum_bytes + more_bytes;
}

static uint64_t spares_bytes(const struct disks *disks)
{
    uint64_t sum_bytes = 0;

    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        sum_bytes = add(sum_bytes, disks->spares[i].size_bytes);
    }
    return sum_bytes;
}

bool disks_rest(const struct disks *disks)
{
    return spares_bytes(disks) == 0 && !makers_has_idle(&disks->makers);
}

static uint64_t present_bytes(const struct helper *helper)
{
    const struct disks *disks = &helper->disks;
    uint64_t sum_bytes = spares_bytes(disks);

    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        const bool is_open = disks->jobs[i].maker.answer_fd >= 0; /* else it is somebody's */

        sum_bytes = add(sum_bytes, is_open ? disks->jobs[i].size_bytes : 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        sum_bytes = add(sum_bytes, disks->clearings[i].size_bytes);
    }
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];
        bool has_disk = replica->state != REPLICA_FREE && replica->disk.loop_number >= 0;

        sum_bytes = add(sum_bytes, has_disk ? replica->spec.limits.disk_bytes : 0);
    }
    return sum_bytes;
}

static bool fits(const struct helper *helper, uint64_t size_bytes)
{
    const uint64_t given_bytes = helper->limits.contribution.disk_bytes;
    const uint64_t used_bytes = present_bytes(helper);

    return used_bytes <= given_bytes && size_bytes <= given_bytes - used_bytes;
}

/* --- away with them --- */

bool disks_clear(struct disks *disks, struct disk *disk, uint64_t size_bytes)
{
    struct err err = {0};

    if (disk->mount_fd < 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        struct disk_clearing *clearing = &disks->clearings[i];

        if (clearing->maker.pid != 0) {
            continue;
        }
        if (maker_begin_clearing(&disks->makers, &disk->mount_fd, &clearing->maker, &err) < 0) {
            log_warning("%s", err.text);
            return false;
        }
        clearing->size_bytes = size_bytes;
        disk_done(disk);
        *disk = no_disk;
        return true;
    }
    return false;
}

static void drop_spare(struct disks *disks, struct disk_spare *spare)
{
    if (disks_clear(disks, &spare->disk, spare->size_bytes)) {
        spare->size_bytes = 0;
    }
}

/* Those of other sizes, and those beyond what the last starts make likely. */
static void drop_spares(struct disks *disks, uint32_t wanted_count)
{
    uint32_t count = 0;

    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        struct disk_spare *spare = &disks->spares[i];

        if (spare->size_bytes == 0) {
            continue;
        }
        if (spare->size_bytes == disks->asked_bytes && count < wanted_count) {
            count++;
        } else {
            drop_spare(disks, spare);
        }
    }
}

/* --- to those who wait --- */

bool disks_take(struct disks *disks, uint64_t size_bytes, struct disk *disk_out)
{
    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        struct disk_spare *spare = &disks->spares[i];

        if (spare->size_bytes == size_bytes) {
            *disk_out = spare->disk;
            spare->disk = no_disk;
            spare->size_bytes = 0;
            return true;
        }
    }
    return false;
}

static bool waits(const struct replica *replica)
{
    return replica->state == REPLICA_STARTING && replica->disk.loop_number < 0;
}

static struct replica *find_waiting(struct helper *helper, uint64_t size_bytes)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (waits(replica) && replica->spec.limits.disk_bytes == size_bytes) {
            return replica;
        }
    }
    return NULL;
}

static void keep_spare(struct disks *disks, struct disk *disk, uint64_t size_bytes)
{
    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        struct disk_spare *spare = &disks->spares[i];

        if (spare->size_bytes == 0) {
            *spare = (struct disk_spare){size_bytes, *disk};
            return;
        }
    }
    if (!disks_clear(disks, disk, size_bytes)) {
        disk_done(disk); /* the helper waits for the kernel then, once */
    }
}

/* Its maker has answered, or died. */
static void take_answer(struct helper *helper, struct disk_job *job)
{
    struct replica *waiting = find_waiting(helper, job->size_bytes);
    struct made made;
    struct err err = {0};
    int r = maker_answer(&helper->disks.makers, &job->maker, &made, &err);
    struct disk disk = {.mount_fd = made.fd, .loop_number = made.loop_number, .network_fd = -1};

    if (job->network) {
        disk.network_fd = made.more_fd;
    } else if (made.more_fd >= 0) {
        keep_template(&helper->disks, job->size_bytes, made.more_fd);
    }
    if (r < 0) {
        disk_done(&disk);
        (void)err_wrap(&err, "disk");
        if (waiting != NULL) {
            replica_give_up(waiting, &err);
        } else {
            log_warning("%s", err.text);
        }
        return;
    }
    memcpy(disk.backing, made.backing, sizeof(disk.backing));
    if (waiting == NULL) {
        keep_spare(&helper->disks, &disk, job->size_bytes);
    } else {
        replica_on_disk(helper, waiting, &disk);
    }
}

/* Returns whether it is over; its disk is somebody's, and counted there. */
static bool job_over(struct helper *helper, struct disk_job *job)
{
    if (!maker_over(&job->maker)) {
        return false;
    }
    uid_range_free(helper->folders.uids, &job->uids);
    job->size_bytes = 0;
    return true;
}

static bool has_answered(const struct maker *maker)
{
    struct pollfd answer = {.fd = maker->answer_fd, .events = POLLIN};

    return maker->answer_fd >= 0 && poll(&answer, 1, 0) == 1;
}

static void look_at_jobs(struct helper *helper)
{
    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        struct disk_job *job = &helper->disks.jobs[i];

        if (job->size_bytes == 0) {
            continue;
        }
        if (has_answered(&job->maker)) {
            take_answer(helper, job);
        }
        if (job->maker.answer_fd < 0) {
            (void)job_over(helper, job);
        }
    }
}

/* Whether it was cleared, or its maker has died: either way its hold on the disk is gone. */
static void take_clearing(struct disks *disks, struct disk_clearing *clearing)
{
    struct made nothing;
    struct err ignored = {0};

    (void)maker_answer(&disks->makers, &clearing->maker, &nothing, &ignored);
}

static void reap_clearings(struct disks *disks)
{
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        struct disk_clearing *clearing = &disks->clearings[i];

        if (has_answered(&clearing->maker)) {
            take_clearing(disks, clearing);
        }
        if (clearing->size_bytes != 0 && clearing->maker.answer_fd < 0 &&
            maker_over(&clearing->maker)) {
            clearing->size_bytes = 0;
        }
    }
}

/* --- to be made --- */

static int begin_job(struct helper *helper, struct disk_job *job, uint64_t size_bytes, bool network,
                     struct err *err)
{
    const struct disk_template *template = find_template(&helper->disks, size_bytes);
    int r = 0;

    if (template == NULL) {
        r = replicas_take_uids(helper, &job->uids, err);
    }
    const struct disk_plan plan = {
        .state = helper->folders.state,
        .size_bytes = size_bytes,
        .maker = job->uids.first,
        .template_fd = template == NULL ? -1 : template->fd,
        .network = network,
    };
    if (r == 0) {
        r = maker_begin_disk(&helper->disks.makers, &plan, &job->maker, err);
    }
    if (r < 0) {
        uid_range_free(helper->folders.uids, &job->uids);
        return r;
    }
    job->size_bytes = size_bytes;
    job->network = network;
    return 0;
}

/* mkfs runs once for a size: whoever else wants one waits for the template. */
static struct disk_job *free_job(struct helper *helper, uint64_t size_bytes)
{
    struct disks *disks = &helper->disks;
    struct disk_job *found = NULL;

    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        struct disk_job *job = &disks->jobs[i];

        if (job->size_bytes == 0) {
            found = job;
        } else if (job->size_bytes == size_bytes && find_template(disks, size_bytes) == NULL) {
            return NULL;
        }
    }
    return found;
}

/* Jobs of that size whose disk is still to come. */
static uint32_t count_jobs(const struct disks *disks, uint64_t size_bytes)
{
    uint32_t count = 0;

    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        count += disks->jobs[i].size_bytes == size_bytes && disks->jobs[i].maker.answer_fd >= 0;
    }
    return count;
}

/* How many before it, and itself, wait for a disk of its size. */
static uint32_t count_waiting(const struct helper *helper, const struct replica *until)
{
    uint32_t count = 0;

    for (const struct replica *replica = helper->replicas; replica <= until; replica++) {
        count += waits(replica) && replica->spec.limits.disk_bytes == until->spec.limits.disk_bytes;
    }
    return count;
}

void disks_begin(struct helper *helper)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];
        const uint64_t size_bytes = replica->spec.limits.disk_bytes;
        struct err err = {0};

        if (!waits(replica) ||
            count_jobs(&helper->disks, size_bytes) >= count_waiting(helper, replica)) {
            continue;
        }
        struct disk_job *job = free_job(helper, size_bytes);

        if (!fits(helper, size_bytes)) {
            drop_spares(&helper->disks, 0); /* then, or when another is cleared, it will */
        } else if (job != NULL && begin_job(helper, job, size_bytes, false, &err) < 0) {
            replica_give_up(replica, &err);
        }
    }
}

/* Never more than a quarter of what is given: most of it is for those who are there. */
static void begin_spares(struct helper *helper, uint32_t wanted_count)
{
    struct disks *disks = &helper->disks;
    const uint64_t size_bytes = disks->asked_bytes;
    uint32_t count = count_jobs(disks, size_bytes);
    struct err err = {0};

    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        count += disks->spares[i].size_bytes == size_bytes;
    }
    for (; count < wanted_count; count++) {
        struct disk_job *job = free_job(helper, size_bytes);

        if (job == NULL || find_template(disks, size_bytes) == NULL || !fits(helper, size_bytes) ||
            add(spares_bytes(disks), size_bytes) > helper->limits.contribution.disk_bytes / 4) {
            return;
        }
        if (begin_job(helper, job, size_bytes, true, &err) < 0) {
            log_warning("%s", err.text);
            return;
        }
    }
}

void disks_tick(struct helper *helper, uint64_t at_ms)
{
    struct disks *disks = &helper->disks;
    const uint32_t wanted_count = helper->leaving ? 0 : disks_spares_wanted(disks, at_ms);

    look_at_jobs(helper);
    reap_clearings(disks);
    makers_tick(&disks->makers, at_ms);
    drop_spares(disks, wanted_count);
    disks_begin(helper);
    begin_spares(helper, wanted_count);
}

bool disks_over(struct helper *helper)
{
    struct disks *disks = &helper->disks;
    bool over = true;

    drop_spares(disks, 0);
    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        if (disks->jobs[i].size_bytes != 0) {
            over = job_over(helper, &disks->jobs[i]) && over;
        }
    }
    for (size_t i = 0; i < DISK_SPARES_MAX; i++) {
        over = over && disks->spares[i].size_bytes == 0;
    }
    reap_clearings(disks);
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        over = over && disks->clearings[i].size_bytes == 0;
    }
    return makers_over(&disks->makers) && over;
}

void disks_each_fd(const struct disks *disks, void (*watch)(void *context, int fd), void *context)
{
    for (size_t i = 0; i < DISK_JOBS_MAX; i++) {
        const struct maker *maker = &disks->jobs[i].maker;

        if (maker->pid != 0) {
            watch(context, maker->answer_fd >= 0 ? maker->answer_fd : maker->pidfd);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(disks->clearings); i++) {
        const struct maker *maker = &disks->clearings[i].maker;

        if (maker->pid != 0) {
            watch(context, maker->answer_fd >= 0 ? maker->answer_fd : maker->pidfd);
        }
    }
    makers_each_fd(&disks->makers, watch, context);
}
