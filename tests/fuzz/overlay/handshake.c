// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A stranger at the door of a member: greetings and requests to join, right ones with any bytes
 * changed, or any bytes at all. Whatever it says, nobody becomes a member but those whose papers
 * are right, and each answer is a message.
 *
 * Input: a row of [what][who, flags][count] and count changes [place low][place high][byte].
 */
#include "overlay/state.h"
#include "tests/fuzz/overlay/papers.h"
#include "tests/fuzz/overlay/rewind.h"

enum { KNOWN = 2, STEPS_MAX = 16, TEMPLATES = 4 };

/* Node 0 is the one asked, 1 a member it knows, 2 and 3 have admissions that it has not seen, 4 has
 * an invitation. */
struct template
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t length_bytes;
};

static struct target {
    struct overlay *overlay;
    struct rewind rewind;
    struct template templates[TEMPLATES];
    uint8_t curve_keys[PAPER_NODES_MAX][32];
    struct overlay_effects effects;
} target;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(struct template *template, const minga_Message *message)
{
    int length = message_encode(message, template->bytes, sizeof(template->bytes));

    CHECK(length > 0);
    template->length_bytes = (size_t)length;
}

static void make_templates(const struct papers *papers)
{
    minga_Message message;
    struct bytes request;
    struct signature signature;

    papers_hello(papers, 1, &message);
    fill(&target.templates[0], &message);
    papers_hello(papers, 2, &message);
    memcpy(message.kind.hello.admission.bytes, papers->admissions[2], papers->admission_lengths[2]);
    message.kind.hello.admission.size = (pb_size_t)papers->admission_lengths[2];
    fill(&target.templates[1], &message);
    papers_hello(papers, 3, &message);
    message.kind.hello.has_digest = true;
    fill(&target.templates[2], &message);
    message_init(&message, minga_Message_join_tag);
    request = papers_request(papers, 4, true, message.kind.join.request.bytes,
                             sizeof(message.kind.join.request.bytes));
    message.kind.join.request.size = (pb_size_t)request.length_bytes;
    signature = keys_sign(&papers->nodes[4], PURPOSE_ADMISSION, request);
    memcpy(message.kind.join.node_signature, signature.bytes, SIGNATURE_BYTES);
    memcpy(message.kind.join.owner_signature, signature.bytes, SIGNATURE_BYTES);
    signature = keys_sign(&papers->invitation, PURPOSE_ADMISSION, request);
    memcpy(message.kind.join.invitation_signature, signature.bytes, SIGNATURE_BYTES);
    message.request = 99;
    fill(&target.templates[3], &message);
}

static void make_target(void)
{
    const struct papers *papers = papers_made();

    make_templates(papers);
    for (uint32_t i = 0; i < PAPER_NODES_MAX; i++) {
        struct public_key key = keys_public(&papers->nodes[i]);

        CHECK(keys_curve_public(&key, target.curve_keys[i]) == 0);
    }
    target.overlay = papers_node(papers, 0, KNOWN);
    overlay_start(target.overlay, 1000, 1790000000, &target.effects);
    rewind_note(&target.rewind, target.overlay, sizeof(*target.overlay));
}

/* Each member is one whose papers are right. */
static void check_members(void)
{
    const struct papers *papers = papers_made();

    for (uint32_t i = 0; i < overlay_member_count(target.overlay); i++) {
        const struct overlay_member *member = overlay_member(target.overlay, i);
        bool is_known = false;

        for (uint32_t k = 0; k < PAPER_NODES_MAX; k++) {
            struct public_key key = keys_public(&papers->nodes[k]);
            struct node_id node = keys_node_id(&key);

            is_known = is_known || id_equal(&node.id, &member->node.id);
        }
        CHECK(is_known && member->state != MEMBER_EXPELLED);
    }
}

static void take_effects(void)
{
    static minga_Message message;
    struct overlay_effects *effects = &target.effects;

    CHECK(effects->count <= OVERLAY_EFFECTS_MAX);
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct overlay_effect *effect = &effects->list[i];

        if (effect->kind == OVERLAY_REPLY || effect->kind == OVERLAY_SEND) {
            CHECK(message_decode(effect->message, &message) == 0);
        }
        CHECK(effect->kind != OVERLAY_STORE_CHUNK && effect->kind != OVERLAY_DELIVER);
    }
    effects->count = 0;
    effects->arena_used_bytes = 0;
}

static void say(uint8_t what, uint8_t who, struct bytes changes)
{
    static uint8_t bytes[MESSAGE_BYTES_MAX];
    struct overlay_event event = {.kind = OVERLAY_RECEIVED,
                                  .now_ms = target.overlay->now_ms + 1,
                                  .wall_unix_s = 1790000000,
                                  .source = {.inbound = true, .link = who}};
    size_t length_bytes =
        changes.length_bytes < sizeof(bytes) ? changes.length_bytes : sizeof(bytes);

    if (what % (TEMPLATES + 1) == TEMPLATES) {
        if (length_bytes > 0) {
            memcpy(bytes, changes.data, length_bytes);
        }
    } else {
        const struct template *template = &target.templates[what % (TEMPLATES + 1)];

        length_bytes = template->length_bytes;
        memcpy(bytes, template->bytes, length_bytes);
        for (size_t i = 0; i + 2 < changes.length_bytes; i += 3) {
            size_t place = (size_t)changes.data[i] | (size_t)changes.data[i + 1] << 8;

            bytes[place % length_bytes] ^= changes.data[i + 2];
        }
    }
    memcpy(event.source.curve_key, target.curve_keys[who % PAPER_NODES_MAX], 32);
    event.message = (struct bytes){bytes, length_bytes};
    overlay_step(target.overlay, &event, &target.effects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (target.overlay == NULL) {
        make_target();
    }
    rewind_back(&target.rewind);
    target.effects.count = 0;
    target.effects.arena_used_bytes = 0;
    for (int step = 0; step < STEPS_MAX && size >= 3; step++) {
        uint8_t what = data[0];
        uint8_t who = data[1];
        size_t count_bytes = 3 * (size_t)data[2];

        data += 3;
        size -= 3;
        count_bytes = count_bytes < size ? count_bytes : size;
        say(what, who, (struct bytes){data, count_bytes});
        take_effects();
        check_members();
        data += count_bytes;
        size -= count_bytes;
    }
    return 0;
}
