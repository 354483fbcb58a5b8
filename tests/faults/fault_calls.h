// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Calls of the C library that fail when they are told to: in a program that is linked with this,
 * or in any program that is started with it in LD_PRELOAD. Shared libraries get them, too.
 *
 * Only files below one folder are meant. The n-th call of a kind fails, or all from it on.
 */
#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_OPEN,   /* EMFILE */
    FAULT_READ,   /* EIO; of pread */
    FAULT_WRITE,  /* a half is written, the next time ENOSPC; the n-th counts */
    FAULT_SYNC,   /* EIO; of files and folders */
    FAULT_RENAME, /* EIO; and of unlink */
    FAULT_MEMORY, /* only where the program hands its allocations in */
    FAULT_KINDS,
};

struct fault {
    enum fault_kind kind;
    uint32_t at;      /* the first is 1 */
    bool is_lasting;  /* all from there on */
    char folder[256]; /* as the kernel names it */
};

/*
 * In a program that was started so, MINGA_FAULT="KIND AT [lasting]" (KIND: open, read, write,
 * sync, rename), MINGA_FAULT_FOLDER and, for whether it happened, MINGA_FAULT_MARK: a file that is made.
 */
void fault_set(const struct fault *fault);
/* From now on told of each sync that succeeded, in its thread. */
typedef void fault_synced(int fd);
void fault_on_sync(fault_synced *hook);
/* How many calls of the kind were there since? */
uint32_t fault_count(void);
bool fault_has_happened(void);
/* For allocators: must this one fail? */
bool fault_memory(void);
