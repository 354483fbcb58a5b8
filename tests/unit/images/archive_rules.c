// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/archive_rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct archive_verdict verdict;

static const char *judge(struct archive_rules *rules, struct archive_item entry)
{
    entry.target = entry.target == NULL ? "" : entry.target;
    entry.mode = entry.mode == 0 ? 0755 : entry.mode;
    archive_rules_judge(rules, &entry, &verdict);
    return verdict.kind == ARCHIVE_REFUSE ? verdict.rule : "";
}

static const char *file(struct archive_rules *rules, const char *path)
{
    return judge(rules, (struct archive_item){.kind = ARCHIVE_KIND_FILE, .path = path});
}

static const char *folder(struct archive_rules *rules, const char *path)
{
    return judge(rules, (struct archive_item){.kind = ARCHIVE_KIND_FOLDER, .path = path});
}

static const char *link_to(struct archive_rules *rules, const char *path, const char *target)
{
    return judge(rules,
                 (struct archive_item){.kind = ARCHIVE_KIND_LINK, .path = path, .target = target});
}

static const char *hard_link(struct archive_rules *rules, const char *path, const char *target)
{
    return judge(rules, (struct archive_item){
                            .kind = ARCHIVE_KIND_HARD_LINK, .path = path, .target = target});
}

static const char *finish(struct archive_rules *rules)
{
    archive_rules_finish(rules, &verdict);
    return verdict.kind == ARCHIVE_REFUSE ? verdict.rule : "";
}

Test(archive_rules, paths_are_made_plain)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "./usr//bin/./wiki"), "");
    cr_assert_str_eq(verdict.path, "usr/bin/wiki");
    cr_assert_str_eq(folder(rules, "./"), "");
    cr_assert_eq(verdict.kind, ARCHIVE_SKIP);
    cr_assert_str_eq(folder(rules, "etc/"), "");
    cr_assert_str_eq(verdict.path, "etc");
    archive_rules_free(rules);
}

Test(archive_rules, paths_out_of_the_tree_are_refused)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "/etc/passwd"), "absolute path");
    cr_assert_str_eq(file(rules, "../x"), "path leads out of the tree");
    cr_assert_str_eq(file(rules, "a/../../x"), "path leads out of the tree");
    cr_assert_str_eq(file(rules, "a/.."), "path leads out of the tree");
    cr_assert_str_eq(file(rules, ""), "entry without a name");
    cr_assert_str_eq(file(rules, "./"), "entry without a name");
    cr_assert_str_eq(file(rules, "..."), "", "three dots are a name");
    archive_rules_free(rules);
}

Test(archive_rules, names_are_utf8_without_control_characters)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "gr\xc3\xbc\xc3\x9f"), "");
    cr_assert_str_eq(file(rules, "a\xff"), "name is not valid UTF-8");
    cr_assert_str_eq(file(rules, "a\xc3"), "name is not valid UTF-8");
    cr_assert_str_eq(file(rules, "a\xc0\xaf"), "name is not valid UTF-8", "overlong slash");
    cr_assert_str_eq(file(rules, "a\xed\xa0\x80"), "name is not valid UTF-8", "surrogate");
    cr_assert_str_eq(file(rules, "a\xf4\x90\x80\x80"), "name is not valid UTF-8");
    cr_assert_str_eq(file(rules, "a\nb"), "name has control characters");
    cr_assert_str_eq(file(rules, "a\x7f"), "name has control characters");
    archive_rules_free(rules);
}

