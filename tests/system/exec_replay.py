#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""exec_replay.py AGENT_SOCKET OWN_SOCKET: stands between `minga exec` and its agent, passes everything
on, and keeps the first request that opens a session. When its input ends it sends that one again: in
the same session, after a new hello, and to another node if one is named in the environment (NODE).
Prints one line each: the HTTP status and the reason."""
import http.client
import json
import os
import re
import socket
import socketserver
import sys
import threading

AGENT, OWN = sys.argv[1:3]
OPENED = {}


class Agent(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("minga")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(AGENT)


def ask(path, body=b""):
    agent = Agent()
    agent.request("POST", path, body)
    answer = agent.getresponse()
    return answer.status, answer.read()


class Passer(socketserver.StreamRequestHandler):
    def handle(self):
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        upstream.connect(AGENT)
        threading.Thread(target=self.back, args=(upstream,), daemon=True).start()
        while head := self.head():
            length = int((re.search(rb"(?i)content-length: (\d+)", head) or [0, 0])[1])
            body = self.rfile.read(length)
            if b"what=open" in head and not OPENED:
                OPENED.update(path=head.split()[1].decode(), body=body)
            upstream.sendall(head + body)
        upstream.close()

    def head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return b""
            head += line
        return head

    def back(self, upstream):
        try:
            while data := upstream.recv(65536):
                self.wfile.write(data)
        except OSError:
            pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def say(what, status, body):
    print(what, status, json.loads(body)["error"]["why"] if status != 200 else "opened", flush=True)


with Server(OWN, Passer) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    path = OPENED["path"]
    say("same", *ask(path, OPENED["body"]))
    for name, node in (("new", None), ("other", os.environ.get("NODE"))):
        target = re.sub(r"exec/[0-9a-f]+", f"exec/{node}", path) if node else path
        status, session = ask(re.sub(r"what=open&session=[0-9a-f]*", "what=hello&session=", target))
        fresh = re.sub(r"session=[0-9a-f]*", f"session={session.hex()}", target)
        say(name, *ask(fresh, OPENED["body"]))
    os.unlink(OWN)
