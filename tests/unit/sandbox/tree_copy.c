// SPDX-License-Identifier: GPL-3.0-or-later
/* Files as a stream, and what a hostile one may not do. */
#include "sandbox/tree_copy.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/tar.h"

static char folder[64];
static int folder_fd;
static int stream_fd;
static char said[4096];

static void open_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/minga-copy-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(folder_fd, 0);
    cr_assert_eq(mkdirat(folder_fd, "from", 0755), 0);
    cr_assert_eq(mkdirat(folder_fd, "to", 0755), 0);
    stream_fd = memfd_create("stream", MFD_CLOEXEC);
    cr_assert_geq(stream_fd, 0);
    said[0] = '\0';
}

static void remove_folder(void)
{
    char *const paths[] = {folder, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;

    while (walk != NULL && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_info == FTS_DP) {
            rmdir(entry->fts_path);
        } else if (entry->fts_info != FTS_D) {
            unlink(entry->fts_path);
        }
    }
    fts_close(walk);
    close(folder_fd);
    close(stream_fd);
    cr_assert_neq(access(folder, F_OK), 0);
}

TestSuite(tree_copy, .init = open_folder, .fini = remove_folder);

static void note(void *context, const char *path, const char *why)
{
    size_t used = strlen(said);

    (void)context;
    snprintf(said + used, sizeof(said) - used, "%s: %s\n", path, why);
}

