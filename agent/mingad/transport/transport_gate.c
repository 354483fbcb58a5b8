// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/transport_gate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum kind { KIND_NONE, KIND_LISTENER, KIND_NEWCOMER, KIND_STRANGER, KIND_TRUSTED, KIND_DIALLED };
enum { PAUSE_NS = 1000000 };

struct passage {
    atomic_int kind;
    atomic_uint left;     /* bytes; of a listener, connections */
    atomic_uint borrowed; /* of the pool */
};

/* File-scope, since the C library's functions have no argument for it. */
static struct gate {
    struct passage passages[GATE_FDS_MAX];
    atomic_uint limit;
    atomic_uint pool;
    atomic_bool is_listening_soon;
    atomic_ullong refused_count;
    atomic_ullong cut_count;
} gate = {.limit = GATE_FDS_MAX, .pool = GATE_POOL_BYTES};

static struct passage *passage_of(int fd)
{
    return fd >= 0 && fd < GATE_FDS_MAX ? &gate.passages[fd] : NULL;
}

/* What one of this kind may have taken in at most. */
static uint32_t full_of(int kind)
{
    if (kind == KIND_LISTENER) {
        return GATE_ACCEPT_COUNT;
    }
    return kind == KIND_NEWCOMER || kind == KIND_STRANGER ? GATE_STRANGER_BYTES
                                                          : GATE_TRUSTED_BYTES;
}

/* A descriptor that nobody else knows yet. */
static void begin(int fd, int kind)
{
    struct passage *passage = passage_of(fd);

    if (passage != NULL) {
        atomic_store(&passage->left, full_of(kind));
        atomic_store(&passage->kind, kind);
    }
}

/* Takes up to `wanted`, and says how much. */
static uint32_t take(atomic_uint *store, size_t wanted)
{
    uint32_t left = atomic_load(store);
    uint32_t taken;

    do {
        taken = wanted < left ? (uint32_t)wanted : left;
    } while (!atomic_compare_exchange_weak(store, &left, left - taken));
    return taken;
}

static uint32_t borrow(struct passage *passage, size_t wanted)
{
    uint32_t borrowed = atomic_load(&passage->borrowed);
    uint32_t more = borrowed < GATE_BORROWED_BYTES_MAX ? GATE_BORROWED_BYTES_MAX - borrowed : 0;

    more = take(&gate.pool, wanted < more ? wanted : more);
    atomic_fetch_add(&passage->borrowed, more);
    return more;
}

static void return_borrowed(struct passage *passage)
{
    atomic_fetch_add(&gate.pool, atomic_exchange(&passage->borrowed, 0));
}

static void give(struct passage *passage, uint64_t bytes)
{
    uint32_t full = full_of(atomic_load(&passage->kind));
    uint32_t left = atomic_load(&passage->left);
    uint32_t more;

    do {
        uint32_t missing = left < full ? full - left : 0;

        more = bytes < missing ? (uint32_t)bytes : missing;
    } while (!atomic_compare_exchange_weak(&passage->left, &left, left + more));
}

/* The kernel keeps what waits, and ZeroMQ would ask again at once. */
static void pause_thread(void)
{
    nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
}

/* ------------------------------------------------------------------ in place of the C library's */

int gate_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) __asm__("accept4");
ssize_t gate_recv(int fd, void *bytes, size_t length, int flags) __asm__("recv");
int gate_close(int fd) __asm__("close");

int gate_close(int fd)
{
    struct passage *passage = passage_of(fd);

    if (passage != NULL && atomic_load(&passage->kind) != KIND_NONE) {
        atomic_store(&passage->kind, KIND_NONE);
        return_borrowed(passage);
    }
    return (int)syscall(SYS_close, fd);
}

static int accept_at(struct passage *listener, int fd, struct sockaddr *address, socklen_t *length,
                     int flags)
{
    if (take(&listener->left, 1) == 0) {
        pause_thread();
        errno = EAGAIN;
        return -1;
    }
    int caller = (int)syscall(SYS_accept4, fd, address, length, flags);

    if (caller < 0) {
        give(listener, 1);
        return -1;
    }
    if ((uint32_t)caller >= atomic_load(&gate.limit)) {
        give(listener, 1);
        atomic_fetch_add(&gate.refused_count, 1);
        (void)syscall(SYS_close, caller);
        errno = ECONNABORTED;
        return -1;
    }
    begin(caller, KIND_NEWCOMER);
    return caller;
}

