# SPDX-License-Identifier: GPL-3.0-or-later
# For Debian's cross compiler of ${MINGA_TRIPLET}, with that machine's libraries beside this machine's own.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${MINGA_TRIPLET}-gcc)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${MINGA_TRIPLET}/pkgconfig:/usr/share/pkgconfig)
