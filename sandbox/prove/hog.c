// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/prove/hog.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attributes.h"

enum {
    BLOCK_BYTES = 1 << 20,
    BURNERS = 4,
    LOCKED_FILES = 500,
    LOCKS_OF_FILE = 500,
    LOCKERS = 20,
    LOCKS_OF_LOCKER = 1000,
    UNACCEPTED_MAX = 8000, /* some 500 MiB: bounded, should nothing stop it */
    UNACCEPTED_BYTES = 60000,
    LISTENERS_MAX = 16,
    FULL_US = 500000,
    CONNECTIONS_MAX = 200, /* each may hold some MiB, and some 100 KiB whatever the limit */
};

/* Takes memory until it is ended for it. */
static void take_memory(void)
{
    for (;;) {
        void *memory =
            mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory != MAP_FAILED) {
            memset(memory, 1, BLOCK_BYTES);
        }
    }
}

/* In a child that nobody would miss: the whole replica has to end all the same. */
static void take_memory_in_child(void)
{
    if (fork() == 0) {
        take_memory();
    }
    for (;;) {
        pause();
    }
}

static void print_for_ever(void)
{
    static char text[BLOCK_BYTES / 16];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\n';
    for (;;) {
        if (write(STDOUT_FILENO, text, sizeof(text)) < 0) {
            pause();
        }
    }
}

/* All processors, as far as they are given. */
static void burn(void)
{
    volatile unsigned long count = 0;

    for (int i = 1; i < BURNERS && fork() != 0; i++) {
    }
    for (;;) {
        count = count + 1;
    }
}

static void fork_for_ever(void)
{
    for (;;) {
        if (fork() < 0) {
            usleep(1000);
        }
    }
}

/* Deaf to all signals, and in sessions of their own. */
static void hide(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};

        (void)sigaction(number, &ignore, NULL);
    }
    for (int i = 0; i < BURNERS; i++) {
        if (fork() == 0) {
            setsid();
        }
    }
    for (;;) {
        pause();
    }
}

/* Many, as each new lock is looked for a place in its file's row. */
static int open_lockable(int number)
{
    char path[] = "/tmp/minga-locks-000";

    snprintf(path, sizeof(path), "/tmp/minga-locks-%03d", number % LOCKED_FILES);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* Of each the kernel keeps a record. */
static void take_locks(void)
{
    for (int i = 0; i < LOCKED_FILES; i++) {
        const int fd = open_lockable(i);

        for (int j = 0; fd >= 0 && j < LOCKS_OF_FILE; j++) {
            struct flock range = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)j * 2, .l_len = 1};

            (void)fcntl(fd, F_SETLK, &range);
        }
    }
    for (;;) {
        pause();
    }
}

/* Those of flock(2) are open files': the kernel names who took them, and that one has ended. */
static void take_locks_of_the_dead(void)
{
    struct rlimit files = {0};

    if (fork() != 0) {
        for (;;) {
            pause();
        }
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < LOCKERS; i++) {
        for (int j = 0; j < LOCKS_OF_LOCKER; j++) {
            (void)flock(open_lockable(j), LOCK_SH);
        }
        if (fork() != 0) {
            _exit(0);
        }
    }
    for (;;) {
        pause();
    }
}

static int listen_here(int unaccepted_max, struct sockaddr_in *address_out)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t address_bytes = sizeof(*address_out);

    *address_out = (struct sockaddr_in){.sin_family = AF_INET};
    if (fd < 0 || listen(fd, unaccepted_max) < 0 ||
        getsockname(fd, (struct sockaddr *)address_out, &address_bytes) < 0) {
        return -1;
    }
    address_out->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd;
}

/* Bytes on their way between two ends of a connection are the kernel's memory, and of the limit on
 * cgroup v2. Prints how many there are at last. */
static void fill_connections(void)
{
    static char text[BLOCK_BYTES / 16];
    unsigned long long written_bytes = 0;
    struct sockaddr_in address;
    ssize_t count_bytes;

    (void)listen_here(CONNECTIONS_MAX, &address);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* closed by our end */

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
            break;
        }
        do {
            count_bytes = send(fd, text, sizeof(text), MSG_DONTWAIT);
            written_bytes += count_bytes > 0 ? (unsigned long long)count_bytes : 0;
        } while (count_bytes > 0);
    }
    printf("%llu\n", written_bytes);
    exit(0);
}

/* Closed by its end at once: what it sent waits in the kernel, with a listener that never looks. */
static bool connect_and_leave(const struct sockaddr_in *address)
{
    static char text[UNACCEPTED_BYTES];
    const struct timeval patience = {.tv_usec = FULL_US}; /* a full listener does not answer */
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool is_there =
        fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

    if (is_there) {
        (void)send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (fd >= 0) {
        close(fd);
    }
    return is_there;
}

static void take_connections(void)
{
    int left = UNACCEPTED_MAX;

    for (int i = 0; i < LISTENERS_MAX; i++) {
        struct sockaddr_in address;

        if (listen_here(UNACCEPTED_MAX, &address) < 0) {
            continue;
        }
        while (left > 0 && connect_and_leave(&address)) {
            left--;
        }
    }
    for (;;) {
        pause();
    }
}

bool hog_run(const char *name)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } hogs[] = {{"memory", take_memory},
                {"memory-child", take_memory_in_child},
                {"output", print_for_ever},
                {"cpu", burn},
                {"forks", fork_for_ever},
                {"deaf", hide},
                {"locks", take_locks},
                {"streams", take_connections},
                {"dead", take_locks_of_the_dead},
                {"buffers", fill_connections}};

    for (size_t i = 0; i < ARRAY_COUNT(hogs); i++) {
        if (strcmp(hogs[i].name, name) == 0) {
            hogs[i].run();
        }
    }
    return false;
}
