#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What another user of the machine can do to the control socket: nothing beyond looking. A member
# of group minga can act, and is not root.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

community_new 2
community_start
agent=${AGENT_PID[1]}
as_user() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
curl_as() { as_user "$1" curl -s -o /dev/null -w '%{http_code}\n' --max-time 5 --unix-socket "$(socket_of 1)" "${@:2}"; }
says() { # STATUS UID ARGS...: the status that comes back
    local got
    got=$(curl_as "${@:2}") || true
    [ "$got" = "$1" ]
}

check "anybody may look" says 200 4242 http://a/v1/nodes
for path in /v1/node/pause /v1/node/drain /v1/records /v1/chunks /v1/chunks/check /v1/community \
    /v1/community/sign /v1/join /v1/leave /v1/expulsions /v1/revocations; do
    check "a stranger may not POST $path" says 403 4242 -X POST -d '{}' "http://a$path"
done
for method in PUT DELETE PATCH OPTIONS TRACE CONNECT FROBNICATE; do
    check "no method $method" eval '! says 200 4242 -X '"$method"' http://a/v1/node'
done
for path in /v1/../../etc/passwd /v1/services/..%2f..%2fetc/logs /v1/services/%00/logs /v1/services//logs \
    '/v1/services/%2e%2e/record' /v1/lookup/../../x "/v1/lookup/$(printf 'a%.0s' {1..300})" \
    /etc/passwd //////; do
    check "no way out by $path" eval 'code=$(curl_as 4242 --path-as-is "http://a'"$path"'"); [ "$code" -ge 400 ] && [ "$code" -lt 500 ]'
done

cat >"$WORK/attack.py" <<'PY'
import json, os, resource, socket, sys, threading, time
path, what = sys.argv[1:3]
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
def dial():
    s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect(path); return s
def ask(raw, count=65536):
    s = dial()
    try:
        s.sendall(raw); return s.recv(count)
    except OSError:
        return b""
    finally:
        s.close()
def post(where, body, length=None):
    return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (where, len(body) if length is None else length) + body
if what == "connections":
    held = []
    for _ in range(3000):
        try: held.append(dial())
        except OSError: break
    time.sleep(3)
elif what == "slow":
    held = [dial() for _ in range(12)]
    for i in range(30):
        for s in held:
            try: s.send(b"GET /v1/node HTTP/1.1\r\n"[i % 23:i % 23 + 1])
            except OSError: pass
        time.sleep(0.1)
elif what == "long":
    for length in (10**6, 10**9, 2**63, 2**64, 10**30):
        ask(post(b"/v1/records", b"x" * 100000, length)); ask(post(b"/v1/chunks", b"x" * 100000, length))
    ask(b"POST /v1/records HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fffff\r\n" + b"x" * 0xfffff)
    ask(b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\n\r\n"); ask(b"A" * 10**6)
    ask(b"GET /v1/node HTTP/1.1\r\n" + b"X: y\r\n" * 10**5 + b"\r\n")
    ask(b"GET /v1/node HTTP/1.1\r\nContent-Length: -1\r\n\r\n"); ask(b"\0" * 5000); ask(os.urandom(100000))
elif what == "bombs":
    for where in (b"/v1/records", b"/v1/join", b"/v1/community", b"/v1/chunks/check", b"/v1/expulsions", b"/v1/community/sign", b"/v1/node/pause"):
        for body in (b"[" * 60000, b'{"a":' * 10000, b"{" + b'"a":1,' * 9000 + b'"b":1}', b'{"name":"' + b"\\u0000" * 9000 + b'"}',
                     b"null", b"", b"1e999999", b'{"name":' + b"9" * 60000 + b"}", b'{"record":"' + b"A" * 60000 + b'"}', os.urandom(4000),
                     b'{"ids":[' + b'"00",' * 10000 + b'"00"]}', b'{"seconds":-1}', b'{"duration_s":1e308}', b"\xff\xfe{}"):
            ask(post(where, body))
elif what == "pipeline":
    s = dial()
    def pump():
        try:
            for _ in range(200): s.sendall(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        except OSError: pass
    threading.Thread(target=pump, daemon=True).start()  # and never reads
    time.sleep(3)
PY
chmod 644 "$WORK/attack.py"
resident_kib() { awk '/^VmRSS/ {print $2}' "/proc/$agent/status"; }
attack() { # UID NAME
    local worst=0 began took pid failed=0
    as_user "$1" timeout 60 python3 "$WORK/attack.py" "$(socket_of 1)" "$2" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        began=$(now_ms)
        minga 1 nodes >/dev/null 2>&1 || failed=$((failed + 1))
        took=$(($(now_ms) - began))
        [ "$took" -le "$worst" ] || worst=$took
        sleep 0.1
    done
    wait "$pid" || fail "$2: the attack could not be made"
    echo "# $2 as $1: worst answer $worst ms, $failed failed, $(($(resident_kib) / 1024)) MiB"
    if [ "$failed" = 0 ] && [ "$worst" -le 2000 ]; then pass "$2 by $1: root is served"; else fail "$2 by $1: root is served (worst $worst ms, $failed failed)"; fi
    check "$2 by $1: the agent lives" kill -0 "$agent"
    if [ "$(resident_kib)" -lt 150000 ]; then pass "$2 by $1: memory is bounded"; else fail "$2 by $1: memory is bounded ($(resident_kib) KiB)"; fi
}
for name in connections slow long bombs pipeline; do attack 4242 "$name"; done
attack 0 bombs
attack 0 long
check "both nodes are up" sees_members 2 2
check "the node was not paused" eval '[ "$(minga 1 --json node | jq -r .community)" != null ]'
minga 1 node resume >/dev/null

# --- files: what the sockets and folders show to others
check "the agent's state is closed to others" eval '! as_user 4242 ls "$(dir_of 1)/state/agent"'
check "the sandbox's state is closed to others" eval '! as_user 4242 ls "$(dir_of 1)/state/sandbox"'
check "the helper's socket is closed to others" eval '! as_user 4242 python3 -c "
import socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.send(b\"x\"); sys.exit(0 if s.recv(10) else 1)" "$(dir_of 1)/run/sandbox.sock"'
for i in 1 2; do node_stop "$i"; done
within 10 "nothing is left behind" is_empty leftovers
