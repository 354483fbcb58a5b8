// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-unpack: one job on hostile bytes, confined, then exit. Started by worker.c only:
 *
 *     minga-unpack unpack          0: the archive   1: messages   3: the empty staging folder
 *     minga-unpack build TREE      1: messages   3: the empty staging folder   4: the chunk files
 */
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/unpack/confine.h"
#include "images/unpack/jobs.h"
#include "images/unpack/say.h"

enum { ARCHIVE_FD = 0, STAGING_FD = 3, CHUNKS_FD = 4, EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    struct tree_id tree;

    /* Modes are given exactly; names of archives are UTF-8 whatever the caller's locale. */
    umask(0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    if (setlocale(LC_ALL, "C.UTF-8") == NULL || sodium_init() < 0) {
        say_failed(NULL, "cannot begin: no C.UTF-8 locale, or no randomness");
    }
    if (argc == 2 && strcmp(argv[1], "unpack") == 0) {
        confine(STAGING_FD, -1);
        job_unpack(ARCHIVE_FD, STAGING_FD);
    } else if (argc == 3 && strcmp(argv[1], "build") == 0 && id_from_hex(argv[2], &tree.id) == 0) {
        confine(STAGING_FD, CHUNKS_FD);
        job_build(&tree, CHUNKS_FD, STAGING_FD);
    } else {
        fprintf(stderr, "minga-unpack is started by minga and mingad only\n");
        return EXIT_USAGE;
    }
    say_done();
    _exit(0); /* nothing is left to do that would need what was given up */
}
