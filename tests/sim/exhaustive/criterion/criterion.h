// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The community of the unit tests (tests/unit/overlay/network.h) in a plain program. */
#include "base/check.h"

#define cr_assert(condition, ...)  CHECK(condition)
#define cr_assert_eq(a, b, ...)    CHECK((a) == (b))
#define cr_assert_lt(a, b, ...)    CHECK((a) < (b))
#define cr_assert_gt(a, b, ...)    CHECK((a) > (b))
#define cr_assert_leq(a, b, ...)   CHECK((a) <= (b))
#define cr_assert_not_null(a, ...) CHECK((a) != NULL)
