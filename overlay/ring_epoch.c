// SPDX-License-Identifier: GPL-3.0-or-later
/* Epochs that others name. */
#include "overlay/ring_internal.h"

void ring_see_epoch(struct ring *ring, uint64_t epoch)
{
    if (epoch > ring->epoch && epoch - ring->epoch < UINT32_MAX) {
        ring->epoch = epoch;
    }
}

/* While an epoch of ours is not durable we do not answer: were an asker's taken over at once, who names
 * ever greater ones could keep us silent. */
void ring_hear_epoch(struct ring *ring, uint64_t epoch)
{
    if (epoch <= ring->kept_epoch) {
        ring_see_epoch(ring, epoch);
    } else if (epoch > ring->heard_epoch && epoch - ring->epoch < UINT32_MAX) {
        ring->heard_epoch = epoch;
    }
}
