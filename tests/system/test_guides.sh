#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The guides, typed literally: each command of docs/owner.md and docs/volunteer.md that is about
# Minga, in the order of the page, by a person in a home folder of their own. What is not typed here
# is named, and why.
# One of minga-try: some look whether anything of `minga try` is left on this machine.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/community.sh
. "$here/community.sh"
# shellcheck source=tests/system/check.sh
. "$here/check.sh"
guides=$here/../../docs

packages_need memcached 2>/dev/null || true
community_new 5
for i in 1 2 3 4 5; do node_start "$i"; done

# --- what the reader's machine has: the installed programs, sudo, and somebody's container engine
person=$WORK/person
mkdir -p "$person/bin" "$person/home"
for program in minga mingad; do ln -s "$BIN/$program" "$person/bin/$program"; done
printf '#!/bin/sh\nexec "$@"\n' >"$person/bin/sudo"
# No engine runs here: the export of an image is what its layers make, a busybox's in this case.
cat >"$person/bin/docker" <<'DOCKER'
#!/bin/bash
[ "$1" = create ] && { echo 7f3a; exit 0; }
[ "$1 $2" = "export 7f3a" ] || exit 1
root=$(mktemp -d)
mkdir -p "$root"/{bin,dev/pts,dev/shm,etc,proc,sys,tmp,usr/sbin,var/run}
cp /bin/busybox "$root/bin/busybox"
ln -s /proc/mounts "$root/etc/mtab"
ln -s busybox "$root/bin/sh"
touch "$root/.dockerenv" "$root/dev/console"
printf '#!/bin/sh\nexec /bin/busybox httpd -f -p 80 -h /usr/sbin\n' >"$root/usr/sbin/nginx"
echo welcome >"$root/usr/sbin/index.html"
chmod 755 "$root/usr/sbin/nginx"
tar -C "$root" -c .
rm -rf "$root"
DOCKER
chmod 755 "$person/bin/sudo" "$person/bin/docker"

# typed I COMMAND: as the person at machine I would; what goes on for ever gets Ctrl-C after a while.
typed() {
    local i=$1 command=$2 limit=60
    case $command in
    *--watch* | "minga events"*) limit=3 ;;
    "minga connect"*) limit=5 ;;
    *"minga try"*) limit=4 ;;
    esac
    (cd "$person/home" && HOME=$person/home PATH=$person/bin:$PATH MINGA_SOCKET=$(socket_of "$i") \
        timeout --signal=INT --kill-after=20 "$limit" nsenter --net="/run/netns/$(ns_of "$i")" \
        bash -eo pipefail -c "$command" </dev/null) >"$WORK/said" 2>&1
}
# done_by I COMMAND: says how it went; Ctrl-C (124 or 130) is how the endless ones end.
done_by() {
    local status=0 first=${2%%$'\n'*}
    typed "$1" "$2" || status=$?
    case $status-$2 in
    0-*) pass "$first" ;;
    124-*--watch* | 124-"minga events"* | 124-"minga connect"* | 124-*"minga try"*) pass "$first (until Ctrl-C)" ;;
    *) fail "$first (status $status: $(tail -n 2 "$WORK/said" | tr '\n' ' '))" ;;
    esac
}
says() { check "it prints: $1" grep -qF -- "$1" "$WORK/said"; }

# --- the volunteer's guide: a founder first, then the reader at machine 2
minga 1 community create allotment >/dev/null 2>&1
minga 1 invite >"$person/home/token" 2>/dev/null
mapfile -d '' -t commands < <(python3 "$here/../tools/guide_commands.py" "$guides/volunteer.md")
echo "# volunteer.md: ${#commands[@]} commands"
for command in "${commands[@]}"; do
    case ${command%%$'\n'*} in
    *"./dev"* | *"apt install"* | "git clone"* | *adduser* | *systemctl* | journalctl* | "cd build"* | "sudo mingad &")
        echo "# not typed here (tests/vm installs the package): ${command%%$'\n'*}" ;;
    "sudo minga community create"* | *hello*) echo "# not typed here (tests/vm/test_newcomer.sh): $command" ;;
    "sudo minga prove"*) echo "# not typed here (test_prove.sh): ${command%%$'\n'*}" ;;
    "sudo mingad --check-config"*)
        done_by 2 "sudo mingad --config $(dir_of 2)/minga.yaml --check-config" ;;
    "sudo minga join"*) # without a terminal the questions need an answer beforehand
        done_by 2 "sudo minga join --yes --token-file token"
        says "joined allotment" ;;
    "minga node drain"*)
        done_by 2 "$command"
        says draining ;;
    "sudo minga leave"*)
        done_by 2 "sudo minga leave --yes"
        says "left the community" ;;
    *) done_by 2 "$command" ;;
    esac
done

# --- the owner's guide, at machine 1, in a community of five
done_by 2 "sudo minga join --yes --token-file token"
for i in 3 4 5; do minga "$i" join --yes --token-file "$person/home/token" >/dev/null 2>&1; done
within 10 "five machines are in" sees_members 1 5
mapfile -d '' -t commands < <(python3 "$here/../tools/guide_commands.py" "$guides/owner.md")
echo "# owner.md: ${#commands[@]} commands"
echo hello >"$person/home/motd.txt"
for command in "${commands[@]}"; do
    case ${command%%$'\n'*} in
    "sudo apt install"*) echo "# not typed here: $command" ;;
    *) done_by 1 "$command" ;;
    esac
    case $command in
    "curl "*) says "The allotment is open." ;;
    "minga push web"*) says "web 1 " ;;
    "minga status web"*) [[ $command == *--* ]] || says "active" ;;
    "minga start web --wait"*) check "all three run" has_running 1 web 3 ;;
    "minga cp web:/www"*) check "a folder came from each" [ -f "$person/home/copies/web-2/www/index.html" ] ;;
    esac
done
# What the page leaves to the reader: start what was made of a program, and of an image.
for name in cache site; do done_by 1 "minga start $name --wait=30s"; done
check "the container's files serve" eval 'answers "$(minga 1 locate site | head -1)" | grep welcome'
