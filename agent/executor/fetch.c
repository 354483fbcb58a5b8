// SPDX-License-Identifier: GPL-3.0-or-later
/* From a tree's name to a tree on disk: scan, fetch what is missing, scan again, build. */
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"

static bool tree_is_used(const struct executor *executor, const struct tree_id *tree)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *replica = &executor->replicas[i];

        if (replica_counts(replica) && id_equal(&replica->tree.id, &tree->id)) {
            return true;
        }
    }
    return false;
}

static void tree_look(struct executor *executor, struct turn *turn, struct kept_tree *kept)
{
    struct outgoing drop = {.kind = OUT_DROP_TREE, .tree = kept->tree};

    if (tree_is_used(executor, &kept->tree)) {
        kept->needed_ms = turn->now_ms;
    } else {
        outbox_local(turn, &drop);
        kept->used = false;
    }
}

/* Would the place of `a` rather be given away than that of `b`? */
static bool goes_before(const struct executor *executor, const struct kept_tree *a,
                        const struct kept_tree *b)
{
    if (!a->used || !b->used) {
        return b->used;
    }
    if (tree_is_used(executor, &a->tree) != tree_is_used(executor, &b->tree)) {
        return tree_is_used(executor, &b->tree);
    }
    return a->needed_ms < b->needed_ms;
}

void trees_need(struct executor *executor, struct turn *turn, const struct tree_id *tree)
{
    struct kept_tree *place = &executor->trees[0];

    for (uint32_t i = 0; i < TREES_MAX; i++) {
        struct kept_tree *kept = &executor->trees[i];

        if (kept->used && id_equal(&kept->tree.id, &tree->id)) {
            kept->needed_ms = turn->now_ms;
            return;
        }
        if (goes_before(executor, kept, place)) {
            place = kept;
        }
    }
    if (place->used) { /* or nobody would remove it */
        tree_look(executor, turn, place);
    }
    *place = (struct kept_tree){.used = true, .tree = *tree, .needed_ms = turn->now_ms};
}

void trees_tick(struct executor *executor, struct turn *turn)
{
    for (uint32_t i = 0; i < TREES_MAX; i++) {
        struct kept_tree *kept = &executor->trees[i];

        if (kept->used && turn->now_ms >= kept->needed_ms + TREE_UNUSED_MS) {
            tree_look(executor, turn, kept);
        }
    }
}

/* Is another replica's scan or build of the same tree under way? Its answer serves both. */
static bool others_do(const struct executor *executor, const struct replica *replica,
                      enum phase phase)
{
    for (uint32_t i = 0; i < executor->top; i++) {
        const struct replica *other = &executor->replicas[i];

        if (other->used && other != replica && other->phase == phase &&
            id_equal(&other->tree.id, &replica->tree.id)) {
            return true;
        }
    }
    return false;
}

void replica_scan(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct outgoing scan = {.kind = OUT_SCAN_TREE, .tree = replica->tree};

    replica->missing_count = 0;
    replica->asked_count = 0;
    replica->fetch_retry_ms = 0;
    if (!others_do(executor, replica, PHASE_SCANNING)) {
        outbox_local(turn, &scan);
    }
    replica_enter(executor, turn, replica, PHASE_SCANNING);
}

static void replica_build(struct executor *executor, struct turn *turn, struct replica *replica)
{
    struct outgoing build = {.kind = OUT_BUILD_TREE, .tree = replica->tree};

    if (!others_do(executor, replica, PHASE_BUILDING)) {
        outbox_local(turn, &build);
    }
    replica_enter(executor, turn, replica, PHASE_BUILDING);
}

void replica_fetch_more(struct executor *executor, struct turn *turn, struct replica *replica)
{
    CHECK(replica->phase == PHASE_FETCHING);
    while (replica->missing_count > 0 && replica->asked_count < CHUNKS_AT_ONCE) {
        struct ask ask = {.kind = ASK_CHUNK,
                          .service = replica->key.service,
                          .slot = replica->key.slot,
                          .number = replica->key.incarnation,
                          .tree = replica->tree};

        ask.chunk = replica->missing[--replica->missing_count];
        if (!outbox_get_chunk(turn, &ask, replica->others, replica->other_count)) {
            replica->fetch_retry_ms = turn->now_ms + FETCH_RETRY_MS;
            break;
        }
        replica->asked_count++;
    }
    if (replica->missing_count == 0 && replica->asked_count == 0 && replica->fetch_retry_ms == 0) {
        replica_scan(executor, turn, replica);
    }
}

