// SPDX-License-Identifier: GPL-3.0-or-later
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/mingad/config/config.h"
#include "base/attributes.h"

static struct machine inspected(void)
{
    struct machine machine;
    struct err err = {0};

    cr_assert_eq(machine_inspect("/var/lib/minga-not-yet-there", &machine, &err), 0, "%s",
                 err.text);
    return machine;
}

/* A kernel of 64 bits may be below programs of 32: what counts is what these are. */
Test(machine, has_the_architecture_of_this_very_program)
{
    static const struct {
        Elf32_Half machine;
        unsigned char class;
        enum manifest_arch arch;
    } rows[] = {{EM_X86_64, ELFCLASS64, MANIFEST_ARCH_AMD64},
                {EM_AARCH64, ELFCLASS64, MANIFEST_ARCH_ARM64},
                {EM_ARM, ELFCLASS32, MANIFEST_ARCH_ARMHF},
                {EM_386, ELFCLASS32, MANIFEST_ARCH_I386},
                {EM_RISCV, ELFCLASS64, MANIFEST_ARCH_RISCV64}};
    enum manifest_arch expected = MANIFEST_ARCH_ANY;
    Elf32_Ehdr header; /* begins like that of 64 bits */
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    cr_assert_eq(read(fd, &header, sizeof(header)), (ssize_t)sizeof(header));
    close(fd);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (header.e_machine == rows[i].machine && header.e_ident[EI_CLASS] == rows[i].class) {
            expected = rows[i].arch;
        }
    }
    cr_assert_eq(inspected().arch, expected);
}

Test(machine, has_processors_memory_and_a_disk)
{
    struct machine machine = inspected();

    cr_assert_geq(machine.cpu_permille, 1000);
    cr_assert_gt(machine.memory_bytes, 1U << 20);
    cr_assert_gt(machine.disk_bytes, 0);
    cr_assert_str_neq(machine.host_name, "");
}
