#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# sandbox.sh [COUNT]: times of COUNT launches (200) of `busybox true` by a real minga-sandboxd, with
# bubblewrap, crun, runc and nsjail doing the like beside it where they are installed. As root.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
BIN=$(realpath "${BIN:-$here/../../build/release/bin}")
count=${1:-200}
