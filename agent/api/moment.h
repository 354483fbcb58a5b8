// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The present time for documents. */
#include "agent/api/documents.h"
#include "agent/api/exchange.h"

/* For measuring how long something took. */
uint64_t exchange_stopwatch_us(void);
struct document_time exchange_moment(const struct exchange *exchange);
