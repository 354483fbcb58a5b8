// SPDX-License-Identifier: GPL-3.0-or-later
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/file.h"
#include "base/random.h"

Test(errors, each_caller_puts_its_context_in_front)
{
    struct err err = {0};

    errno = ENOENT;
    cr_assert_eq(err_set(&err, -ENOENT, "rootfs: %m"), -ENOENT);
    cr_assert_eq(err_wrap(&err, "start replica %d", 3), -ENOENT);
    err_hint(&err, "push it again");
    cr_assert_str_eq(err.text, "start replica 3: rootfs: No such file or directory");
    cr_assert_str_eq(err.hint, "push it again");
}

Test(errors, a_strange_name_cannot_break_the_line)
{
    struct err err = {0};

    err_set(&err, -EINVAL, "file %s", "a\nb\033[31m");
    cr_assert_str_eq(err.text, "file a?b?[31m");
}

Test(errors, a_code_of_either_sign_has_words_and_an_unknown_one_too)
{
    cr_assert_str_eq(err_text(-ENOENT), "No such file or directory");
    cr_assert_str_eq(err_text(ENOENT), "No such file or directory");
    cr_assert_str_eq(err_text(-100000), "unknown error");
}

Test(errors, an_endless_chain_keeps_the_outer_context)
{
    struct err err = {0};

    err_set(&err, -EIO, "cause");
    for (int i = 0; i < 200; i++) {
        err_wrap(&err, "level %d", i);
    }
    cr_assert(strncmp(err.text, "level 199: level 198: ", 22) == 0);
    cr_assert_lt(strlen(err.text), (size_t)ERR_TEXT_BYTES_MAX);
}

Test(errors, a_buffer_refuses_to_grow_beyond_its_bound)
{
    struct buffer buffer = {.bytes_max = 300};
    char block[200] = {1};

    cr_assert_eq(buffer_append(&buffer, block, 200), 0);
    cr_assert_eq(buffer_append(&buffer, block, 101), -EFBIG);
    cr_assert_eq(buffer.length_bytes, 200);
    cr_assert_eq(buffer_append(&buffer, block, 100), 0);
    buffer_done(&buffer);
}

Test(errors, a_file_is_replaced_whole_and_read_with_a_bound)
{
    char folder[] = "/tmp/minga-file-XXXXXX";
    struct buffer small = {.bytes_max = 3};
    struct buffer enough = {.bytes_max = 4};
    struct err err = {0};
    int folder_fd;

    cr_assert_not_null(mkdtemp(folder));
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(folder_fd, 0);
    cr_assert_eq(file_write_atomic(folder_fd, "f", bytes_of_text("old"), 0600, &err), 0);
    cr_assert_eq(file_write_atomic(folder_fd, "f", bytes_of_text("news"), 0600, &err), 0);
    cr_assert_eq(file_read(folder_fd, "f", &small, &err), -EFBIG);
    cr_assert_eq(file_read(folder_fd, "f", &enough, &err), 0);
    cr_assert(bytes_equal(buffer_bytes(&enough), bytes_of_text("news")));
    buffer_done(&small);
    buffer_done(&enough);
    unlinkat(folder_fd, "f", 0);
    close(folder_fd);
    cr_assert_eq(rmdir(folder), 0, "no temporary file was left");
}

Test(errors, random_streams_repeat_by_seed_and_differ_by_purpose)
{
    struct random a;
    struct random b;
    struct random c;

    random_init(&a, 7, "delay");
    random_init(&b, 7, "delay");
    random_init(&c, 7, "loss");
    for (int i = 0; i < 100; i++) {
        uint64_t drawn = random_u64(&a);

        cr_assert_eq(drawn, random_u64(&b));
        cr_assert_neq(drawn, random_u64(&c));
        cr_assert_lt(random_below(&a, 3), 3U);
        random_below(&b, 3);
    }
}

Test(errors, hexadecimal_of_the_wrong_length_or_letters_writes_nothing)
{
    uint8_t bytes[2] = {9, 9};

    cr_assert_eq(bytes_from_hex("abc", bytes, 2), -EINVAL);
    cr_assert_eq(bytes_from_hex("abcg", bytes, 2), -EINVAL);
    cr_assert_eq(bytes[0], 9);
    cr_assert_eq(bytes_from_hex("AbCd", bytes, 2), 0);
    cr_assert_eq(bytes[1], 0xcd);
}
