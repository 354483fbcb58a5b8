// SPDX-License-Identifier: GPL-3.0-or-later
/* What was recorded is read back, and another core does the same with it. */
#include "agent/core/recording.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/codec.h"

enum { NOTED_MAX = 64 };

static struct recording_entry entry;
static struct recording_entry again;
static uint8_t bytes[RECORDING_ENTRY_BYTES_MAX];

static void to_and_fro(void)
{
    int length = recording_encode(&entry, bytes, sizeof(bytes));
    struct bytes file = {bytes, (size_t)length};

    cr_assert_gt(length, 0);
    cr_assert_eq(recording_next(&file, &again), 0);
    cr_assert_eq(file.length_bytes, 0);
    cr_assert_eq(again.kind, entry.kind);
    for (int i = 0; i < length; i++) { /* as if the process had died while it was written */
        struct bytes cut = {bytes, (size_t)i};

        cr_assert_eq(recording_next(&cut, &again), i == 0 ? -ENODATA : -EAGAIN);
    }
    file = (struct bytes){bytes, (size_t)length};
    cr_assert_eq(recording_next(&file, &again), 0);
}

/* ------------------------------------------------------------------ the codec */

Test(recording, numbers_of_all_lengths_come_back)
{
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t value = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - (bits % 2);
        uint64_t read = 1;
        struct codec codec = codec_writer(bytes, sizeof(bytes));

        codec_u64(&codec, &value);
        cr_assert(codec_ok(&codec));
        codec = codec_reader((struct bytes){bytes, sizeof(bytes) - codec.left_bytes});
        codec_u64(&codec, &read);
        cr_assert(codec_ok(&codec));
        cr_assert_eq(read, value);
    }
}

Test(recording, a_number_that_never_ends_is_refused)
{
    uint64_t value = 7;
    struct codec codec;

    memset(bytes, 0xff, 16);
    codec = codec_reader((struct bytes){bytes, 16});
    codec_u64(&codec, &value);
    cr_assert(!codec_ok(&codec));
    cr_assert_eq(value, 0);
}

Test(recording, a_number_above_its_bound_is_refused)
{
    struct codec codec = codec_writer(bytes, sizeof(bytes));
    uint64_t value = 5;

    codec_u64(&codec, &value);
    codec = codec_reader((struct bytes){bytes, 1});
    cr_assert_eq(codec_upto(&codec, 0, 5), 5);
    cr_assert(codec_ok(&codec));
    codec = codec_reader((struct bytes){bytes, 1});
    (void)codec_upto(&codec, 0, 4);
    cr_assert(!codec_ok(&codec));
}

Test(recording, a_text_that_does_not_fit_is_refused)
{
    char text[8] = "seven77";
    char small[7];
    struct codec codec = codec_writer(bytes, sizeof(bytes));

    codec_text(&codec, text, sizeof(text));
    codec = codec_reader((struct bytes){bytes, 8});
    codec_text(&codec, text, sizeof(text));
    cr_assert(codec_ok(&codec));
    cr_assert_str_eq(text, "seven77");
    codec = codec_reader((struct bytes){bytes, 8});
    codec_text(&codec, small, sizeof(small));
    cr_assert(!codec_ok(&codec));
    cr_assert_str_eq(small, "");
}

/* ------------------------------------------------------------------ entries */

static void fill_event(enum core_event_kind kind, const struct core_event *more)
{
    struct core_event event = *more;

    event.kind = kind;
    event.now_ms = 123456789;
    event.wall_unix_s = 1790000000;
    recording_event(&entry, &event);
}

Test(recording, a_received_message_comes_back_and_its_data_as_a_length)
{
    static const uint8_t message[] = "message";
    struct overlay_event received = {.kind = OVERLAY_RECEIVED,
                                     .source = {.inbound = true, .link = 77, .curve_key = {9}},
                                     .message = {message, sizeof(message)},
                                     .data = {message, 4000}};

    fill_event(CORE_OVERLAY, &(struct core_event){.overlay = &received});
    to_and_fro();
    cr_assert_eq(again.event.event.overlay, &again.event.overlay);
    cr_assert_eq(again.event.overlay.now_ms, 123456789);
    cr_assert_eq(again.event.overlay.wall_unix_s, 1790000000);
    cr_assert_eq(again.event.overlay.source.link, 77);
    cr_assert_eq(again.event.overlay.source.curve_key[0], 9);
    cr_assert_eq(again.event.overlay.message.length_bytes, sizeof(message));
    cr_assert_eq(memcmp(again.event.overlay.message.data, message, sizeof(message)), 0);
    cr_assert_eq(again.event.overlay.data.length_bytes, 4000);
    cr_assert_null(again.event.overlay.data.data);
}

