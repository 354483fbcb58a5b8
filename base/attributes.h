// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Compiler attributes under readable names, and the length of an array. */

#define PRINTF_LIKE(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#define NODISCARD __attribute__((warn_unused_result))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
