#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Real sandboxes on this machine: serving, limits, ends, adoption, refusals, no leftovers.
# As root. BIN: folder of the built programs. With arguments, only these parts of the driver.
set -eu

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # skip: not root"
    exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
BIN=$(cd "${BIN:-$here/../../build/release/bin}" && pwd)
folder=$(mktemp -d /var/tmp/minga-sandbox.XXXXXX)
driver=
chmod 711 "$folder" # mingad, another user, reaches the socket in it

# Also when the driver died: its helper ends every sandbox when told so.
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$driver" ]; then
        kill -KILL "$driver" 2>/dev/null || true
    fi
    if [ -f "$folder/helper.pid" ]; then
        helper=$(cat "$folder/helper.pid")
        if [ "$(readlink "/proc/$helper/exe" || true)" = "$BIN/minga-sandboxd" ]; then
            kill -TERM "$helper" || true
            for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                [ -e "/proc/$helper/stat" ] || break
                sleep 0.25
            done
        fi
    fi
    if [ "$status" -ne 0 ] && [ -f "$folder/helper.log" ]; then
        sed 's/^/# helper: /' "$folder/helper.log" | tail -n "${LOG_LINES:-60}"
    fi
    rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# add_program NUMBER FILE...: a tree with these files and the libraries of all programs among them.
# Its name is what the driver expects, and its owner the agent of the driver's limits.
add_program() {
    tree="$folder/trees/$1"
    while [ ${#tree} -lt $((${#folder} + 7 + 64)) ]; do tree="${tree}0"; done
    shift
    mkdir -p "$tree"
    for file in "$@"; do
        cp -rL --parents "$file" "$tree"
        find -L "$file" -type f \( -perm -1 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null |
            grep -o '/[^ :]*\.so[^ :]*' | sort -u | while read -r library; do
            [ -e "$tree$library" ] || cp -L --parents "$library" "$tree"
        done
    done
    chown -R 64321:64321 "$tree"
}

case " $* " in
*" programs "* | "  " | *" --slow "*)
    mkdir -p "$folder/trees"
    if [ -x /usr/bin/python3 ]; then
        add_program 61 /usr/bin/python3 /usr/lib/python3*/
    fi
    if [ -x /usr/bin/redis-server ]; then
        add_program 62 /usr/bin/redis-server
    fi
    if [ -x /usr/sbin/nginx ]; then
        add_program 63 /usr/sbin/nginx
        cat >"$tree/nginx.conf" <<'END'
daemon off;
pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
    access_log /dev/stdout;
    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    server { listen 8080; location / { return 200 "hello from nginx"; } }
}
END
        chown 64321:64321 "$tree/nginx.conf"
    fi
    ;;
esac

"$BIN/system_sandbox_driver" "$folder" "$BIN" "$@" &
driver=$!
wait "$driver"
