# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC3043,SC2034
# What the scripts in guests have in common; sourced.
export HOME=/root DEBIAN_FRONTEND=noninteractive
failed=0
check() {
    local text="$1" output
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $text"
    else
        echo "not ok - $text"
        printf '%s\n' "$output" | head -n 20 | sed 's/^/# /'
        failed=1
    fi
}
wait_for() { # SECONDS COMMAND...
    local end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || { "$@"; return 1; }
        sleep 0.2
    done
}
units="mingad.socket minga-replicas.service minga-sandboxd.service mingad.service"
active() {
    local unit
    for unit in $units; do systemctl -q is-active "$unit" || { systemctl status --no-pager "$unit"; return 1; }; done
}
make_bundle() {
    mkdir -p /root/web/bin /root/web/www
    cp /bin/busybox /root/web/bin/busybox
    echo '<h1>Minga in a guest</h1>' >/root/web/www/index.html
    cat >/root/web/service.yaml <<'YAML'
name: web
command: [/bin/busybox, httpd, -f, -p, "8080", -h, /www]
resources: {cpu: 0.1, memory: 32M, disk: 16M, pids: 8}
ports: [{name: http, container: 8080}]
health: {port: http, http: /}
YAML
}
