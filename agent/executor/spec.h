// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What a manifest means for the sandbox of one of its replicas. Pure. */
#include "images/manifest.h"
#include "sandbox/environment.h"

/* Fills in all but what the manifest does not know: key, tree and the ports of the host. */
void spec_of_manifest(const struct manifest *manifest, uint32_t slot,
                      struct sandbox_spec *spec_out);
