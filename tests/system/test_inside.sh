#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Services that attack from inside: each is held within its limits, its end is known, what it
# leaves is gone, and a neighbour on the same node answers meanwhile.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
node_config() {
    cat <<'CONFIG'
contribute: {cpu: "2.0", memory: 768M, disk: 768M, storage: 512M, keep_free: 0%, pids: 512}
CONFIG
}
community_new 1
node_start 1
minga 1 community create alone >/dev/null
"$here/../fixtures/make_web.sh" "$WORK/web.tar.zst"
minga 1 push "$WORK/web.tar.zst" >/dev/null
minga 1 start web >/dev/null
minga 1 scale web 1 --wait=20s >/dev/null
within 10 "the neighbour answers" all_answer 1 web 1

# attacker NAME [MANIFEST LINES] <SCRIPT: a bundle with python, pushed and started.
python=$(realpath /usr/bin/python3)
attacker() {
    local name=$1
    cat >"$WORK/$name.py"
    cat >"$WORK/$name.yaml" <<MANIFEST
name: $name
command: [/usr/bin/python3, -B, /attack.py]
workdir: /tmp
env: [PYTHONUNBUFFERED=1]
resources: {cpu: 0.5, memory: 96M, disk: 48M, pids: 48}
${2:-}
MANIFEST
    "$here/../fixtures/make_bundle.sh" "$WORK/$name.tar.gz" "$WORK/$name.yaml" \
        "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$WORK/$name.py=/attack.py"
    minga 1 push "$WORK/$name.tar.gz" >/dev/null 2>&1 || fail "push $name"
    minga 1 start "$name" >/dev/null || fail "start $name"
    wait_until 10 has_pids "$name" || true
}
has_pids() { [ -n "$(pids_of "$1")" ]; }
pids_of() { # of the service's processes, without minga-init
    local pid
    for pid in $(pids_in_cgroup 1); do
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q attack.py && echo "$pid"
    done
    true
}
replica() { minga 1 --json status "$1" | jq -r ".services[0].replicas[0].$2"; }
cpu_ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
cpu_permille_of() { # PID SECONDS
    local before
    before=$(cpu_ticks "$1")
    sleep "$2"
    echo $((($(cpu_ticks "$1") - before) * 10 / $2))
}
resident_kib() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
logs_bytes() { du -sbc "$(dir_of 1)"/state/sandbox/logs 2>/dev/null | awk 'END {print $1}'; }
gone() { # NAME [SECONDS]
    minga 1 stop "$1" --wait="${2:-15}s" >/dev/null || fail "stop $1"
    within 5 "$1: no process is left" eval '! has_pids '"$1"
    check "$1: the neighbour answers" all_answer 1 web 1
}
agent=${AGENT_PID[1]}
helper=$(helper_pids 1)

# --- output
attacker printer 'logs: 1M' <<'PY'
line = b"x" * 1048576 # never a newline
import os
while True: os.write(1, line)
PY
check "printer: the neighbour answers beside it" all_answer 1 web 1
used=$(cpu_permille_of "$agent" 3)
if [ "$used" -lt 200 ]; then pass "printer: the agent spends $used permille"; else fail "printer: the agent spends $used permille"; fi
if [ "$(logs_bytes)" -lt 3000000 ]; then pass "printer: its logs are $(logs_bytes) bytes"; else fail "printer: its logs are $(logs_bytes) bytes"; fi
check "printer: logs can be read" eval 'minga 1 logs printer >"$WORK/printed" && grep -c xxx "$WORK/printed"'
gone printer

# --- memory, by way of files in memory
attacker shm <<'PY'
import os, time
try:
    with open("/dev/shm/f", "wb") as f:
        while True: f.write(b"x" * 65536)
except OSError as error: print("shm:", error)
try:
    fd = os.memfd_create("m")
    while True: os.write(fd, b"x" * 65536)
except OSError as error: print("memfd:", error)
PY
within 20 "shm: it is held at its memory" eval 'replica shm reason | grep -qi "out of memory" || minga 1 logs shm | grep -c "shm: .*space"'
gone shm

# --- names
attacker names <<'PY'
import os, time
count = 0
try:
    while True:
        open(f"/tmp/{count}", "w").close(); count += 1
except OSError as error: print("inodes:", count, error)
depth = 0
try:
    os.makedirs("/deep"); os.chdir("/deep")
    while depth < 20000: os.mkdir("d"); os.chdir("d"); depth += 1
except OSError as error: print("depth:", depth, error)
os.chdir("/")
for path in ("/usr/bin/python3", "/attack.py", "/proc/1", "/dev/null", "/etc/hosts"):
    try: os.utime(path, (0, 0)); print("utime", path)
    except OSError as error: print("no utime", path, error)
print("over"); time.sleep(600)
PY
within 60 "names: it is told that there is no room" eval 'minga 1 logs names | grep -c over'
check "names: its disk is within the limit" eval '[ "$(replica names "disk_bytes <= .services[0].replicas[0].disk_limit_bytes")" = true ]'
check "names: the tree of the host keeps its times" eval '[ -z "$(find "$(dir_of 1)/state/agent/trees" -newermt 1969-01-01 ! -newermt 1971-01-01 -name python3)" ]'
check "names: not the time of a device" eval '! minga 1 logs names | grep -c "^utime /dev"'
gone names 20

# --- processes and the kernel
attacker calls <<'PY'
import ctypes, os, signal, socket, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = libc.syscall(*arguments)
    print(name, "DONE" if result >= 0 else os.strerror(ctypes.get_errno()))
