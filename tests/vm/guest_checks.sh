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
wait_for() { # SECONDS COMMAND...; of a machine that has its processors for itself: a guest gets PATIENCE times as long
    local end=$(($(date +%s) + $1 * ${PATIENCE:-5}))
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
health: {port: http, http: /, interval: 20s, timeout: 20s}
YAML
}
# The bundle with a second port, "club", for members only.
add_club() {
    sed -i -e 's|^command: .*|command: [/bin/busybox, sh, -c, "/bin/busybox httpd -p 8081 -h /www; exec /bin/busybox httpd -f -p 8080 -h /www"]|' \
        -e 's|^ports: .*|ports: [{name: http, container: 8080}, {name: club, container: 8081, visibility: members}]|' \
        /root/web/service.yaml
}
member_gets() { # REPLICA
    printf 'GET / HTTP/1.0\r\n\r\n' | minga connect "$1" club --stdio | grep -q Minga
}
# A replica that runs, not on the node of that name, and its place for members; 1: there is none.
club_not_on() { # NODE
    minga --json status web | jq -er --arg node "$1" \
        'first(.services[0].replicas[] | select(.state == "running" and .node_name != $node)) | "\(.id) \(.address):\(.ports.club)"'
}
# It can be connected to, and then says nothing and hangs up: 52 and 56 are curl's words for that.
stranger_gets_nothing() { # PLACE
    local said status=0
    said=$(curl -s --http0.9 --max-time 20 "http://$1/") || status=$?
    echo "curl $1: $status, $said"
    [ -z "$said" ] && { [ $status = 52 ] || [ $status = 56 ]; }
}
