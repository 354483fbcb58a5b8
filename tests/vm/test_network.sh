#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The network of the units as systemd confines them, in a Debian 12 guest with cgroup v2: the way out
# (`egress: internet`), ports that a router opens, and what IPAddressDeny= is for whom. The home, its
# router and the Internet are namespaces there.
# PACKAGES, IMAGE: see payload.sh.
set -euo pipefail
# shellcheck source=tests/vm/payload.sh
. "$(dirname "$(realpath "$0")")/payload.sh"
fixtures=$here/../fixtures
cp "$package" "$payload/minga.deb"
cp "$here/guest_world.sh" "$fixtures/internet.py" "$fixtures/walker.py" "$payload/"
# As small as it gets, for an emulated machine: the modules that it loads, compiled.
root=$payload/walker
mkdir -p "$root/usr/bin" "$root/srv"
sed 's/^replicas:.*/replicas: 1/; s/cpu: [0-9.]*/cpu: 0.8/; s/python3, /python3, -I, -S, /' "$fixtures/services/walker.yaml" >"$root/service.yaml"
cp "$fixtures/walker.py" "$root/srv/"
python=$(realpath /usr/bin/python3)
cp "$python" "$root/usr/bin/python3"
/usr/bin/python3 -I -S - "$root" <<'PYTHON'
import encodings.idna, encodings.latin_1, os, py_compile, socket, sys

for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None)
    if path and path.endswith(".py") and "py_compile" not in path:
        py_compile.compile(path, cfile=sys.argv[1] + path + "c", dfile=path)
PYTHON
ldd "$python" | grep -o '/[^ :]*\.so[^ :]*' | while read -r library; do cp -L --parents "$library" "$root"; done
"$here/run_guest.sh" -t "${VM_SECONDS:-600}" -m 1024 -p "$payload" "$IMAGE" "$here/guest_network.sh"
