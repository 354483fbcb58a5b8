// SPDX-License-Identifier: GPL-3.0-or-later
/* Log lines, with a socket that plays journald. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    char folder[64];
    char path[96];
    int journal_fd;
    int stderr_fd; /* what was written to stderr is read here */
};

static struct world world;

static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    char stream[64];
    int pipe_fds[2];

    snprintf(world.folder, sizeof(world.folder), "/tmp/minga-log-XXXXXX");
    cr_assert_not_null(mkdtemp(world.folder));
    snprintf(world.path, sizeof(world.path), "%s/socket", world.folder);
    strcpy(address.sun_path, world.path);
    world.journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(world.journal_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
    cr_assert_geq(dup2(pipe_fds[1], STDERR_FILENO), 0);
    world.stderr_fd = pipe_fds[0];
    cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
}

static void tear_down(void)
{
    close(world.journal_fd);
    unlink(world.path);
    rmdir(world.folder);
}

TestSuite(log, .init = set_up, .fini = tear_down);

static const char *heard_from(int fd)
{
    static char text[8192];
    ssize_t count_bytes = read(fd, text, sizeof(text) - 1);

    text[count_bytes < 0 ? 0 : count_bytes] = '\0';
    return text;
}

static void cr_expect_field(const char *record, const char *line)
{
    char wanted[256];

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    cr_expect_not_null(strstr(record, wanted), "%s is not in\n%s", line, record);
}

Test(log, the_journal_gets_fields)
{
    const struct log_field fields[] = {{"MINGA_EVENT", "ended"}, {"MINGA_REPLICA", "wiki/1"}};
    const char *record;

    log_open(world.path);
    log_set_common("MINGA_NODE", "8c3f9fcd");
    log_fields(LOG_LEVEL_WARNING, fields, 2, "%s: ended", "wiki/1");
    record = heard_from(world.journal_fd);
    cr_expect_eq(strncmp(record, "PRIORITY=4\n", 11), 0);
    cr_expect_field(record, "MESSAGE=wiki/1: ended");
    cr_expect_not_null(strstr(record, "\nSYSLOG_IDENTIFIER="));
    cr_expect_field(record, "MINGA_NODE=8c3f9fcd");
    cr_expect_field(record, "MINGA_EVENT=ended");
    cr_expect_field(record, "MINGA_REPLICA=wiki/1");
    cr_expect_str_eq(heard_from(world.stderr_fd), "", "not twice");
}

Test(log, a_line_without_fields_goes_there_too_unless_it_is_too_verbose)
{
    log_open(world.path);
    log_info("ready");
    cr_expect_field(heard_from(world.journal_fd), "MESSAGE=ready");
    log_debug("not asked for");
    cr_expect_str_eq(heard_from(world.journal_fd), "");
}

Test(log, no_text_makes_a_field_of_its_own)
{
    const struct log_field fields[] = {{"MINGA_SERVICE", "a\nPRIORITY=0\nMINGA_EVENT=forged"},
                                       {"MINGA_REPLICA", ""},
                                       {"MINGA_NODE", NULL}};
    const char *record;

    log_open(world.path);
    log_fields(LOG_LEVEL_INFO, fields, 3, "a line\nMINGA_EVENT=forged");
    record = heard_from(world.journal_fd);
    cr_expect_null(strstr(record, "\nMINGA_EVENT="));
    cr_expect_null(strstr(record, "\nPRIORITY=0"));
    cr_expect_null(strstr(record, "MINGA_REPLICA"));
    cr_expect_field(record, "MESSAGE=a line?MINGA_EVENT=forged");
}

Test(log, a_field_that_does_not_fit_is_left_out_and_the_next_one_is_there)
{
    char endless[8192];
    const struct log_field fields[] = {{"MINGA_SERVICE", endless}, {"MINGA_EVENT", "ended"}};
    const char *record;

    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    log_open(world.path);
    log_fields(LOG_LEVEL_INFO, fields, 2, "%s", endless);
    record = heard_from(world.journal_fd);
    cr_expect_null(strstr(record, "MINGA_SERVICE"));
    cr_expect_field(record, "MINGA_EVENT=ended");
    cr_expect_not_null(strstr(record, "MESSAGE=xxx"));
}

Test(log, stderr_that_leads_elsewhere_gets_plain_text)
{
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_open(world.path);
    log_warning("to a file\tthen");
    cr_expect_str_eq(heard_from(world.journal_fd), "");
    cr_expect_str_eq(heard_from(world.stderr_fd), "to a file?then\n");
}

Test(log, without_journald_the_line_is_on_stderr_with_its_priority)
{
    log_open(world.path);
    unlink(world.path);
    errno = ENOSPC;
    log_error("a disk: %m");
    cr_expect_eq(errno, ENOSPC);
    cr_expect_str_eq(heard_from(world.stderr_fd), "<3>a disk: No space left on device\n");
}
