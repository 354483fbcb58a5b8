// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/senses.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/owner/local_zone.h"
#include "agent/mingad/owner/sense_bus.h"
#include "agent/mingad/owner/sense_files.h"
#include "agent/mingad/pool.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"

enum {
    LOOK_MS = 3000,
    AVERAGE_MS = 60000, /* of the load of others */
    ZONE_S = 60,
    PROGRAMS_FRESH_MS = 3 * LOOK_MS, /* what the helper said counts for so long */
    PROGRAMS_ASKED_MIN = 3,
};

/* Runs on a worker thread, touches nothing but itself. */
struct look {
    struct pool_job pool; /* first */
    struct senses *senses;
    char root[SENSE_ROOT_BYTES_MAX];
    bool is_real;  /* the machine, not a test's folder: there is a bus to ask */
    uint32_t asks; /* enum owner_asks */
    struct owner_rules rules;
    uint64_t unix_s;
    struct owner_senses found;
    struct sense_bus bus;
    struct sense_cpu cpu;
    uint64_t terminals_unix_ms;
    uint64_t input_count;
    bool sees_programs;
    bool is_told_programs; /* by the helper */
    struct sandbox_programs programs;
};

struct senses {
    struct edge *edge;
    uv_timer_t timer;
    bool is_closed;
    bool is_looking;
    bool again;       /* the rules, or what the helper says, have changed meanwhile */
    bool is_outdated; /* it looks for rules that are not in force any more */
    bool has_told;    /* since the rules are what they are */
    bool has_warned;
    struct look look;
    uint32_t programs_asked_count;
    uint64_t programs_ms; /* when the helper last said which programs run; 0: never */
    struct sandbox_programs programs;
    struct owner_senses told;
    uint64_t input_ms;    /* the last use that is known */
    uint64_t input_count; /* as last seen; 0: not yet */
    struct sense_cpu cpu;
    uint64_t cpu_ms;
    uint64_t own_us; /* mingad's own time */
    double others;   /* the average share, 0 to 1 */
};

static bool asks_for(const struct look *look, enum owner_asks what)
{
    return (look->asks & (uint32_t)what) != 0;
}

/* ------------------------------------------------------------------ on a worker thread */

static void look_at_programs(struct look *look)
{
    if (!look->is_told_programs) {
        sense_programs(look->root, &look->rules, &look->found);
        look->sees_programs = sense_sees_programs(look->root);
        return;
    }
    look->sees_programs = true;
    for (uint32_t i = 0; i < look->programs.count; i++) {
        sense_note_program(&look->rules, look->programs.names[i], &look->found);
    }
}

static void run_look(struct pool_job *pool)
{
    struct look *look = (struct look *)pool;
    struct owner_senses *found = &look->found;

    memset(found, 0, sizeof(*found));
    memset(&look->bus, 0, sizeof(look->bus));
    found->battery_percent = UINT32_MAX;
    found->metered = OWNER_NO;
    local_zone_look(look->unix_s, &found->zone); /* hours may come with a reload, and act at once */
    if (asks_for(look, OWNER_ASKS_POWER)) {
        sense_power(look->root, found);
    }
    if (asks_for(look, OWNER_ASKS_HEAT)) {
        sense_heat(look->root, found);
    }
    if (asks_for(look, OWNER_ASKS_NETWORKS)) {
        sense_interfaces(look->root, found);
    }
    if (asks_for(look, OWNER_ASKS_PROGRAMS)) {
        look_at_programs(look);
    }
    if (asks_for(look, OWNER_ASKS_INPUT)) {
        look->terminals_unix_ms = sense_terminals_unix_ms(look->root);
        look->input_count = sense_input_count(look->root);
    }
    if (asks_for(look, OWNER_ASKS_BUSY)) {
        look->cpu = sense_cpu(look->root);
    }
    if (look->is_real &&
        (asks_for(look, OWNER_ASKS_INPUT) || asks_for(look, OWNER_ASKS_NETWORKS))) {
        sense_bus(asks_for(look, OWNER_ASKS_INPUT), asks_for(look, OWNER_ASKS_NETWORKS), &look->bus,
                  found);
        found->metered = look->bus.metered;
    }
}

