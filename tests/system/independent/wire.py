# SPDX-License-Identifier: GPL-3.0-or-later
"""Links: one ROUTER, a DEALER to each peer, CURVE; requests that are repeated until their reply."""
import asyncio
import time

import identity
import protocol_pb2 as pb
import zmq
import zmq.asyncio
import zmq.utils.z85

VERSION = 1
FRAME_MAX = 1024 * 1024 + 4096
KINDS = {  # message type -> its field in Message
    field.message_type.name: field.name
    for field in pb.Message.DESCRIPTOR.fields
    if field.containing_oneof
}

UNASKED = ("welcome", "refused", "item", "record_copy")  # come as replies to no number


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def encoded(body, request=0, reply=False):
    message = pb.Message(version=VERSION, request=request, reply=reply)
    getattr(message, KINDS[type(body).__name__]).CopyFrom(body)
    return message.SerializeToString()


class Link:
    """A way to a peer: a DEALER, or one connection of the ROUTER."""

    def __init__(self, socket, prefix, curve, node=None):
        self.socket, self.prefix, self.curve = socket, prefix, curve
        self.node = node  # who it is; of an inbound link: once it has greeted
        self.host = None

    def send(self, body, request=0, reply=False):
        asyncio.ensure_future(self.socket.send_multipart([*self.prefix, encoded(body, request, reply)]))


class Wire:
    def __init__(self, key, address, receive, greeting):
        self.key, self.receive, self.greeting = key, receive, greeting
        self.context = zmq.asyncio.Context()
        self.zap = self.context.socket(zmq.REP)
        self.zap.bind("inproc://zeromq.zap.01")
        self.router = self.context.socket(zmq.ROUTER)
        self.router.curve_server = True
        self.router.curve_secretkey = key.curve_secret
        self.router.zap_domain = b"minga"
        self.router.setsockopt(zmq.HANDSHAKE_IVL, 8000)
        self.router.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX)
        self.router.bind("tcp://" + address)
        self.links = {}  # node id -> Link dialled here
        self.callers = {}  # routing id -> Link
        self.waiting = {}  # request number -> (future, node that was asked)
        self.number = 0
        self.tasks = [asyncio.ensure_future(each) for each in (self._admit(), self._router())]

    def close(self):
        for task in self.tasks:
            task.cancel()
        for link in self.links.values():
            link.socket.close(500)
        self.router.close(0)
        self.zap.close(0)

    async def _admit(self):  # ZAP: every key, noted as User-Id
        while True:
            frames = await self.zap.recv_multipart()
            user = zmq.utils.z85.encode(frames[6])
            await self.zap.send_multipart([b"1.0", frames[1], b"200", b"OK", user, b""])

    async def _router(self):
        while True:
            frames = await self.router.recv_multipart(copy=False)
            name, curve = frames[0].bytes, zmq.utils.z85.decode(frames[1].get("User-Id"))
            link = self.callers.get(name)
            if link is None:
                link = self.callers[name] = Link(self.router, [name], curve)
                link.host = frames[1].get("Peer-Address")
            self._read(link, [each.bytes for each in frames[1:]])

    async def _dealer(self, link):
        while True:
            self._read(link, await link.socket.recv_multipart())

    def _read(self, link, frames):
        if not 1 <= len(frames) <= 2 or not 1 <= len(frames[0]) <= 4096:
            return
        try:
            message = pb.Message.FromString(frames[0])
        except Exception:  # not ours to mend
            return
        kind = message.WhichOneof("kind")
        if message.version != VERSION:
            link.send(pb.Refused(code=pb.REFUSED_VERSION), message.request, True)
        elif kind == "refused" and message.refused.code == pb.REFUSED_HELLO_FIRST:
            link.send(self.greeting())  # what was asked is repeated
        elif message.reply and message.request in self.waiting:
            future, asked = self.waiting[message.request]
            if asked == link.node and not future.done() and kind not in (None, "busy"):
                future.set_result(getattr(message, kind))
        elif kind and (not message.reply or kind in UNASKED):
            self.receive(link, message.request, getattr(message, kind))

    def _socket(self, node_key):
        socket = self.context.socket(zmq.DEALER)
        socket.curve_serverkey = identity.curve_public(node_key)
        socket.curve_secretkey = self.key.curve_secret
        socket.curve_publickey = identity.curve_public(self.key.public)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX)
        return socket

    def dial(self, node_key, address, greet=True):
        """The link to a node, whose key CURVE proves."""
        node = identity.node_id(node_key)
        if node in self.links:
            return self.links[node]
        socket = self._socket(node_key)
        socket.connect("tcp://" + address)
        link = self.links[node] = Link(socket, [], identity.curve_public(node_key), node)
        link.host = address.rpartition(":")[0]
        link.task = asyncio.ensure_future(self._dealer(link))
        if greet:
            link.send(self.greeting())
        return link

    def say_once(self, node_key, address, body):
        """On a link of its own, without a greeting: CURVE proves who hears it."""
        socket = self._socket(node_key)
        socket.connect("tcp://" + address)
        Link(socket, [], None).send(body)
        asyncio.get_running_loop().call_later(2, socket.close, 0)

    def hang_up(self, node, linger_ms=0):
        link = self.links.pop(node, None)
        if link:
            link.task.cancel()
            link.socket.close(linger_ms)

    async def request(self, link, body, patience, repeat=0.3):
        """Asks until the reply, None when patience ends."""
        self.number += 1
        number, future = self.number, asyncio.get_running_loop().create_future()
        self.waiting[number] = future, link.node
        end = now() + patience
        try:
            while now() < end:
                link.send(body, number)
                wait = min(repeat, end - now())
                done, _ = await asyncio.wait([future], timeout=max(wait, 0.001))
                if done:
                    return future.result()
                repeat *= 2
            return None
        finally:
            del self.waiting[number]