Test(recording, what_the_disk_said_of_a_chunk_comes_back)
{
    struct overlay_event stored = {.kind = OVERLAY_CHUNK_STORED,
                                   .token = 5,
                                   .chunk = {{{1, 2}}},
                                   .chunk_bytes = 4000,
                                   .was_there = true};

    fill_event(CORE_OVERLAY, &(struct core_event){.overlay = &stored});
    to_and_fro();
    cr_assert_eq(again.event.overlay.token, 5);
    cr_assert_eq(again.event.overlay.chunk.id.bytes[1], 2);
    cr_assert_eq(again.event.overlay.chunk_bytes, 4000);
    cr_assert_eq(again.event.overlay.outcome, OVERLAY_CHUNK_OK);
    cr_assert(again.event.overlay.was_there);
    stored.was_there = false;
    stored.outcome = OVERLAY_CHUNK_REFUSED;
    fill_event(CORE_OVERLAY, &(struct core_event){.overlay = &stored});
    to_and_fro();
    cr_assert_eq(again.event.overlay.outcome, OVERLAY_CHUNK_REFUSED);
    cr_assert_not(again.event.overlay.was_there);
}

Test(recording, a_request_comes_back_with_all_that_it_points_to)
{
    static const uint8_t text[] = "signed";
    struct overlay_join join = {.community = {text, 6},
                                .request = {text, 3},
                                .contact_count = 1,
                                .contacts = {{.address_count = 1, .addresses = {"n:1"}}}};
    minga_NodeRecord description = {.name = "oak", .runs = true};
    struct core_request request = {.kind = CORE_JOIN,
                                   .token = UINT64_MAX,
                                   .join = &join,
                                   .description = &description,
                                   .signed_bytes = {text, 6},
                                   .slot = 3,
                                   .key = {{{8}}}};

    fill_event(CORE_REQUEST, &(struct core_event){.request = &request});
    to_and_fro();
    cr_assert_eq(again.event.request.token, UINT64_MAX);
    cr_assert_eq(again.event.request.slot, 3);
    cr_assert_eq(again.event.request.key.id.bytes[0], 8);
    cr_assert_eq(again.event.request.signed_bytes.length_bytes, 6);
    cr_assert_eq(again.event.request.join, &again.event.join);
    cr_assert_str_eq(again.event.join.contacts[0].addresses[0], "n:1");
    cr_assert_str_eq(again.event.description.name, "oak");
    cr_assert(again.event.description.runs);
}

Test(recording, events_of_all_other_kinds_come_back)
{
    struct sandbox_event sandbox = {.kind = SANDBOX_ENDED, .status = -9, .reason = "why"};
    struct core_event more = {.sandbox = &sandbox,
                              .reason = "reason",
                              .missing_count = 2,
                              .missing = {{{{1}}}, {{{2}}}},
                              .here_count = 3,
                              .chunk_count = 5,
                              .host_port = 31000,
                              .logs = {(const uint8_t *)"log", 3}};

    fill_event(CORE_SANDBOX, &more);
    to_and_fro();
    cr_assert_eq(again.event.sandbox.status, -9);
    cr_assert_str_eq(again.event.sandbox.reason, "why");
    fill_event(CORE_TREE_SCANNED, &more);
    to_and_fro();
    cr_assert_eq(again.event.event.missing_count, 2);
    cr_assert_eq(again.event.event.missing[1].id.bytes[0], 2);
    cr_assert(again.event.event.here_count == 3 && again.event.event.chunk_count == 5);
    fill_event(CORE_LOGS_READ, &more);
    to_and_fro();
    cr_assert_eq(again.event.event.logs.length_bytes, 3);
    more.failed = true;
    more.logs_ended = true;
    fill_event(CORE_EXEC_DONE, &more);
    to_and_fro();
    cr_assert_eq(again.event.event.logs.length_bytes, 3);
    cr_assert(again.event.event.failed && again.event.event.logs_ended);
    cr_assert_str_eq(again.event.event.reason, "reason");
    fill_event(CORE_PORTS_REFUSED, &more);
    to_and_fro();
    cr_assert_eq(again.event.event.host_port, 31000);
    fill_event(CORE_SANDBOX_DOWN, &more);
    to_and_fro();
    cr_assert_str_eq(again.event.event.reason, "reason");
}

