// SPDX-License-Identifier: GPL-3.0-or-later
/* The clock is real, but rates are so small or so large that it does not matter. */
#include "sandbox/line.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(size_t length_bytes)
{
    int fd = memfd_create("line", MFD_CLOEXEC);

    cr_assert(fd >= 0 && ftruncate(fd, (off_t)length_bytes) == 0);
    return fd;
}

Test(line, without_a_file_there_is_no_limit_and_what_passes_is_counted)
{
    struct line line;

    line_init(&line);
    cr_assert_eq(line_room_bytes(&line.gates[LINE_UP]), UINT64_MAX);
    line_passed(&line.gates[LINE_UP], 7);
    cr_assert(line_passes_datagram(&line.gates[LINE_UP], 65536));
    cr_assert_eq(atomic_load(&line.own[LINE_UP].passed_bytes), 65543 + LINE_DATAGRAM_BYTES);
    cr_assert_eq(line_wait_ms(&line.gates[LINE_UP]), 0);
}

Test(line, a_rate_written_into_the_file_holds_at_once_and_for_its_part_and_direction_only)
{
    int fd = file_of(sizeof(struct line_file));
    struct line_file *file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct line ports;
    struct line egress;

    cr_assert_neq(file, MAP_FAILED);
    line_init(&ports);
    line_init(&egress);
    cr_assert_eq(line_map(&ports, fd, LINE_PORTS), 0);
    cr_assert_eq(line_map(&egress, fd, LINE_EGRESS), 0);
    struct line_gate *gate = &ports.gates[LINE_DOWN];
    line_passed(gate, 1000);
    atomic_store(&file->cells[LINE_PORTS][LINE_DOWN].bytes_per_s, 1);
    cr_assert_eq(line_room_bytes(gate), LINE_PIECE_BYTES_MIN);
    line_passed(gate, LINE_BURST_BYTES_MIN);
    cr_assert_eq(line_room_bytes(gate), 0);
    cr_assert_eq(line_wait_ms(gate), LINE_LOOK_MS);
    cr_assert_not(line_passes_datagram(gate, 1));
    cr_assert_eq(line_room_bytes(&ports.gates[LINE_UP]), UINT64_MAX);
    cr_assert_eq(line_room_bytes(&egress.gates[LINE_DOWN]), UINT64_MAX);
    atomic_store(&file->cells[LINE_PORTS][LINE_DOWN].bytes_per_s, 0);
    cr_assert_eq(line_room_bytes(gate), UINT64_MAX);
    cr_assert_eq(atomic_load(&file->cells[LINE_PORTS][LINE_DOWN].passed_bytes),
                 1000 + LINE_BURST_BYTES_MIN);
    cr_assert_eq(atomic_load(&file->cells[LINE_PORTS][LINE_DOWN].held_count), 1);
    munmap(file, sizeof(*file));
    close(fd);
}

/* Empty ones would pass at any rate, else. */
Test(line, an_empty_datagram_counts_too)
{
    struct line line;
    struct line_gate *gate = &line.gates[LINE_DOWN];
    uint32_t count = 0;

    line_init(&line);
    atomic_store(&line.own[LINE_DOWN].bytes_per_s, 1);
    while (count < 100000 && line_passes_datagram(gate, 0)) {
        count++;
    }
    cr_assert_leq(count, LINE_BURST_BYTES_MIN / LINE_DATAGRAM_BYTES + 1);
}

Test(line, while_streams_wait_datagrams_do_not_pass_two_in_a_row)
{
    struct line line;
    struct line_gate *gate = &line.gates[LINE_UP];

    line_init(&line);
    atomic_store(&line.own[LINE_UP].bytes_per_s, 1);
    cr_assert(line_passes_datagram(gate, 10));
    cr_assert(line_passes_datagram(gate, 10));
    gate->streams_wait = true;
    cr_assert_not(line_passes_datagram(gate, 10));
    line_passed(gate, 10);
    cr_assert(line_passes_datagram(gate, 10));
    cr_assert_not(line_passes_datagram(gate, 10));
}

Test(line, a_rate_beyond_all_measure_is_a_rate)
{
    struct line line;

    line_init(&line);
    atomic_store(&line.own[LINE_UP].bytes_per_s, UINT64_MAX);
    cr_assert_eq(line_room_bytes(&line.gates[LINE_UP]), LINE_PIECE_BYTES_MAX);
}

Test(line, a_file_that_is_too_short_is_refused)
{
    struct line line;
    int fd = file_of(sizeof(struct line_file) - 1);

    line_init(&line);
    cr_assert_eq(line_map(&line, fd, LINE_PORTS), -EBADMSG);
    close(fd);
    cr_assert_eq(line_map(&line, fd, LINE_PORTS), -EBADF);
}
