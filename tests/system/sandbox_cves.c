// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How sandboxes of others were broken while they were being made: by working directories, by the
 * program of init, by links in the tree where something is mounted or written, by its passwd. What
 * is tried from inside a finished sandbox is in sandbox/prove; test_cve.sh has the table of both.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "tests/system/sandbox_checks.h"

enum { DESCRIPTORS_TRIED = 24, OUTPUT_MS_MAX = 5000, PROGRAM_BYTES_MAX = 16 << 20 };

static char output[WORLD_TEXT_BYTES];

/* Runs it to its end, or refusal; its output is in `output`. */
static void run_to_end(struct world *world, struct sandbox_spec *spec, struct sandbox_event *event)
{
    output[0] = '\0';
    memset(event, 0, sizeof(*event));
    world_ask_start(world, spec);
    if (world_await(world, &spec->key, SANDBOX_STARTED, OUTPUT_MS_MAX, event)) {
        world_note_network(world);
        world_await(world, &spec->key, SANDBOX_ENDED, OUTPUT_MS_MAX, event);
    }
    if (event->kind != SANDBOX_ENDED) {
        world_stop(world, spec, event);
    }
    world_output(world, spec, output);
}

/* CVE-2024-21626: the service begins in a folder of the host that was left open. */
static void check_workdirs(struct world *world)
{
    static const char *const others[] = {"/proc/self/cwd", "/proc/1/cwd", "/proc/1/root",
                                         "/proc/self/fd/3/../../../..", "/proc/self/root/.."};
    const size_t count = DESCRIPTORS_TRIED + ARRAY_COUNT(others);
    unsigned refused = 0;
    bool escaped = false;

    for (size_t i = 0; i < count; i++) {
        char script[WORLD_PATH_BYTES * 4];
        struct sandbox_event event;

        snprintf(script, sizeof(script),
                 "for up in . .. ../.. ../../../../../../..; do"
                 " [ -e $up%s/limits ] && echo ESCAPED; done; echo over",
                 world->folder);
        struct sandbox_spec spec = world_spec(world, script);

        if (i < DESCRIPTORS_TRIED) {
            snprintf(spec.workdir, sizeof(spec.workdir), "/proc/self/fd/%zu", i);
        } else {
            snprintf(spec.workdir, sizeof(spec.workdir), "%s", others[i - DESCRIPTORS_TRIED]);
        }
        run_to_end(world, &spec, &event);
        escaped = escaped || strstr(output, "ESCAPED") != NULL;
        refused += event.end == SANDBOX_END_REFUSED;
    }
    printf("# %u of %zu were refused\n", refused, count);
    check(world, !escaped, "no working directory leads to the host's files");
    check(world, refused > 0, "and those that lead nowhere are refused");
}

static struct id hash_of_init(const struct world *world)
{
    struct buffer buffer = {.bytes_max = PROGRAM_BYTES_MAX};
    struct err err = {0};
    char path[PATH_MAX];
    struct id hash = {{0}};

    snprintf(path, sizeof(path), "%s/minga-init", world->bin);
    if (file_read(AT_FDCWD, path, &buffer, &err) == 0) {
        hash = hash_of("test", buffer_bytes(&buffer));
    }
    buffer_done(&buffer);
    return hash;
}

/* CVE-2019-5736: the service is a link to the program that starts it, and writes to that. */
static void check_own_program(struct world *world)
{
    static const char *const command[] = {"/proc/self/exe", NULL};
    struct sandbox_spec spec =
        world_spec(world, "for i in 1 self; do for n in exe fd/3 fd/4 fd/5 fd/6; do"
                          " ( echo x >/proc/$i/$n ) 2>/dev/null; done; done; echo over");
    struct sandbox_event event;
    const struct id before = hash_of_init(world);

    run_to_end(world, &spec, &event);
    check(world, strstr(output, "over") != NULL, "who writes to init's program gets on with it");
    spec = world_spec(world, "");
    world_set_command(&spec, command);
    run_to_end(world, &spec, &event);
    check_saying(world, event.kind == SANDBOX_ENDED, "init's program is no service", event.reason);
    const struct id after = hash_of_init(world);
    check(world, memcmp(&before, &after, sizeof(before)) == 0, "it is what it was");
    spec = world_spec(world, "echo well");
    run_to_end(world, &spec, &event);
    check(world, strstr(output, "well") != NULL, "and starts the next replica");
}