int gate_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    struct passage *passage = passage_of(fd);

    if (passage != NULL && atomic_load(&passage->kind) == KIND_LISTENER) {
        return accept_at(passage, fd, address, length, flags);
    }
    if (atomic_load(&gate.is_listening_soon)) {
        errno = EAGAIN;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

static ssize_t receive(int fd, void *bytes, size_t length, int flags)
{
    return (ssize_t)syscall(SYS_recvfrom, fd, bytes, length, flags, NULL, NULL);
}

static ssize_t receive_borrowing(struct passage *passage, int fd, void *bytes, size_t length,
                                 int flags)
{
    uint32_t borrowed = borrow(passage, length);
    ssize_t count;
    uint32_t unused;

    if (borrowed == 0) {
        atomic_fetch_add(&gate.cut_count, 1);
        return 0; /* as if it had hung up */
    }
    count = receive(fd, bytes, borrowed, flags);
    unused = borrowed - (count > 0 ? (uint32_t)count : 0);
    atomic_fetch_add(&gate.pool, take(&passage->borrowed, unused));
    return count;
}

ssize_t gate_recv(int fd, void *bytes, size_t length, int flags)
{
    struct passage *passage = passage_of(fd);
    int kind = passage == NULL ? KIND_NONE : atomic_load(&passage->kind);
    uint32_t allowed;
    ssize_t count;

    if (kind == KIND_NONE || kind == KIND_LISTENER || length == 0) {
        return receive(fd, bytes, length, flags);
    }
    allowed = take(&passage->left, length);
    if (allowed > 0) {
        count = receive(fd, bytes, allowed, flags);
        give(passage, allowed - (count > 0 ? (uint32_t)count : 0));
        return count;
    }
    if (kind == KIND_NEWCOMER || kind == KIND_STRANGER) {
        return receive_borrowing(passage, fd, bytes, kind == KIND_NEWCOMER ? length : 0, flags);
    }
    pause_thread();
    errno = EAGAIN;
    return -1;
}

/* ------------------------------------------------------------------ the loop's side */

void gate_limit_descriptors(uint32_t limit)
{
    atomic_store(&gate.limit, limit < GATE_FDS_MAX ? limit : GATE_FDS_MAX);
}

void gate_begin_listening(void)
{
    atomic_store(&gate.is_listening_soon, true);
}

void gate_end_listening(int fd)
{
    if (fd >= 0) {
        begin(fd, KIND_LISTENER);
    }
    atomic_store(&gate.is_listening_soon, false);
}

void gate_allow_accepts(int fd)
{
    struct passage *passage = passage_of(fd);

    if (passage != NULL && atomic_load(&passage->kind) == KIND_LISTENER) {
        give(passage, GATE_ACCEPT_COUNT);
    }
}

/* ZeroMQ's thread may close it meanwhile: then it stays forgotten. */
static void change(int fd, enum kind from, enum kind to)
{
    struct passage *passage = passage_of(fd);
    int expected = (int)from;

    if (passage != NULL && atomic_compare_exchange_strong(&passage->kind, &expected, (int)to)) {
        atomic_store(&passage->left, full_of((int)to));
    }
}

void gate_note_heard(int fd)
{
    struct passage *passage = passage_of(fd);
    int newcomer = KIND_NEWCOMER;

    if (passage != NULL) {
        (void)atomic_compare_exchange_strong(&passage->kind, &newcomer, KIND_STRANGER);
    }
}

void gate_trust(int fd)
{
    gate_note_heard(fd);
    change(fd, KIND_STRANGER, KIND_TRUSTED);
    if (passage_of(fd) != NULL) {
        return_borrowed(passage_of(fd));
    }
}

void gate_distrust(int fd)
{
    change(fd, KIND_TRUSTED, KIND_STRANGER);
}

void gate_watch_dialled(int fd)
{
    change(fd, KIND_NONE, KIND_DIALLED);
}

void gate_forget_dialled(int fd)
{
    change(fd, KIND_DIALLED, KIND_NONE);
}

void gate_give_back(int fd, uint64_t bytes)
{
    struct passage *passage = passage_of(fd);
    int kind = passage == NULL ? KIND_NONE : atomic_load(&passage->kind);

    if (kind == KIND_TRUSTED || kind == KIND_DIALLED) {
        give(passage, bytes);
    }
}

uint32_t gate_taken_bytes(int fd)
{
    struct passage *passage = passage_of(fd);
    int kind = passage == NULL ? KIND_NONE : atomic_load(&passage->kind);
    uint32_t left;

    if (kind != KIND_TRUSTED && kind != KIND_DIALLED) {
        return 0;
    }
    left = atomic_load(&passage->left);
    return left < full_of(kind) ? full_of(kind) - left : 0;
}

uint64_t gate_refused_count(void)
{
    return atomic_load(&gate.refused_count);
}

uint64_t gate_cut_count(void)
{
    return atomic_load(&gate.cut_count);
}
