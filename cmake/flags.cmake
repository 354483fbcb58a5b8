# SPDX-License-Identifier: GPL-3.0-or-later
# Warnings, hardening and sanitizers for everything we write (generated code: minga_generated).

add_compile_definitions(_GNU_SOURCE MINGA_VERSION="${PROJECT_VERSION}")
if(CMAKE_SIZEOF_VOID_P EQUAL 4) # files over 2 GiB, and times after 2038
  add_compile_definitions(_FILE_OFFSET_BITS=64 _TIME_BITS=64)
endif()
add_compile_options(-fno-common -fno-strict-aliasing)
if(MINGA_WERROR)
  add_compile_options(-Werror)
endif()

set(MINGA_WARNINGS
  -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wswitch-enum
  -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference -Wconversion -Wsign-conversion
  -Wfloat-equal -Wredundant-decls -Wdate-time)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND MINGA_WARNINGS -Wduplicated-cond -Wduplicated-branches -Wlogical-op
    -Warith-conversion -Wcast-align=strict)
else()
  list(APPEND MINGA_WARNINGS -Wcast-align -Wcomma -Wunreachable-code -Wassign-enum
    -Wno-missing-field-initializers) # which counts rows {a, b, .c = d} of tables, unlike gcc's
endif()

if(MINGA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(MINGA_SANITIZE)
  add_compile_options(-O1 -fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(MINGA_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
else()
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
  add_compile_options(-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    -ftrivial-auto-var-init=zero -fPIE)
  if(CMAKE_C_COMPILER_ID STREQUAL "Clang" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 16)
    # Those wanted to be asked twice; they do the same as all others.
    add_compile_options(-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang)
  endif()
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
endif()

# minga_library(NAME SOURCES...): a static library of ours, with all warnings on.
function(minga_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE ${MINGA_WARNINGS})
endfunction()

# minga_program(NAME SOURCES...)
function(minga_program name)
  add_executable(${name} ${ARGN})
  target_compile_options(${name} PRIVATE ${MINGA_WARNINGS})
endfunction()
