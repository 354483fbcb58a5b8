#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Eight programs of Debian's packages run unchanged in the sandbox and its default filter, each
# exercised in what it does with the kernel: nginx, redis, memcached, python (sqlite, threads),
# php, busybox, node, PostgreSQL. One that cannot be installed is "not run", never passed.
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"

packages_need nginx-light redis-server memcached python3 libpython3-stdlib php-cli nodejs \
    postgresql socat 2>/dev/null || true

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/minga-programs.XXXXXX")
chmod 755 "$WORK"
PIDS=()
clean_up() {
    local status=$?
    kill_pids INT "${PIDS[@]}"
    sleep 1
    kill_pids KILL "${PIDS[@]}"
    rm -rf "$WORK"
    exit "$status"
}
trap clean_up EXIT
unset MINGA_SOCKET
PORT=18740

# put FOLDER FILE[=PATH]...: programs, files and folders with the libraries they need.
put() {
    local root=$WORK/$1 file source path
    shift
    for file in "$@"; do
        source=${file%%=*} path=${file#*=}
        mkdir -p "$root$(dirname "$path")"
        [ -e "$root$path" ] || cp -rL "$source" "$root$path"
        { find -L "$source" -type f \( -perm -1 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null || true; } |
            { grep -o '/[^ :]*\.so[^ :]*' || true; } | sort -u | while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            [ -e "$root$library" ] || cp -L "$library" "$root$library"
        done
    done
}
# manifest NAME PORT COMMAND [LINE...]
manifest() {
    local name=$1 port=$2 command=$3
    shift 3
    mkdir -p "$WORK/$name"
    {
        printf 'name: %s\ncommand: %s\n' "$name" "$command"
        printf 'ports:\n  - {name: main, container: %s}\n' "$port"
        printf 'resources: {cpu: 1.0, memory: 192M, disk: 128M, pids: 128}\n'
        [ $# = 0 ] || printf '%s\n' "$@"
    } >"$WORK/$name/service.yaml"
}
up() { # NAME
    PORT=$((PORT + 1))
    "$BIN/minga" try "$WORK/$1" --port "$PORT" >"$WORK/$1.out" 2>"$WORK/$1.err" </dev/null &
    TRY=$!
    PIDS+=("$TRY")
    within 20 "$1 runs" grep -q '^minga: running' "$WORK/$1.err"
}
down() { # NAME
    check "$1 is still running" kill -0 "$TRY"
    kill -INT "$TRY" 2>/dev/null || true
    TRY_STATUS=0
    wait "$TRY" || TRY_STATUS=$?
    check "$1 stops when asked" [ "$TRY_STATUS" = 0 ]
    sed "s/^/# $1: /" "$WORK/$1.err" | tail -n 3
}
get() { curl -sf --max-time 5 "http://127.0.0.1:$PORT$1"; }
gets() { get "$1" | grep -q -- "$2"; }
skip() { echo "# not run: $1"; }

# ------------------------------------------------------------------ nginx
if [ -x /usr/sbin/nginx ]; then
    manifest nginx 80 '[/usr/sbin/nginx, -c, /etc/nginx.conf]' 'user: 33'
    put nginx /usr/sbin/nginx
    mkdir -p "$WORK/nginx"/{etc,srv,run,var/log/nginx,var/lib/nginx}
    printf 'www-data:x:33:33::/:/bin/false\n' >"$WORK/nginx/etc/passwd"
    printf 'www-data:x:33:\n' >"$WORK/nginx/etc/group"
    head -c 3000000 /dev/urandom >"$WORK/nginx/srv/big"
    cat >"$WORK/nginx/etc/nginx.conf" <<'END'
user www-data;
worker_processes auto;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 128; use epoll; }
http {
    access_log /dev/stdout;
    proxy_cache_path /tmp/cache keys_zone=one:1m;
    server { listen 80; root /srv; sendfile on; aio threads; location /again/ { proxy_cache one; proxy_pass http://127.0.0.1/; } }
}
END
    up nginx
    within 5 "nginx: a large file by sendfile" eval 'get /big | cmp -s - "$WORK/nginx/srv/big"'
    check "nginx: through its own proxy, with a cache on disk" eval 'get /again/big | cmp -s - "$WORK/nginx/srv/big"'
    check "nginx: a file that is not there" eval '[ "$(curl -s -o /dev/null -w "%{http_code}" "http://127.0.0.1:$PORT/nothing")" = 404 ]'
    down nginx
else
    skip nginx
fi

# ------------------------------------------------------------------ redis
if [ -x /usr/bin/redis-server ]; then
    manifest redis 6379 '[/usr/bin/redis-server, --dir, /tmp, --appendonly, "yes", --io-threads, "2"]'
    put redis /usr/bin/redis-server
    up redis
    redis() { printf '%s\r\n' "$@" | socat -t1 - "TCP:127.0.0.1:$PORT"; }
    within 5 "redis: a value is kept" eval 'redis "SET key value" "GET key" | grep -q value'
    check "redis: it runs a script" eval 'redis "EVAL \"return redis.call(\\\"INCR\\\", KEYS[1])\" 1 count" | grep -q ":1"'
    check "redis: it forks to save" eval 'redis BGSAVE | grep -q started'
    within 5 "redis: and has saved" eval 'redis "INFO persistence" | grep -q "rdb_last_bgsave_status:ok"'
    check "redis: it rewrites its log" eval 'redis BGREWRITEAOF | grep -qi "append only"'
    down redis
else
    skip redis
fi

# ------------------------------------------------------------------ memcached
if [ -x /usr/bin/memcached ]; then
    manifest memcached 11211 '[/usr/bin/memcached, -m, "32", -t, "4", -c, "512"]'
    put memcached /usr/bin/memcached
    up memcached
    within 5 "memcached: a value is kept" eval "printf 'set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n' | socat -t2 - TCP:127.0.0.1:\$PORT | grep -q hello"
    down memcached
else
    skip memcached
fi

# ------------------------------------------------------------------ python, sqlite, threads
if [ -x /usr/bin/python3 ]; then
    python=$(realpath /usr/bin/python3)
    manifest python 8000 '[/usr/bin/python3, -B, /server.py]'
    put python "$python=/usr/bin/python3" "/usr/lib/$(basename "$python")"
    cat >"$WORK/python/server.py" <<'END'
import asyncio, concurrent.futures, http.server, mmap, multiprocessing, os, platform, signal
import socket, sqlite3, ssl, subprocess, sys, tempfile, threading
db = sqlite3.connect("/counter.db", check_same_thread=False)
db.execute("pragma journal_mode=wal"); db.execute("create table n (i integer)")
lock = threading.Lock()
def add(i):
    with lock: db.execute("insert into n values (?)", (i,)); db.commit()
with concurrent.futures.ThreadPoolExecutor(16) as pool: list(pool.map(add, range(200)))
assert db.execute("select count(*), sum(i) from n").fetchone() == (200, 19900)
def square(i): return i * i
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool: assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    assert subprocess.run([sys.executable, "-c", "print(6*7)"], capture_output=True).stdout == b"42\n"
    async def talk():
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        await asyncio.open_connection(*server.sockets[0].getsockname())
    asyncio.run(talk())
    with tempfile.TemporaryFile() as file:
        file.truncate(8192); mmap.mmap(file.fileno(), 8192).close()
    assert os.cpu_count() >= 1 and platform.uname().system == "Linux" and socket.gethostname()
    os.chmod("/tmp", 0o1777); os.sync(); signal.setitimer(signal.ITIMER_REAL, 0)
    ssl.create_default_context(); os.memfd_create("m"); os.getrandom(8); socket.getaddrinfo("localhost", 80)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"rows {db.execute('select count(*) from n').fetchone()[0]}\n".encode()
            self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
    http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
END
    up python
    within 15 "python: sqlite, threads, processes, asyncio, mmap and the rest work" gets / 'rows 200'
    down python
else
    skip python
fi

# ------------------------------------------------------------------ php
if [ -x /usr/bin/php ]; then
    manifest php 8080 '[/usr/bin/php, -S, "0.0.0.0:8080", -t, /srv]' 'env: [PHP_CLI_SERVER_WORKERS=3]'
    put php "$(realpath /usr/bin/php)=/usr/bin/php" /usr/share/zoneinfo/UTC
    mkdir -p "$WORK/php/srv"
    printf '%s\n' '<?php $f = tempnam("/tmp", "x"); file_put_contents($f, "kept"); echo file_get_contents($f), " ",
        strlen(random_bytes(8)), " ", php_uname("s"), "\n";' >"$WORK/php/srv/index.php"
    up php
    within 5 "php: a page with a file of its own" gets / 'kept 8 Linux'
    down php
else
    skip php
fi

# ------------------------------------------------------------------ busybox
if [ -x /bin/busybox ]; then
    manifest busybox 80 '[/bin/busybox, httpd, -f, -p, "80", -h, /www]'
    put busybox /bin/busybox
    mkdir -p "$WORK/busybox/www/cgi-bin"
    cat >"$WORK/busybox/www/cgi-bin/all" <<'END'
#!/bin/busybox sh
b=/bin/busybox
echo "Content-Type: text/plain"; echo
$b ps | $b grep -c httpd >/dev/null && echo ps
$b ls -l / | $b grep -q www && echo ls
$b tar -cf /tmp/t -C /www . && $b tar -tf /tmp/t | $b grep -q cgi-bin && echo tar
$b mkfifo /tmp/pipe && { echo through >/tmp/pipe & $b cat /tmp/pipe; }
echo text | $b gzip | $b gunzip | $b sed 's/text/gzip/'
$b wget -qO- http://localhost/cgi-bin/hello
$b free -m | $b grep -q Mem && echo free
$b df / | $b grep -q / && echo df
END
    printf '#!/bin/busybox sh\nprintf "Content-Type: text/plain\\n\\nhello\\n"\n' >"$WORK/busybox/www/cgi-bin/hello"
    chmod 755 "$WORK/busybox/www/cgi-bin"/*
    up busybox
    within 5 "busybox: ps, ls, tar, a FIFO, gzip, wget, free and df" eval '[ "$(get /cgi-bin/all | xargs)" = "ps ls tar through gzip hello free df" ]'
    down busybox
else
    skip busybox
fi

# ------------------------------------------------------------------ node
if node=$(realpath "$(command -v node)" 2>/dev/null); then
    manifest node 8080 '[/usr/bin/node, /server.js]'
    put node "$node=/usr/bin/node"
    cat >"$WORK/node/server.js" <<'END'
const http = require('http'), os = require('os'), fs = require('fs'), crypto = require('crypto');
const { Worker } = require('worker_threads'), { execFileSync } = require('child_process'), dns = require('dns');
const cluster = require('cluster'), zlib = require('zlib');
const said = {};
said.cpus = os.cpus().length > 0;
said.memory = os.totalmem() === 192 * 1024 * 1024;
said.name = os.hostname().length > 0 && os.release().length > 0;
said.child = execFileSync(process.execPath, ['-e', 'console.log(6 * 7)']).toString().trim();
fs.watch('/tmp', () => { said.watched = true; });
fs.writeFileSync('/tmp/started', 'x');
new Worker('require("worker_threads").parentPort.postMessage(1)', { eval: true }).on('message', () => { said.worker = true; });
dns.lookup('localhost', (e, a) => { said.dns = e ? String(e) : true; });
if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork();
http.createServer((request, response) => crypto.pbkdf2('a', 'b', 1000, 16, 'sha256', () => {
    said.gzip = zlib.gunzipSync(zlib.gzipSync('x')).toString() === 'x';
    response.end(JSON.stringify(said));
})).listen(8080, '0.0.0.0');
END
    up node
    within 10 "node: workers, cluster, watching, children, threads; it sees its own memory" eval \
        '[ "$(get / | jq -c "[.cpus, .memory, .name, .child, .watched, .worker, .dns, .gzip]")" = "[true,true,true,\"42\",true,true,true,true]" ]'
    get / | sed 's/^/# node: /' || true
    echo
    down node
else
    skip node
fi

# ------------------------------------------------------------------ PostgreSQL
if [ -x /usr/lib/postgresql/15/bin/postgres ] && command -v psql >/dev/null; then
    manifest postgres 5432 '[/bin/busybox, sh, /start.sh]' 'user: 1000' \
        'env: [PATH=/usr/lib/postgresql/15/bin:/bin, TZ=UTC]'
    put postgres /bin/busybox /usr/share/postgresql/15 /usr/share/zoneinfo/UTC
    for program in postgres initdb pg_ctl; do put postgres "/usr/lib/postgresql/15/bin/$program"; done
    for library in dict_snowball plpgsql; do put postgres "/usr/lib/postgresql/15/lib/$library.so"; done
    mkdir -p "$WORK/postgres/etc"
    ln -s busybox "$WORK/postgres/bin/sh"
    printf 'postgres:x:1000:1000::/tmp:/bin/sh\n' >"$WORK/postgres/etc/passwd"
    cat >"$WORK/postgres/start.sh" <<'END'
set -e
initdb -D /tmp/db -U postgres -A trust --locale=C -N >/tmp/initdb.log 2>&1 || { cat /tmp/initdb.log; exit 1; }
exec postgres -D /tmp/db -k /tmp -c shared_buffers=16MB -c listen_addresses=127.0.0.1 \
    -c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0 -c parallel_tuple_cost=0
END
    up postgres
    sql() { psql -h 127.0.0.1 -p "$PORT" -U postgres -qAt -c "$1" 2>/dev/null; }
    within 30 "PostgreSQL: it makes its files and answers" eval '[ "$(sql "select 6 * 7")" = 42 ]'
    check "PostgreSQL: a table, an index, a commit" sql 'create table t as select i, md5(i::text) from generate_series(1, 20000) i; create index on t (i); checkpoint'
    check "PostgreSQL: it cleans up" sql "vacuum analyze t"
    check "PostgreSQL: parallel workers share memory" eval '[ "$(sql "select count(*) from t where i % 7 = 0")" = 2857 ]'
    check "PostgreSQL: a function of its language" sql "do \$\$ begin perform 1; end \$\$"
    down postgres
else
    skip PostgreSQL
fi
