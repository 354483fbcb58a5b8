// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/core/recording_owner.h"

static void code_hours(struct codec *codec, struct hours *hours)
{
    hours->count = codec_upto(codec, hours->count, HOURS_SPANS_MAX);
    for (uint32_t i = 0; i < hours->count; i++) {
        struct hours_span *span = &hours->spans[i];

        span->begin_minute = codec_upto(codec, span->begin_minute, WEEK_MINUTES - 1);
        span->length_minutes = codec_upto(codec, span->length_minutes, WEEK_MINUTES);
    }
}

static void code_truth(struct codec *codec, enum owner_truth *truth)
{
    *truth = (enum owner_truth)codec_upto(codec, (uint32_t)*truth, OWNER_NO);
}

static void code_words(struct codec *codec, struct owner_words *words)
{
    words->count = codec_upto(codec, words->count, OWNER_WORDS_MAX);
    for (uint32_t i = 0; i < words->count; i++) {
        codec_text(codec, words->list[i], sizeof(words->list[i]));
    }
}

static void code_when(struct codec *codec, struct owner_when *when)
{
    code_hours(codec, &when->hours);
    codec_u64(codec, &when->in_use_ms);
    codec_u64(codec, &when->idle_ms);
    codec_u32(codec, &when->busy_permille);
    code_truth(codec, &when->on_battery);
    codec_u32(codec, &when->battery_below_percent);
    code_truth(codec, &when->metered);
    code_words(codec, &when->networks);
    code_words(codec, &when->not_networks);
    codec_u32(codec, &when->hotter_than_celsius);
    code_words(codec, &when->programs);
}

static void code_then(struct codec *codec, struct owner_then *then)
{
    then->mode = (enum owner_mode)codec_upto(codec, (uint32_t)then->mode, OWNER_FREEZE);
    codec_u64(codec, &then->within_ms);
    codec_u64(codec, &then->cpu_permille);
    codec_u64(codec, &then->memory_bytes);
    codec_u64(codec, &then->upload_bytes_per_s);
    codec_u64(codec, &then->download_bytes_per_s);
}

static void code_rules(struct codec *codec, struct owner_rules *rules)
{
    rules->count = codec_upto(codec, rules->count, OWNER_RULES_MAX);
    for (uint32_t i = 0; i < rules->count; i++) {
        codec_text(codec, rules->list[i].name, sizeof(rules->list[i].name));
        code_when(codec, &rules->list[i].when);
        code_then(codec, &rules->list[i].then);
    }
}

static void code_guests(struct codec *codec, uint32_t *count,
                        struct core_guest list[CORE_GUESTS_MAX])
{
    *count = codec_upto(codec, *count, CORE_GUESTS_MAX);
    for (uint32_t i = 0; i < *count; i++) {
        codec_id(codec, &list[i].id);
        codec_text(codec, list[i].label, sizeof(list[i].label));
    }
}

void recording_code_terms(struct codec *codec, struct core_config *config)
{
    recording_code_limits(codec, &config->contribution);
    codec_u64(codec, &config->overlay.storage_bytes_max);
    codec_u16(codec, &config->overlay.relay_port_first);
    codec_u16(codec, &config->overlay.relay_port_count);
    codec_u64(codec, &config->storage_bytes);
    codec_u16(codec, &config->port_first);
    codec_u16(codec, &config->port_last);
    codec->failed =
        codec->failed || config->port_first == 0 || config->port_first > config->port_last;
    codec_bool(codec, &config->runs);
    codec_bool(codec, &config->stores);
    codec_bool(codec, &config->manages);
    codec_u64(codec, &config->overlay.upload_bytes_per_s);
    codec_u64(codec, &config->overlay.download_bytes_per_s);
    codec_u32(codec, &config->connections_max);
    codec_bool(codec, &config->egress);
    code_guests(codec, &config->allow_count, config->allow);
    code_guests(codec, &config->deny_count, config->deny);
    code_rules(codec, &config->rules);
}

static void code_sensed_words(struct codec *codec, uint32_t *count,
                              char list[OWNER_SENSED_WORDS_MAX][OWNER_WORD_CHARS_MAX + 1])
{
    *count = codec_upto(codec, *count, OWNER_SENSED_WORDS_MAX);
    for (uint32_t i = 0; i < *count; i++) {
        codec_text(codec, list[i], OWNER_WORD_CHARS_MAX + 1);
    }
}

static void code_zone(struct codec *codec, struct local_zone *zone)
{
    uint32_t offset_s = (uint32_t)zone->offset_s;

    codec_u32(codec, &offset_s);
    zone->offset_s = (int32_t)offset_s;
    zone->change_count = codec_upto(codec, zone->change_count, ZONE_CHANGES_MAX);
    for (uint32_t i = 0; i < zone->change_count; i++) {
        offset_s = (uint32_t)zone->changes[i].offset_s;
        codec_u64(codec, &zone->changes[i].at_unix_s);
        codec_u32(codec, &offset_s);
        zone->changes[i].offset_s = (int32_t)offset_s;
    }
}

void recording_code_senses(struct codec *codec, struct owner_senses *senses)
{
    codec_u64(codec, &senses->input_ms);
    codec_u32(codec, &senses->others_permille);
    code_truth(codec, &senses->on_battery);
    codec_u32(codec, &senses->battery_percent);
    code_truth(codec, &senses->metered);
    codec_u32(codec, &senses->celsius);
    code_sensed_words(codec, &senses->network_count, senses->networks);
    code_sensed_words(codec, &senses->program_count, senses->programs);
    code_zone(codec, &senses->zone);
}
