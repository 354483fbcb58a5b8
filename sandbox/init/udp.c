// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"

union control { /* room for what says at which address a datagram came in, or is to leave from */
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr align;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool has_room_for_control(int fd, int *family_out)
{
    socklen_t int_bytes = sizeof(int);
    const int on = 1;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, family_out, &int_bytes) < 0) {
        return false;
    }
    return *family_out == AF_INET
               ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0
               : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) == 0;
}

int udp_begin(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int family = AF_UNSPEC;

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
                   !has_room_for_control(fd, &family)
               ? -errno
               : 0;
}

static void key_set_v4(uint8_t address_out[16], const struct in_addr *address)
{
    memset(address_out, 0, 10);
    address_out[10] = 0xff;
    address_out[11] = 0xff;
    memcpy(address_out + 12, address, sizeof(*address));
}

static bool key_of(const struct msghdr *message, uint16_t service_port, struct flow_key *key_out)
{
    const union address *from = message->msg_name;
    struct flow_key key = {.service_port = service_port};

    if (from->any.sa_family == AF_INET) {
        key_set_v4(key.client, &from->v4.sin_addr);
        key.client_port = ntohs(from->v4.sin_port);
    } else if (from->any.sa_family == AF_INET6) {
        memcpy(key.client, &from->v6.sin6_addr, sizeof(key.client));
        key.client_port = ntohs(from->v6.sin6_port);
        key.scope = from->v6.sin6_scope_id;
    } else {
        return false;
    }
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(header), sizeof(info));
            key_set_v4(key.here, &info.ipi_spec_dst);
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(header), sizeof(info));
            memcpy(key.here, &info.ipi6_addr, sizeof(key.here));
        }
    }
    *key_out = key;
    return key.client_port != 0; /* 0 cannot be answered */
}

static socklen_t client_address(const struct flow_key *key, int family, union address *address_out)
{
    memset(address_out, 0, sizeof(*address_out));
    if (family == AF_INET) {
        address_out->v4.sin_family = AF_INET;
        address_out->v4.sin_port = htons(key->client_port);
        memcpy(&address_out->v4.sin_addr, key->client + 12, sizeof(struct in_addr));
        return sizeof(address_out->v4);
    }
    address_out->v6.sin6_family = AF_INET6;
    address_out->v6.sin6_port = htons(key->client_port);
    address_out->v6.sin6_scope_id = key->scope;
    memcpy(&address_out->v6.sin6_addr, key->client, sizeof(struct in6_addr));
    return sizeof(address_out->v6);
}

/* An answer leaves from the address that its question came to: clients compare. */
static void put_source(const struct flow_key *key, int family, struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    CHECK(header != NULL);
    if (family == AF_INET) {
        struct in_pktinfo info = {0};

        memcpy(&info.ipi_spec_dst, key->here + 12, sizeof(info.ipi_spec_dst));
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(header), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = key->scope};

        memcpy(&info.ipi6_addr, key->here, sizeof(info.ipi6_addr));
        header->cmsg_level = IPPROTO_IPV6;
        header->cmsg_type = IPV6_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(header), &info, sizeof(info));
    }
    message->msg_controllen = (socklen_t)CMSG_SPACE(header->cmsg_len - CMSG_LEN(0));
}

enum udp_received udp_receive(int fd, uint8_t *block, uint16_t service_port,
                              struct flow_key *key_out, size_t *length_bytes_out)
{
    union control control;
    union address from;
    struct iovec vector = {block, UDP_DATAGRAM_BYTES_MAX};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof(from),
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t length_bytes = recvmsg(fd, &message, 0);

    if (length_bytes < 0) {
        /* An answer that came back as an ICMP message is the client's affair. */
        return errno != EAGAIN && errno != EBADF ? UDP_NOBODY : UDP_EMPTY;
    }
    *length_bytes_out = (size_t)length_bytes;
    return key_of(&message, service_port, key_out) ? UDP_TAKEN : UDP_NOBODY;
}

void udp_answer(int fd, const struct flow_key *key, struct bytes datagram)
{
    socklen_t int_bytes = sizeof(int);
    union control control = {.bytes = {0}};
    union address to;
    struct iovec vector = {(void *)(uintptr_t)datagram.data, datagram.length_bytes};
    struct msghdr message = {.msg_name = &to,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int family = AF_UNSPEC;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &int_bytes) < 0) {
        return;
    }
    message.msg_namelen = client_address(key, family, &to);
    put_source(key, family, &message);
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        message.msg_controllen = 0; /* that address is no source: a broadcast, or gone since */
        (void)sendmsg(fd, &message, MSG_NOSIGNAL);
    }
}
