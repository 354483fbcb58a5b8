// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/bundle.h"

#include <elf.h>
#include <sys/sysmacros.h>

#include "tests/unit/images/box.h"

static void assert_refused(int folder_fd, const char *expected)
{
    struct bundle *bundle = NULL;
    struct err err;

    cr_assert_lt(box_open_bundle(folder_fd, &bundle, &err), 0, "expected: %s", expected);
    cr_assert_str_eq(err.text, expected);
}

Test(bundle, a_folder_becomes_a_manifest_a_tree_and_chunks)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    cr_assert_eq(symlinkat("bin/wiki", fd, "start"), 0);
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0, "%s", err.text);
    cr_assert_str_eq(bundle_manifest(bundle)->name, "wiki");
    cr_assert_eq(bundle_manifest(bundle)->arch_count, 1);
    cr_assert_eq(bundle_manifest(bundle)->archs[0], MANIFEST_ARCH_AMD64);
    cr_assert_eq(bundle_totals(bundle).file_count, 1, "service.yaml is no part of the tree");
    cr_assert_eq(bundle_totals(bundle).bytes, 64);
    cr_assert_eq(bundle_chunk_count(bundle), 3, "one of the file, the index, the root block");
    struct tree_id tree = bundle_tree(bundle);
    struct chunk_id last = bundle_chunk_id(bundle, 2);
    cr_assert(id_equal(&tree.id, &last.id));
    bundle_free(bundle);
    close(fd);
    box_close(&box);
}

Test(bundle, the_same_files_give_the_same_tree_whatever_the_manifest_says)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *first = NULL;
    struct bundle *second = NULL;
    struct bundle *third = NULL;
    struct err err;

    cr_assert_eq(box_open_bundle(fd, &first, &err), 0);
    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\nreplicas: 3\n", 0600);
    cr_assert_eq(box_open_bundle(fd, &second, &err), 0);
    cr_assert_eq(fchmodat(fd, "bin/wiki", 0750, 0), 0);
    cr_assert_eq(box_open_bundle(fd, &third, &err), 0);
    struct tree_id trees[] = {bundle_tree(first), bundle_tree(second), bundle_tree(third)};
    cr_assert(id_equal(&trees[0].id, &trees[1].id));
    cr_assert(!id_equal(&trees[0].id, &trees[2].id), "modes are part of the tree");
    bundle_free(first);
    bundle_free(second);
    bundle_free(third);
    close(fd);
    box_close(&box);
}

Test(bundle, large_files_are_cut_and_equal_pieces_sent_once)
{
    static uint8_t big[2 * CHUNK_BYTES_MAX + 5];
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    box_file(fd, "big", (struct bytes){big, sizeof(big)}, 0644);
    box_file(fd, "small", (struct bytes){big, 5}, 0644);
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0, "%s", err.text);
    /* wiki, a mebibyte of zeros, five zeros; index, root block */
    cr_assert_eq(bundle_chunk_count(bundle), 5);
    cr_assert_eq(bundle_totals(bundle).bytes, 64 + sizeof(big) + 5);
    bundle_free(bundle);
    close(fd);
    box_close(&box);
}

Test(bundle, a_file_that_changes_while_it_is_pushed_is_an_error)
{
    static uint8_t data[CHUNK_BYTES_MAX];
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0);
    box_text(fd, "bin/wiki", "other", 0755);
    cr_assert_eq(bundle_read_chunk(bundle, 0, data, &err), -EAGAIN);
    cr_assert_str_eq(err.text, "wiki.tar: bin/wiki: changed while it was pushed");
    bundle_free(bundle);
    close(fd);
    box_close(&box);
}

Test(bundle, privileged_bits_are_dropped_and_said)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    cr_assert_eq(fchmodat(fd, "bin/wiki", 04755, 0), 0);
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0);
    cr_assert_eq(bundle_note_count(bundle), 1);
    cr_assert_str_eq(bundle_note(bundle, 0), "bin/wiki: setuid bit dropped");
    bundle_free(bundle);
    close(fd);
    box_close(&box);
}

