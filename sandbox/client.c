// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"

void sandbox_client_init(struct sandbox_client *client)
{
    memset(client, 0, sizeof(*client));
    client->fd = -1;
}

static void entry_done(struct sandbox_client_entry *entry)
{
    for (uint32_t i = 0; i < entry->fd_count; i++) {
        close(entry->fds[i]);
    }
    free(entry->bytes);
    memset(entry, 0, sizeof(*entry));
}

void sandbox_client_done(struct sandbox_client *client)
{
    while (client->count > 0) {
        entry_done(&client->queue[client->first]);
        client->first = (client->first + 1) % SANDBOX_CLIENT_QUEUE_MAX;
        client->count--;
    }
    cleanup_close(&client->fd);
    client->fd = -1;
}

int sandbox_client_fd(const struct sandbox_client *client)
{
    return client->fd;
}

bool sandbox_client_wants_write(const struct sandbox_client *client)
{
    return client->fd >= 0 && client->count > 0;
}

/* Returns 1 when sent, 0 when the socket has no room, or -errno. */
static int send_entry(int fd, const struct sandbox_client_entry *entry)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * PORTS_PER_SERVICE_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {entry->bytes, entry->length_bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    if (entry->fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * entry->fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        CHECK(header != NULL);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * entry->fd_count);
        memcpy(CMSG_DATA(header), entry->fds, sizeof(int) * entry->fd_count);
    }
    if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        return 1;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int sandbox_client_flush(struct sandbox_client *client)
{
    if (client->fd < 0) {
        return -ENOTCONN;
    }
    while (client->count > 0) {
        int r = send_entry(client->fd, &client->queue[client->first]);

        if (r <= 0) {
            return r;
        }
        entry_done(&client->queue[client->first]);
        client->first = (client->first + 1) % SANDBOX_CLIENT_QUEUE_MAX;
        client->count--;
    }
    return 0;
}

static int fill_entry(struct sandbox_client_entry *entry, const struct helper_request *request,
                      const int *fds, uint32_t fd_count)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_request_encode(request, bytes, sizeof(bytes));

    CHECK(fd_count <= PORTS_PER_SERVICE_MAX);
    if (length_bytes < 0) {
        return -EINVAL;
    }
    entry->bytes = malloc((size_t)length_bytes);
    if (entry->bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(entry->bytes, bytes, (size_t)length_bytes);
    entry->length_bytes = (size_t)length_bytes;
    for (; entry->fd_count < fd_count; entry->fd_count++) {
        int copy_fd = fcntl(fds[entry->fd_count], F_DUPFD_CLOEXEC, 3);

        if (copy_fd < 0) {
            return -errno;
        }
        entry->fds[entry->fd_count] = copy_fd;
    }
    return 0;
}

static int ask_with(struct sandbox_client *client, const struct helper_request *request,
                    const int *fds, uint32_t fd_count)
{
    struct sandbox_client_entry *entry =
        &client->queue[(client->first + client->count) % SANDBOX_CLIENT_QUEUE_MAX];

    if (client->fd < 0) {
        return -ENOTCONN;
    }
    if (client->count == SANDBOX_CLIENT_QUEUE_MAX) {
        return -ENOBUFS;
    }
    int r = fill_entry(entry, request, fds, fd_count);
    if (r < 0) {
        entry_done(entry);
        return r;
    }
    client->count++;
    return sandbox_client_flush(client);
}

static int ask_about(struct sandbox_client *client, enum helper_request_kind kind,
                     const struct replica_key *key)
{
    struct helper_request request = {.kind = kind};

    request.spec.key = *key;
    return ask_with(client, &request, NULL, 0);
}

int sandbox_client_connect(struct sandbox_client *client, const char *path, struct err *err)
{
    const struct helper_request hello = {.kind = REQUEST_HELLO, .version = HELPER_PROTOCOL_VERSION};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    CHECK(client->fd < 0);
    if (text_copy(address.sun_path, sizeof(address.sun_path), path) < 0) {
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return err_set(err, -errno, "sandbox helper at %s: %m", path);
    }
    client->fd = take_fd(&fd);
    int r = ask_with(client, &hello, NULL, 0);
    if (r < 0) {
        sandbox_client_done(client);
        errno = -r;
        return err_set(err, r, "sandbox helper at %s: %m", path);
    }
    return 0;
}

int sandbox_client_start(struct sandbox_client *client, const struct sandbox_spec *spec,
                         const int *listen_fds)
{
    struct helper_request request = {.kind = REQUEST_START, .spec = *spec};

    if (spec->port_count > PORTS_PER_SERVICE_MAX) {
        return -EINVAL;
    }
    return ask_with(client, &request, listen_fds, spec->port_count);
}

