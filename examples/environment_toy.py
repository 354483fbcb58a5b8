#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy execution environment (docs/environment.md): replicas are plain processes, so NO sandbox.

It shows the protocol, passes the suite of the real one, and is for nothing else. Needs socat.
"""
import json, os, signal, socket, subprocess, sys, threading, time

REPLICAS = {}  # id: its process


def say(what, **more):
    sys.stdout.write(json.dumps({"say": what, **more}) + "\n")
    sys.stdout.flush()


def send(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def start(ask):
    try:
        process = subprocess.Popen(
            [ask["tree"] + ask["command"][0], *ask["command"][1:]], cwd=ask["tree"] + ask["workdir"],
            env=dict(entry.split("=", 1) for entry in ask["env"]), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return say("ended", replica=ask["replica"], end="refused", reason=error.strerror)
    process.asked = ask
    process.forwards = [subprocess.Popen(
        ["socat", f"TCP-LISTEN:{port['host']},fork,reuseaddr,retry=20,interval=0.1",
         f"TCP:127.0.0.1:{port['container']}"], start_new_session=True) for port in ask["ports"]]
    REPLICAS[ask["replica"]] = process
    say("started", replica=ask["replica"])
    threading.Thread(target=attend, args=(ask["replica"], process)).start()
    if ask["health"]:
        threading.Thread(target=watch, args=(ask["health"], process), daemon=True).start()


def attend(replica, process):
    while data := os.read(process.stdout.fileno(), 4096):
        say("output", replica=replica, text=data.decode(errors="replace").replace("\0", "?"))
    status = process.wait()
    for child in [process, *process.forwards]:
        send(child, signal.SIGKILL)
        child.wait()
    REPLICAS.pop(replica)
    say("ended", replica=replica, end="signalled" if status < 0 else "exited", status=abs(status))


def watch(health, process):
    failures, seconds, tree = 0, health["timeout_ms"] / 1000, process.asked["tree"]
    while process.returncode is None:
        time.sleep(health["interval_ms"] / 1000)
        try:
            if health["command"]:
                subprocess.run([tree + health["command"][0], *health["command"][1:]], cwd=tree,
                               stdout=subprocess.DEVNULL, timeout=seconds, check=True)
            else:
                socket.create_connection(("127.0.0.1", health["container"]), seconds).close()
            failures = 0
        except (OSError, subprocess.SubprocessError):
            failures += 1
        if failures in (0, health["failures"]):
            say("health", replica=process.asked["replica"], healthy=failures == 0)


def obey(ask, process):
    if ask["do"] == "stop":
        send(process, signal.SIGCONT)
        send(process, process.asked["stop_signal"])
        threading.Timer(process.asked["stop_grace_ms"] / 1000, send, (process, signal.SIGKILL)).start()
    elif ask["do"] in ("freeze", "thaw"):
        send(process, signal.SIGSTOP if ask["do"] == "freeze" else signal.SIGCONT)
    elif ask["do"] == "stats":
        with open(f"/proc/{process.pid}/statm") as file:
            bytes_used = int(file.read().split()[1]) * 4096
        say("stats", replica=ask["replica"], cpu_permille=0, memory_bytes=bytes_used, disk_bytes=0, pids=1)


def main():
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["do"] == "hello":
            say("ready", version=1)
        elif ask["do"] == "start":
            start(ask)
        elif ask.get("replica") in REPLICAS:
            obey(ask, REPLICAS[ask["replica"]])
    for process in list(REPLICAS.values()):
        send(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
