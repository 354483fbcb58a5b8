// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/logs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING_BYTES = 2 * (LOGS_HEADER_BYTES + 32) };

static void make_files(int fds[2])
{
    fds[0] = memfd_create("log", MFD_CLOEXEC);
    fds[1] = memfd_create("log-other", MFD_CLOEXEC);
    cr_assert(fds[0] >= 0 && fds[1] >= 0);
}

static void write_text(struct logs_writer *writer, const char *text, uint64_t now_ms)
{
    logs_write(writer, (const uint8_t *)text, strlen(text), now_ms);
}

/* Reads all there is from *offset, as text. */
static void read_text(const int fds[2], uint64_t *offset, char *text_out, size_t capacity)
{
    size_t length = 0;
    int64_t count;

    while ((count = logs_read(fds, offset, (uint8_t *)text_out + length, capacity - 1 - length)) >
           0) {
        length += (size_t)count;
    }
    text_out[length] = '\0';
}

Test(logs, what_is_written_is_read)
{
    struct logs_writer writer;
    int fds[2];
    char text[256];
    uint64_t offset = 0;

    make_files(fds);
    logs_writer_init(&writer, fds, 65536, 1000);
    write_text(&writer, "hello ", 1000);
    write_text(&writer, "world", 1001);
    read_text(fds, &offset, text, sizeof(text));
    cr_assert_str_eq(text, "hello world");
    cr_assert_eq(offset, 11);
    cr_assert_eq(logs_read(fds, &offset, (uint8_t *)text, sizeof(text)), 0);
    cr_assert_eq(writer.lost_bytes, 0);
}

Test(logs, a_full_file_gives_way_and_at_least_half_is_kept)
{
    struct logs_writer writer;
    int fds[2];
    char text[256];
    uint64_t offset = 0;
    struct stat about;

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    for (unsigned i = 0; i < 10; i++) { /* 100 bytes through 2 x 32, ten seconds apart */
        write_text(&writer, "0123456789", 1000 + 10000 * i);
    }
    read_text(fds, &offset, text, sizeof(text));
    cr_assert_eq(offset, 100);
    cr_assert_geq(strlen(text), 32);
    cr_assert_leq(strlen(text), 64);
    cr_assert_str_eq(text + strlen(text) - 10, "0123456789");
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(fstat(fds[i], &about), 0);
        cr_assert_leq(about.st_size, RING_BYTES / 2);
    }
}

Test(logs, a_reader_that_is_late_goes_on_at_the_oldest_byte)
{
    struct logs_writer writer;
    int fds[2];
    char text[256];
    uint64_t offset = 5;

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    write_text(&writer, "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd", 1000); /* 32 + 8 */
    write_text(&writer, "eeeeeeeeeeffffffffffgggggggggg", 60000);          /* third file begins */
    cr_assert_eq(logs_read(fds, &offset, (uint8_t *)text, 1), 1);
    cr_assert_eq(offset, 33);
    cr_assert_eq(text[0], 'd');
}

Test(logs, a_flood_is_dropped_and_counted)
{
    struct logs_writer writer;
    int fds[2];
    uint8_t flood[RING_BYTES] = {0};

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    logs_write(&writer, flood, RING_BYTES, 1000);
    cr_assert_eq(writer.lost_bytes, 0);
    logs_write(&writer, flood, 10, 1000);
    cr_assert_eq(writer.lost_bytes, 10);
    cr_assert_eq(writer.offset_bytes, RING_BYTES);
    logs_write(&writer, flood, RING_BYTES, 6000); /* five of ten seconds: half is earned */
    cr_assert_eq(writer.offset_bytes, RING_BYTES + RING_BYTES / 2);
    cr_assert_eq(writer.lost_bytes, 10 + RING_BYTES / 2);
}

Test(logs, small_steps_of_time_earn_as_much_as_a_large_one)
{
    struct logs_writer writer;
    int fds[2];
    uint8_t flood[RING_BYTES] = {0};

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    logs_write(&writer, flood, RING_BYTES, 1000);
    for (uint64_t now_ms = 1001; now_ms <= 11000; now_ms++) {
        logs_write(&writer, flood, 1, now_ms);
    }
    cr_assert_geq(writer.offset_bytes, RING_BYTES + RING_BYTES * 8 / 10);
    cr_assert_leq(writer.offset_bytes, 2 * RING_BYTES);
}

