// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/limits_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/units.h"

enum field_kind { FIELD_U64, FIELD_U32, FIELD_TEXT, FIELD_PORTS, FIELD_UIDS, FIELD_PROGRAM };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset_bytes;
    size_t capacity_bytes; /* FIELD_TEXT */
    bool optional;
};

#define OFFSET(member)     offsetof(struct host_limits, member)
#define TEXT_FIELD(member) OFFSET(member), sizeof(((struct host_limits *)NULL)->member)

static const struct field fields[] = {
    {"cpu_permille", FIELD_U64, OFFSET(contribution.cpu_permille), 0, false},
    {"memory_bytes", FIELD_U64, OFFSET(contribution.memory_bytes), 0, false},
    {"disk_bytes", FIELD_U64, OFFSET(contribution.disk_bytes), 0, false},
    {"pid_count", FIELD_U64, OFFSET(contribution.pid_count), 0, false},
    {"agent_uid", FIELD_U32, OFFSET(agent_uid), 0, false},
    {"agent_gid", FIELD_U32, OFFSET(agent_gid), 0, false},
    {"uids", FIELD_UIDS, 0, 0, false},
    {"ports", FIELD_PORTS, 0, 0, false},
    {"cgroup", FIELD_TEXT, TEXT_FIELD(cgroup), false},
    {"trees", FIELD_TEXT, TEXT_FIELD(trees), false},
    {"connections", FIELD_U32, OFFSET(connections_max), 0, true},
    {"egress", FIELD_U32, OFFSET(egress), 0, true},
    {"weight", FIELD_U32, OFFSET(weight_percent), 0, true},
    {"upload", FIELD_U64, OFFSET(upload_bytes_per_s), 0, true},
    {"download", FIELD_U64, OFFSET(download_bytes_per_s), 0, true},
    {"program", FIELD_PROGRAM, 0, 0, true},
};

/* "first-last", both whole numbers up to `number_max`. */
static int parse_span(const char *text, uint64_t number_max, uint64_t *first_out,
                      uint64_t *last_out)
{
    char first_text[UNITS_TEXT_BYTES_MAX];
    const char *dash = strchr(text, '-');
    size_t length_bytes = dash == NULL ? 0 : (size_t)(dash - text);
    uint64_t first;
    uint64_t last;

    if (dash == NULL || length_bytes >= sizeof(first_text)) {
        return -EINVAL;
    }
    memcpy(first_text, text, length_bytes);
    first_text[length_bytes] = '\0';
    if (units_parse_number(first_text, &first) < 0 || units_parse_number(dash + 1, &last) < 0 ||
        first > last || last > number_max) {
        return -EINVAL;
    }
    *first_out = first;
    *last_out = last;
    return 0;
}

static int parse_uids(const char *value, struct host_limits *limits)
{
    uint64_t first;
    uint64_t last;

    if (limits->uid_span_count == UID_SPANS_MAX ||
        parse_span(value, UINT32_MAX, &first, &last) < 0) {
        return -EINVAL;
    }
    limits->uid_spans[limits->uid_span_count++] =
        (struct uid_span){(uint32_t)first, (uint32_t)last};
    return 0;
}

static int parse_program(const char *value, struct host_limits *limits)
{
    struct sandbox_programs *programs = &limits->programs;

    if (programs->count == SANDBOX_PROGRAMS_MAX || value[0] == '\0' ||
        text_copy(programs->names[programs->count], sizeof(programs->names[0]), value) < 0) {
        return -EINVAL;
    }
    programs->count++;
    return 0;
}

static int parse_ports(const char *value, struct host_limits *limits)
{
    uint64_t first;
    uint64_t last;

    if (parse_span(value, UINT16_MAX, &first, &last) < 0) {
        return -EINVAL;
    }
    limits->port_first = (uint16_t)first;
    limits->port_last = (uint16_t)last;
    return 0;
}

static int parse_value(const struct field *field, const char *value, struct host_limits *limits)
{
    void *member = (char *)limits + field->offset_bytes;
    uint64_t number;

    switch (field->kind) {
    case FIELD_UIDS:
        return parse_uids(value, limits);
    case FIELD_PORTS:
        return parse_ports(value, limits);
    case FIELD_PROGRAM:
        return parse_program(value, limits);
    case FIELD_TEXT:
        return text_copy(member, field->capacity_bytes, value);
    case FIELD_U64:
    case FIELD_U32:
        break;
    }
    if (units_parse_number(value, &number) < 0 ||
        (field->kind == FIELD_U32 && number > UINT32_MAX)) {
        return -EINVAL;
    }
    if (field->kind == FIELD_U32) {
        *(uint32_t *)member = (uint32_t)number;
    } else {
        *(uint64_t *)member = number;
    }
    return 0;
}

