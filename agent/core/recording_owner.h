// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside of recording.c: the owner's part of a recording. */
#include "agent/core/codec.h"
#include "agent/core/core.h"

void recording_code_limits(struct codec *codec, struct sandbox_limits *limits);
void recording_code_senses(struct codec *codec, struct owner_senses *senses);
/* What of the configuration may change while running. */
void recording_code_terms(struct codec *codec, struct core_config *config);
