// SPDX-License-Identifier: GPL-3.0-or-later
/* Loop devices and inodes have numbers that come again: another's disk is not taken for an old one. */
#include <fcntl.h>
#include <libgen.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "tests/system/sandbox_checks.h"

enum { LOOPS_MAX = 256, FILES_MAX = 512, NAME_BYTES = 512, PIDS_MAX = 8 };

/* What the kernel calls the file behind a device; "": nothing is attached to it. */
static void read_name(int number, char name_out[NAME_BYTES])
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/block/loop%d/loop/backing_file", number);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    if (file == NULL || fgets(name_out, NAME_BYTES, file) == NULL) {
        name_out[0] = '\0';
    }
    name_out[strcspn(name_out, "\n")] = '\0';
}

/* The only one of ours; -1: there is none. */
static int find_loop(const struct world *world, char name_out[NAME_BYTES])
{
    for (int number = 0; number < LOOPS_MAX; number++) {
        read_name(number, name_out);
        if (strncmp(name_out, world->folder, strlen(world->folder)) == 0) {
            return number;
        }
    }
    return -1;
}

/* A file without a name whose inode has this number: made until it is its turn. */
static int make_file(const char *folder, unsigned long inode)
{
    int fds[FILES_MAX];
    int count = 0;
    int found_fd = -1;

    while (count < FILES_MAX && found_fd < 0) {
        struct stat about = {0};

        fds[count] = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fds[count] < 0 || fstat(fds[count], &about) < 0) {
            break;
        }
        if (about.st_ino == inode) {
            found_fd = fds[count];
        } else {
            count++;
        }
    }
    while (count > 0) {
        close(fds[--count]);
    }
    return found_fd;
}

/* Attaches another file, which is called the same, to the same device. Returns that, or -1. */
static int attach_alike(int number, const char *name)
{
    char folder[NAME_BYTES];
    char path[64];
    char now[NAME_BYTES];
    const char *inode = strrchr(name, '#');
    struct loop_config config = {.info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};

    snprintf(folder, sizeof(folder), "%s", name);
    CLEANUP(cleanup_close)
    int file_fd = inode == NULL ? -1 : make_file(dirname(folder), strtoul(inode + 1, NULL, 10));
    snprintf(path, sizeof(path), "/dev/loop%d", number);
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (file_fd < 0 || fd < 0 || ftruncate(file_fd, 1 << 20) < 0) {
        return -1;
    }
    config.fd = (uint32_t)file_fd;
    if (ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
        return -1;
    }
    read_name(number, now);
    return strcmp(now, name) == 0 ? take_fd(&fd) : -1;
}

void check_loops(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "exec sleep 1000");
    struct sandbox_event event = {0};
    char name[NAME_BYTES];
    pid_t pids[PIDS_MAX];

    check(world, world_start(world, &spec), "a replica runs");
    const int number = find_loop(world, name);

    check(world, number >= 0, "it has a disk");
    check(world, world_end_helper(world, SIGKILL, 3000) && world_start_helper(world, false),
          "its helper is killed, another one adopts it");
    sandbox_client_list(&world->client);
    check(world, world_await(world, &spec.key, SANDBOX_LISTED, 3000, &event), "and lists it");
    kill(world->helper_pid, SIGSTOP);
    size_t count = world_pids(world, spec.key.slot, true, pids, ARRAY_COUNT(pids));
    while (count > 0) {
        kill(pids[--count], SIGKILL);
    }
    for (int i = 0; i < 100 && count_loops(world) > 0; i++) {
        wait_a_little(50);
    }
    CLEANUP(cleanup_close) int alike_fd = attach_alike(number, name);
    check(world, alike_fd >= 0, "when it is gone, another file of the same name has its device");
    kill(world->helper_pid, SIGCONT);
    check(world,
          world_await(world, &spec.key, SANDBOX_ENDED, world_patience_ms(world, 3000), &event),
          "its end does not wait for that one's");
}
