#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy execution environment (docs/environment.md): plain processes, so NO sandbox. Needs socat."""
import contextlib, json, os, signal, socket, subprocess, sys, threading
REPLICAS = {}

def say(what, replica=None, **more):
    os.write(1, (json.dumps({"say": what, "replica": replica, **more}) + "\n").encode())

def send(service, number):
    with contextlib.suppress(ProcessLookupError):  # it may just have ended
        os.killpg(service.pid, number)

def start(replica, tree, command, env, workdir, output, ports, **_):
    try:
        with open(output, "wb") as pipe:
            service = subprocess.Popen([tree + command[0], *command[1:]], cwd=tree + workdir, env=env,
                                       stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    except OSError as error:
        return say("ended", replica, end="refused", reason=error.strerror)
    forwards = [subprocess.Popen(["socat", f"TCP-LISTEN:{port['host']},fork,reuseaddr,retry=20,interval=0.1",
                                  f"TCP:127.0.0.1:{port['container']}"]) for port in ports]
    REPLICAS[replica] = service, tree
    say("started", replica)
    status = service.wait()
    send(service, signal.SIGKILL)  # whatever is left of it
    for forward in forwards:
        forward.kill()
        forward.wait()
    del REPLICAS[replica]
    say("ended", replica, status=status)

def probe(replica, command, container, timeout_ms, **_):
    try:
        if command:
            subprocess.run(["." + command[0], *command[1:]], cwd=REPLICAS[replica][1], check=True,
                           timeout=timeout_ms / 1000, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        else:
            socket.create_connection(("127.0.0.1", container), timeout_ms / 1000).close()
        say("probed", replica, healthy=True)
    except (OSError, subprocess.SubprocessError):
        say("probed", replica, healthy=False)

def stats(replica, **_):
    with open(f"/proc/{REPLICAS[replica][0].pid}/statm") as file:
        say("stats", replica, memory_bytes=int(file.read().split()[1]) * 4096)

JOBS = {"start": start, "probe": probe, "stats": stats}

def main():
    say("ready", version=3)
    for ask in map(json.loads, sys.stdin):
        if ask["do"] in JOBS:
            threading.Thread(target=JOBS[ask.pop("do")], kwargs=ask, daemon=True).start()
        elif ask["do"] == "signal" and ask["replica"] in REPLICAS:
            send(REPLICAS[ask["replica"]][0], ask["signal"])

if __name__ == "__main__":
    main()
