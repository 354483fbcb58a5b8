// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Ownership of locals: CLEANUP(cleanup_close) int fd = -1; frees itself on every way out.
 * Give away with take_fd() / take_ptr(), which leave nothing behind to free.
 */

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Closes *fd unless negative, keeping errno. */
void cleanup_close(const int *fd);
/* Frees the pointer that `pointer_to_pointer` points to, keeping errno. */
void cleanup_free(void *pointer_to_pointer);
/* Closes a FILE * (declare as CLEANUP(cleanup_fclose) FILE *f = NULL). */
void cleanup_fclose(void *pointer_to_file);
/* Closes a DIR * likewise. */
void cleanup_closedir(void *pointer_to_dir);

/* Returns *fd and leaves -1: the caller owns it now. */
int take_fd(int *fd);

/* Returns the pointer variable's value and leaves NULL: the caller owns it now. */
#define take_ptr(pointer)                       \
    __extension__({                             \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })
