// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/units.h"

enum {
    LINE_BYTES_MAX = 1024,
    WORDS_MAX = 16,
    FIRST_PUSH_MS = 4000, /* the community stands by then */
};

/* Which words follow the name, in this order. */
enum { NODE = 1, OTHER = 2, GROUP = 4, SERVICE = 8, VALUE = 16, FOR = 32, LAW = 64 };

static const struct fault_form {
    const char *name;
    unsigned words;
} forms[] = {
    [FAULT_CRASH] = {"crash", NODE | FOR},
    [FAULT_OFF] = {"off", NODE},
    [FAULT_WIPE] = {"wipe", NODE | FOR},
    [FAULT_KILL] = {"kill", NODE | FOR},
    [FAULT_KILL_AGENT] = {"kill-agent", NODE | FOR},
    [FAULT_CUT] = {"cut", NODE | FOR},
    [FAULT_PARTITION] = {"partition", GROUP | FOR},
    [FAULT_ONE_WAY] = {"one-way", NODE | OTHER | FOR},
    [FAULT_BRIDGE] = {"bridge", NODE | GROUP | FOR},
    [FAULT_MUTE] = {"mute", GROUP | FOR},
    [FAULT_LOSSY] = {"lossy", VALUE | FOR},
    [FAULT_DUPLICATE] = {"duplicate", VALUE | FOR},
    [FAULT_REORDER] = {"reorder", VALUE | FOR},
    [FAULT_CORRUPT] = {"corrupt", VALUE | FOR},
    [FAULT_HIGH_WATER] = {"high-water", VALUE | FOR},
    [FAULT_LATE_NEWS] = {"late-news", VALUE | FOR},
    [FAULT_CLOG] = {"clog", NODE | OTHER | FOR},
    [FAULT_SWIZZLE] = {"swizzle", GROUP | FOR},
    [FAULT_STALL] = {"stall", NODE | FOR},
    [FAULT_SLEEP] = {"sleep", NODE | FOR},
    [FAULT_SLEEP_ALL] = {"sleep-all", FOR},
    [FAULT_WALL_FORWARD] = {"wall-forward", NODE | VALUE | FOR},
    [FAULT_WALL_BACK] = {"wall-back", NODE | VALUE | FOR},
    [FAULT_FAST_CLOCK] = {"fast-clock", NODE | VALUE | FOR},
    [FAULT_SLOW_CLOCK] = {"slow-clock", NODE | VALUE | FOR},
    [FAULT_SLOW_DISK] = {"slow-disk", NODE | VALUE | FOR},
    [FAULT_DISK_FULL] = {"disk-full", NODE | FOR},
    [FAULT_BAD_WRITE] = {"bad-write", NODE | VALUE | FOR},
    [FAULT_BAD_READ] = {"bad-read", NODE | VALUE | FOR},
    [FAULT_ROT] = {"rot", NODE},
    [FAULT_CRASH_WRITE] = {"crash-write", NODE | VALUE | FOR},
    [FAULT_OLD_DISK] = {"old-disk", NODE | VALUE | FOR},
    [FAULT_RANDOM_STATE] = {"random-state", NODE},
    [FAULT_CLONE] = {"clone", NODE | OTHER | FOR},
    [FAULT_CHURN] = {"churn", LAW | VALUE | FOR},
    [FAULT_GARBLE] = {"garble", NODE | VALUE | FOR},
    [FAULT_LIE] = {"lie", NODE | VALUE | FOR},
    [FAULT_LIE_RING] = {"lie-ring", NODE | VALUE | FOR},
    [FAULT_LIE_OWNER] = {"lie-owner", NODE | FOR},
    [FAULT_WITHHOLD] = {"withhold", NODE | VALUE | FOR},
    [FAULT_ALTER] = {"alter", NODE | VALUE | FOR},
    [FAULT_REPLAY] = {"replay", NODE | VALUE | FOR},
    [FAULT_FALSE_DEATH] = {"false-death", NODE | OTHER | FOR},
    [FAULT_FALSE_EXPEL] = {"false-expel", NODE | OTHER | FOR},
    [FAULT_INTRUDE] = {"intrude", NODE | VALUE},
    [FAULT_REVOKE] = {"revoke", 0},
    [FAULT_END_REPLICA] = {"end-replica", NODE | VALUE},
    [FAULT_SICKEN] = {"sicken", NODE | VALUE},
    [FAULT_REFUSE_STARTS] = {"refuse-starts", NODE | FOR},
    [FAULT_PAUSE] = {"pause", NODE | FOR},
    [FAULT_DRAIN] = {"drain", NODE | FOR},
    [FAULT_SHUT_DOWN] = {"shut-down", NODE | FOR},
    [FAULT_BACK_SOON] = {"back-soon", NODE | FOR},
    [FAULT_ASIDE] = {"aside", NODE | FOR},
    [FAULT_LEAVE] = {"leave", NODE},
    [FAULT_JOIN] = {"join", NODE},
    [FAULT_EXPEL] = {"expel", NODE},
    [FAULT_PUSH] = {"push", SERVICE},
    [FAULT_START] = {"start", SERVICE},
    [FAULT_STOP] = {"stop", SERVICE},
    [FAULT_SCALE] = {"scale", SERVICE | VALUE},
    [FAULT_REMOVE] = {"remove", SERVICE},
    [FAULT_UPDATE] = {"update", SERVICE},
    [FAULT_WIPE_WRITER] = {"wipe-writer", SERVICE | FOR},
    [FAULT_WIPE_HOLDERS] = {"wipe-holders", SERVICE | FOR},
    [FAULT_PICK_HOLDER] = {"pick-holder", SERVICE | VALUE},
    [FAULT_PICK_MANAGER] = {"pick-manager", SERVICE | VALUE},
    [FAULT_PICK_BYSTANDER] = {"pick-bystander", SERVICE | VALUE},
    [FAULT_EXPECT] = {"expect", SERVICE | VALUE | FOR},
    [FAULT_EXPECT_ON] = {"expect-on", NODE | SERVICE | VALUE | FOR},
    [FAULT_AT_LEAST] = {"at-least", SERVICE | VALUE | FOR},
    [FAULT_NO_START] = {"no-start", SERVICE | FOR},
    [FAULT_EXPECT_DOWN] = {"expect-down", NODE | FOR},
    [FAULT_NEVER_DOWN] = {"never-down", NODE | FOR},
};
static const char *const laws[CHURN_LAW_COUNT] = {"seti", "ipfs"};
_Static_assert(ARRAY_COUNT(forms) == FAULT_KIND_COUNT, "one form per kind");

