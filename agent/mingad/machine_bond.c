// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/machine_bond.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

static void cleanup_buffer(struct buffer *buffer)
{
    buffer_done(buffer);
}

static int bond_of_this(uint8_t bond_out[MACHINE_BOND_BYTES])
{
    static const sd_id128_t purpose =
        SD_ID128_MAKE(5d, 3a, 51, 0e, 7c, 42, 4f, 9b, 9a, 0b, 1e, 6b, d0, 72, c8, 14);
    sd_id128_t id;
    int r = sd_id128_get_machine_app_specific(purpose, &id);

    if (r == 0) {
        memcpy(bond_out, id.bytes, MACHINE_BOND_BYTES);
    }
    return r;
}

int machine_bond_check(const char *path, const uint8_t bond[MACHINE_BOND_BYTES], struct err *err)
{
    CLEANUP(cleanup_buffer) struct buffer kept = {.bytes_max = MACHINE_BOND_BYTES};
    uint8_t own[MACHINE_BOND_BYTES];

    if (bond != NULL) {
        memcpy(own, bond, sizeof(own));
    } else if (bond_of_this(own) < 0) {
        log_debug("this machine has no id: a copy of its disk would not be noticed");
        return 0;
    }
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        return file_write_atomic(AT_FDCWD, path, (struct bytes){own, sizeof(own)}, 0600, err);
    }
    int r = file_read(AT_FDCWD, path, &kept, err);

    if (r == -EFBIG || (r == 0 && (kept.length_bytes != sizeof(own) ||
                                   memcmp(kept.data, own, sizeof(own)) != 0))) {
        err_set(err, -EXDEV,
                "%s: this state is another machine's, perhaps of a copied disk image; two nodes "
                "with one key would harm each other",
                path);
        return err_hint(err, "mingad --renew-state makes this machine a new node, that joins anew; "
                             "if only /etc/machine-id has changed, delete that file");
    }
    return r;
}
