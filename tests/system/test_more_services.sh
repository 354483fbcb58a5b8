#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Programs of Debian that nobody had in mind: nginx, memcached, node, perl, php, sqlite in python's
# threads, a large static Go binary. Three replicas each, none as uid 0, and figures that agree
# with the kernel's.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need nginx-light memcached nodejs perl php-cli caddy python3 libpython3-stdlib 2>/dev/null || true

node_config() {
    cat <<'CONFIG'
contribute: {cpu: "2.0", memory: 2G, disk: 1G, storage: 1G, keep_free: 0%, pids: 1024}
CONFIG
}
community_new 3
community_start
bundle=$here/../fixtures/make_bundle.sh
files=$WORK/files
mkdir -p "$files"

# manifest NAME PORT COMMAND [MORE]: a manifest with that command, a YAML list.
manifest() {
    cat >"$files/$1.yaml" <<MANIFEST
name: $1
command: $3
replicas: 3
user: ${4:-1000}
resources: {cpu: 0.3, memory: 160M, disk: 32M, pids: 128}
ports:
  - {name: main, container: $2}
${5:-}
MANIFEST
}

# --- the bundles
nginx_bundle() {
    [ -x /usr/sbin/nginx ] || return 1
    manifest nginx 80 '[/usr/sbin/nginx, -c, /etc/nginx.conf]' 33 'health: {port: main, http: /}'
    cat >"$files/nginx.conf" <<'CONF'
user www-data;
worker_processes 2;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 128; }
http {
    access_log /dev/stdout;
    server { listen 80; root /srv; sendfile on; aio threads; }
}
CONF
    echo "from nginx" >"$files/index.html"
    printf 'www-data:x:33:33::/:/bin/false\n' >"$files/passwd"
    printf 'www-data:x:33:\n' >"$files/group"
    mkdir -p "$files/empty"
    "$bundle" "$files/nginx.tar.gz" "$files/nginx.yaml" /usr/sbin/nginx \
        "$files/nginx.conf=/etc/nginx.conf" "$files/index.html=/srv/index.html" \
        "$files/passwd=/etc/passwd" "$files/group=/etc/group" "$files/empty=/run" \
        "$files/empty=/var/log/nginx" "$files/empty=/var/lib/nginx"
}
memcached_bundle() {
    [ -x /usr/bin/memcached ] || return 1
    manifest memcached 11211 '[/usr/bin/memcached, -m, "32", -t, "4", -c, "512"]'
    "$bundle" "$files/memcached.tar.zst" "$files/memcached.yaml" /usr/bin/memcached
}
node_bundle() {
    local node
    node=$(realpath "$(command -v node || command -v nodejs)") || return 1
    manifest node 8080 '[/usr/bin/node, /srv/server.js]' 65534 'health: {port: main, http: /}'
    cat >"$files/server.js" <<'JS'
const http = require('http'), os = require('os'), fs = require('fs'), crypto = require('crypto');
fs.writeFileSync('/tmp/started', String(Date.now()));
http.createServer((request, response) => {
    console.log(request.url);
    crypto.pbkdf2('a', 'b', 1000, 16, 'sha256', () =>
        response.end('from node on ' + os.hostname() + '\n'));
}).listen(8080, '0.0.0.0');
JS
    "$bundle" "$files/node.tar.zst" "$files/node.yaml" "$node=/usr/bin/node" \
        "$files/server.js=/srv/server.js"

}
perl_bundle() {
    local include
    manifest perl 8080 '[/usr/bin/perl, /srv/server.pl]'
    cat >"$files/server.pl" <<'PERL'
use strict; use warnings; use IO::Socket::INET;
$| = 1;
$SIG{CHLD} = 'IGNORE';
my $listen = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "listen: $!";
while (my $client = $listen->accept) {
    if (fork == 0) {
        my $line = <$client>; print "asked $line";
        while (my $header = <$client>) { last if $header =~ /^\r?$/ }
        print $client "HTTP/1.0 200 OK\r\n\r\nfrom perl\n";
        exit 0;
    }
    close $client;
}
PERL
    include=$(perl -e 'print join "\n", grep { -d && m{^/usr/(lib|share)/} && !m{site|local} } @INC' | sort -u)
    # shellcheck disable=SC2086
    "$bundle" "$files/perl.tar.gz" "$files/perl.yaml" /usr/bin/perl "$files/server.pl=/srv/server.pl" \
        $include
}
php_bundle() {
    [ -x /usr/bin/php ] || return 1
    manifest php 8080 '[/usr/bin/php, -S, "0.0.0.0:8080", -t, /srv]'
    printf '%s\n' '<?php echo "from php ", gethostname(), " ", strlen(random_bytes(8)), "\n";' >"$files/index.php"
    "$bundle" "$files/php.tar.gz" "$files/php.yaml" "$(realpath /usr/bin/php)=/usr/bin/php" \
        "$files/index.php=/srv/index.php" /usr/share/zoneinfo/UTC
}
caddy_bundle() {
    [ -x /usr/bin/caddy ] || return 1
    manifest caddy 8080 '[/usr/bin/caddy, file-server, --root, /srv, --listen, ":8080"]' 65534 \
        'env: [HOME=/tmp, XDG_DATA_HOME=/tmp, XDG_CONFIG_HOME=/tmp]'
    echo "from caddy" >"$files/caddy.html"
    "$bundle" "$files/caddy.tar.zst" "$files/caddy.yaml" /usr/bin/caddy \
        "$files/caddy.html=/srv/index.html"
}
sqlite_bundle() {
    local python
    python=$(realpath /usr/bin/python3)
    manifest sqlite 8000 '[/usr/bin/python3, /srv/counter.py]' 65534 'health: {port: main, http: /}'
    cat >"$files/counter.py" <<'PY'
import http.server, sqlite3, threading, multiprocessing, tempfile, subprocess, sys, mmap
db = sqlite3.connect("/counter.db", check_same_thread=False)
db.execute("pragma journal_mode=wal"); db.execute("create table if not exists n (i integer)")
lock = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with lock:
            db.execute("insert into n values (1)"); db.commit()
            count = db.execute("select count(*) from n").fetchone()[0]
        body = f"from sqlite {count}\n".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
# what servers of that kind use: POSIX semaphores, shared memory, temporary files, children
multiprocessing.Semaphore(1)
tempfile.TemporaryFile().write(b"x" * 100)
assert subprocess.run([sys.executable, "-c", "print(6*7)"], capture_output=True).stdout == b"42\n"
print("ready", flush=True)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
PY
    "$bundle" "$files/sqlite.tar.gz" "$files/sqlite.yaml" "$python=/usr/bin/python3" \
        "/usr/lib/$(basename "$python")" "$files/counter.py=/srv/counter.py"
}
shell_bundle() {
    manifest shell 8080 '[/bin/serve.sh]' 65534
    printf '#!/bin/busybox sh\necho serving as $(/bin/busybox id -u)\nwhile :; do printf "HTTP/1.0 200 OK\\r\\n\\r\\nfrom shell\\n" | /bin/busybox nc -l -p 8080 >/dev/null; done\n' >"$files/serve.sh"
    chmod 755 "$files/serve.sh"
    "$bundle" "$files/shell.tar.gz" "$files/shell.yaml" /bin/busybox "$files/serve.sh=/bin/serve.sh"
}

