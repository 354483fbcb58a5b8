// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A tar stream into a folder. libarchive reads, our rules judge each entry, and place.h writes;
 * libarchive's own disk writer is not used: with openat2 no path can leave the folder whatever an
 * entry says, and nothing that the rules did not name (times, flags, owners) is restored.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "images/archive_rules.h"
#include "images/unpack/jobs.h"
#include "images/unpack/place.h"
#include "images/unpack/say.h"
#include "images/unpack/stream.h"

enum {
    TAR_BLOCK_BYTES = 512,
    TAR_END_BYTES = 2 * TAR_BLOCK_BYTES,
    TAR_PADDING_BYTES_MAX = 1048576, /* zeros behind the end; tar writes 10 KiB and less */
    COPY_BYTES = 65536,
};

struct unpack {
    struct archive *archive;
    struct stream *stream;
    struct archive_rules *rules;
    int staging_fd;
    bool has_owners;    /* some entry belongs to somebody but root */
    uint64_t end_bytes; /* where the last entry ends in the tar stream */
};

static la_ssize_t feed(struct archive *archive, void *context, const void **data_out)
{
    (void)archive;
    return (la_ssize_t)stream_read(context, data_out);
}

static const char *reason(struct archive *archive)
{
    const char *text = archive_error_string(archive);

    return text == NULL ? "unknown" : text;
}

static enum archive_kind kind_of(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry) != NULL) {
        return ARCHIVE_KIND_HARD_LINK;
    }
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return ARCHIVE_KIND_FILE;
    case AE_IFDIR:
        return ARCHIVE_KIND_FOLDER;
    case AE_IFLNK:
        return ARCHIVE_KIND_LINK;
    default:
        return ARCHIVE_KIND_OTHER;
    }
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static struct archive_item describe(struct archive_entry *entry)
{
    enum archive_kind kind = kind_of(entry);
    int acl_types = ARCHIVE_ENTRY_ACL_TYPE_ACCESS | ARCHIVE_ENTRY_ACL_TYPE_DEFAULT |
                    ARCHIVE_ENTRY_ACL_TYPE_NFS4;
    int64_t size_bytes = archive_entry_size(entry);

    return (struct archive_item){
        .kind = kind,
        .path = text_or_empty(archive_entry_pathname(entry)),
        .target = text_or_empty(kind == ARCHIVE_KIND_HARD_LINK ? archive_entry_hardlink(entry)
                                : kind == ARCHIVE_KIND_LINK    ? archive_entry_symlink(entry)
                                                               : NULL),
        .mode = archive_entry_perm(entry),
        .size_bytes = kind != ARCHIVE_KIND_FILE ? 0
                      : size_bytes < 0          ? UINT64_MAX
                                                : (uint64_t)size_bytes,
        .has_attributes =
            archive_entry_xattr_count(entry) > 0 || archive_entry_acl_count(entry, acl_types) > 0,
        .is_sparse = archive_entry_sparse_count(entry) > 0,
    };
}

static void say_dropped(const struct archive_verdict *verdict)
{
    static const struct {
        unsigned bit;
        const char *what;
    } rows[] = {
        {ARCHIVE_DROPPED_SETUID, "setuid bit"},
        {ARCHIVE_DROPPED_SETGID, "setgid bit"},
        {ARCHIVE_DROPPED_STICKY, "sticky bit"},
        {ARCHIVE_DROPPED_ATTRIBUTES, "extended attributes (capabilities, ACLs)"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if ((verdict->dropped & rows[i].bit) != 0) {
            say_note("%s: %s dropped", verdict->path, rows[i].what);
        }
    }
}

static void write_or_fail(int fd, const char *path, const void *data, size_t length_bytes)
{
    int r = file_write_all(fd, (struct bytes){data, length_bytes});

    if (r < 0) {
        errno = -r;
        say_failed(path, "%m");
    }
}

static void unpack_file(struct unpack *unpack, const struct archive_verdict *verdict,
                        uint64_t size_bytes)
{
    CLEANUP(cleanup_close) int fd = place_file(unpack->staging_fd, verdict->path, verdict->mode);
    uint64_t written_bytes = 0;
    const void *data = NULL;
    size_t length_bytes = 0;
    la_int64_t offset_bytes = 0;
    int r;

    while ((r = archive_read_data_block(unpack->archive, &data, &length_bytes, &offset_bytes)) ==
           ARCHIVE_OK) {
        if (offset_bytes < 0 || (uint64_t)offset_bytes != written_bytes ||
            length_bytes > size_bytes - written_bytes) {
            say_refused(verdict->path, "content is not as long as its header says");
        }
        write_or_fail(fd, verdict->path, data, length_bytes);
        written_bytes += length_bytes;
    }
    if (r != ARCHIVE_EOF) {
        say_refused(verdict->path, "archive is corrupt: %s", reason(unpack->archive));
    }
    if (written_bytes != size_bytes) {
        say_refused(verdict->path, "content is not as long as its header says");
    }
}

/*
 * A hard link to an earlier file, whose privileged bits are gone already. Where the kernel (the
 * first version of Landlock) does not let us link between folders, a copy does.
 */
static void unpack_hard_link(const struct unpack *unpack, const struct archive_verdict *verdict)
{
    if (place_hard_link(unpack->staging_fd, verdict->path, verdict->target)) {
        return;
    }
    CLEANUP(cleanup_close) int from_fd = place_open(unpack->staging_fd, verdict->target);
    CLEANUP(cleanup_close) int to_fd = place_file(unpack->staging_fd, verdict->path, verdict->mode);
    static uint8_t block[COPY_BYTES];

    for (;;) {
        ssize_t count_bytes = from_fd < 0 ? -1 : read(from_fd, block, sizeof(block));

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0) {
            say_failed(verdict->target, "%m");
        }
        if (count_bytes == 0) {
            return;
        }
        write_or_fail(to_fd, verdict->path, block, (size_t)count_bytes);
    }
}