static void put(const char *path, const char *content, mode_t mode)
{
    int fd = openat(folder_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static const char *get(const char *path)
{
    static char content[256];
    int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t count = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

    cleanup_close(&fd);
    content[count < 0 ? 0 : count] = '\0';
    return count < 0 ? "(none)" : content;
}

static int send_tree(const char *path, struct tree_copy *copy)
{
    char whole[128];
    struct err err = {0};

    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    *copy = (struct tree_copy){.say = note, .bytes_max = 1 << 20};
    return tree_send(copy, whole, stream_fd, &err);
}

static int receive_tree(const char *name, uint64_t bytes_max, struct err *err)
{
    struct tree_copy copy = {.say = note, .bytes_max = bytes_max};
    int to_fd = openat(folder_fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    cr_assert_eq(lseek(stream_fd, 0, SEEK_SET), 0);
    r = tree_receive(&copy, stream_fd, to_fd, name, err);
    close(to_fd);
    return r;
}

static void put_entry(enum tar_kind kind, const char *path, const char *target, const char *content)
{
    struct tar_entry entry = {.kind = kind, .mode = 0644, .size_bytes = strlen(content)};
    uint8_t head[TAR_HEAD_BYTES_MAX];
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    size_t head_bytes;

    snprintf(entry.path, sizeof(entry.path), "%s", path);
    snprintf(entry.target, sizeof(entry.target), "%s", target);
    head_bytes = tar_head(&entry, head);
    cr_assert_gt(head_bytes, 0);
    cr_assert_eq(write(stream_fd, head, head_bytes), (ssize_t)head_bytes);
    if (entry.size_bytes > 0) {
        size_t padding = tar_padding(entry.size_bytes);

        cr_assert_eq(write(stream_fd, content, (size_t)entry.size_bytes),
                     (ssize_t)entry.size_bytes);
        cr_assert_eq(write(stream_fd, zeros, padding), (ssize_t)padding);
    }
}

static void end_stream(void)
{
    static const uint8_t zeros[2 * TAR_BLOCK_BYTES];

    cr_assert_eq(write(stream_fd, zeros, sizeof(zeros)), (ssize_t)sizeof(zeros));
}

Test(tree_copy, a_tree_arrives_as_it_was)
{
    struct tree_copy copy;
    struct err err = {0};
    struct stat status;
    char target[32] = "";

    put("from/a", "alpha", 0640);
    put("from/run", "#!", 0755);
    cr_assert_eq(mkdirat(folder_fd, "from/deep", 0755), 0);
    cr_assert_eq(mkdirat(folder_fd, "from/deep/er", 0700), 0);
    put("from/deep/er/empty", "", 0644);
    cr_assert_eq(symlinkat("../a", folder_fd, "from/deep/link"), 0);
    cr_assert_eq(send_tree("from", &copy), 0);
    cr_assert_eq(copy.left_out_count, 0, "%s", said);
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    cr_assert_str_eq(get("to/copy/a"), "alpha");
    cr_assert_str_eq(get("to/copy/deep/er/empty"), "");
    cr_assert_eq(fstatat(folder_fd, "to/copy/run", &status, 0), 0);
    cr_assert_eq(status.st_mode & 0777, 0755);
    cr_assert_eq(fstatat(folder_fd, "to/copy/a", &status, 0), 0);
    cr_assert_eq(status.st_mode & 0777, 0640);
    cr_assert_gt(readlinkat(folder_fd, "to/copy/deep/link", target, sizeof(target) - 1), 0);
    cr_assert_str_eq(target, "../a");
    cr_assert_str_eq(said, "");
}

Test(tree_copy, a_file_goes_to_its_name_and_long_names_stay)
{
    struct tree_copy copy;
    struct err err = {0};
    char path[600] = "from";
    char copied[sizeof(path) + 16];

    put("from/one", "1", 0644);
    cr_assert_eq(send_tree("from/one", &copy), 0);
    cr_assert_eq(receive_tree("uno", 1 << 20, &err), 0, "%s", err.text);
    cr_assert_str_eq(get("to/uno"), "1");
    cr_assert_eq(ftruncate(stream_fd, 0), 0);
    cr_assert_eq(lseek(stream_fd, 0, SEEK_SET), 0);
    for (int i = 0; i < 2; i++) {
        size_t used = strlen(path);

        memset(path + used, 'a' + i, 201);
        path[used] = '/';
        path[used + 201] = '\0';
        cr_assert_eq(mkdirat(folder_fd, path, 0755), 0);
    }
    strncat(path, "/end", sizeof(path) - strlen(path) - 1);
    put(path, "far away", 0644);
    cr_assert_eq(send_tree("from", &copy), 0);
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    snprintf(copied, sizeof(copied), "to/copy%s", path + 4);
    cr_assert_str_eq(get(copied), "far away");
}

Test(tree_copy, what_is_no_file_is_left_out_and_said)
{
    struct tree_copy copy;

    put("from/a", "alpha", 0644);
    cr_assert_eq(mkfifoat(folder_fd, "from/pipe", 0644), 0);
    cr_assert_eq(send_tree("from", &copy), 0);
    cr_assert_eq(copy.left_out_count, 1);
    cr_assert_str_eq(said, "pipe: neither file, folder nor link\n");
}

Test(tree_copy, links_that_lead_out_are_left_out)
{
    static const char *const targets[] = {"/etc/passwd", "..", "../../x", "a/../../x", "x/../.."};
    struct err err = {0};
    char name[32];

    put_entry(TAR_FOLDER, "root", "", "");
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        snprintf(name, sizeof(name), "root/link%zu", i);
        put_entry(TAR_LINK, name, targets[i], "");
    }
    put_entry(TAR_LINK, "root/good", "./a//b", "");
    end_stream();
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    for (int i = 0; i < 5; i++) {
        struct stat status;

        snprintf(name, sizeof(name), "to/copy/link%d", i);
        cr_assert_neq(fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW), 0, "%d", i);
    }
    cr_assert_not_null(strstr(said, "link0: a link that leads out"));
    cr_assert_gt(readlinkat(folder_fd, "to/copy/good", name, sizeof(name)), 0);
}

/* Each alone stays, by its letters: what is counted from where the first one leads goes out. */
Test(tree_copy, links_that_lead_out_together_are_left_out)
{
    struct err err = {0};
    char target[64];

    put_entry(TAR_FOLDER, "root", "", "");
    put_entry(TAR_FOLDER, "root/a", "", "");
    put_entry(TAR_FOLDER, "root/a/b", "", "");
    put_entry(TAR_LINK, "root/a/b/top", "../..", "");
    put_entry(TAR_LINK, "root/a/b/beside", "../.././/a", "");
    put_entry(TAR_LINK, "root/out", "a/b/top/../outside", "");
    put_entry(TAR_LINK, "root/a/out", "../a/b/top/../../outside", "");
    end_stream();
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    cr_assert_eq(readlinkat(folder_fd, "to/copy/a/b/top", target, sizeof(target)), 5);
    cr_assert_eq(readlinkat(folder_fd, "to/copy/a/b/beside", target, sizeof(target)), 10);
    cr_assert_lt(readlinkat(folder_fd, "to/copy/out", target, sizeof(target)), 0);
    cr_assert_lt(readlinkat(folder_fd, "to/copy/a/out", target, sizeof(target)), 0);
}

/* The classic: a link to elsewhere, then a file "in" it. Here the link is good by its letters. */
Test(tree_copy, nothing_is_written_through_a_link)
{
    struct err err = {0};

    cr_assert_eq(mkdirat(folder_fd, "to/copy", 0755), 0);
    cr_assert_eq(mkdirat(folder_fd, "outside", 0755), 0);
    cr_assert_eq(symlinkat("../../outside", folder_fd, "to/copy/there"), 0);
    put_entry(TAR_FOLDER, "root", "", "");
    put_entry(TAR_FOLDER, "root/sub", "", "");
    put_entry(TAR_LINK, "root/alias", "sub", "");
    put_entry(TAR_FILE, "root/alias/file", "", "bad");
    put_entry(TAR_FILE, "root/there/file", "", "bad");
    put_entry(TAR_FOLDER, "root/there", "", "");
    put_entry(TAR_FILE, "root/after", "", "good");
    end_stream();
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    cr_assert_str_eq(get("outside/file"), "(none)");
    cr_assert_str_eq(get("to/copy/sub/file"), "(none)");
    cr_assert_str_eq(get("to/copy/after"), "good");
}

/* A file that is a link already is replaced, not written to; a target that is one is refused. */
Test(tree_copy, what_lies_there_is_replaced_and_never_followed)
{
    struct err err = {0};

    put("victim", "untouched", 0644);
    cr_assert_eq(mkdirat(folder_fd, "to/copy", 0755), 0);
    cr_assert_eq(symlinkat("../../victim", folder_fd, "to/copy/file"), 0);
    put_entry(TAR_FOLDER, "root", "", "");
    put_entry(TAR_FILE, "root/file", "", "new");
    end_stream();
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), 0, "%s", err.text);
    cr_assert_str_eq(get("victim"), "untouched");
    cr_assert_str_eq(get("to/copy/file"), "new");
    cr_assert_eq(symlinkat("../from", folder_fd, "to/linked"), 0);
    cr_assert_lt(receive_tree("linked", 1 << 20, &err), 0);
    cr_assert_str_eq(get("from/file"), "(none)");
}

