# SPDX-License-Identifier: GPL-3.0-or-later
# Where things lie in an installed system, for both kinds of packages (packaging/build.sh).
# The programs find each other by lying in one folder; people find theirs through links.

set(MINGA_PROGRAMS_FOLDER lib/minga)
set(MINGA_PROGRAMS minga mingad minga-sandboxd minga-init minga-egress minga-environment
  minga-unpack minga-portmap minga-probe)
add_custom_target(programs) # what is installed, and nothing else
add_dependencies(programs ${MINGA_PROGRAMS})
install(TARGETS ${MINGA_PROGRAMS} RUNTIME DESTINATION ${MINGA_PROGRAMS_FOLDER})
install(CODE "
  set(root \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
  file(MAKE_DIRECTORY \"\${root}/bin\" \"\${root}/sbin\")
  file(CREATE_LINK ../${MINGA_PROGRAMS_FOLDER}/minga \"\${root}/bin/minga\" SYMBOLIC)
  file(CREATE_LINK ../${MINGA_PROGRAMS_FOLDER}/mingad \"\${root}/sbin/mingad\" SYMBOLIC)")

install(FILES packaging/minga.yaml DESTINATION /etc/minga)
install(FILES systemd/mingad.service systemd/mingad.socket systemd/minga-sandboxd.service
  systemd/minga-replicas.service
  DESTINATION lib/systemd/system)
install(FILES systemd/minga.sysusers DESTINATION lib/sysusers.d RENAME minga.conf)
install(FILES systemd/minga.tmpfiles DESTINATION lib/tmpfiles.d RENAME minga.conf)

file(GLOB MINGA_PAGES CONFIGURE_DEPENDS packaging/man/*)
foreach(page ${MINGA_PAGES})
  string(REGEX REPLACE ".*\\." "" section ${page})
  install(FILES ${page} DESTINATION share/man/man${section})
endforeach()
install(FILES packaging/completions/minga.bash
  DESTINATION share/bash-completion/completions RENAME minga)
install(FILES packaging/completions/_minga DESTINATION share/zsh/vendor-completions)
install(FILES packaging/completions/minga.fish DESTINATION share/fish/vendor_completions.d)
install(FILES packaging/minga.yaml.example DESTINATION share/doc/minga/examples RENAME minga.yaml)
install(DIRECTORY packaging/hello DESTINATION share/minga)