struct link {
    const char *name;
    const char *target;
};

/* A second tree: busybox, and these links. */
static struct tree_id make_tree_with(const struct world *world, uint8_t number,
                                     const struct link *links, size_t count)
{
    struct tree_id tree = {{{number}}};
    struct tree_id first = {{{0x5a, 0x01}}};
    char name[ID_HEX_CHARS + 1];
    char root[PATH_MAX / 2];
    char from[PATH_MAX];
    char path[PATH_MAX];
    const uid_t owner = world->limits.agent_uid;

    id_to_hex(&first.id, name);
    snprintf(from, sizeof(from), "%s/%s/bin/busybox", world->limits.trees, name);
    id_to_hex(&tree.id, name);
    snprintf(root, sizeof(root), "%s/%s", world->limits.trees, name);
    snprintf(path, sizeof(path), "%s/bin", root);
    if (mkdir(root, 0755) < 0 || mkdir(path, 0755) < 0 || chown(root, owner, owner) < 0 ||
        chown(path, owner, owner) < 0) {
        printf("# %s: %s\n", path, err_text(errno));
    }
    snprintf(path, sizeof(path), "%s/bin/busybox", root);
    if (link(from, path) < 0) {
        printf("# %s: %s\n", path, err_text(errno));
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, links[i].name);
        if (symlink(links[i].target, path) < 0 || lchown(path, owner, owner) < 0) {
            printf("# %s: %s\n", path, err_text(errno));
        }
    }
    return tree;
}

/*
 * CVE-2019-16884, 2019-19921, 2021-30465, 2023-28642, 2024-42472, 2025-31133 and 2025-52881:
 * what is mounted, masked or written ends up elsewhere, since the image has links there.
 */
static void check_links(struct world *world)
{
    const struct link links[] = {{"proc", world->folder}, {"dev", world->folder},
                                 {"tmp", world->folder},  {"etc", world->folder},
                                 {"sys", "/proc"},        {"run", "/proc/1/root"}};
    struct sandbox_spec spec =
        world_spec(world, "b=/bin/busybox; [ $($b stat -f -c %T /proc) = proc ] && echo proc;"
                          "[ -c /dev/null ] && [ ! -L /dev/null ] && echo dev;"
                          "[ ! -L /proc ] && [ ! -L /dev ] && [ ! -L /tmp ] && echo folders;"
                          "$b touch /tmp/mine && echo tmp;"
                          "$b head -c 1 /proc/kcore 2>/dev/null | $b grep -q . || echo masked");
    struct sandbox_event event;
    char path[PATH_MAX];
    bool is_clean = true;

    spec.tree = make_tree_with(world, 0x72, links, ARRAY_COUNT(links));
    run_to_end(world, &spec, &event);
    for (const char *const *word =
             (const char *const[]){"proc", "dev", "folders", "tmp", "masked", NULL};
         *word != NULL; word++) {
        check_saying(world, strstr(output, *word) != NULL,
                     "a link in the tree changes nothing of what is made there", *word);
    }
    for (const char *const *name =
             (const char *const[]){"mine", "hosts", "null", "shm", "mask", "meminfo", NULL};
         *name != NULL; name++) {
        snprintf(path, sizeof(path), "%s/%s", world->folder, *name);
        is_clean = is_clean && access(path, F_OK) < 0;
    }
    check(world, is_clean, "and nothing is made on the host");
    check(world, count_mounts(world) == 0, "nor mounted there");
}

