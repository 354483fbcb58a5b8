// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/prove/hog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attributes.h"

enum { BLOCK_BYTES = 1 << 20, BURNERS = 4, LOCKED_FILES = 500, LOCKS_OF_FILE = 500 };

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

/* Of each the kernel keeps a record. Short rows: each new one is looked for a place in its file's. */
static void take_locks(void)
{
    for (int i = 0; i < LOCKED_FILES; i++) {
        char path[] = "/tmp/minga-locks-000";

        snprintf(path, sizeof(path), "/tmp/minga-locks-%03d", i);
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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

bool hog_run(const char *name)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } hogs[] = {{"memory", take_memory},    {"memory-child", take_memory_in_child},
                {"output", print_for_ever}, {"cpu", burn},
                {"forks", fork_for_ever},   {"deaf", hide},
                {"locks", take_locks}};

    for (size_t i = 0; i < ARRAY_COUNT(hogs); i++) {
        if (strcmp(hogs[i].name, name) == 0) {
            hogs[i].run();
        }
    }
    return false;
}
