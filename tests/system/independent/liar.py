#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same member, but it lies: node.py with commands that say what no honest member would.

All of it is well-formed and within its bounds; what signatures there are were made by whom they name.
"""
import asyncio
import os
import pathlib
import sys

import protocol_pb2 as pb
import zmq
from identity import Token
from node import Node
from wire import Link, now


class Liar(Node):
    def others(self):
        return [each for each in self.members.up() if each.id != self.id]

    def take(self, item, teller):
        """Keeps what others have signed once, to tell it again."""
        if item.kind == pb.ITEM_NODE:
            self.old = [*getattr(self, "old", []), item][-64:]
        return super().take(item, teller)

    async def epochs(self):
        """Names ever greater epochs, as one that has lost its lease, to each that is asked."""
        epoch, end = self.ring.epoch, now() + 3
        while now() < end:
            epoch += 100000
            for each in self.others():
                question = pb.Stabilise(lapsed=True, epoch=epoch, predecessors=[self.id], version=epoch & 0xFFFFFFFF)
                self.link_to(each.id).send(question, epoch)
            await asyncio.sleep(0.005)

    async def deaths(self):
        """Says of everybody to everybody that they are dead."""
        for _ in range(20):
            for each in self.others():
                item = pb.Item(kind=pb.ITEM_DEATH, node=each.id, incarnation=each.incarnation, flooded=True)
                for other in self.others():
                    self.number += 1
                    told = pb.Broadcast(origin=os.urandom(32), number=self.number, until=other.position, item=item)
                    self.link_to(other.id).send(told)
            await asyncio.sleep(0.05)

    async def goodbyes(self):
        """Hands over arcs that are not its own, and says goodbye for others with their own records."""
        for each in self.others():
            for other in self.others():
                said = pb.Goodbye(node_record=other.signed, predecessors=[other.id, each.id, self.id], epoch=2**40)
                self.link_to(each.id).send(said, 1)
                said = pb.Goodbye(node_record=other.signed, back_soon=True)
                self.link_to(each.id).send(said, 2)

    async def replays(self):
        """Tells again what was signed before, as news and as answers; greets twice, with another's record."""
        for each in self.others():
            link = self.link_to(each.id)
            for item in getattr(self, "old", []):
                link.send(item)
                link.send(item, 0, True)
                self.number += 1
                told = pb.Broadcast(origin=self.id, number=self.number, until=each.position, item=item)
                link.send(told)
            for _ in range(3):
                hello = self.greeting()
                link.send(hello)
                hello.node_record = each.signed
                link.send(hello)
            for content in self.records.all.values():
                link.send(pb.RecordCopy(record=content), 5)
                link.send(pb.RecordPut(record=content), 6)
                link.send(pb.RecordLost(record=content))

    async def claims(self):
        """Stands wherever it likes: as one of another ring, as everybody's keeper, as whoever is accused."""
        for _ in range(30):
            for each in self.others():
                link = self.link_to(each.id)
                for start in (self.id, each.id, os.urandom(32)):
                    link.send(pb.Stabilise(version=7, predecessors=[start] * 4, epoch=2**31, pace=3, paces=2**31), 9)
                    link.send(pb.Stabilise(joining=True, pace=2**31), 10)
                answer = pb.StabiliseReply(verdict=pb.LEASE_GRANTED, told=1, version=2, epoch=2**60)
                answer.successors.extend(os.urandom(32) for _ in range(16))
                setattr(answer, "from", self.id)
                link.send(answer, 11, True)
                link.send(pb.Ping(accused_incarnation=each.incarnation + 2**20))
            await asyncio.sleep(0.05)

    async def lists(self):
        """The longest lists that there may be, of what nobody has."""
        for section in range(6):
            for each in self.others():
                entries = sorted((os.urandom(32) for _ in range(48)))
                page = pb.Summary(section=section, to_end=True)
                page.entries.extend(pb.Entry(id=one, version=2**64 - 1) for one in entries)
                await self.ask(each.id, page, 2.0)
                link = self.link_to(each.id)
                link.send(pb.SummaryReply(section=section, wanted=list(range(48)), sent=2**31), 12, True)
                ranges = pb.ChunkRanges(nonce=1, records=section % 2 == 0)
                for _ in range(8):
                    place = os.urandom(32)
                    ranges.ranges.append(pb.ChunkRange(to=place, count=2**32 - 1, **{"from": place}))
                await self.ask(each.id, ranges, 2.0)
                path = [os.urandom(32) for _ in range(32)]
                link.send(pb.Lookup(key=os.urandom(32), path=path), 13)
                link.send(pb.Route(key=os.urandom(32), origin=each.id, hops=2**31, number=1), 14)
                link.send(pb.ProbeVia(node=os.urandom(32)), 15)
                link.send(pb.Who(nodes=path[:16]), 16)

    async def immortal(self):
        """Its incarnation is the greatest that there is: who may say that it is dead?"""
        self.kept["incarnation"] = 2**64 - 1
        self.renew()
        await self.tell(self.members[self.id].item())

    async def stall(self, file):
        """Asks each for these chunks on a link of its own, and reads no answer."""
        chunks = [bytes.fromhex(line) for line in pathlib.Path(file).read_text().split()]
        self.stalled = []
        for each in self.others():
            socket = self.wire._socket(each.key)
            socket.setsockopt(zmq.RCVHWM, 1)
            socket.connect("tcp://" + each.record.addresses[0])
            link = Link(socket, [], None, each.id)
            link.send(self.greeting())
            for number, chunk in enumerate(chunks):
                link.send(pb.ChunkGet(chunk=chunk), number + 1)
            self.stalled.append(link)

    async def command(self, name, *words):
        if name in ("epochs", "deaths", "goodbyes", "replays", "claims", "lists", "immortal", "stall"):
            await getattr(self, name)(*words)
            return "done"
        return await super().command(name, *words)


if __name__ == "__main__":
    asyncio.run(Liar(*sys.argv[1:4]).begin(Token(pathlib.Path(sys.argv[4]).read_text())))