int sandbox_client_renew(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_RENEW, key);
}

int sandbox_client_stop(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_STOP, key);
}

int sandbox_client_freeze(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_FREEZE, key);
}

int sandbox_client_thaw(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_THAW, key);
}

int sandbox_client_stats(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_STATS, key);
}

int sandbox_client_allow(struct sandbox_client *client, const struct sandbox_allowance *allowance)
{
    const struct helper_request request = {.kind = REQUEST_ALLOW, .allowance = *allowance};

    return ask_with(client, &request, NULL, 0);
}

int sandbox_client_list(struct sandbox_client *client)
{
    const struct helper_request request = {.kind = REQUEST_LIST};

    return ask_with(client, &request, NULL, 0);
}

int sandbox_client_logs(struct sandbox_client *client, const struct replica_key *key,
                        uint64_t offset, uint32_t bytes_max)
{
    struct helper_request request = {.kind = REQUEST_LOGS, .offset = offset};

    request.spec.key = *key;
    request.bytes_max = bytes_max < LOGS_WINDOW_BYTES_MAX ? bytes_max : LOGS_WINDOW_BYTES_MAX;
    return ask_with(client, &request, NULL, 0);
}

int sandbox_client_exec(struct sandbox_client *client, const struct replica_key *key)
{
    return ask_about(client, REQUEST_EXEC, key);
}

int sandbox_client_programs(struct sandbox_client *client)
{
    const struct helper_request request = {.kind = REQUEST_PROGRAMS};

    return ask_with(client, &request, NULL, 0);
}

/* A connection between two processes of this machine, as sandbox/exec_protocol.h has it. */
static bool is_stream_end(int fd)
{
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof(peer);
    int domain = 0;
    int type = 0;
    socklen_t int_bytes = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &int_bytes) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_bytes) == 0 && type == SOCK_STREAM &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0;
}

/* Of several descriptors the kernel closes those behind the first, and says so: then it is none. */
static ssize_t receive_bytes(int fd, uint8_t *bytes, size_t capacity_bytes, int *fd_out)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {bytes, capacity_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             /* What CMSG_SPACE rounds up to has room for one more. */
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t count_bytes = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = count_bytes < 0 ? NULL : CMSG_FIRSTHDR(&message);

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        CHECK(header->cmsg_len == CMSG_LEN(sizeof(int)));
        memcpy(fd_out, CMSG_DATA(header), sizeof(int));
        if ((message.msg_flags & MSG_CTRUNC) != 0) {
            errno = EBADMSG;
            return -1;
        }
    }
    return count_bytes;
}

static bool is_way_in(const struct helper_answer *answer, int fd)
{
    return answer->kind == ANSWER_EXEC && answer->exec.reason[0] == '\0' && is_stream_end(fd);
}

int sandbox_client_receive_fd(struct sandbox_client *client, struct helper_answer *answer_out,
                              int *fd_out)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    CLEANUP(cleanup_close) int passed_fd = -1;
    ssize_t count_bytes;

    *fd_out = -1;
    if (client->fd < 0) {
        return -ENOTCONN;
    }
    count_bytes = receive_bytes(client->fd, bytes, sizeof(bytes), &passed_fd);
    if (count_bytes < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    if (count_bytes == 0) {
        return -EPIPE;
    }
    if ((size_t)count_bytes > sizeof(bytes) ||
        helper_answer_decode((struct bytes){bytes, (size_t)count_bytes}, answer_out) < 0 ||
        (passed_fd >= 0 && !is_way_in(answer_out, passed_fd))) {
        return -EBADMSG;
    }
    if (answer_out->kind == ANSWER_READY && answer_out->version != HELPER_PROTOCOL_VERSION) {
        return -EPROTO;
    }
    if (answer_out->kind == ANSWER_EXEC && passed_fd < 0 && answer_out->exec.reason[0] == '\0') {
        (void)text_copy(answer_out->exec.reason, sizeof(answer_out->exec.reason),
                        "the agent has no descriptor left"); /* the kernel closed it */
    }
    *fd_out = take_fd(&passed_fd);
    return SANDBOX_CLIENT_MESSAGE;
}

int sandbox_client_receive(struct sandbox_client *client, struct helper_answer *answer_out)
{
    int passed_fd = -1;
    int r = sandbox_client_receive_fd(client, answer_out, &passed_fd);

    cleanup_close(&passed_fd);
    return r;
}