/* `line` is cut at its first space. */
static int parse_line(char *line, unsigned int line_number, unsigned int *seen,
                      struct host_limits *limits, struct err *err)
{
    char *value = strchr(line, ' ');

    if (value == NULL) {
        return err_set(err, -EINVAL, "line %u: want \"name value\"", line_number);
    }
    *value++ = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if (strcmp(fields[i].name, line) != 0) {
            continue;
        }
        if ((*seen & (1U << i)) != 0 && fields[i].kind != FIELD_UIDS &&
            fields[i].kind != FIELD_PROGRAM) {
            return err_set(err, -EINVAL, "line %u: %s is there twice", line_number, line);
        }
        *seen |= 1U << i;
        if (parse_value(&fields[i], value, limits) < 0) {
            return err_set(err, -EINVAL, "line %u: %s cannot be \"%.40s\"", line_number, line,
                           value);
        }
        return 0;
    }
    return err_set(err, -EINVAL, "line %u: unknown name \"%.40s\"", line_number, line);
}

static int check_seen(unsigned int seen, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if ((seen & (1U << i)) == 0 && !fields[i].optional) {
            return err_set(err, -EINVAL, "%s is missing", fields[i].name);
        }
    }
    return 0;
}

int host_limits_parse(struct bytes text, struct host_limits *limits_out, struct err *err)
{
    char copy[LIMITS_FILE_BYTES_MAX + 1];
    struct host_limits limits = {0};
    unsigned int seen = 0;
    unsigned int line_number = 0;
    char *rest = copy;
    int r;

    if (text.length_bytes > LIMITS_FILE_BYTES_MAX ||
        (text.length_bytes > 0 && memchr(text.data, '\0', text.length_bytes) != NULL)) {
        return err_set(err, -EINVAL, "too long, or not a text");
    }
    if (text.length_bytes > 0) {
        memcpy(copy, text.data, text.length_bytes);
    }
    copy[text.length_bytes] = '\0';
    while (*rest != '\0') {
        char *line = strsep(&rest, "\n");

        line_number++;
        if (*line != '\0') {
            r = parse_line(line, line_number, &seen, &limits, err);
            if (r < 0) {
                return r;
            }
        }
        if (rest == NULL) {
            break;
        }
    }
    r = check_seen(seen, err);
    if (r == 0) {
        r = host_limits_check(&limits, err);
    }
    if (r < 0) {
        return r;
    }
    if (limits.weight_percent == 0) {
        limits.weight_percent = 100;
    }
    if (limits.connections_max == 0) {
        limits.connections_max = CONNECTIONS_PER_PORT_DEFAULT;
    }
    *limits_out = limits;
    return 0;
}

/* As struct cgroup_name wants it. */
static bool cgroup_name_valid(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_";

    return *name != '\0' && name[strspn(name, letters)] == '\0';
}

static int check_uid_spans(const struct host_limits *limits, struct err *err)
{
    if (limits->uid_span_count == 0 || limits->uid_span_count > UID_SPANS_MAX) {
        return err_set(err, -EINVAL, "uids: want 1 to %d spans", UID_SPANS_MAX);
    }
    for (uint32_t i = 0; i < limits->uid_span_count; i++) {
        const struct uid_span *span = &limits->uid_spans[i];

        /* The first range holds root and the machine's own users: never given away. The last
         * id, (uid_t)-1, means "no change" to the kernel. */
        if (span->first < UID_RANGE_COUNT || span->first > span->last ||
            span->last - span->first < UID_RANGE_COUNT - 1 || span->last == UINT32_MAX) {
            return err_set(err, -EINVAL, "uids: %u-%u is no span of whole ranges of %d beyond %d",
                           span->first, span->last, UID_RANGE_COUNT, UID_RANGE_COUNT);
        }
        if (limits->agent_uid >= span->first && limits->agent_uid <= span->last) {
            return err_set(err, -EINVAL, "uids: %u-%u holds the agent's own uid %u", span->first,
                           span->last, limits->agent_uid);
        }
    }
    return 0;
}

/* Each is a line: it cannot begin another. */
static int check_programs(const struct sandbox_programs *programs, struct err *err)
{
    if (programs->count > SANDBOX_PROGRAMS_MAX) {
        return err_set(err, -EINVAL, "program: more than %d", SANDBOX_PROGRAMS_MAX);
    }
    for (uint32_t i = 0; i < programs->count; i++) {
        if (programs->names[i][0] == '\0' || strchr(programs->names[i], '\n') != NULL) {
            return err_set(err, -EINVAL, "program: \"%s\" is no name", programs->names[i]);
        }
    }
    return 0;
}