Test(bundle, what_is_no_bundle_is_refused_with_entry_and_rule)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);

    cr_assert_eq(symlinkat("../../etc/passwd", fd, "out"), 0);
    assert_refused(fd, "wiki.tar: out: link leads out of the tree");
    unlinkat(fd, "out", 0);
    cr_assert_eq(symlinkat("/etc/passwd", fd, "out"), 0);
    assert_refused(fd, "wiki.tar: out: link to an absolute path that the bundle does not have");
    unlinkat(fd, "out", 0);
    cr_assert_eq(mkfifoat(fd, "bin/pipe", 0600), 0);
    assert_refused(fd, "wiki.tar: bin/pipe: device, FIFO, socket or unknown kind");
    unlinkat(fd, "bin/pipe", 0);
    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\nuser: no\n", 0600);
    assert_refused(fd, "wiki.tar: service.yaml:3:7: user: expected a whole number, got \"no\"");
    unlinkat(fd, "service.yaml", 0);
    assert_refused(fd, "wiki.tar: service.yaml: not at the root of the bundle");
    cr_assert_eq(symlinkat("/etc/passwd", fd, "service.yaml"), 0);
    assert_refused(fd, "wiki.tar: service.yaml: Too many levels of symbolic links");
    close(fd);
    box_close(&box);
}

static void set_command(int folder_fd, const char *command)
{
    char yaml[256];

    snprintf(yaml, sizeof(yaml), "name: wiki\ncommand: [%s]\n", command);
    box_text(folder_fd, "service.yaml", yaml, 0600);
}

Test(bundle, the_command_is_an_executable_file_of_the_tree)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    set_command(fd, "/bin/nothing");
    assert_refused(fd, "wiki.tar: command: /bin/nothing is not in the bundle");
    set_command(fd, "/bin");
    assert_refused(fd, "wiki.tar: command: /bin is no file");
    box_text(fd, "bin/text", "text", 0644);
    set_command(fd, "/bin/text");
    assert_refused(fd, "wiki.tar: command: /bin/text is not executable");
    cr_assert_eq(fchmodat(fd, "bin/text", 0755, 0), 0);
    assert_refused(fd, "wiki.tar: command: /bin/text: neither an ELF program nor a script with #!");
    cr_assert_eq(symlinkat("bin", fd, "sbin"), 0);
    cr_assert_eq(symlinkat("/sbin/wiki", fd, "bin/through"), 0);
    set_command(fd, "/sbin/through");
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0, "%s", err.text);
    bundle_free(bundle);
    close(fd);
    box_close(&box);
}

Test(bundle, a_script_runs_where_its_interpreter_runs)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    box_text(fd, "bin/script", "#! /bin/wiki -e\n", 0755);
    set_command(fd, "/bin/script");
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0, "%s", err.text);
    cr_assert_eq(bundle_manifest(bundle)->archs[0], MANIFEST_ARCH_AMD64);
    bundle_free(bundle);
    box_text(fd, "bin/script", "#!/bin/sh\n", 0755);
    assert_refused(fd, "wiki.tar: command: /bin/script: /bin/sh is not in the bundle");
    box_text(fd, "bin/script", "#!/bin/script\n", 0755);
    assert_refused(fd, "wiki.tar: command: /bin/script: a script of a script of a script");
    box_text(fd, "bin/script", "#!\n", 0755);
    assert_refused(fd, "wiki.tar: command: /bin/script: its first line names no interpreter");
    close(fd);
    box_close(&box);
}

Test(bundle, a_dynamic_program_needs_its_linker_in_the_bundle)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);
    uint8_t program[256] = {0};
    Elf64_Ehdr header = {.e_machine = EM_AARCH64, .e_phoff = 64, .e_phnum = 1};
    Elf64_Phdr row = {.p_type = PT_INTERP, .p_offset = 128, .p_filesz = 10};

    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    memcpy(program, &header, sizeof(header));
    memcpy(program + 64, &row, sizeof(row));
    memcpy(program + 128, "/lib/ld.so", 10);
    box_file(fd, "bin/wiki", (struct bytes){program, sizeof(program)}, 0755);
    assert_refused(fd,
                   "wiki.tar: command: /bin/wiki needs its dynamic linker: /lib/ld.so is not in "
                   "the bundle");
    close(box_folder(fd, "lib"));
    box_file(fd, "lib/ld.so", box_program(), 0755);
    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\nrequires: {arch: [amd64]}\n",
             0600);
    assert_refused(fd, "wiki.tar: command: the program is built for arm64, which requires.arch "
                       "does not list");
    program[18] = 8; /* MIPS */
    box_file(fd, "bin/wiki", (struct bytes){program, sizeof(program)}, 0755);
    assert_refused(fd, "wiki.tar: command: /bin/wiki: built for a machine that is not supported "
                       "(ELF machine 8)");
    close(fd);
    box_close(&box);
}

Test(bundle, the_working_folder_is_in_the_tree)
{
    struct box box = box_open();
    int fd = box_bundle(box.fd);

    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\nworkdir: /srv\n", 0600);
    assert_refused(fd, "wiki.tar: workdir: /srv is no folder of the bundle");
    close(fd);
    box_close(&box);
}