Test(archive_rules, depth_and_length_have_bounds)
{
    struct archive_rules *rules = archive_rules_new();
    char deep[2 * (BUNDLE_DEPTH_MAX + 1) + 1] = "";
    char long_name[300] = "";

    for (int i = 0; i < BUNDLE_DEPTH_MAX; i++) {
        strcat(deep, i == 0 ? "d" : "/d");
    }
    cr_assert_str_eq(file(rules, deep), "");
    strcat(deep, "/d");
    cr_assert_str_eq(archive_path_fault(deep), "too deep");
    memset(long_name, 'n', 255);
    cr_assert_str_eq(file(rules, long_name), "");
    memset(long_name, 'n', 256);
    cr_assert_str_eq(file(rules, long_name), "name too long");
    char long_path[PATH_BYTES_MAX + 1] = "";
    while (strlen(long_path) + 102 < PATH_BYTES_MAX) {
        memset(long_path + strlen(long_path), 'p', 100);
        strcat(long_path, "/");
    }
    memset(long_path + strlen(long_path), 'q', PATH_BYTES_MAX - 1 - strlen(long_path));
    cr_assert_str_eq(file(rules, long_path), "");
    long_path[PATH_BYTES_MAX - 1] = 'q';
    cr_assert_str_eq(file(rules, long_path), "path too long");
    archive_rules_free(rules);
}

Test(archive_rules, a_path_is_there_once)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "a/b"), "");
    cr_assert_str_eq(folder(rules, "a"), "", "implied before, listed now");
    cr_assert(verdict.is_known);
    cr_assert_str_eq(folder(rules, "a"), "path is there twice");
    cr_assert_str_eq(file(rules, "a/b"), "path is there twice");
    cr_assert_str_eq(file(rules, "a/./b"), "path is there twice");
    cr_assert_str_eq(file(rules, "a/b/c"), "path leads through a file");
    cr_assert_str_eq(link_to(rules, "a/b", "c"), "path is there twice");
    cr_assert_str_eq(file(rules, "a"), "path is there twice");
    archive_rules_free(rules);
}

Test(archive_rules, a_reset_forgets_everything)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "a/b"), "");
    cr_assert_str_eq(link_to(rules, "x", "/nowhere"), "");
    archive_rules_reset(rules);
    cr_assert_str_eq(finish(rules), "");
    cr_assert_str_eq(file(rules, "a/b"), "");
    cr_assert_str_eq(file(rules, "a/b"), "path is there twice");
    archive_rules_free(rules);
}

Test(archive_rules, no_link_leads_out_and_no_path_leads_through_one)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(link_to(rules, "a/b/up", "../.."), "");
    cr_assert_str_eq(link_to(rules, "a/b/upper", "../../.."), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "out", ".."), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "chain", "a/b/up/../x"), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "chain", "/a/../.."), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "chain", "/"), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "chain", "/./"), "link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "chain", ""), "link to nothing");
    cr_assert_str_eq(link_to(rules, "etc", "a"), "");
    cr_assert_str_eq(file(rules, "etc/passwd"), "path leads through a link");
    cr_assert_str_eq(finish(rules), "");
    archive_rules_free(rules);
}

Test(archive_rules, an_absolute_link_names_what_the_bundle_has_or_the_sandbox_gives)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(link_to(rules, "lib64/ld.so", "/lib/ld-2.so"), "");
    cr_assert_str_eq(link_to(rules, "lib", "usr/lib"), "");
    cr_assert_str_eq(file(rules, "usr/lib/ld-2.so"), "");
    cr_assert_str_eq(link_to(rules, "etc/mtab", "/proc/mounts"), "");
    cr_assert_str_eq(link_to(rules, "usr/lib/ssl/certs", "/etc/ssl/certs"), "", "of a package");
    cr_assert_str_eq(finish(rules), "");
    cr_assert_str_eq(link_to(rules, "shadow", "/etc/shadow"), "");
    cr_assert_str_eq(finish(rules), "link to an absolute path that the bundle does not have");
    cr_assert_str_eq(verdict.path, "shadow");
    archive_rules_free(rules);
}

Test(archive_rules, links_that_go_round_in_circles_name_nothing)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(link_to(rules, "a", "/b"), "");
    cr_assert_str_eq(link_to(rules, "b", "/a"), "");
    cr_assert_str_eq(finish(rules), "link to an absolute path that the bundle does not have");
    archive_rules_free(rules);
}