bool fault_has_node(const struct fault *fault, uint32_t node)
{
    return (fault->group[node / 64] >> (node % 64) & 1) != 0;
}

uint64_t schedule_push_ms(const struct schedule *schedule, uint32_t service)
{
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        if (schedule->faults[i].kind == FAULT_PUSH && schedule->faults[i].service == service) {
            return schedule->faults[i].at_ms;
        }
    }
    return FIRST_PUSH_MS;
}

/* ------------------------------------------------------------------ printing */

static void print_node(uint32_t node, FILE *file)
{
    if (node >= SIM_PICKED) {
        fprintf(file, " $%u", node - SIM_PICKED);
    } else {
        fprintf(file, " %u", node);
    }
}

static void print_group(const struct fault *fault, FILE *file)
{
    const char *before = " ";

    for (uint32_t node = 0; node < SIM_NODES_MAX; node++) {
        if (fault_has_node(fault, node)) {
            fprintf(file, "%s%u", before, node);
            before = ",";
        }
    }
}

void schedule_print_fault(const struct fault *fault, FILE *file)
{
    unsigned words = forms[fault->kind].words;

    fprintf(file, "at %" PRIu64 " %s", fault->at_ms, forms[fault->kind].name);
    if ((words & NODE) != 0) {
        print_node(fault->node, file);
    }
    if ((words & OTHER) != 0) {
        print_node(fault->other, file);
    }
    if ((words & GROUP) != 0) {
        print_group(fault, file);
    }
    if ((words & SERVICE) != 0) {
        fprintf(file, " s%u", fault->service);
    }
    if ((words & LAW) != 0) {
        fprintf(file, " %s", laws[fault->law]);
    }
    if ((words & VALUE) != 0) {
        fprintf(file, " %" PRIu64, fault->value);
    }
    if ((words & FOR) != 0) {
        fprintf(file, " for %" PRIu64, fault->for_ms);
    }
    fprintf(file, "\n");
}