/* CVE-2016-3697, 2022-36109: whom the service runs as is read from a file of the image. */
static void check_users(struct world *world)
{
    struct sandbox_spec spec =
        world_spec(world, "b=/bin/busybox; echo uid=$($b id -u) groups=$($b id -G) .");
    struct sandbox_event event;

    spec.tree = make_tree_with(world, 0x73, NULL, 0);
    char name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];
    id_to_hex(&spec.tree.id, name);
    snprintf(path, sizeof(path), "%s/%s/etc", world->limits.trees, name);
    if (mkdir(path, 0755) == 0) {
        CLEANUP(cleanup_close) int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct err err = {0};

        (void)file_write_atomic(folder_fd, "passwd",
                                bytes_of_text("65534:x:0:0::/:/bin/sh\nnobody:x:65534:0::/:\n"),
                                0644, &err);
        (void)file_write_atomic(folder_fd, "group", bytes_of_text("wheel:x:0:nobody,65534\n"), 0644,
                                &err);
    }
    run_to_end(world, &spec, &event);
    check_saying(world, strstr(output, "uid=65534 groups=65534 .") != NULL,
                 "the tree's passwd and group name nobody", output);
}

/* CVE-2022-24769, 2022-27650: a file of the image brings capabilities. */
static void check_file_capabilities(struct world *world)
{
    struct vfs_cap_data everything = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                                      .data = {{0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}}};
    struct sandbox_spec spec = world_spec(
        world, "/bin/busybox grep -c '^Cap[A-Z][a-z]*:.*[1-9a-f]' /proc/self/status; echo over");
    struct sandbox_event event;
    char name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];
    char copy[PATH_MAX + 8];

    spec.tree = make_tree_with(world, 0x74, NULL, 0);
    id_to_hex(&spec.tree.id, name);
    /* Not the link to the other tree's program, which the other tests use. */
    snprintf(path, sizeof(path), "%s/%s/bin/busybox", world->limits.trees, name);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    struct buffer program = {.bytes_max = PROGRAM_BYTES_MAX};
    struct err err = {0};
    bool is_set = file_read(AT_FDCWD, path, &program, &err) == 0 &&
                  file_write_atomic(AT_FDCWD, copy, buffer_bytes(&program), 0755, &err) == 0 &&
                  rename(copy, path) == 0 &&
                  chown(path, world->limits.agent_uid, world->limits.agent_gid) == 0 &&
                  setxattr(path, "security.capability", &everything, sizeof(everything), 0) == 0;
    buffer_done(&program);
    run_to_end(world, &spec, &event);
    check_saying(world, is_set && strncmp(output, "0\nover", 6) == 0,
                 "a program of the tree with capabilities has none", output);
}

/* CVE-2019-12439, 2021-41091, 2020-5291: folders that others can enter, programs that raise. */
static void check_host_files(struct world *world)
{
    static const char *const folders[] = {"state/sandbox", "run/sandbox"};
    static const char *const programs[] = {"minga",      "mingad",       "minga-sandboxd",
                                           "minga-init", "minga-unpack", "minga-probe"};
    char path[PATH_MAX];
    struct stat about;
    bool is_closed = true;
    bool is_plain = true;

    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", world->folder, folders[i]);
        is_closed =
            is_closed && stat(path, &about) == 0 && about.st_uid == 0 && (about.st_mode & 077) == 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        snprintf(path, sizeof(path), "%s/%s", world->bin, programs[i]);
        is_plain = is_plain && (stat(path, &about) < 0 || (about.st_mode & 06000) == 0);
    }
    check(world, is_closed, "images, logs and records are in folders that only root can enter");
    check(world, is_plain, "no program of ours raises who runs it");
}

void check_cves(struct world *world)
{
    check_workdirs(world);
    check_own_program(world);
    check_links(world);
    check_users(world);
    check_file_capabilities(world);
    check_host_files(world);
}