Test(logs, a_file_that_cannot_be_written_loses_but_does_not_fail)
{
    struct logs_writer writer;
    int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fds[2] = {read_only, read_only};

    logs_writer_init(&writer, fds, 65536, 1000);
    write_text(&writer, "lost", 1000);
    cr_assert_eq(writer.lost_bytes, 4);
}

Test(logs, foreign_files_read_as_empty)
{
    int fds[2];
    uint64_t offset = 0;
    uint8_t data[64];

    make_files(fds);
    cr_assert_eq(write(fds[0], "mingalog\xff\xff\xff\xff\xff\xff\xff\xff", 16), 16);
    cr_assert_eq(write(fds[1], "something else entirely", 23), 23);
    cr_assert_eq(logs_read(fds, &offset, data, sizeof(data)), 0);
    offset = UINT64_MAX;
    cr_assert_leq(logs_read(fds, &offset, data, sizeof(data)), 0);
}

Test(logs, a_second_writer_goes_on_behind_the_first)
{
    struct logs_writer writer;
    int fds[2];
    char text[256];
    uint64_t offset = 0;

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    write_text(&writer, "first run, longer than half of the ring; ", 1000);
    logs_writer_init(&writer, fds, RING_BYTES, 2000);
    write_text(&writer, "second", 2000);
    read_text(fds, &offset, text, sizeof(text));
    cr_assert_eq(offset, 47);
    cr_assert_str_eq(text, "first run, longer than half of the ring; second");
}

Test(logs, a_file_that_is_no_log_is_emptied)
{
    struct logs_writer writer;
    int fds[2];
    char text[256];
    uint64_t offset = 0;

    make_files(fds);
    cr_assert_eq(write(fds[0], "nonsense", 8), 8);
    cr_assert_eq(write(fds[1], "mingalog\xff\xff\xff\xff\xff\xff\xff\xff", 16), 16);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    write_text(&writer, "text", 1000);
    read_text(fds, &offset, text, sizeof(text));
    cr_assert_str_eq(text, "text");
}

static void expect_last_line(const int fds[2], const char *wanted)
{
    char text[17];

    memset(text, 'x', sizeof(text));
    logs_last_line(fds, text, sizeof(text));
    cr_expect_str_eq(text, wanted);
}

Test(logs, the_last_line_is_what_stands_behind_the_last_end)
{
    struct logs_writer writer;
    int fds[2];

    make_files(fds);
    expect_last_line(fds, "");
    logs_writer_init(&writer, fds, 65536, 1000);
    expect_last_line(fds, "");
    write_text(&writer, "one\ntwo", 1000);
    expect_last_line(fds, "two");
    write_text(&writer, "\n\n", 1000);
    expect_last_line(fds, "two");
    write_text(&writer, "a\033[1m longer line than fits\n", 1000);
    expect_last_line(fds, "a[1m longer line");
}

Test(logs, the_last_line_may_lie_in_both_files)
{
    struct logs_writer writer;
    int fds[2];

    make_files(fds);
    logs_writer_init(&writer, fds, RING_BYTES, 1000);
    write_text(&writer, "twenty-eight bytes and a \n.\nlast", 1000);
    write_text(&writer, " words", 1000);
    expect_last_line(fds, "last words");
}

/* A TiB of nothing: who goes through all of it is not back in time. */
Test(logs, the_last_line_costs_the_same_however_much_is_kept, .timeout = 10)
{
    struct logs_writer writer;
    int fds[2];

    make_files(fds);
    logs_writer_init(&writer, fds, (uint64_t)4 << 40, 1000);
    cr_assert_eq(ftruncate(fds[writer.current], (off_t)1 << 40), 0);
    logs_writer_init(&writer, fds, (uint64_t)4 << 40, 1000);
    write_text(&writer, "\nfull\n", 1000);
    expect_last_line(fds, "full");
}