void schedule_print(const struct schedule *schedule, FILE *file)
{
    fprintf(file, "seed %" PRIu64 "\nnodes %u\nmembers %u\n", schedule->seed, schedule->nodes,
            schedule->members);
    fprintf(file, "latency %" PRIu64 "\nloss %" PRIu64 "\nskew %" PRIu64 "\n", schedule->latency_ms,
            schedule->loss_permille, schedule->skew_s);
    fprintf(file, "mixed %" PRIu64 "\n", schedule->mixed);
    if (schedule->reach != 0) {
        fprintf(file, "reach 1\nleaves %" PRIu64 "\n", schedule->leaves);
    }
    if (schedule->uses != 0) {
        fprintf(file, "uses %" PRIu64 "\n", schedule->uses);
    }
    if (schedule->full_members != 0) {
        fprintf(file, "full-members %" PRIu64 "\n", schedule->full_members);
    }
    fprintf(file, "calm %" PRIu64 "\nconverge %" PRIu64 "\n", schedule->calm_ms,
            schedule->converge_ms);
    for (uint32_t i = 0; i < schedule->service_count; i++) {
        fprintf(file, "service %u %u\n", schedule->services[i].replicas,
                schedule->services[i].started ? 1U : 0U);
    }
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        schedule_print_fault(&schedule->faults[i], file);
    }
}

/* ------------------------------------------------------------------ parsing */

struct words {
    char *list[WORDS_MAX];
    uint32_t count;
    uint32_t next;
};

static void split(char *line, struct words *words)
{
    char *rest = line;
    char *word;

    *words = (struct words){0};
    while (words->count < WORDS_MAX && (word = strsep(&rest, " \t\n")) != NULL) {
        if (*word == '#') {
            break;
        }
        if (*word != '\0') {
            words->list[words->count++] = word;
        }
    }
}

static const char *next_word(struct words *words)
{
    return words->next < words->count ? words->list[words->next++] : "";
}

static int parse_number(const char *word, uint64_t number_max, uint64_t *number_out)
{
    uint64_t number = 0;

    if (units_parse_number(word, &number) != 0 || number > number_max) {
        return -EINVAL;
    }
    *number_out = number;
    return 0;
}

static int parse_node(const char *word, uint32_t *node_out)
{
    uint64_t number = 0;
    bool is_pick = word[0] == '$';

    if (parse_number(is_pick ? word + 1 : word, is_pick ? SIM_PICKS_MAX - 1 : SIM_NODES_MAX - 1,
                     &number) != 0) {
        return -EINVAL;
    }
    *node_out = (uint32_t)number + (is_pick ? SIM_PICKED : 0);
    return 0;
}

static int parse_group(char *word, struct fault *fault)
{
    char *rest = word;
    char *part;

    while ((part = strsep(&rest, ",")) != NULL) {
        uint64_t number = 0;

        if (parse_number(part, SIM_NODES_MAX - 1, &number) != 0) {
            return -EINVAL;
        }
        fault->group[number / 64] |= UINT64_C(1) << (number % 64);
    }
    return 0;
}

static int parse_service(const char *word, uint32_t *service_out)
{
    uint64_t number = 0;

    if (word[0] != 's' || parse_number(word + 1, SIM_SERVICES_MAX - 1, &number) != 0) {
        return -EINVAL;
    }
    *service_out = (uint32_t)number;
    return 0;
}