/* ------------------------------------------------------------------ on the loop */

static void used_at(struct senses *senses, uint64_t at_ms)
{
    senses->input_ms = at_ms > senses->input_ms ? at_ms : senses->input_ms;
}

/* An instant of the wall clock on ours; what lies ahead of it is now. */
static void used_at_unix(struct senses *senses, uint64_t unix_ms, uint64_t now_ms)
{
    uint64_t wall_ms = clock_wall_unix_s() * 1000;
    uint64_t ago_ms = wall_ms > unix_ms ? wall_ms - unix_ms : 0;

    if (unix_ms != 0 && ago_ms < now_ms) {
        used_at(senses, now_ms - ago_ms);
    }
}

static void take_input(struct senses *senses, const struct look *look, uint64_t now_ms)
{
    if (look->bus.is_used ||
        (senses->input_count != 0 && look->input_count != senses->input_count)) {
        used_at(senses, now_ms);
    }
    senses->input_count = look->input_count;
    used_at_unix(senses, look->bus.idle_since_unix_ms, now_ms);
    used_at_unix(senses, look->terminals_unix_ms, now_ms);
}

static uint64_t own_us(void)
{
    struct rusage usage;

    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* The share of all cores that the community takes: replicas, as last measured, and mingad. */
static double own_share(struct senses *senses, uint64_t passed_ms)
{
    struct node_status status;
    uint64_t spent_us = own_us();
    uint64_t since_us = spent_us - senses->own_us;
    double cores = (double)senses->edge->machine.cpu_permille / 1000;

    core_node_status(senses->edge->core, &status);
    senses->own_us = spent_us;
    return ((double)status.used.cpu_permille / 1000 + (double)since_us / 1000 / (double)passed_ms) /
           cores;
}

/* A moving average, so that a compiler's short run is none. */
static void take_busy(struct senses *senses, const struct look *look, uint64_t now_ms)
{
    uint64_t all_ticks = look->cpu.all_ticks - senses->cpu.all_ticks;
    uint64_t passed_ms = now_ms - senses->cpu_ms;

    if (senses->cpu_ms != 0 && look->cpu.all_ticks > senses->cpu.all_ticks && passed_ms > 0) {
        double busy = (double)(look->cpu.busy_ticks - senses->cpu.busy_ticks) / (double)all_ticks;
        double others = busy - own_share(senses, passed_ms);
        double weight = passed_ms < AVERAGE_MS ? (double)passed_ms / AVERAGE_MS : 1;

        others = others < 0 ? 0 : others;
        senses->others += (others - senses->others) * weight;
    } else {
        senses->own_us = own_us();
    }
    senses->cpu = look->cpu;
    senses->cpu_ms = now_ms;
}

static void tell(struct senses *senses, const struct owner_senses *found)
{
    struct core_event event = {.kind = CORE_SENSED, .senses = &senses->told};

    /* Both were zeroed before they were filled in. */
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
    if (senses->has_told && memcmp(found, &senses->told, sizeof(*found)) == 0) {
        return;
    }
    senses->told = *found;
    senses->has_told = true;
    edge_event(senses->edge, &event);
}

/* Another execution environment than minga-sandboxd is not asked; nor for a test's folder. */
static bool asks_helper(const struct senses *senses)
{
    return asks_for(&senses->look, OWNER_ASKS_PROGRAMS) && senses->look.is_real &&
           senses->edge->config.environment[0] == '\0';
}

/* Nothing is told before the helper had its time to say which programs run: what an earlier mingad
 * has frozen for one of them would run until then. */
static bool waits_for_helper(const struct senses *senses)
{
    return !senses->has_told && asks_helper(senses) && !senses->look.sees_programs &&
           senses->programs_asked_count < PROGRAMS_ASKED_MIN;
}

static void warn_once(struct senses *senses, const struct look *look)
{
    bool is_early =
        senses->programs_asked_count < PROGRAMS_ASKED_MIN; /* the helper may answer yet */

    if (asks_for(look, OWNER_ASKS_PROGRAMS) && !look->sees_programs && !is_early &&
        !senses->has_warned) {
        senses->has_warned = true;
        log_warning("rules: the programs of others cannot be seen from here, so when.programs "
                    "never holds: minga-sandboxd, which sees them, does not answer");
    }
}

static void begin(struct senses *senses);

static void looked(struct pool_job *pool)
{
    struct look *look = (struct look *)pool;
    struct senses *senses = look->senses;
    uint64_t now_ms = clock_now_ms();

    senses->is_looking = false;
    if (senses->is_closed || senses->edge->phase == EDGE_CLOSING) {
        return;
    }
    if (asks_for(look, OWNER_ASKS_INPUT)) {
        take_input(senses, look, now_ms);
        look->found.input_ms = senses->input_ms;
    }
    if (asks_for(look, OWNER_ASKS_BUSY)) {
        take_busy(senses, look, now_ms);
        look->found.others_permille = (uint32_t)(senses->others * 1000);
    }
    warn_once(senses, look);
    if (!senses->is_outdated && !waits_for_helper(senses)) {
        tell(senses, &look->found);
    }
    senses->is_outdated = false;
    if (senses->again) {
        begin(senses);
    }
}

static void ask_helper(struct senses *senses)
{
    struct look *look = &senses->look;

    look->is_told_programs =
        senses->programs_ms != 0 && clock_now_ms() < senses->programs_ms + PROGRAMS_FRESH_MS;
    look->programs = senses->programs;
    if (asks_helper(senses)) {
        senses->programs_asked_count++;
        sandbox_link_programs(senses->edge->sandbox);
    }
}

void senses_programs(struct senses *senses, const struct sandbox_programs *running)
{
    bool is_news;

    if (senses == NULL || senses->is_closed) {
        return;
    }
    is_news = senses->programs_ms == 0 || memcmp(&senses->programs, running, sizeof(*running)) != 0;
    senses->programs = *running;
    senses->programs_ms = clock_now_ms();
    if (is_news) {
        begin(senses);
    }
}

static void begin(struct senses *senses)
{
    struct look *look = &senses->look;

    if (senses->is_looking || senses->is_closed) {
        senses->again = true;
        return;
    }
    senses->again = false;
    look->rules = senses->edge->contribution.rules;
    look->asks = owner_rules_ask(&look->rules);
    if (look->rules.count == 0) {
        return;
    }
    ask_helper(senses);
    look->unix_s = clock_wall_unix_s() / ZONE_S * ZONE_S; /* so that the zone stays the same */
    senses->is_looking = true;
    pool_start(&senses->edge->loop, &look->pool, run_look, looked);
}

static void on_timer(uv_timer_t *timer)
{
    begin(timer->data);
}

struct senses *senses_new(struct edge *edge, const char *root)
{
    struct senses *senses = calloc(1, sizeof(*senses));

    if (senses == NULL || uv_timer_init(&edge->loop, &senses->timer) < 0 ||
        text_copy(senses->look.root, sizeof(senses->look.root), root == NULL ? "" : root) < 0) {
        free(senses);
        return NULL;
    }
    senses->edge = edge;
    senses->look.senses = senses;
    senses->look.is_real = root == NULL;
    senses->timer.data = senses;
    return senses;
}

void senses_rules(struct senses *senses)
{
    if (senses == NULL || senses->is_closed) {
        return;
    }
    senses->has_warned = false;
    senses->has_told = false; /* who has other rules by now waits for what they ask for */
    senses->is_outdated = senses->is_looking;
    if (senses->edge->contribution.rules.count == 0) {
        uv_timer_stop(&senses->timer);
        return;
    }
    begin(senses);
    uv_timer_start(&senses->timer, on_timer, LOOK_MS, LOOK_MS);
}

void senses_close(struct senses *senses)
{
    if (senses != NULL && !senses->is_closed) {
        senses->is_closed = true;
        uv_timer_stop(&senses->timer);
        uv_close((uv_handle_t *)&senses->timer, NULL);
    }
}

void senses_free(struct senses *senses)
{
    if (senses != NULL) {
        CHECK(!senses->is_looking);
        free(senses);
    }
}
