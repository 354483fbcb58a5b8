// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Can the command be run at all, and on which machines? Its ELF header says so; a script's is
 * that of its interpreter. What is missing is told at push, not by a replica that never starts.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "images/bundle_parts.h"

enum {
    HEAD_BYTES = 4096, /* of a program; program headers of all linkers are in there */
    SCRIPTS_MAX = 4,   /* interpreters of interpreters, as the kernel has it */
};

struct program {
    const char *path; /* as the manifest or the script says it */
    char interpreter[PATH_BYTES_MAX];
    enum manifest_arch arch;
    bool is_script;
};

static enum archive_found look_up(const void *context, const char *path, const char **target_out)
{
    const struct bundle_item *item = bundle_find_item(context, path);

    if (item == NULL) {
        return ARCHIVE_FOUND_NOTHING;
    }
    if (item->kind == ARCHIVE_KIND_LINK) {
        *target_out = item->target;
        return ARCHIVE_FOUND_LINK;
    }
    return item->kind == ARCHIVE_KIND_FOLDER ? ARCHIVE_FOUND_FOLDER : ARCHIVE_FOUND_FILE;
}

static uint64_t read_number(const uint8_t *bytes, size_t length_bytes)
{
    uint64_t number = 0;

    /* Every machine that we know is little-endian. */
    for (size_t i = length_bytes; i > 0; i--) {
        number = number << 8 | bytes[i - 1];
    }
    return number;
}

#define ELF_FIELD(head, type, field) \
    read_number((head) + offsetof(type, field), sizeof(((type *)0)->field))

static int find_arch(const uint8_t *head, struct program *program, struct err *err)
{
    static const struct {
        uint16_t machine;
        uint8_t word_class;
        enum manifest_arch arch;
    } rows[] = {
        {EM_X86_64, ELFCLASS64, MANIFEST_ARCH_AMD64},
        {EM_AARCH64, ELFCLASS64, MANIFEST_ARCH_ARM64},
        {EM_ARM, ELFCLASS32, MANIFEST_ARCH_ARMHF},
        {EM_386, ELFCLASS32, MANIFEST_ARCH_I386},
        {EM_RISCV, ELFCLASS64, MANIFEST_ARCH_RISCV64},
    };
    uint64_t machine = ELF_FIELD(head, Elf64_Ehdr, e_machine);

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (head[EI_DATA] == ELFDATA2LSB && rows[i].machine == machine &&
            rows[i].word_class == head[EI_CLASS]) {
            program->arch = rows[i].arch;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "%s: built for a machine that is not supported (ELF machine %u)",
                   program->path, (unsigned)machine);
}

/* The dynamic linker that an ELF file asks for: "" when it is static. */
static void find_linker(const uint8_t *head, size_t head_bytes, struct program *program)
{
    bool is_64 = head[EI_CLASS] == ELFCLASS64;
    uint64_t table =
        is_64 ? ELF_FIELD(head, Elf64_Ehdr, e_phoff) : ELF_FIELD(head, Elf32_Ehdr, e_phoff);
    uint64_t count =
        is_64 ? ELF_FIELD(head, Elf64_Ehdr, e_phnum) : ELF_FIELD(head, Elf32_Ehdr, e_phnum);
    size_t row_bytes = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    for (uint64_t i = 0; i < count; i++) {
        if (table > head_bytes || (i + 1) * row_bytes > head_bytes - table) {
            return;
        }
        const uint8_t *row = head + table + i * row_bytes;
        uint64_t offset =
            is_64 ? ELF_FIELD(row, Elf64_Phdr, p_offset) : ELF_FIELD(row, Elf32_Phdr, p_offset);
        uint64_t size =
            is_64 ? ELF_FIELD(row, Elf64_Phdr, p_filesz) : ELF_FIELD(row, Elf32_Phdr, p_filesz);

        if (read_number(row, sizeof(uint32_t)) == PT_INTERP && offset < head_bytes &&
            size <= head_bytes - offset && size < sizeof(program->interpreter)) {
            memcpy(program->interpreter, head + offset, (size_t)size);
            program->interpreter[size] = '\0';
            return;
        }
    }
}

/* "#! /bin/sh -e": the word behind "#!". */
static int find_interpreter(const uint8_t *head, size_t head_bytes, struct program *program,
                            struct err *err)
{
    char line[256];
    size_t length_bytes = head_bytes - 2 < sizeof(line) - 1 ? head_bytes - 2 : sizeof(line) - 1;
    const char *word = line;

    memcpy(line, head + 2, length_bytes);
    line[length_bytes] = '\0';
    line[strcspn(line, "\n")] = '\0';
    word += strspn(word, " \t");
    length_bytes = strcspn(word, " \t\r");
    memcpy(program->interpreter, word, length_bytes);
    program->interpreter[length_bytes] = '\0';
    program->is_script = true;
    return program->interpreter[0] == '/'
               ? 0
               : err_set(err, -EINVAL, "%s: its first line names no interpreter", program->path);
}