static int parse_law(const char *word, enum churn_law *law_out)
{
    for (uint32_t law = 0; law < CHURN_LAW_COUNT; law++) {
        if (strcmp(word, laws[law]) == 0) {
            *law_out = (enum churn_law)law;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_fault_words(unsigned wanted, struct words *words, struct fault *fault)
{
    int failed = 0;

    if ((wanted & NODE) != 0) {
        failed |= parse_node(next_word(words), &fault->node);
    }
    if ((wanted & OTHER) != 0) {
        failed |= parse_node(next_word(words), &fault->other);
    }
    if ((wanted & GROUP) != 0) {
        if (words->next >= words->count) {
            return -EINVAL;
        }
        failed |= parse_group(words->list[words->next++], fault);
    }
    if ((wanted & SERVICE) != 0) {
        failed |= parse_service(next_word(words), &fault->service);
    }
    if ((wanted & LAW) != 0) {
        failed |= parse_law(next_word(words), &fault->law);
    }
    if ((wanted & VALUE) != 0) {
        failed |= parse_number(next_word(words), UINT32_MAX, &fault->value);
    }
    if ((wanted & FOR) != 0) {
        failed |= strcmp(next_word(words), "for") == 0 ? 0 : -EINVAL;
        failed |= parse_number(next_word(words), UINT32_MAX, &fault->for_ms);
    }
    return failed != 0 || words->next != words->count ? -EINVAL : 0;
}

static int parse_fault(struct words *words, struct schedule *schedule)
{
    struct fault fault = {0};
    const char *name;

    if (schedule->fault_count == SIM_FAULTS_MAX ||
        parse_number(next_word(words), UINT32_MAX, &fault.at_ms) != 0) {
        return -EINVAL;
    }
    name = next_word(words);
    for (uint32_t kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (strcmp(forms[kind].name, name) == 0) {
            fault.kind = (enum fault_kind)kind;
            if (parse_fault_words(forms[kind].words, words, &fault) != 0) {
                return -EINVAL;
            }
            schedule->faults[schedule->fault_count++] = fault;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_service_line(struct words *words, struct schedule *schedule)
{
    uint64_t replicas = 0;
    uint64_t started = 0;

    if (schedule->service_count == SIM_SERVICES_MAX ||
        parse_number(next_word(words), 32, &replicas) != 0 ||
        parse_number(next_word(words), 1, &started) != 0) {
        return -EINVAL;
    }
    schedule->services[schedule->service_count++] =
        (struct schedule_service){(uint32_t)replicas, started == 1};
    return 0;
}

static int parse_line(struct words *words, struct schedule *schedule)
{
    const char *key = next_word(words);
    uint64_t nodes = schedule->nodes;
    uint64_t members = schedule->members;
    const struct {
        const char *name;
        uint64_t *value;
        uint64_t value_max;
    } numbers[] = {
        {"seed", &schedule->seed, UINT64_MAX},    {"nodes", &nodes, SIM_NODES_MAX},
        {"members", &members, SIM_NODES_MAX},     {"latency", &schedule->latency_ms, 1000},
        {"loss", &schedule->loss_permille, 1000}, {"skew", &schedule->skew_s, 100000},
        {"mixed", &schedule->mixed, 1},           {"full-members", &schedule->full_members, 512},
        {"reach", &schedule->reach, 1},           {"leaves", &schedule->leaves, SIM_NODES_MAX},
        {"calm", &schedule->calm_ms, UINT32_MAX}, {"converge", &schedule->converge_ms, UINT32_MAX},
        {"uses", &schedule->uses, 1000},
    };

    if (strcmp(key, "at") == 0) {
        return parse_fault(words, schedule);
    }
    if (strcmp(key, "service") == 0) {
        return parse_service_line(words, schedule);
    }
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (strcmp(key, numbers[i].name) == 0) {
            int result = parse_number(next_word(words), numbers[i].value_max, numbers[i].value);

            schedule->nodes = (uint32_t)nodes;
            schedule->members = (uint32_t)members;
            return result;
        }
    }
    return -EINVAL;
}

int schedule_parse(FILE *file, const char *name, struct schedule *schedule_out, struct err *err)
{
    char line[LINE_BYTES_MAX];
    struct schedule schedule = {.nodes = 5, .latency_ms = 5, .calm_ms = 60000};
    struct words words;

    schedule.converge_ms = 40000;
    for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
        split(line, &words);
        if (words.count > 0 && parse_line(&words, &schedule) != 0) {
            return err_set(err, -EINVAL, "%s:%d: not a line of a schedule", name, number);
        }
    }
    if (schedule.members == 0 || schedule.members > schedule.nodes) {
        schedule.members = schedule.nodes;
    }
    *schedule_out = schedule;
    return 0;
}