static void unpack_entry(struct unpack *unpack, struct archive_entry *entry)
{
    static struct archive_verdict verdict;
    struct archive_item found = describe(entry);

    archive_rules_judge(unpack->rules, &found, &verdict);
    if (verdict.kind == ARCHIVE_REFUSE) {
        say_refused(found.path, "%s", verdict.rule);
    }
    if (verdict.kind == ARCHIVE_SKIP) {
        return;
    }
    unpack->has_owners =
        unpack->has_owners || archive_entry_uid(entry) != 0 || archive_entry_gid(entry) != 0;
    say_dropped(&verdict);
    switch (found.kind) {
    case ARCHIVE_KIND_FOLDER:
        place_folder(unpack->staging_fd, verdict.path, verdict.mode);
        break;
    case ARCHIVE_KIND_LINK:
        place_link(unpack->staging_fd, verdict.path, verdict.target);
        break;
    case ARCHIVE_KIND_HARD_LINK:
        unpack_hard_link(unpack, &verdict);
        break;
    case ARCHIVE_KIND_FILE:
    case ARCHIVE_KIND_OTHER:
    default:
        unpack_file(unpack, &verdict, found.size_bytes);
        break;
    }
}

static void open_archive(struct unpack *unpack)
{
    unpack->archive = archive_read_new();
    unpack->rules = archive_rules_new();
    if (unpack->archive == NULL || unpack->rules == NULL) {
        say_failed(NULL, "out of memory");
    }
    if (archive_read_support_format_tar(unpack->archive) != ARCHIVE_OK ||
        archive_read_open(unpack->archive, unpack->stream, NULL, feed, NULL) != ARCHIVE_OK) {
        say_refused(NULL, "no tar archive: %s", reason(unpack->archive));
    }
}

/*
 * A tar ends with two blocks of zeros. libarchive takes any end between two entries for the end,
 * so a cut there would go unseen; and what follows the end would, too.
 */
static void check_end(struct unpack *unpack)
{
    uint64_t zeros_at_end = 0;
    uint64_t end_bytes =
        (unpack->end_bytes + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
    uint64_t bytes_max = end_bytes + TAR_PADDING_BYTES_MAX;
    uint64_t total_bytes = stream_finish(unpack->stream, bytes_max, &zeros_at_end);

    if (total_bytes < end_bytes || total_bytes - end_bytes < TAR_END_BYTES) {
        say_refused(NULL, "archive is cut: no end of archive");
    }
    if (total_bytes > bytes_max || zeros_at_end < total_bytes - end_bytes) {
        say_refused(NULL, "archive is corrupt: something behind its end");
    }
}

void job_unpack(int archive_fd, int staging_fd)
{
    static struct archive_verdict verdict;
    struct unpack unpack = {.stream = stream_open(archive_fd), .staging_fd = staging_fd};
    struct archive_entry *entry = NULL;
    int r;

    open_archive(&unpack);
    while ((r = archive_read_next_header(unpack.archive, &entry)) == ARCHIVE_OK) {
        unpack_entry(&unpack, entry);
        unpack.end_bytes = (uint64_t)archive_filter_bytes(unpack.archive, 0);
    }
    if (r != ARCHIVE_EOF) {
        /* A warning (a wrong checksum, a name that is no text) refuses like an error. */
        say_refused(NULL, "archive is corrupt: %s", reason(unpack.archive));
    }
    check_end(&unpack);
    archive_rules_finish(unpack.rules, &verdict);
    if (verdict.kind == ARCHIVE_REFUSE) {
        say_refused(verdict.path, "%s", verdict.rule);
    }
    if (unpack.has_owners) {
        say_note("owners are not kept: in a replica every file belongs to the service's user");
    }
    archive_rules_free(unpack.rules);
    archive_read_free(unpack.archive);
}
