// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/wire.h"
#include "sandbox/helper/helper.h"
#include "sandbox/spec.h"

/* The files are root's own, but a crash or an older version may have written them. */
enum {
    RECORD_VERSION = 3,
    RECORD_VERSION_OLD = 2 /* nothing of earlier I/O */,
    RECORD_BYTES_MAX = SPEC_BYTES_MAX + 1024
};

void replica_path(const char *folder, const struct replica *replica, const char *suffix,
                  char path_out[PATH_MAX])
{
    int length = snprintf(path_out, PATH_MAX, "%s/%s%s", folder, replica->name.text, suffix);

    CHECK(length > 0 && length < PATH_MAX);
}

int replica_control(const struct helper *helper, const struct replica *replica,
                    struct sockaddr_un *address_out)
{
    int folder_fd = open(helper->folders.controls, O_PATH | O_DIRECTORY | O_CLOEXEC);

    *address_out = (struct sockaddr_un){.sun_family = AF_UNIX};
    CHECK(snprintf(address_out->sun_path, sizeof(address_out->sun_path), "/proc/self/fd/%d/%s",
                   folder_fd, replica->name.text) < (int)sizeof(address_out->sun_path));
    return folder_fd;
}

static int encode(const struct helper *helper, const struct replica *replica, uint8_t *bytes_out,
                  size_t *length_bytes_out)
{
    struct wire_writer wire = wire_writer(bytes_out, RECORD_BYTES_MAX);
    uint8_t spec[SPEC_BYTES_MAX];
    size_t spec_bytes = 0;
    int r = spec_encode(&replica->spec, spec, sizeof(spec), &spec_bytes);

    if (r < 0) {
        return r;
    }
    wire_put_u32(&wire, RECORD_VERSION);
    wire_put_text(&wire, helper->boot_id);
    wire_put_u32(&wire, (uint32_t)replica->init_pid);
    wire_put_u64(&wire, replica->init_start_ticks);
    wire_put_u32(&wire, replica->uids.first);
    wire_put_u32(&wire, (uint32_t)replica->disk.loop_number);
    wire_put_text(&wire, replica->disk.backing);
    wire_put_u64(&wire, replica->started_ms);
    wire_put_blob(&wire, (struct bytes){spec, spec_bytes});
    wire_put_u64(&wire, replica->io_read_before);
    wire_put_u64(&wire, replica->io_written_before);
    *length_bytes_out = wire.written_bytes;
    return wire_ok(&wire) ? 0 : -EMSGSIZE;
}

int record_write(const struct helper *helper, const struct replica *replica, struct err *err)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    char path[PATH_MAX];
    size_t length_bytes = 0;
    int r = encode(helper, replica, bytes, &length_bytes);

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "record of the replica: %m");
    }
    replica_path(helper->folders.records, replica, "", path);
    return file_write_atomic(AT_FDCWD, path, (struct bytes){bytes, length_bytes}, 0600, err);
}

static int decode(struct bytes bytes, struct replica *replica, char boot_id_out[BOOT_ID_BYTES_MAX])
{
    struct wire_reader wire = wire_reader(bytes);
    uint32_t version = wire_u32(&wire);

    wire_text(&wire, boot_id_out, BOOT_ID_BYTES_MAX);
    uint32_t pid = wire_u32(&wire);
    replica->init_start_ticks = wire_u64(&wire);
    replica->uids.first = wire_u32(&wire);
    uint32_t loop_number = wire_u32(&wire);
    wire_text(&wire, replica->disk.backing, sizeof(replica->disk.backing));
    replica->started_ms = wire_u64(&wire);
    struct bytes spec = wire_blob(&wire, SPEC_BYTES_MAX);

    if (version != RECORD_VERSION_OLD) {
        replica->io_read_before = wire_u64(&wire);
        replica->io_written_before = wire_u64(&wire);
    }
    if (!wire_done(&wire) || (version != RECORD_VERSION && version != RECORD_VERSION_OLD) ||
        pid > INT32_MAX || pid < 2 || loop_number > INT32_MAX ||
        spec_decode(spec, &replica->spec) < 0) {
        return -EBADMSG;
    }
    replica->init_pid = (pid_t)pid;
    replica->disk.loop_number = (int)loop_number;
    replica->name = replica_name(&replica->spec.key);
    return 0;
}

int record_read(const struct helper *helper, const char *name, struct replica *replica_out,
                struct err *err)
{
    struct buffer buffer = {.bytes_max = RECORD_BYTES_MAX};
    char boot_id[BOOT_ID_BYTES_MAX];
    CLEANUP(cleanup_close)
    int folder_fd = open(helper->folders.records, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = file_read(folder_fd, name, &buffer, err);

    if (r == 0) {
        r = decode(buffer_bytes(&buffer), replica_out, boot_id);
    }
    buffer_done(&buffer);
    if (r < 0) {
        return err->code != 0 ? r : err_set(err, r, "%s: not a record", name);
    }
    if (strcmp(boot_id, helper->boot_id) != 0) {
        return err_set(err, -ESTALE, "%s: of an earlier boot", name);
    }
    return 0;
}
