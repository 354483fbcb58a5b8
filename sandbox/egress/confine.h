// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Both return 0 or -errno; what they take away stays away, also from what is executed next. */

/* The pump: reading, writing, waiting; no socket, file, process or program any more. */
int confine_pump(void);
/* passt, beside what it does itself: no unix socket, so none of the host's services. */
int confine_stack(void);
