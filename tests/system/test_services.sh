#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Ordinary programs of Debian run unchanged: redis, python, a dynamic binary with its libraries;
# none as uid 0, none with a capability; what they print is kept.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need redis-server python3-minimal libpython3-stdlib socat

community_new 3
community_start
fixtures=$here/../fixtures

echo "hello from python" >"$WORK/hello.txt"
"$fixtures/make_bundle.sh" "$WORK/redis.tar.gz" "$fixtures/services/redis.yaml" \
    "$(realpath /usr/bin/redis-server)=/usr/bin/redis-server" "$WORK/hello.txt=/data/hello.txt"
"$fixtures/make_bundle.sh" "$WORK/dynamic.tar.xz" "$fixtures/services/dynamic.yaml" \
    "$(realpath "$(command -v socat)")=/usr/bin/socat" /usr/bin/uname /bin/uname=/usr/bin/uname
python=$(realpath /usr/bin/python3)
"$fixtures/make_bundle.sh" "$WORK/python.tar.zst" "$fixtures/services/python.yaml" \
    "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")" "$WORK/hello.txt=/srv/hello.txt"

for service in redis dynamic python; do
    minga 1 push "$WORK/$service".tar.* >/dev/null || fail "push $service"
    minga 1 start "$service" --wait=30s >/dev/null || fail "start $service: $(minga 1 status "$service")"
    within 10 "$service runs" has_running 2 "$service" 1
done

place() { minga 3 locate "$1" | head -n 1; }
redis_says() {
    local at
    at=$(place redis)
    printf 'SET minga neighbours\r\nGET minga\r\n' |
        in_node user timeout 3 socat -t1 - "TCP:$at" | grep -c neighbours
}
dynamic_says() { in_node user timeout 3 socat -u "TCP:$(place dynamic)" - | grep -c '^dynamic-1$'; }
python_says() { answers "$(place python)" /hello.txt | grep -c 'hello from python'; }
within 5 "redis keeps a key" redis_says
within 5 "a dynamic binary answers, with the replica's host name" dynamic_says
within 5 "python serves a file" python_says
check "what it printed is kept" eval 'minga 3 logs python | grep -c "GET /hello.txt"'

status_lines() { # of each process of a service on any node, but pid 1 of the sandbox
    local i pid
    for i in 1 2 3; do
        for pid in $(pids_in_cgroup "$i"); do
            case $(tr '\0' ' ' <"/proc/$pid/cmdline") in *minga-init*) ;; *) cat "/proc/$pid/status" ;; esac
        done
    done
}
check "no service runs as a uid of the host" eval '[ -z "$(status_lines | awk "/^Uid:/ && \$2 < 1879048192")" ]'
check "no service has a capability" eval '[ -z "$(status_lines | awk "/^Cap(Prm|Eff|Bnd|Amb|Inh):/ && \$2 != \"0000000000000000\"")" ]'
check "each is filtered" eval '[ -z "$(status_lines | awk "/^Seccomp:/ && \$2 != 2")" ]'
check "none can gain privileges" eval '[ -z "$(status_lines | awk "/^NoNewPrivs:/ && \$2 != 1")" ]'
check "mingad has no privileges" eval '[ -z "$(awk "/^Cap(Prm|Eff|Bnd|Amb|Inh):/ && \$2 != \"0000000000000000\"" "/proc/${AGENT_PID[1]}/status")" ] && [ "$(awk "/^Uid:/ {print \$2}" "/proc/${AGENT_PID[1]}/status")" != 0 ]'
check "no mount of a sandbox is in the host's table" eval '! grep -qF "$WORK" /proc/self/mounts'

# --- a probe inside: what a service can reach
root=$WORK/probe
mkdir -p "$root/bin"
cp /bin/busybox "$root/bin/"
for applet in sh cat ls mkdir mount nc id ip touch wget hostname sleep ps; do ln -s busybox "$root/bin/$applet"; done
cat >"$root/probe" <<'PROBE'
#!/bin/sh
try() { if "$@" >/dev/null 2>&1; then echo "allowed: $*"; else echo "denied: $*"; fi; }
id
touch /written && echo "can write its own files"
try touch /bin/busybox-new
try mount -t tmpfs none /mnt
try nc -w 1 10.77.0.1 7400
try nc -w 1 127.0.0.1 7400
try cat /proc/kcore
try cat /proc/keys
try sh -c 'echo x > /proc/sysrq-trigger'
try sh -c 'echo x > /proc/sys/kernel/core_pattern'
try ls /sys/kernel
try cat /proc/1/environ
try mkdir /proc/x
ps
echo probe is done
sleep 600
PROBE
chmod 755 "$root/probe"
cat >"$root/service.yaml" <<'MANIFEST'
name: probe
command: [/bin/sh, /probe]
resources: {cpu: 0.2, memory: 32M, disk: 16M, pids: 16}
MANIFEST
minga 1 push "$root" >/dev/null
minga 1 start probe --wait=20s >/dev/null || fail "start probe"
within 15 "the probe ends its report" eval 'minga 2 logs probe | grep -c "probe is done"'
report() { minga 2 logs probe; }
report >"$WORK/report"
check "it writes its own files" grep -q "can write its own files" "$WORK/report"
for what in "mount -t tmpfs none /mnt" "nc -w 1 10.77.0.1 7400" "nc -w 1 127.0.0.1 7400" "cat /proc/kcore" \
    "cat /proc/keys" "sh -c echo x > /proc/sysrq-trigger" "sh -c echo x > /proc/sys/kernel/core_pattern" \
    "ls /sys/kernel" "cat /proc/1/environ" "mkdir /proc/x"; do
    check "denied inside: $what" grep -qxF "denied: $what" "$WORK/report"
done

for service in redis dynamic python probe; do minga 1 stop "$service" --wait=20s >/dev/null || fail "stop $service"; done
for i in 1 2 3; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
