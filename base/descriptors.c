// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/descriptors.h"

#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
enum { SO_PASSRIGHTS = 83 }; /* of all processors that Linux has but parisc and sparc */
#endif

bool descriptors_refuse(int fd)
{
#if defined(__hppa__) || defined(__sparc__)
    (void)fd;
    return false;
#else
    return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int)) == 0;
#endif
}
