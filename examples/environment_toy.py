#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy execution environment (docs/environment.md): plain processes, so NO sandbox. Needs socat."""
import contextlib, json, os, signal, socket, subprocess, sys, threading
REPLICAS = {}
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}

def say(what, **more):
    os.write(1, (json.dumps({"say": what, **more}) + "\n").encode())

def run(*words, **more):
    return subprocess.Popen(words, start_new_session=True, **more)

def send(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)

def start(replica, ask):
    try:
        service = run(ask["tree"] + ask["command"][0], *ask["command"][1:], cwd=ask["tree"] + ask["workdir"],
                      env=dict(entry.split("=", 1) for entry in ask["env"]), stdout=-1, stderr=-2)
    except OSError as error:
        return say("ended", replica=replica, end="refused", reason=error.strerror)
    service.tree, ports = ask["tree"], [
        run("socat", f"TCP-LISTEN:{port['host']},fork,reuseaddr,retry=20,interval=0.1",
            f"TCP:127.0.0.1:{port['container']}") for port in ask["ports"]]
    REPLICAS[replica] = service
    say("started", replica=replica)
    while data := os.read(service.stdout.fileno(), 4096):
        say("output", replica=replica, text=data.decode(errors="replace").replace("\0", "?"))
    status = service.wait()
    for process in [service, *ports]:
        send(process, signal.SIGKILL)
        process.wait()
    del REPLICAS[replica]
    say("ended", replica=replica, end="signalled" if status < 0 else "exited", status=abs(status))

def probe(replica, ask):
    tree, seconds = REPLICAS[replica].tree, ask["timeout_ms"] / 1000
    try:
        if ask["command"]:
            subprocess.run([tree + ask["command"][0], *ask["command"][1:]], cwd=tree, stdout=-3, timeout=seconds, check=True)
        else:
            socket.create_connection(("127.0.0.1", ask["container"]), seconds).close()
    except (OSError, subprocess.SubprocessError):
        return say("probed", replica=replica, healthy=False)
    say("probed", replica=replica, healthy=True)

def stats(replica, ask):
    with open(f"/proc/{REPLICAS[replica].pid}/statm") as file:
        used = int(file.read().split()[1]) * 4096
    say("stats", replica=replica, cpu_permille=0, memory_bytes=used, disk_bytes=0, pids=1)

JOBS = {"start": start, "probe": probe, "stats": stats}

def main():
    for ask in map(json.loads, sys.stdin):
        if ask["do"] == "hello":
            say("ready", version=2)
        elif ask["do"] != "start" and ask["replica"] not in REPLICAS:
            continue  # it has just ended
        elif ask["do"] in JOBS:
            threading.Thread(target=JOBS[ask["do"]], args=(ask["replica"], ask), daemon=True).start()
        else:
            send(REPLICAS[ask["replica"]], SIGNALS.get(ask["do"]) or ask["signal"])
    for service in list(REPLICAS.values()):
        send(service, signal.SIGKILL)

if __name__ == "__main__":
    main()
