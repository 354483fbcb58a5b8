# SPDX-License-Identifier: GPL-3.0-or-later
# minga_musl(TARGET): links a program statically with musl, where Debian's musl-tools is there and
# the compiler is gcc; else glibc links it. Sets MINGA_MUSL and MINGA_STATIC.
#
# What for: glibc asks the processor what it can do, by dozens of `cpuid` at each start, and in a
# virtual machine each of them leaves the guest: half a millisecond for every replica.

set(MINGA_MUSL OFF)
string(REPLACE linux-gnu linux-musl musl_triplet "${CMAKE_LIBRARY_ARCHITECTURE}")
find_file(MINGA_MUSL_SPECS musl-gcc.specs PATHS /usr/lib/${musl_triplet} NO_DEFAULT_PATH)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND MINGA_MUSL_SPECS)
  set(MINGA_MUSL ON)
endif()

# How glibc links a static program: at a random address, except for 32-bit ARM, where it has no start file for that.
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=rcrt1.o
  OUTPUT_VARIABLE start_file OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(EXISTS "${start_file}")
  set(MINGA_STATIC -static-pie)
else()
  set(MINGA_STATIC -static -no-pie)
endif()

function(minga_musl target)
  if(NOT MINGA_MUSL)
    target_link_options(${target} PRIVATE ${MINGA_STATIC})
    return()
  endif()
  get_filename_component(folder ${MINGA_MUSL_SPECS} DIRECTORY)
  # The kernel's own headers, which musl does not bring, and nothing else of glibc's folder.
  set(headers ${CMAKE_BINARY_DIR}/kernel-headers)
  file(MAKE_DIRECTORY ${headers})
  foreach(name linux asm-generic)
    file(CREATE_LINK /usr/include/${name} ${headers}/${name} SYMBOLIC)
  endforeach()
  file(CREATE_LINK /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/asm ${headers}/asm SYMBOLIC)
  # What the specs say to the compiler, in words that clang-tidy understands, too.
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include
    OUTPUT_VARIABLE own_headers OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  get_filename_component(name ${folder} NAME)
  target_compile_options(${target} PRIVATE -nostdinc "SHELL:-isystem /usr/include/${name}"
    "SHELL:-isystem ${own_headers}" "SHELL:-idirafter ${headers}"
    -Wno-sign-conversion) # its CMSG_NXTHDR converts signs
  # The specs know no static-pie: so its start file, and no interpreter, by hand.
  target_link_options(${target} PRIVATE -specs=${MINGA_MUSL_SPECS} -static -nostartfiles
    ${folder}/rcrt1.o ${folder}/crti.o "-Wl,-pie,--no-dynamic-linker,-z,text"
    -Wl,--eh-frame-hdr)
  target_link_libraries(${target} PRIVATE ${folder}/crtn.o)
endfunction()
