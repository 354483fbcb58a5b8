// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/owner/sense_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/cleanup.h"

enum {
    TEXT_BYTES_MAX = 16384, /* of a file; what is longer is cut */
    COMM_CHARS_MAX = 15,    /* the kernel's names of processes */
    CELSIUS_MAX = 200,      /* a sensor that says more is broken */
};

/* ------------------------------------------------------------------ small files */

static int open_at(const char *root, const char *path, int flags)
{
    char full[PATH_MAX];
    int chars = snprintf(full, sizeof(full), "%s%s", root, path);

    return chars < (int)sizeof(full) ? open(full, flags | O_CLOEXEC) : -ENAMETOOLONG;
}

/* The text without its last newline; "" when there is none. */
static void read_text(int folder_fd, const char *name, char *text_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_close)
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t used_bytes = 0;

    while (fd >= 0 && used_bytes < capacity_bytes - 1) {
        ssize_t count_bytes = read(fd, text_out + used_bytes, capacity_bytes - 1 - used_bytes);

        if (count_bytes <= 0) {
            break;
        }
        used_bytes += (size_t)count_bytes;
    }
    if (used_bytes > 0 && text_out[used_bytes - 1] == '\n') {
        used_bytes--;
    }
    text_out[used_bytes] = '\0';
}

static void read_path(const char *root, const char *path, char *text_out, size_t capacity_bytes)
{
    char full[PATH_MAX];

    text_out[0] = '\0';
    if (snprintf(full, sizeof(full), "%s%s", root, path) < (int)sizeof(full)) {
        read_text(AT_FDCWD, full, text_out, capacity_bytes);
    }
}

/* Calls `look` for each entry of a folder, with a descriptor of the folder. */
static void each_entry(const char *root, const char *path,
                       void (*look)(int folder_fd, const char *name, void *context), void *context)
{
    CLEANUP(cleanup_close) int fd = open_at(root, path, O_RDONLY | O_DIRECTORY);
    int copy_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CLEANUP(cleanup_closedir) DIR *folder = copy_fd < 0 ? NULL : fdopendir(copy_fd);
    const struct dirent *entry;

    if (folder == NULL) {
        cleanup_close(&copy_fd);
        return;
    }
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of a folder of our own
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            look(fd, entry->d_name, context);
        }
    }
}

static void read_inside(int folder_fd, const char *entry, const char *file, char *text_out,
                        size_t capacity_bytes)
{
    char path[2 * NAME_MAX + 2];

    text_out[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/%s", entry, file) < (int)sizeof(path)) {
        read_text(folder_fd, path, text_out, capacity_bytes);
    }
}

/* ------------------------------------------------------------------ power and heat */

struct power {
    bool has_mains;
    bool mains_online;
    bool has_battery;
    bool is_discharging;
    uint32_t percent; /* of the emptiest */
};

static void look_at_supply(int folder_fd, const char *name, void *context)
{
    struct power *power = context;
    char type[32];
    char text[32];

    read_inside(folder_fd, name, "scope", text, sizeof(text));
    if (strcmp(text, "Device") == 0) { /* a mouse's battery */
        return;
    }
    read_inside(folder_fd, name, "type", type, sizeof(type));
    if (strcmp(type, "Battery") == 0) {
        read_inside(folder_fd, name, "status", text, sizeof(text));
        power->has_battery = true;
        power->is_discharging = power->is_discharging || strcmp(text, "Discharging") == 0;
        read_inside(folder_fd, name, "capacity", text, sizeof(text));
        if (text[0] >= '0' && text[0] <= '9') {
            unsigned long percent = strtoul(text, NULL, 10);

            power->percent = percent < power->percent ? (uint32_t)percent : power->percent;
        }
    } else if (type[0] != '\0') { /* Mains, USB, Wireless */
        read_inside(folder_fd, name, "online", text, sizeof(text));
        power->has_mains = true;
        power->mains_online = power->mains_online || (text[0] != '\0' && text[0] != '0');
    }
}

void sense_power(const char *root, struct owner_senses *senses_out)
{
    struct power power = {.percent = UINT32_MAX};

    each_entry(root, "/sys/class/power_supply", look_at_supply, &power);
    senses_out->on_battery =
        power.has_battery && power.is_discharging && !power.mains_online ? OWNER_YES : OWNER_NO;
    senses_out->battery_percent = power.percent;
}

static void look_at_zone(int folder_fd, const char *name, void *context)
{
    uint32_t *celsius = context;
    char text[32];

    if (strncmp(name, "thermal_zone", strlen("thermal_zone")) != 0) {
        return;
    }
    read_inside(folder_fd, name, "temp", text, sizeof(text));
    if (text[0] >= '0' && text[0] <= '9') {
        unsigned long zone_celsius = strtoul(text, NULL, 10) / 1000;

        if (zone_celsius <= CELSIUS_MAX && zone_celsius > *celsius) {
            *celsius = (uint32_t)zone_celsius;
        }
    }
}

void sense_heat(const char *root, struct owner_senses *senses_out)
{
    senses_out->celsius = 0;
    each_entry(root, "/sys/class/thermal", look_at_zone, &senses_out->celsius);
}

/* ------------------------------------------------------------------ networks */

void sense_add_network(struct owner_senses *senses, const char *name)
{
    for (uint32_t i = 0; i < senses->network_count; i++) {
        if (strcmp(senses->networks[i], name) == 0) {
            return;
        }
    }
    if (name[0] != '\0' && senses->network_count < OWNER_SENSED_WORDS_MAX &&
        text_copy(senses->networks[senses->network_count], OWNER_WORD_CHARS_MAX + 1, name) == 0) {
        senses->network_count++;
    }
}