Test(tree_copy, entries_outside_of_the_root_end_it)
{
    static const char *const paths[] = {"other", "rootless/x", "root2"};
    struct err err = {0};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cr_assert_eq(ftruncate(stream_fd, 0), 0);
        cr_assert_eq(lseek(stream_fd, 0, SEEK_SET), 0);
        put_entry(TAR_FOLDER, "root", "", "");
        put_entry(TAR_FILE, paths[i], "", "x");
        end_stream();
        cr_assert_eq(receive_tree("copy", 1 << 20, &err), -EBADMSG, "%s", paths[i]);
    }
}

Test(tree_copy, paths_that_climb_and_devices_are_no_entries)
{
    struct tar_entry entry = {.kind = TAR_FILE};
    uint8_t head[TAR_HEAD_BYTES_MAX];
    struct tar_reader reader;
    const char *fault = "";
    static const char *const bad[] = {"/etc/x", "root/../x", "root//x", "./root",
                                      "",       "root/.",    "root/x/"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(entry.path, sizeof(entry.path), "%s", bad[i]);
        cr_assert_eq(tar_head(&entry, head), TAR_BLOCK_BYTES);
        tar_reader_init(&reader);
        cr_assert_eq(tar_take(&reader, head, &entry, &fault), -EBADMSG, "%s", bad[i]);
    }
    snprintf(entry.path, sizeof(entry.path), "root");
    tar_head(&entry, head);
    head[156] = '3'; /* a character device; the checksum grows by 3 */
    snprintf((char *)head + 148, 8, "%06o", (unsigned)strtoul((char *)head + 148, NULL, 8) + 3);
    tar_reader_init(&reader);
    cr_assert_eq(tar_take(&reader, head, &entry, &fault), -EBADMSG);
    cr_assert_str_eq(fault, "neither file, folder nor link");
}

Test(tree_copy, the_bound_on_bytes_holds_on_both_sides)
{
    struct tree_copy copy;
    struct err err = {0};

    put("from/a", "0123456789", 0644);
    cr_assert_eq(send_tree("from", &copy), 0);
    cr_assert_eq(receive_tree("copy", 10, &err), 0);
    cr_assert_eq(receive_tree("copy", 9, &err), -EFBIG);
    copy = (struct tree_copy){.bytes_max = 9};
    snprintf(said, sizeof(said), "%s/from", folder);
    cr_assert_eq(tree_send(&copy, said, stream_fd, &err), -EFBIG);
}

Test(tree_copy, a_stream_that_is_cut_is_an_error_wherever_it_is_cut)
{
    struct tree_copy copy;
    struct err err = {0};
    off_t length;

    put("from/a", "alpha", 0644);
    cr_assert_eq(send_tree("from", &copy), 0);
    length = lseek(stream_fd, 0, SEEK_END);
    for (off_t cut = length - 1; cut >= 0; cut -= 97) {
        cr_assert_eq(ftruncate(stream_fd, cut), 0);
        cr_assert_eq(receive_tree("copy", 1 << 20, &err), -ENODATA, "%d", (int)cut);
    }
}

/* Whoever looks meanwhile, or when it never ends, finds the old file; nothing else is left. */
Test(tree_copy, a_file_that_is_not_complete_replaces_nothing_and_leaves_nothing)
{
    struct tree_copy copy;
    struct err err = {0};
    struct dirent **names = NULL;

    put("from/a", "alpha", 0644);
    cr_assert_eq(mkdirat(folder_fd, "to/copy", 0755), 0);
    put("to/copy/a", "old", 0644);
    cr_assert_eq(send_tree("from", &copy), 0);
    cr_assert_eq(ftruncate(stream_fd, 1024 + 3), 0); /* two heads, three letters */
    cr_assert_eq(receive_tree("copy", 1 << 20, &err), -ENODATA);
    cr_assert_str_eq(get("to/copy/a"), "old");
    snprintf(said, sizeof(said), "%s/to/copy", folder);
    cr_assert_eq(scandir(said, &names, NULL, alphasort), 3, "besides . and .. only the file");
    for (int i = 0; i < 3; i++) {
        free(names[i]);
    }
    free(names);
}
