#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy execution environment (docs/environment.md): replicas are plain processes, so NO sandbox.

It shows the protocol, passes the suite of the real one, and is for nothing else.
"""
import asyncio, json, os, signal, sys

REPLICAS = {}  # id: its process, once there is one


def say(what, replica=None, **more):
    print(json.dumps({"say": what, **({"replica": replica} if replica else {}), **more}), flush=True)


async def forward(port, reader, writer):
    async def pump(source, sink):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()
    try:
        other = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))
    except OSError:
        writer.close()


async def probe(health, tree):
    if health["command"]:
        command = [tree + health["command"][0], *health["command"][1:]]
        return await (await asyncio.create_subprocess_exec(*command, cwd=tree)).wait() == 0
    _, writer = await asyncio.open_connection("127.0.0.1", health["container"])
    writer.close()
    return True


async def watch(replica, health, tree):
    failures = 0
    while health:
        await asyncio.sleep(health["interval_ms"] / 1000)
        try:
            well = await asyncio.wait_for(probe(health, tree), health["timeout_ms"] / 1000)
        except (OSError, asyncio.TimeoutError):
            well = False
        failures = 0 if well else failures + 1
        if well or failures >= health["failures"]:
            say("health", replica, healthy=well)


async def run(ask):
    replica, tree, tasks = ask["replica"], ask["tree"], []
    try:
        for port in ask["ports"]:
            tasks.append(await asyncio.start_server(
                lambda r, w, to=port["container"]: forward(to, r, w), None, port["host"]))
        process = REPLICAS[replica] = await asyncio.create_subprocess_exec(
            tree + ask["command"][0], *ask["command"][1:], cwd=tree + ask["workdir"],
            env=dict(entry.split("=", 1) for entry in ask["env"]), start_new_session=True,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    except OSError as error:
        say("ended", replica, end="refused", reason=f"{ask['command'][0]}: {error.strerror}")
    else:
        process.stop = ask["stop_signal"], ask["stop_grace_ms"] / 1000
        say("started", replica)
        health = asyncio.create_task(watch(replica, ask["health"], tree))
        while data := await process.stdout.read(4096):
            say("output", replica, text=data.decode(errors="replace").replace("\0", "?"))
        status = await process.wait()
        health.cancel()
        send(process, signal.SIGKILL)
        say("ended", replica, end="signalled" if status < 0 else "exited", status=abs(status))
    for server in tasks:
        server.close()
    REPLICAS.pop(replica, None)


def send(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def stats(replica, process):
    with open(f"/proc/{process.pid}/statm") as file:
        pages = int(file.read().split()[1])
    say("stats", replica, cpu_permille=0, memory_bytes=pages * 4096, disk_bytes=0, pids=1)


async def main():
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        ask = json.loads(line)
        process = REPLICAS.get(ask.get("replica"))
        if ask["do"] == "hello":
            say("ready", version=1)
        elif ask["do"] == "start":
            asyncio.create_task(run(ask))
        elif process and ask["do"] == "stop":
            send(process, signal.SIGCONT)
            send(process, process.stop[0])
            loop.call_later(process.stop[1], send, process, signal.SIGKILL)
        elif process and ask["do"] in ("freeze", "thaw"):
            send(process, signal.SIGSTOP if ask["do"] == "freeze" else signal.SIGCONT)
        elif process and ask["do"] == "stats":
            stats(ask["replica"], process)


if __name__ == "__main__":
    asyncio.run(main())
