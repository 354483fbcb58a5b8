// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Quantities as people write them. Memory and disk in bytes, time in ms, CPU in permille of one
 * core. Parsers take the whole text or fail with -EINVAL; -ERANGE when it does not fit.
 */
#include <stddef.h>
#include <stdint.h>

/* Whole numbers with an optional K, M, G, T (powers of 1024): "128M". */
int units_parse_bytes(const char *text, uint64_t *bytes_out);
/* "500ms", "5s", "10m", "2h", "7d"; "0" needs no unit. */
int units_parse_duration(const char *text, uint64_t *ms_out);
/* Cores with up to three decimals: "0.5", "2". */
int units_parse_cores(const char *text, uint64_t *permille_out);
/* A share of the machine: "25%", at most 100%. */
int units_parse_percent(const char *text, uint32_t *percent_out);
/* A whole number. */
int units_parse_number(const char *text, uint64_t *number_out);

enum { UNITS_TEXT_BYTES_MAX = 32 };

/* "128M", "1.5G": at most four digits, for tables. */
void units_print_bytes(uint64_t bytes, char text_out[UNITS_TEXT_BYTES_MAX]);
/* "850ms", "12s", "3h", "4d": one unit, rounded down, for tables. */
void units_print_duration(uint64_t ms, char text_out[UNITS_TEXT_BYTES_MAX]);
/* "0.50" */
void units_print_cores(uint64_t permille, char text_out[UNITS_TEXT_BYTES_MAX]);