each_says() { # SERVICE TEXT: its three places
    local place count=0
    for place in $(minga 2 locate "$1"); do
        case $1 in
        memcached) printf 'set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n' | in_node user timeout 3 socat -t2 - "TCP:$place" | grep -q hello || return 1 ;;
        *) in_node user curl -sf --max-time 3 "http://$place/" | grep -q "from $1" || return 1 ;;
        esac
        count=$((count + 1))
    done
    [ "$count" = 3 ]
}

group_of_replica() { # SERVICE: pids of processes with this command, for all nodes
    local i pid
    for i in 1 2 3; do
        for pid in $(pids_in_cgroup "$i"); do
            tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "$1" && echo "$pid"
        done
    done
    true
}
figures_agree() { # SERVICE: memory in status against memory.usage_in_bytes of the replica's group
    local pid group shown kernel low high
    minga 1 --json status "$1" | jq -e '[.services[0].replicas[] | .memory_bytes > 100000 and
        .memory_bytes <= .memory_limit_bytes and .cpu_cores >= 0 and .cpu_cores <= .cpu_limit_cores * 1.3
        and .disk_bytes <= .disk_limit_bytes] | all' >/dev/null || return 1
    for pid in $(group_of_replica "$2"); do
        group=$(sed -n 's/^[0-9]*:memory://p' "/proc/$pid/cgroup" | sed 's,/[^/]*$,,')
        kernel=$(cat "/sys/fs/cgroup/memory$group/memory.usage_in_bytes") || return 1
        low=$((kernel * 7 / 10)) high=$((kernel * 13 / 10))
        shown=$(minga 1 --json status "$1" | jq "[.services[0].replicas[].memory_bytes | select(. >= $low and . <= $high)] | length")
        [ "$shown" -ge 1 ] || return 1
    done
}

for service in ${SERVICES:-shell nginx memcached node perl php caddy sqlite}; do
    if ! "${service}_bundle"; then
        echo "# $service: not installed"
        continue
    fi
    minga 1 push "$files/$service".tar.* >/dev/null || fail "push $service"
    minga 1 start "$service" --wait=30s >/dev/null || fail "start $service: $(minga 1 status "$service")"
    within 10 "$service: three run" has_running 1 "$service" 3
    within 10 "$service: three answer" each_says "$service"
    case $service in
    nginx) pattern=nginx text='GET /' ;;
    memcached) pattern=/memcached text='' ;;
    node) pattern=server.js text=/ ;;
    perl) pattern=server.pl text=asked ;;
    php) pattern=bin/php text=Accepted ;;
    caddy) pattern=caddy text=serving ;;
    sqlite) pattern=counter.py text=ready ;;
    shell) pattern=serve.sh text=serving ;;
    esac
    [ -z "$text" ] || check "$service: its output is kept" eval 'minga 3 logs '"$service"' | grep -c "'"$text"'"'
    check "$service: none is uid 0 or a uid of the host" eval '[ -z "$(for pid in $(group_of_replica '"$pattern"'); do awk "/^Uid:/ && \$2 < 1879048192" /proc/$pid/status; done)" ]'
    within 5 "$service: the figures are the kernel's" figures_agree "$service" "$pattern"
    # shellcheck disable=SC2046
    kill_pids KILL $(group_of_replica "$pattern" | head -n 1)
    sleep 0.2
    within 5 "$service: one killed, three answer again" eval 'has_running 1 '"$service"' 3 && each_says '"$service"
    minga 1 scale "$service" 1 --wait=20s >/dev/null || fail "scale $service"
    within 5 "$service: scaled to one" has_running 2 "$service" 1
    minga 1 stop "$service" --wait=20s >/dev/null || fail "stop $service"
    [ -z "${VERBOSE:-}" ] || minga 1 logs "$service" 2>&1 | tail -n 5
done

for i in 1 2 3; do node_stop "$i"; done
within 5 "nothing is left behind" is_empty leftovers
