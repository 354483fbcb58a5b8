// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A line of text for each event and effect, for people. */
#include "agent/core/recording.h"

void print_life(const struct recording_entry *entry);
void print_event(uint64_t number, uint64_t since_ms, const struct core_event *event);
void print_effects(const struct core_effects *effects);
