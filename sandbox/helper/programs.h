// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Which of the programs that the owner's rules name run on this machine? mingad's unit hides other
 * users' processes from it; the helper sees them, and says of the names in root's limits file
 * whether they run: nothing else, whoever asks.
 */
#include <stdint.h>

#include "sandbox/environment.h"
#include "sandbox/limits_file.h"

/*
 * Fills `running_out` with those of limits->programs that a process below `proc_path` ("/proc") is
 * called by (its first 15 characters, as the kernel keeps them). Replicas, who may call themselves
 * what they like, are the processes of limits->uid_spans and do not count.
 */
void programs_look(const char *proc_path, const struct host_limits *limits,
                   struct sandbox_programs *running_out);