void executor_chunk(struct executor *executor, struct turn *turn, const struct ask *ask,
                    enum overlay_outcome outcome, const char *reason)
{
    struct replica_key key = {ask->service, ask->slot, ask->number};
    struct replica *replica = replica_by_key(executor, &key);

    CHECK(ask->kind == ASK_CHUNK);
    if (replica == NULL || replica->phase != PHASE_FETCHING || replica->asked_count == 0) {
        return;
    }
    replica->asked_count--;
    if (outcome == OVERLAY_OK) {
        if (replica->fetch_failure_count > 0) { /* what was said of it is over */
            replica->fetch_failure_count = 0;
            replica_say(replica, "%s", "");
        }
        replica_fetch_more(executor, turn, replica);
        return;
    }
    const char *refuses = executor_disk_refuses(executor);

    if (refuses[0] != '\0') { /* another node is asked instead */
        replica_say(replica, "its node's disk takes nothing: %.80s", refuses);
        replica_over(executor, turn, replica, true);
        return;
    }
    replica_say(replica, "a chunk of the bundle cannot be fetched: %.80s",
                reason[0] != '\0' ? reason : "no holder answers");
    if (++replica->fetch_failure_count >= FETCH_FAILURES_MAX) {
        replica_over(executor, turn, replica, true);
        return;
    }
    replica->fetch_retry_ms = turn->now_ms + FETCH_RETRY_MS; /* scan again then */
    replica_fetch_more(executor, turn, replica);
}

static void scanned(struct executor *executor, struct turn *turn, struct replica *replica,
                    const struct core_event *event)
{
    if (event->failed) {
        replica_say(replica, "the bundle's index is not valid: %.80s", event->reason);
        replica_over(executor, turn, replica, true);
        return;
    }
    if (event->missing_count == 0) {
        replica_build(executor, turn, replica);
        return;
    }
    CHECK(event->missing_count <= SCAN_MISSING_MAX);
    replica->found_count = event->here_count + event->missing_count;
    replica->chunk_count = event->chunk_count;
    replica->missing_count = event->missing_count;
    memcpy(replica->missing, event->missing, event->missing_count * sizeof(event->missing[0]));
    replica_enter(executor, turn, replica, PHASE_FETCHING);
    replica_fetch_more(executor, turn, replica);
}

/* All in `phase` first: handling one may bring it, or another, into the phase anew. */
static uint32_t waiting_for(struct executor *executor, const struct tree_id *tree, enum phase phase,
                            struct replica **list_out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < executor->top; i++) {
        struct replica *replica = &executor->replicas[i];

        if (replica->used && replica->phase == phase && id_equal(&replica->tree.id, &tree->id)) {
            list_out[count++] = replica;
        }
    }
    return count;
}

void executor_scanned(struct executor *executor, struct turn *turn, const struct core_event *event)
{
    struct replica *waiting[REPLICAS_PER_NODE_MAX];
    uint32_t count = waiting_for(executor, &event->tree, PHASE_SCANNING, waiting);

    for (uint32_t i = 0; i < count; i++) {
        scanned(executor, turn, waiting[i], event);
    }
}

void executor_tree_found(struct executor *executor, struct turn *turn, const struct tree_id *tree)
{
    trees_need(executor, turn, tree);
}

void executor_built(struct executor *executor, struct turn *turn, const struct core_event *event)
{
    struct replica *waiting[REPLICAS_PER_NODE_MAX];
    uint32_t count = waiting_for(executor, &event->tree, PHASE_BUILDING, waiting);

    trees_need(executor, turn, &event->tree);
    for (uint32_t i = 0; i < count; i++) {
        if (event->failed) {
            replica_say(waiting[i], "the bundle cannot be unpacked: %.80s", event->reason);
            replica_over(executor, turn, waiting[i], true);
        } else {
            replica_launch(executor, turn, waiting[i]);
        }
    }
}
