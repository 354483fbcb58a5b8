// SPDX-License-Identifier: GPL-3.0-or-later
/* What minga-sandboxd says of a replica, with a socket that plays journald. */
#include "sandbox/helper/say.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];
static char path[96];
static int journal_fd;
static char record[8192];
static struct replica replica;

static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    char stream[64];

    strcpy(folder, "/tmp/minga-say-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    strcpy(address.sun_path, path);
    journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(journal_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open(path);
    replica.spec.key = (struct replica_key){.slot = 2, .incarnation = 7};
    memset(replica.spec.key.service.id.bytes, 0xab, ID_BYTES);
    replica.name = replica_name(&replica.spec.key);
    strcpy(replica.spec.hostname, "wiki-2");
}

static void tear_down(void)
{
    close(journal_fd);
    unlink(path);
    rmdir(folder);
}

TestSuite(say, .init = set_up, .fini = tear_down);

static void hear(void)
{
    ssize_t count_bytes = read(journal_fd, record, sizeof(record) - 1);

    cr_assert_gt(count_bytes, 0, "the journal hears nothing");
    record[count_bytes] = '\0';
}

static void expect_field(const char *line)
{
    char wanted[300];

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    cr_expect_not_null(strstr(record, wanted), "%s is not in\n%s", line, record);
}

Test(say, a_line_about_a_replica_has_the_fields_that_mingads_have)
{
    char wanted[256];

    say_replica(&replica, LOG_LEVEL_WARNING, "ended", "ended: %s", "exit status 3");
    hear();
    cr_expect_eq(strncmp(record, "PRIORITY=4\n", 11), 0);
    expect_field("MINGA_EVENT=ended");
    expect_field("MINGA_SERVICE=wiki");
    expect_field("MINGA_REPLICA=wiki/2");
    expect_field("MINGA_INCARNATION=7");
    snprintf(wanted, sizeof(wanted), "MINGA_SERVICE_ID=%s",
             "abababababababababababababababababababababababababababababababab");
    expect_field(wanted);
    snprintf(wanted, sizeof(wanted), "MESSAGE=%s: ended: exit status 3", replica.name.text);
    expect_field(wanted);
}

Test(say, a_sandbox_that_is_called_otherwise_is_named_by_its_id)
{
    char wanted[256];
    char id[ID_SHORT_CHARS + 1];

    id_to_short(&replica.spec.key.service.id, id);
    snprintf(wanted, sizeof(wanted), "MINGA_SERVICE=%s", id);
    strcpy(replica.spec.hostname, "wiki-3");
    say_replica(&replica, LOG_LEVEL_INFO, "started", "started");
    hear();
    expect_field(wanted);
    strcpy(replica.spec.hostname, "-2");
    say_replica(&replica, LOG_LEVEL_INFO, "started", "started");
    hear();
    expect_field(wanted);
}

Test(say, what_a_service_writes_makes_no_field_of_its_own)
{
    say_replica(&replica, LOG_LEVEL_INFO, "ended", "ended: %s", "x\nMINGA_EVENT=ready");
    hear();
    cr_expect_null(strstr(record, "\nMINGA_EVENT=ready"));
}