int host_limits_check(const struct host_limits *limits, struct err *err)
{
    const struct sandbox_limits *given = &limits->contribution;

    if (given->cpu_permille == 0 || given->memory_bytes == 0 || given->disk_bytes == 0 ||
        given->pid_count == 0) {
        return err_set(err, -EINVAL, "a contribution of nothing");
    }
    if (limits->port_first == 0 || limits->port_first > limits->port_last) {
        return err_set(err, -EINVAL, "ports: %u-%u is no span", limits->port_first,
                       limits->port_last);
    }
    if (!cgroup_name_valid(limits->cgroup)) {
        return err_set(err, -EINVAL, "cgroup: \"%s\" is no name of a group", limits->cgroup);
    }
    if (limits->trees[0] != '/' || strchr(limits->trees, '\n') != NULL) {
        return err_set(err, -EINVAL, "trees: \"%s\" is no absolute path", limits->trees);
    }
    if (limits->connections_max > CONNECTIONS_PER_PORT_MAX) {
        return err_set(err, -EINVAL, "connections: more than %d", CONNECTIONS_PER_PORT_MAX);
    }
    if (limits->weight_percent > 100) {
        return err_set(err, -EINVAL, "weight: more than 100");
    }
    if (limits->egress > 1) {
        return err_set(err, -EINVAL, "egress: neither 0 nor 1");
    }
    int r = check_programs(&limits->programs, err);

    return r < 0 ? r : check_uid_spans(limits, err);
}

static int print_limits(const struct host_limits *limits, char *text_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_fclose) FILE *file = fmemopen(text_out, capacity_bytes, "w");

    if (file == NULL) {
        return -errno;
    }
    fprintf(file,
            "cpu_permille %" PRIu64 "\nmemory_bytes %" PRIu64 "\ndisk_bytes %" PRIu64
            "\npid_count %" PRIu64 "\n",
            limits->contribution.cpu_permille, limits->contribution.memory_bytes,
            limits->contribution.disk_bytes, limits->contribution.pid_count);
    fprintf(file, "agent_uid %u\nagent_gid %u\n", limits->agent_uid, limits->agent_gid);
    for (uint32_t i = 0; i < limits->uid_span_count; i++) {
        fprintf(file, "uids %u-%u\n", limits->uid_spans[i].first, limits->uid_spans[i].last);
    }
    fprintf(file, "connections %u\negress %u\n", limits->connections_max, limits->egress);
    fprintf(file, "weight %u\nupload %" PRIu64 "\ndownload %" PRIu64 "\n", limits->weight_percent,
            limits->upload_bytes_per_s, limits->download_bytes_per_s);
    for (uint32_t i = 0; i < limits->programs.count; i++) {
        fprintf(file, "program %s\n", limits->programs.names[i]);
    }
    fprintf(file, "ports %u-%u\ncgroup %s\ntrees %s\n", limits->port_first, limits->port_last,
            limits->cgroup, limits->trees);
    return fflush(file) != 0 || ferror(file) != 0 ? -EFBIG : 0;
}

int sandbox_limits_write(const char *path, const struct host_limits *limits, struct err *err)
{
    char text[LIMITS_FILE_BYTES_MAX] = "";
    int r = host_limits_check(limits, err);

    if (r < 0) {
        return err_wrap(err, "limits file %s", path);
    }
    r = print_limits(limits, text, sizeof(text));
    if (r < 0) {
        return err_set(err, r, "limits file %s: too long", path);
    }
    return file_write_atomic(AT_FDCWD, path, bytes_of_text(text), 0644, err);
}

int sandbox_limits_read(const char *path, struct host_limits *limits_out, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    uint8_t text[LIMITS_FILE_BYTES_MAX + 1];
    struct stat status;
    ssize_t count_bytes;

    if (fd < 0 || fstat(fd, &status) < 0) {
        return err_set(err, -errno, "limits file %s: %m", path);
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != 0 ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        err_set(err, -EPERM, "limits file %s: only root may own it or write to it", path);
        return err_hint(err, "make it anew as root: mingad --write-limits");
    }
    count_bytes = read(fd, text, sizeof(text));
    if (count_bytes < 0) {
        return err_set(err, -errno, "limits file %s: %m", path);
    }
    if (host_limits_parse((struct bytes){text, (size_t)count_bytes}, limits_out, err) < 0) {
        return err_wrap(err, "limits file %s", path);
    }
    return 0;
}
