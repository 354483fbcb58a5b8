# SPDX-License-Identifier: GPL-3.0-or-later
# overlay/protocol.proto -> overlay/protocol.pb.[ch] in the build folder, through nanopb.

set(PROTOCOL_SOURCES ${CMAKE_BINARY_DIR}/overlay/protocol.pb.c)
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/overlay/protocol.pb.c ${CMAKE_BINARY_DIR}/overlay/protocol.pb.h
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/overlay
  # Debian's generator needs Debian's python, whatever python comes first in PATH.
  COMMAND /usr/bin/python3 /usr/bin/nanopb_generator.py --quiet --strip-path
          -I ${CMAKE_SOURCE_DIR} -D ${CMAKE_BINARY_DIR} overlay/protocol.proto
  DEPENDS ${CMAKE_SOURCE_DIR}/overlay/protocol.proto ${CMAKE_SOURCE_DIR}/overlay/protocol.options
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
  VERBATIM)
add_custom_target(protocol_generated DEPENDS ${CMAKE_BINARY_DIR}/overlay/protocol.pb.h)
add_library(protocol STATIC ${PROTOCOL_SOURCES})
add_dependencies(protocol protocol_generated)
target_link_libraries(protocol PUBLIC ${NANOPB_LIBRARY})