Test(archive_rules, a_hard_link_copies_an_earlier_file)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(file(rules, "a"), "");
    cr_assert_str_eq(hard_link(rules, "b", "./a"), "");
    cr_assert_str_eq(verdict.target, "a");
    cr_assert_str_eq(hard_link(rules, "c", "later"),
                     "hard link to what is no earlier file of the bundle");
    cr_assert_str_eq(hard_link(rules, "c", "/etc/passwd"), "hard link leads out of the tree");
    cr_assert_str_eq(hard_link(rules, "c", "../x"), "hard link leads out of the tree");
    cr_assert_str_eq(link_to(rules, "s", "a"), "");
    cr_assert_str_eq(hard_link(rules, "c", "s"),
                     "hard link to what is no earlier file of the bundle");
    archive_rules_free(rules);
}

Test(archive_rules, sizes_are_bounded_in_total_with_hard_links_counted_again)
{
    struct archive_rules *rules = archive_rules_new();
    struct archive_item big = {
        .kind = ARCHIVE_KIND_FILE, .path = "a", .size_bytes = BUNDLE_BYTES_MAX / 2};

    cr_assert_str_eq(judge(rules, big), "");
    cr_assert_str_eq(hard_link(rules, "b", "a"), "", "exactly full");
    cr_assert_str_eq(file(rules, "empty"), "");
    big.path = "c";
    big.size_bytes = 1;
    cr_assert_str_eq(judge(rules, big), "too large in total");
    big.size_bytes = UINT64_MAX;
    cr_assert_str_eq(judge(rules, big), "too large in total");
    archive_rules_free(rules);
}

Test(archive_rules, entries_are_counted_with_implied_folders)
{
    struct archive_rules *rules = archive_rules_new();
    char path[64];

    for (int i = 0; i < BUNDLE_ENTRIES_MAX / 2; i++) {
        snprintf(path, sizeof(path), "%d/f", i);
        cr_assert_str_eq(file(rules, path), "");
    }
    cr_assert_str_eq(file(rules, "one-more"), "too many entries");
    archive_rules_free(rules);
}

Test(archive_rules, privileged_bits_are_dropped_and_said)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(
        judge(rules, (struct archive_item){.kind = ARCHIVE_KIND_FILE, .path = "su", .mode = 06755}),
        "");
    cr_assert_eq(verdict.kind, ARCHIVE_DROP_BITS);
    cr_assert_eq(verdict.dropped, ARCHIVE_DROPPED_SETUID | ARCHIVE_DROPPED_SETGID);
    cr_assert_eq(verdict.mode, 0755);
    judge(rules, (struct archive_item){.kind = ARCHIVE_KIND_FOLDER, .path = "t", .mode = 01777});
    cr_assert_eq(verdict.dropped, ARCHIVE_DROPPED_STICKY);
    cr_assert_eq(verdict.mode, 0777);
    judge(rules, (struct archive_item){
                     .kind = ARCHIVE_KIND_FILE, .path = "p", .mode = 0100, .has_attributes = true});
    cr_assert_eq(verdict.dropped, ARCHIVE_DROPPED_ATTRIBUTES);
    cr_assert_eq(verdict.mode, 0500, "its owner can read it");
    archive_rules_free(rules);
}

Test(archive_rules, devices_sockets_and_sparse_files_are_refused)
{
    struct archive_rules *rules = archive_rules_new();

    cr_assert_str_eq(judge(rules, (struct archive_item){.kind = ARCHIVE_KIND_OTHER, .path = "d"}),
                     "device, FIFO, socket or unknown kind");
    cr_assert_str_eq(
        judge(rules,
              (struct archive_item){.kind = ARCHIVE_KIND_FILE, .path = "s", .is_sparse = true}),
        "sparse file");
    archive_rules_free(rules);
}