static int read_head(const struct bundle *bundle, const struct bundle_item *item,
                     struct program *program, struct err *err)
{
    CLEANUP(cleanup_close) int fd = bundle_open_item(bundle, item, err);
    uint8_t head[HEAD_BYTES] = {0};
    size_t head_bytes;
    int r;

    if (fd < 0) {
        return err->code;
    }
    r = bundle_read_at(fd, 0, head, sizeof(head));
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", item->path);
    }
    head_bytes = (size_t)r;
    if (head_bytes > 2 && head[0] == '#' && head[1] == '!') {
        return find_interpreter(head, head_bytes, program, err);
    }
    if (head_bytes < sizeof(Elf32_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0) {
        return err_set(err, -EINVAL, "%s: neither an ELF program nor a script with #!",
                       program->path);
    }
    r = find_arch(head, program, err);
    if (r == 0) {
        find_linker(head, head_bytes, program);
    }
    return r;
}

/* An executable regular file of the tree, through links; or NULL with err. */
static const struct bundle_item *find_program(const struct bundle *bundle, const char *path,
                                              struct err *err)
{
    char resolved[PATH_BYTES_MAX];
    enum archive_found found = archive_resolve(look_up, bundle, path, resolved);
    const struct bundle_item *item =
        found == ARCHIVE_FOUND_FILE ? bundle_find_item(bundle, resolved) : NULL;

    if (found == ARCHIVE_FOUND_NOTHING) {
        err_set(err, -EINVAL, "%s is not in the bundle", path);
    } else if (item == NULL) {
        err_set(err, -EINVAL, "%s is no file", path);
    } else if ((item->mode & 0111) == 0) {
        err_set(err, -EINVAL, "%s is not executable", path);
        item = NULL;
    }
    return item;
}

static int check_program(const struct bundle *bundle, const char *path, struct program *program,
                         struct err *err)
{
    const struct bundle_item *item = find_program(bundle, path, err);

    *program = (struct program){.path = path};
    return item == NULL ? err->code : read_head(bundle, item, program, err);
}

/* Follows scripts to the program that runs them, then to its dynamic linker. */
static int find_machine(const struct bundle *bundle, const char *command,
                        enum manifest_arch *arch_out, struct err *err)
{
    char path[PATH_BYTES_MAX];
    struct program program;

    if (text_copy(path, sizeof(path), command) < 0) {
        return err_set(err, -EINVAL, "%s: path too long", command);
    }
    for (int i = 0;; i++) {
        int r = check_program(bundle, path, &program, err);

        if (r < 0) {
            return i == 0 ? r : err_wrap(err, "%s", command);
        }
        if (!program.is_script) {
            break;
        }
        if (i == SCRIPTS_MAX) {
            return err_set(err, -EINVAL, "%s: a script of a script of a script", command);
        }
        memcpy(path, program.interpreter, sizeof(path));
    }
    *arch_out = program.arch;
    if (program.interpreter[0] != '\0' && find_program(bundle, program.interpreter, err) == NULL) {
        err_wrap(err, "%s needs its dynamic linker", path);
        return err_hint(err, "put it and the libraries that ldd lists into the bundle, or link the "
                             "program statically");
    }
    return 0;
}

static int check_archs(struct manifest *manifest, enum manifest_arch arch, struct err *err)
{
    if (manifest->arch_count == 0) {
        manifest->arch_count = 1;
        manifest->archs[0] = arch;
        return 0;
    }
    for (uint32_t i = 0; i < manifest->arch_count; i++) {
        if (manifest->archs[i] == arch || manifest->archs[i] == MANIFEST_ARCH_ANY) {
            return 0;
        }
    }
    return err_set(err, -EINVAL, "the program is built for %s, which requires.arch does not list",
                   manifest_arch_name(arch));
}

int bundle_check_command(struct bundle *bundle, struct err *err)
{
    struct manifest *manifest = &bundle->manifest;
    enum manifest_arch arch = MANIFEST_ARCH_ANY;
    char resolved[PATH_BYTES_MAX];
    uint8_t canonical[MANIFEST_BYTES_MAX];
    int r = find_machine(bundle, manifest_word(&manifest->command, 0), &arch, err);

    if (r == 0) {
        r = check_archs(manifest, arch, err);
    }
    if (r < 0) {
        return err_wrap(err, "command");
    }
    if (archive_resolve(look_up, bundle, manifest->workdir, resolved) != ARCHIVE_FOUND_FOLDER &&
        !archive_target_is_provided(manifest->workdir)) {
        return err_set(err, -EINVAL, "workdir: %s is no folder of the bundle", manifest->workdir);
    }
    if (manifest_encode(manifest, canonical) < 0) {
        return err_set(err, -EINVAL, "command, env and workdir take more than %d bytes together",
                       MANIFEST_BYTES_MAX);
    }
    return 0;
}