/* One line for each route; the first words of v4, the last of v6, name the interface. */
static void look_at_route(char *line, bool is_v6, struct owner_senses *senses)
{
    char *words[12] = {NULL};
    uint32_t count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(line, " \t", &rest); word != NULL && count < ARRAY_COUNT(words);
         word = strtok_r(NULL, " \t", &rest)) {
        words[count++] = word;
    }
    if (!is_v6 && count >= 8 && strcmp(words[1], "00000000") == 0 &&
        strcmp(words[7], "00000000") == 0) {
        sense_add_network(senses, words[0]);
    }
    if (is_v6 && count == 10 && strcmp(words[1], "00") == 0 && strcmp(words[9], "lo") != 0 &&
        strspn(words[0], "0") == strlen(words[0])) {
        sense_add_network(senses, words[9]);
    }
}

static void look_at_routes(const char *root, const char *path, bool is_v6,
                           struct owner_senses *senses)
{
    char text[TEXT_BYTES_MAX];
    char *rest = NULL;

    read_path(root, path, text, sizeof(text));
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        look_at_route(line, is_v6, senses);
    }
}

void sense_interfaces(const char *root, struct owner_senses *senses_out)
{
    look_at_routes(root, "/proc/net/route", false, senses_out);
    look_at_routes(root, "/proc/net/ipv6_route", true, senses_out);
}

/* ------------------------------------------------------------------ programs */

struct search {
    const struct owner_rules *rules;
    struct owner_senses *senses;
};

static bool is_sensed(const struct owner_senses *senses, const char *name)
{
    for (uint32_t i = 0; i < senses->program_count; i++) {
        if (strcmp(senses->programs[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void note_program(struct search *search, const char *comm)
{
    struct owner_senses *senses = search->senses;

    for (uint32_t i = 0; i < search->rules->count; i++) {
        const struct owner_words *words = &search->rules->list[i].when.programs;

        for (uint32_t j = 0; j < words->count; j++) {
            const char *name = words->list[j];

            if (strncmp(name, comm, COMM_CHARS_MAX) == 0 && !is_sensed(senses, name) &&
                senses->program_count < OWNER_SENSED_WORDS_MAX) {
                (void)text_copy(senses->programs[senses->program_count++], OWNER_WORD_CHARS_MAX + 1,
                                name);
            }
        }
    }
}

void sense_note_program(const struct owner_rules *rules, const char *name,
                        struct owner_senses *senses)
{
    note_program(&(struct search){rules, senses}, name);
}

static void look_at_process(int folder_fd, const char *name, void *context)
{
    char comm[64];

    if (name[0] >= '0' && name[0] <= '9') {
        read_inside(folder_fd, name, "comm", comm, sizeof(comm));
        if (comm[0] != '\0') {
            note_program(context, comm);
        }
    }
}

void sense_programs(const char *root, const struct owner_rules *rules,
                    struct owner_senses *senses_out)
{
    struct search search = {rules, senses_out};

    senses_out->program_count = 0;
    each_entry(root, "/proc", look_at_process, &search);
}

bool sense_sees_programs(const char *root)
{
    char comm[64];

    read_path(root, "/proc/1/comm", comm, sizeof(comm));
    return comm[0] != '\0';
}

/* ------------------------------------------------------------------ people */

static void look_at_terminal(int folder_fd, const char *name, void *context)
{
    uint64_t *last_unix_ms = context;
    struct stat status;

    if (name[0] < '0' || name[0] > '9' || fstatat(folder_fd, name, &status, 0) < 0) {
        return;
    }
    uint64_t read_unix_ms = (uint64_t)status.st_atim.tv_sec * 1000;

    *last_unix_ms = read_unix_ms > *last_unix_ms ? read_unix_ms : *last_unix_ms;
}

uint64_t sense_terminals_unix_ms(const char *root)
{
    uint64_t last_unix_ms = 0;

    each_entry(root, "/dev/pts", look_at_terminal, &last_unix_ms);
    return last_unix_ms;
}

/* The counts of all processors in a line of /proc/interrupts: "  1:  9  0  IO-APIC  i8042". */
static uint64_t line_count(const char *line)
{
    const char *at = strchr(line, ':');
    uint64_t sum = 0;

    while (at != NULL && *at != '\0') {
        char *end = NULL;

        at += strspn(at, ": \t");
        if (*at < '0' || *at > '9') {
            break;
        }
        sum += strtoull(at, &end, 10);
        if (*end != ' ' && *end != '\0') {
            break; /* a word that begins with a digit: not a count */
        }
        at = end;
    }
    return sum;
}

uint64_t sense_input_count(const char *root)
{
    char text[TEXT_BYTES_MAX];
    char *rest = NULL;
    uint64_t sum = 0;

    read_path(root, "/proc/interrupts", text, sizeof(text));
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, "i8042") != NULL || strstr(line, "keyboard") != NULL ||
            strstr(line, "mouse") != NULL) {
            sum += line_count(line);
        }
    }
    return sum;
}

struct sense_cpu sense_cpu(const char *root)
{
    /* user nice system idle iowait irq softirq steal; guests' time is in user and nice already */
    enum { IDLE = 3, WAITING = 4, FIELDS = 8 };
    char text[512];
    struct sense_cpu cpu = {0};
    const char *at = text;

    read_path(root, "/proc/stat", text, sizeof(text));
    if (strncmp(text, "cpu ", 4) != 0) {
        return cpu;
    }
    at += 4;
    for (int i = 0; i < FIELDS; i++) {
        char *end = NULL;
        uint64_t ticks = strtoull(at, &end, 10);

        if (end == at) {
            break;
        }
        cpu.all_ticks += ticks;
        cpu.busy_ticks += i == IDLE || i == WAITING ? 0 : ticks;
        at = end;
    }
    return cpu;
}