Test(recording, what_the_owner_says_and_what_is_sensed_come_back)
{
    struct owner_senses senses = {.input_ms = 77,
                                  .on_battery = OWNER_YES,
                                  .network_count = 1,
                                  .networks = {"home"},
                                  .zone = {-3600, 1, {{1790000000, -7200}}}};
    struct core_config config = {
        .overlay = {.storage_bytes_max = 11, .relay_port_first = 12, .relay_port_count = 13},
        .contribution = {1, 2, 3, 4},
        .storage_bytes = 14,
        .port_first = 15,
        .port_last = 16,
        .stores = true,
        .deny_count = 2,
        .deny = {{.id = {{5}}}, {.label = "gpu"}},
        .rules = {.count = 1}};

    (void)text_copy(config.rules.list[0].name, sizeof(config.rules.list[0].name), "office");
    cr_assert_eq(hours_parse("Mon-Fri 08:00-18:00", &config.rules.list[0].when.hours), 0);
    config.rules.list[0].when.programs = (struct owner_words){1, {"steam"}};
    config.rules.list[0].then = (struct owner_then){OWNER_DRAIN, 5, 6, 7, OWNER_NO_LIMIT, 8};
    fill_event(CORE_SENSED, &(struct core_event){.senses = &senses});
    to_and_fro();
    cr_assert_eq(memcmp(again.event.event.senses, &senses, sizeof(senses)), 0);
    fill_event(CORE_LINE, &(struct core_event){.line = {7, UINT64_MAX}});
    to_and_fro();
    cr_assert_eq(again.event.event.line.upload_bytes_per_s, 7);
    cr_assert_eq(again.event.event.line.download_bytes_per_s, UINT64_MAX);
    fill_event(CORE_DISK, &(struct core_event){.reason = "full"});
    to_and_fro();
    cr_assert_str_eq(again.event.event.reason, "full");
    fill_event(CORE_CONFIGURED, &(struct core_event){.config = &config});
    to_and_fro();
    cr_assert_eq(memcmp(again.event.event.config, &config, sizeof(config)), 0);
}

Test(recording, a_file_of_something_else_is_refused)
{
    struct bytes file = bytes_of_text("minga recording 1\n");

    cr_assert_eq(recording_open(&file), -EBADMSG);
    file = bytes_of_text(RECORDING_MAGIC "\x63\x01x");
    cr_assert_eq(recording_open(&file), 0);
    cr_assert_eq(recording_next(&file, &again), -EBADMSG);
}

/* ------------------------------------------------------------------ a core, and another one */

struct notes {
    uint32_t count;
    uint32_t next;
    struct signature list[NOTED_MAX];
};

static struct signature note(void *self, const struct secret_key *secret, const char *purpose,
                             struct bytes body)
{
    struct notes *notes = self;
    struct secret_key bare = *secret;

    bare.signer = NULL;
    cr_assert_lt(notes->count, NOTED_MAX);
    return notes->list[notes->count++] = keys_sign(&bare, purpose, body);
}

static struct signature give(void *self, const struct secret_key *secret, const char *purpose,
                             struct bytes body)
{
    struct notes *notes = self;
    static const uint8_t none[KEY_SEED_BYTES];

    (void)purpose;
    (void)body;
    cr_assert_eq(memcmp(secret->bytes, none, sizeof(none)), 0, "there is no secret");
    cr_assert_lt(notes->next, notes->count);
    return notes->list[notes->next++];
}

static void life(struct core *core, uint64_t *digests_out, struct core_effects *effects)
{
    minga_NodeRecord description = {.name = "elm", .manages = true};
    struct core_request describe = {.kind = CORE_DESCRIBE, .token = 5, .description = &description};
    struct core_event event = {.kind = CORE_REQUEST, .request = &describe};

    core_start(core, 1000, 1790000000, effects);
    digests_out[0] = effects_digest(effects);
    for (uint64_t i = 1; i < 20; i++) {
        event.now_ms = 1000 + 100 * i;
        event.wall_unix_s = 1790000000;
        core_step(core, &event, effects);
        digests_out[i] = effects_digest(effects);
        event.kind = CORE_TICK;
    }
}

Test(recording, a_core_without_the_secret_does_the_same_with_the_noted_signatures)
{
    struct core_effects *effects = calloc(1, sizeof(*effects));
    struct notes notes = {0};
    struct signer noting = {note, &notes};
    struct signer giving = {give, &notes};
    uint64_t digests[20];
    uint64_t digests_again[20];
    struct core *core;

    keys_from_seed((const uint8_t[KEY_SEED_BYTES]){3}, &entry.config.overlay.node_key);
    entry.kind = RECORDING_LIFE;
    entry.config.overlay.seed = 77;
    entry.config.runs = true;
    entry.config.port_first = 31000;
    entry.config.port_last = 31009;
    to_and_fro();
    entry.config.overlay.node_key.signer = &noting;
    core = core_new(&entry.config);
    life(core, digests, effects);
    core_free(core);
    cr_assert_gt(notes.count, 0, "it says who it is");
    again.config.overlay.node_key.signer = &giving;
    core = core_new(&again.config);
    life(core, digests_again, effects);
    core_free(core);
    cr_assert_eq(notes.next, notes.count);
    cr_assert_eq(memcmp(digests, digests_again, sizeof(digests)), 0);
    free(effects);
}

Test(recording, the_digest_sees_each_byte_of_a_message)
{
    struct core_effects *effects = calloc(1, sizeof(*effects));
    uint8_t message[] = "message";
    struct overlay_effect send = {.kind = OVERLAY_SEND, .message = {message, sizeof(message)}};
    uint64_t before;

    effects->count = 1;
    effects->list[0].kind = CORE_IO;
    effects->list[0].overlay = &send;
    before = effects_digest(effects);
    cr_assert_eq(effects_digest(effects), before);
    message[3] ^= 1;
    cr_assert_neq(effects_digest(effects), before);
    free(effects);
}
