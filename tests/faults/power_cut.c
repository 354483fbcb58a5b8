// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/power_cut.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/faults/fault_calls.h"

enum { PATH_BYTES_MAX = 700 };

/* One for the process, as fault_calls.c. */
static char the_folder[256];
static char the_platter[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void copy_open(int in, const char *to)
{
    static char bytes[1 << 16]; /* with the lock */
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t length;

    CHECK(in >= 0 && out >= 0);
    while ((length = read(in, bytes, sizeof(bytes))) > 0) {
        CHECK(write(out, bytes, (size_t)length) == length);
    }
    CHECK(length == 0);
    close(in);
    close(out);
}

/* Of a folder: each name, and the number of the file that has it. */
static void keep_names(int folder_fd, unsigned long number)
{
    char path[PATH_BYTES_MAX];
    DIR *folder = fdopendir(openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const struct dirent *entry;
    FILE *list;

    snprintf(path, sizeof(path), "%s/names-%lu", the_platter, number);
    list = fopen(path, "we");
    CHECK(folder != NULL && list != NULL);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_type == DT_REG) {
            fprintf(list, "%s %lu\n", entry->d_name, (unsigned long)entry->d_ino);
        }
    }
    fclose(list);
    closedir(folder);
}

static void on_sync(int fd)
{
    char link[64];
    char path[PATH_BYTES_MAX];
    struct stat status;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);

    if (length <= 0 || strncmp(path, the_folder, strlen(the_folder)) != 0) {
        return;
    }
    CHECK(fstat(fd, &status) == 0);
    pthread_mutex_lock(&lock);
    if (S_ISDIR(status.st_mode)) {
        keep_names(fd, (unsigned long)status.st_ino);
    } else {
        snprintf(path, sizeof(path), "%s/bytes-%lu", the_platter, (unsigned long)status.st_ino);
        copy_open(open(link, O_RDONLY | O_CLOEXEC), path);
    }
    pthread_mutex_unlock(&lock);
}

/* Of what is there at the beginning, all is durable. */
static int sync_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)status;
    (void)type;
    (void)place;
    CHECK(fd >= 0);
    on_sync(fd);
    close(fd);
    return 0;
}

void power_cut_watch(const char *folder, const char *platter)
{
    snprintf(the_folder, sizeof(the_folder), "%s", folder);
    snprintf(the_platter, sizeof(the_platter), "%s", platter);
    CHECK(mkdir(platter, 0700) == 0 && nftw(folder, sync_one, 8, FTW_PHYS) == 0);
    fault_on_sync(on_sync);
}

/* An entry that was never synced itself is there, and empty. */
static void take_file(const char *to_folder, const char *name, unsigned long number)
{
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];

    snprintf(from, sizeof(from), "%s/bytes-%lu", the_platter, number);
    snprintf(to, sizeof(to), "%s/%s", to_folder, name);
    if (access(from, R_OK) != 0) {
        snprintf(from, sizeof(from), "/dev/null");
    }
    copy_open(open(from, O_RDONLY | O_CLOEXEC), to);
}

static void take_folder(const char *folder, const char *to_folder)
{
    char path[PATH_BYTES_MAX];
    char name[256];
    struct stat status;
    unsigned long number;

    CHECK(stat(folder, &status) == 0 && mkdir(to_folder, 0700) == 0);
    snprintf(path, sizeof(path), "%s/names-%lu", the_platter, (unsigned long)status.st_ino);
    FILE *list = fopen(path, "re");

    if (list == NULL) {
        return; /* nothing in it is durable */
    }
    while (fscanf(list, "%255s %lu", name, &number) == 2) {
        take_file(to_folder, name, number);
    }
    fclose(list);
}

/* Folders themselves have long been there. */
void power_cut_take(const char *to_folder)
{
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];
    const struct dirent *entry;

    pthread_mutex_lock(&lock);
    take_folder(the_folder, to_folder);
    DIR *folder = opendir(the_folder);

    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            snprintf(from, sizeof(from), "%s/%s", the_folder, entry->d_name);
            snprintf(to, sizeof(to), "%s/%s", to_folder, entry->d_name);
            take_folder(from, to);
        }
    }
    closedir(folder);
    pthread_mutex_unlock(&lock);
}
