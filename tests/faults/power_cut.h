// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a power cut would leave of a folder's files: each as it was when it was synced last, under the
 * names that its folder had when that was synced last. The worst that a disk may make of it.
 */

/* From now on syncs below `folder` are noted in `platter`, which is made. One folder at a time. */
void power_cut_watch(const char *folder, const char *platter);
/* What is durable becomes the files of `to_folder`, which is made. */
void power_cut_take(const char *to_folder);