for number in range(1, 32):
    if number not in (signal.SIGCHLD,):
        try: os.kill(1, number)
        except OSError: pass
print("signals sent")
call("ptrace", 101, 16, 1, 0, 0)
call("vm_readv", 310, 1, 0, 0, 0, 0, 0)
for flags in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x4000000, 0x2000000):
    call(f"unshare {flags:x}", 272, flags)
call("setns", 308, 3, 0)
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
call("pivot_root", 155, b"/", b"/tmp")
call("chroot", 161, b"/tmp")
call("bpf", 321, 0, 0, 0)
call("userfaultfd", 323, 0)
call("io_uring", 425, 8, 0)
call("keyctl", 250, 0, -3, 0)
call("perf", 298, 0, 0, -1, -1, 0)
call("open_by_handle", 304, 0, 0, 0)
call("clone newuser", 56, 0x10000000 | 17, 0, 0, 0, 0)
call("setuid 0", 105, 0)
for family in (16, 17, 38, 40, 31, 2 | 0x100000000):
    try: socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_STREAM); print("socket", family, "DONE")
    except (OSError, OverflowError) as error: print("socket", family, error)
for path in ("/proc/1/mem", "/proc/1/root", "/proc/1/environ", "/proc/1/cwd", "/proc/1/fd/0", "/proc/1/maps", "/proc/kcore", "/proc/kmsg",
             "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/mem", "/dev/loop0", "/proc/self/attr/current", "/proc/self/oom_score_adj"):
    try:
        with open(path, "r+b", buffering=0) as f: f.write(b"0"); print(path, "DONE")
    except OSError as error: print(path, error)
try: os.mknod("/tmp/sda", 0o60666, os.makedev(8, 0)); print("mknod DONE")
except OSError as error: print("mknod", error)
try:
    os.chmod("/usr/bin/python3", 0o6755); print("chmod", oct(os.stat("/usr/bin/python3").st_mode))
except OSError as error: print("chmod", error)
for address in ("10.77.0.1", "10.77.0.250", "169.254.169.254", "8.8.8.8"):
    try: socket.create_connection((address, 7400), 1); print("connect", address, "DONE")
    except OSError as error: print("connect", address, error)
children = 0
while True:
    try:
        if os.fork() == 0: time.sleep(600); os._exit(0)
        children += 1
    except OSError as error: print("forked", children, error); break
print("still here", os.getpid(), flush=True); time.sleep(600)
PY
within 30 "calls: it goes through to the end" eval 'minga 1 logs calls | grep -c "still here"'
minga 1 logs calls >"$WORK/calls" || true
check "calls: only its own score may be worsened" eval '[ -z "$(grep DONE "$WORK/calls" | grep -vE "oom_score_adj|clone newuser" )" ]'
check "calls: it was not restarted" eval '[ "$(replica calls restarts)" = 0 ]'
[ -z "$(grep DONE "$WORK/calls")" ] || sed 's/^/# /' < <(grep DONE "$WORK/calls")
gone calls

# --- deaf to SIGTERM
attacker deaf 'stop: {signal: TERM, grace: 2s}' <<'PY'
import os, signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0: os.setsid()
print("deaf"); time.sleep(600)
PY
within 10 "deaf: it is ready" eval 'minga 1 logs deaf | grep -c deaf'
started=$(now_ms)
gone deaf
took=$(($(now_ms) - started))
if [ "$took" -ge 1900 ] && [ "$took" -le 6000 ]; then pass "deaf: killed after its grace ($took ms)"; else fail "deaf: killed after its grace ($took ms)"; fi

# --- connections through its own port
attacker server $'ports:\n  - {name: tcp, container: 9000}' <<'PY'
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 9000)); s.listen(4096)
held = []
while True:
    try: held.append(s.accept())
    except OSError: time.sleep(0.05)
PY
within 10 "server: it listens" eval '[ -n "$(minga 1 locate server)" ]'
place=$(minga 1 locate server | head -n 1)
in_node user timeout 30 python3 - "${place%:*}" "${place#*:}" <<'PY' || true
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
held = []
end = time.time() + 8
while time.time() < end and len(held) < 5000:
    try: s = socket.socket(); s.setblocking(False); s.connect_ex((sys.argv[1], int(sys.argv[2]))); held.append(s)
    except OSError: break
for s in held:
    try: s.send(b"x" * 65536)
    except OSError: pass
time.sleep(2)
PY
check "server: the neighbour answers" all_answer 1 web 1
check "server: it still runs" has_running 1 server 1
check "server: the agent is small" eval '[ "$(resident_kib "$agent")" -lt 60000 ]'
gone server

# --- ends at once, again and again
attacker hasty <<'PY'
import sys; sys.exit("no reason at all")
PY
sleep 6
used=$(cpu_permille_of "$agent" 5)
if [ "$used" -lt 60 ]; then pass "hasty: the agent spends $used permille"; else fail "hasty: the agent spends $used permille"; fi
used=$(cpu_permille_of "$helper" 5)
if [ "$used" -lt 100 ]; then pass "hasty: the helper spends $used permille"; else fail "hasty: the helper spends $used permille"; fi
if [ "$(replica hasty restarts)" -le 12 ]; then pass "hasty: restarted $(replica hasty restarts) times"; else fail "hasty: restarted $(replica hasty restarts) times"; fi
check "hasty: what it printed is shown" eval 'minga 1 logs hasty | grep -c "no reason at all"'
gone hasty

minga 1 stop web --wait=15s >/dev/null || fail "stop web"
node_stop 1
within 10 "nothing is left behind" is_empty leftovers
