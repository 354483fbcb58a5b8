#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member of a small community that shares no line with mingad: written after docs/protocol.md.

node.py FOLDER ADDRESS NAME TOKEN_FILE: joins, or is back, until it is told to leave (ask.py). The folder has its
state; `node.seed` there, if any, is its key.

It knows all members, has an arc by lease, and keeps records. It has no role: it keeps no chunks, runs nothing
and manages nothing; it relays for no leaf. It is never the first of a ring, nor the last.
"""
import asyncio
import json
import os
import pathlib
import sys
import time
import traceback

import members as knowledge
import protocol_pb2 as pb
from identity import Key, Token, curve_public, join_of, node_id, service_id
from records import Records, durable, place_of, rank, stands
from ring import Ring, within
from wire import Wire, now

HOLDERS = 8
ABSENT_S, SILENT_S = 1.9, 1.08


class Node:
    def __init__(self, folder, address, name):
        self.folder, self.address, self.name = pathlib.Path(folder), address, name
        state = self.folder / "state.json"
        self.kept = json.loads(state.read_text()) if state.exists() else {}
        for each in ("node", "owner"):
            seed = self.folder / (each + ".seed")
            self.kept.setdefault(each, seed.read_text().strip() if seed.exists() else os.urandom(32).hex())
        for each in ("incarnation", "sequence", "epoch"):
            self.kept.setdefault(each, 0)
        self.kept["incarnation"] += 1
        self.key = Key(bytes.fromhex(self.kept["node"]))
        self.owner = Key(bytes.fromhex(self.kept["owner"]))
        self.id = node_id(self.key.public)
        self.number = int(time.time() * 1000)  # of broadcasts: another one after each start
        self.reachable = pb.REACHABLE_NONE
        self.records = Records(self.folder)
        self.heard, self.watched, self.comparing = {}, set(), set()
        self.nonces, self.dialled_by = {}, set()
        self.told = {}  # broadcasts heard of: how far they were covered
        self.leaving = False
        self.counts = {}  # of what was heard, by kind

    def remember(self):
        durable(self.folder / "state.json", json.dumps(self.kept).encode())

    # ---- becoming a member

    async def begin(self, token):
        self.community = token.key
        self.members = knowledge.Members(token.key, self.key.public)
        self.members.doubted = self.ask_itself
        self.wire = Wire(self.key, self.address, self.receive, self.greeting)
        for key, addresses in token.contacts:
            if "admission" not in self.kept:
                await self.join(token, key, addresses[0])
        if "admission" not in self.kept:
            raise SystemExit("nobody lets it in")
        self.members.admit(bytes.fromhex(self.kept["countersigner"]))
        self.members.admit(bytes.fromhex(self.kept["admission"]))
        self.ring = Ring(self, self.kept["epoch"])
        self.renew()
        for key, addresses in token.contacts:
            contact = node_id(key)
            self.wire.dial(key, addresses[0])
            if await self.compare(contact) and contact in self.members.all:
                break
        await self.dial_back(through=contact)
        await asyncio.gather(self.ring.run(), self.watch(), self.serve())

    async def join(self, token, key, address):
        link = self.wire.dial(key, address, greet=False)
        join = join_of(self.key, self.owner, token.invitation, token.seed, (self.name, "stranger"))
        reply = await self.wire.request(link, join, 2.5, 1.0)
        self.wire.hang_up(link.node)
        if isinstance(reply, pb.JoinReply) and not reply.reason:
            self.kept["admission"] = reply.admission.hex()
            self.kept["countersigner"] = reply.countersigner_admission.hex()
            self.remember()
        else:
            print("not let in:", reply, file=sys.stderr)

    def renew(self, leaving=False):
        """Signs a new node record of itself."""
        self.kept["sequence"] += 1
        record = pb.NodeRecord(
            sequence=self.kept["sequence"],
            incarnation=self.kept["incarnation"],
            addresses=[self.address],
            reachable=self.reachable,
            name=self.name,
            arch="python",
            version="1",
            leaving=leaving,
        )
        self.signed = self.key.signed("minga node", record)
        self.members.node_record(self.signed)
        self.members[self.id].life = pb.LIFE_ALIVE
        self.remember()

    # ---- links

    def greeting(self):
        return pb.Hello(
            node_key=self.key.public,
            community_key=self.community,
            digest=self.members.digest(),
            node_record=self.signed,
            admission=bytes.fromhex(self.kept["admission"]),
            countersigner_admission=bytes.fromhex(self.kept["countersigner"]),
        )

    def link_to(self, node):
        member = self.members.get(node)
        if node in self.wire.links:
            return self.wire.links[node]
        if member and member.record.addresses:
            return self.wire.dial(member.key, member.record.addresses[0])
        return next((each for each in self.wire.callers.values() if each.node == node), None)

    async def ask(self, node, body, patience, repeat=0.3):
        link = self.link_to(node)
        reply = await self.wire.request(link, body, patience, repeat) if link else None
        if reply is not None:
            self.hear(node)
        return reply

    def hear(self, node):
        self.heard[node] = now()
        member = self.members.get(node)
        if member and node != self.id:
            was_dead, member.life = member.life == pb.LIFE_DEAD, pb.LIFE_ALIVE
            if was_dead:
                self.ask_itself(member)  # only its own word changes what the others hold

    def ask_itself(self, member):
        asyncio.ensure_future(self.ask(member.id, pb.Ping(accused_incarnation=member.incarnation), 0.4))

    def receive(self, link, request, body):
        """What is no reply to a question of ours."""
        name = type(body).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if link.node is None and name not in ("Hello", "Join", "Dialled"):
            link.send(pb.Refused(code=pb.REFUSED_HELLO_FIRST), request, True)
            return
        if link.node in self.members.expulsions:
            return
        if link.node and name != "Refused":
            self.hear(link.node)
        asyncio.ensure_future(self.answer(link, request, body, getattr(self, "on_" + name.lower(), None)))

    async def answer(self, link, request, body, handler):
        if handler is None:
            print("left alone:", type(body).__name__, file=sys.stderr)
            return
        reply = handler(link, body)
        if asyncio.iscoroutine(reply):
            reply = await reply
        if reply is not None and (request or isinstance(reply, (pb.Welcome, pb.Refused))):
            link.send(reply, request, True)

    def on_join(self, link, join):
        return pb.JoinReply(reason="others let in")

    def on_hello(self, link, hello):
        node = node_id(hello.node_key)
        if hello.community_key != self.community or node == self.id:
            return pb.Refused(code=pb.REFUSED_OTHER)
        if curve_public(hello.node_key) != link.curve:
            return None
        if node in self.members.expulsions:
            link.send(pb.Refused(code=pb.REFUSED_EXPELLED), 0, True)
            return pb.Item(kind=pb.ITEM_EXPULSION, content=self.members.expulsions[node])
        for each in (hello.countersigner_admission, hello.admission):
            if each:
                self.members.admit(each)
        if node not in self.members.all:
            return pb.Refused(code=pb.REFUSED_NOT_MEMBER)
        link.node = node
        self.greeted(node, hello)
        member = self.members[node]
        return pb.Welcome(
            node_record=self.signed,
            digest=self.members.digest(),
            known_sequence=member.record.sequence,
            known_incarnation=member.incarnation,
        )

    def on_welcome(self, link, welcome):
        self.greeted(link.node, welcome)
        if welcome.known_sequence > self.kept["sequence"]:  # of a disk that is lost
            self.kept["sequence"] = welcome.known_sequence
            self.refute(welcome.known_incarnation)

    def greeted(self, node, greeting):
        self.members.node_record(greeting.node_record)
        self.hear(node)
        if greeting.digest != self.members.digest():
            self.differs(node)

    def on_refused(self, link, refused):
        print("refused:", refused.code, refused.reason, file=sys.stderr)

    # ---- what everyone knows

    def differs(self, node):
        if node not in self.comparing and not self.leaving:
            asyncio.ensure_future(self.compare(node))

    async def compare(self, node):
        """Page by page, all sections; did it answer?"""
        self.comparing.add(node)
        try:
            for section in (pb.SYNC_EXPULSIONS, pb.SYNC_REVOCATIONS, pb.SYNC_ADMISSIONS, pb.SYNC_NODES):
                after, done = None, False
                while not done:
                    summary = knowledge.page(section, self.members.entries(section), after)
                    reply = await self.ask(node, summary, 2.0)
                    if not isinstance(reply, pb.SummaryReply):
                        return False
                    for index in reply.wanted:
                        self.link_to(node).send(self.members.item(section, summary.entries[index].id))
                    done = reply.done or not reply.HasField("resume")
                    after = knowledge.place_of(reply.resume)
            await asyncio.sleep(0.1 if len(self.members.all) < 2 else 0.5)
            return True
        finally:
            self.comparing.discard(node)

    def on_summary(self, link, summary):
        if summary.section in (pb.SYNC_RECORDS, pb.SYNC_CHUNKS):
            arc = summary.arc if summary.HasField("arc") else None
            own = self.records.entries(arc) if arc and summary.section == pb.SYNC_RECORDS else []
        else:
            own = self.members.entries(summary.section)
        lacked, reply = knowledge.answer(summary, own)
        if summary.section == pb.SYNC_CHUNKS:
            del reply.wanted[:]
        for entry in lacked:
            if summary.section == pb.SYNC_RECORDS:
                link.send(pb.RecordCopy(record=self.records.all[entry.id, entry.number]))
            else:
                link.send(self.members.item(summary.section, entry.id))
        reply.digest.CopyFrom(self.members.digest())
        return reply

    def on_item(self, link, item):
        self.take(item, link.node)

    def take(self, item, teller):
        if item.kind == pb.ITEM_DEATH and item.node in (self.id, teller):
            if item.node == self.id and item.incarnation >= self.kept["incarnation"]:
                self.refute(item.incarnation)
            return False
        if item.kind == pb.ITEM_NODE and item.life == pb.LIFE_DEAD and item.content == self.signed:
            if item.incarnation >= self.kept["incarnation"]:
                self.refute(item.incarnation)
            return False
        return self.members.take(item)

    def refute(self, incarnation):
        self.kept["incarnation"] = max(self.kept["incarnation"], incarnation) + 1
        self.renew()
        asyncio.ensure_future(self.tell(self.members[self.id].item()))

    async def tell(self, item, through=None):
        """Everyone; a newcomer's word goes through the member that let it in."""
        item.flooded = True
        self.number += 1
        name = (item.node, item.incarnation) if item.kind == pb.ITEM_DEATH else (self.id, self.number)
        told = pb.Broadcast(origin=name[0], number=name[1], item=item)
        here = self.members[self.id].position
        self.told[name[0], name[1], item.SerializeToString()] = here
        if through:
            told.until, told.hops = self.members[through].position, 1
            await self.ask(through, told, 1.0)
        else:
            await self.cover(told, here, here)

    async def cover(self, told, start, until):
        """Tells all between the two, in at most 16 parts; of a silent one's part another one."""
        inside = []
        for each in self.members.after(start):
            if each.position in (until, start):
                break
            if each.id != self.id:
                inside.append(each)
        count = min(16, len(inside))
        jobs = []
        for part in range(count):
            first = inside[len(inside) * part // count]
            end = until if part + 1 == count else inside[len(inside) * (part + 1) // count].position
            child = pb.Broadcast(origin=told.origin, number=told.number, hops=told.hops + 1, item=told.item)
            child.until = end
            jobs.append(self.tell_one(first, child, end))
        await asyncio.gather(*jobs)

    async def tell_one(self, first, child, end):
        if await self.ask(first.id, child, 0.8, 1.0) is None:
            await self.cover(child, first.position, end)

    def on_broadcast(self, link, told):
        name = told.origin, told.number, told.item.SerializeToString()
        start = here = self.members[self.id].position
        if name in self.told:
            start = self.told[name]
            if start == here or within(here, told.until, start):
                return pb.Acknowledged()
        self.told[name] = told.until
        if start != here or self.take(told.item, link.node):
            asyncio.ensure_future(self.cover(told, start, told.until))
        return pb.Acknowledged()

    def on_goodbye(self, link, goodbye):
        self.ring.on_goodbye(link.node, goodbye)
        self.members.node_record(goodbye.node_record)
        return pb.Acknowledged()

    # ---- is it alive? can it be dialled?

    def on_ping(self, link, ping):
        if ping.accused_incarnation and ping.accused_incarnation >= self.kept["incarnation"]:
            self.refute(ping.accused_incarnation)
        return pb.Pong(digest=self.members.digest_short())

    async def on_probevia(self, link, probe):
        return pb.ProbeResult(alive=await self.ask(probe.node, pb.Ping(), 0.4, 0.2) is not None)

    async def watch(self):
        while not self.leaving:
            await asyncio.sleep(0.1)
            self.ring.take_over()
            for node in {self.ring.keeper, self.ring.start} - {None, self.id} - self.watched:
                silent = now() - self.heard.setdefault(node, now())
                if silent > SILENT_S and self.members[node].is_up():
                    self.watched.add(node)
                    asyncio.ensure_future(self.suspect(node))

    async def suspect(self, node):
        member = self.members[node]
        if await self.ask(node, pb.Ping(), ABSENT_S, 0.2) is None:
            others = [each.id for each in self.members.up() if each.id not in (self.id, node)][:3]
            seen = await asyncio.gather(*(self.ask(each, pb.ProbeVia(node=node), 0.8) for each in others))
            if not any(isinstance(each, pb.ProbeResult) and each.alive for each in seen) and member.is_up():
                item = pb.Item(kind=pb.ITEM_DEATH, node=node, incarnation=member.incarnation)
                self.members.take(item)
                self.wire.hang_up(node)
                await self.tell(item)
        self.watched.discard(node)

    async def dial_back(self, through):
        """Can it be dialled? Two members try; everyone is told."""
        port = int(self.address.rpartition(":")[2])
        for each in [each for each in self.members.up() if each.id != self.id][:2]:
            nonce = os.urandom(16)
            self.nonces[nonce] = each.id
            await self.ask(each.id, pb.DialBack(port=port, nonce=nonce), 3.0)
        end = now() + 3
        while now() < end and not self.dialled_by:
            await asyncio.sleep(0.02)
        self.reachable = pb.REACHABLE_DIRECT if self.dialled_by else pb.REACHABLE_NONE
        self.renew()
        await self.tell(self.members[self.id].item(), through)

    def on_dialled(self, link, dialled):
        if link.node is None and dialled.nonce in self.nonces:
            self.dialled_by.add(self.nonces[dialled.nonce])

    def on_dialback(self, link, asked):
        if not link.host:
            return pb.DialBackReply(tried=False)
        address = "%s:%d" % (link.host, asked.port)
        self.wire.say_once(self.members[link.node].key, address, pb.Dialled(nonce=asked.nonce))
        return pb.DialBackReply(tried=True, address=address)

    # ---- the ring, and what agents say to each other

    def on_stabilise(self, link, question):
        return self.ring.on_stabilise(link, question)

    def holders(self, place):
        """In ring order; the first one answers for it."""
        before = ((int.from_bytes(place, "big") - 1) % 2**256).to_bytes(32, "big")
        return [each.id for each in self.members.after(before) if each.may_own()][:HOLDERS]

    async def on_lookup(self, link, lookup):
        if self.ring.owns(lookup.key):
            return pb.LookupReply(path=[*lookup.path, self.id], holders=self.holders(lookup.key))
        return await self.pass_on(link, lookup.key, pb.Lookup(key=lookup.key, path=[*lookup.path, self.id]))

    async def pass_on(self, link, place, body):
        owner = self.holders(place)[0]
        if owner in (self.id, link.node):
            return pb.Busy()
        return await self.ask(owner, body, 5.0)

    async def lookup(self, place):
        if self.ring.owns(place):
            return pb.LookupReply(path=[self.id], holders=self.holders(place))
        return await self.ask(self.holders(place)[0], pb.Lookup(key=place, path=[self.id]), 5.0)

    def on_ask(self, link, asked):
        return self.agent(asked.payload)

    async def on_route(self, link, route):
        if self.ring.owns(route.key):
            return self.agent(route.payload)
        onward = pb.Route()
        onward.CopyFrom(route)
        onward.hops += 1
        return await self.pass_on(link, route.key, onward)

    @staticmethod
    def agent(payload):
        """Who has no role knows of no service."""
        asked, said = pb.AgentMessage.FromString(payload.bytes), pb.AgentMessage()
        which = asked.WhichOneof("body")
        if which == "services_query":
            said.services_page.SetInParent()
        elif which == "status_query":
            said.status_page.SetInParent()
        elif which == "fetch_manager":
            said.fetch_reply.service = asked.fetch_manager.service
        else:
            return None
        return pb.Answer(payload=pb.Payload(bytes=said.SerializeToString()))

    def on_chunkget(self, link, asked):
        return pb.ChunkAbsent(chunk=asked.chunk)

    def on_chunkoffers(self, link, asked):
        return pb.ChunkOffersReply(answers=[pb.CHUNK_FULL] * len(asked.offers))

    def on_chunkranges(self, link, asked):
        return self.records.ranges(asked) if asked.records else Records(pathlib.Path("/dev/null")).ranges(asked)

    # ---- records

    def on_recordcopy(self, link, copy):
        return pb.Acknowledged(outcome=self.records.keep(copy.record))

    def on_recordget(self, link, get):
        return pb.RecordReply(record=self.records.get(get))

    async def read(self, service, kind=pb.RECORD_SERVICE, number=0):
        """What the responsible node says when it is settled; else the newest of what all holders have."""
        asked = pb.RecordGet(service=service, kind=kind, number=number)
        best = self.records.get(asked)
        for node in self.holders(service):
            reply = None if node == self.id else await self.ask(node, asked, 2.0)
            if isinstance(reply, pb.RecordReply):
                if reply.settled:
                    return reply.record
                best = max(best, reply.record, key=rank)
        return best

    async def on_recordput(self, link, put):
        record = stands(put.record)
        if record is None:
            return pb.RecordPutReply(outcome=pb.OUTCOME_REFUSED, reason="the record's signature is wrong")
        if record.owner_key not in [each.admission.owner_key for each in self.members.all.values()]:
            return pb.RecordPutReply(outcome=pb.OUTCOME_REFUSED, reason="the owner has no node here")
        service = place_of(record)[0]
        if not self.ring.owns(service):
            return pb.Busy()
        stored = await self.read(service, record.kind, record.number)
        if stored != put.record and record.sequence != rank(stored)[0] + 1:
            return pb.RecordPutReply(outcome=pb.OUTCOME_CONFLICT, reason="another write came first")
        self.records.keep(put.record)
        copies = [self.ask(each, pb.RecordCopy(record=put.record), 2.0) for each in self.holders(service) if each != self.id]
        good = False
        for each in asyncio.as_completed(copies):
            reply = await each
            if isinstance(reply, pb.Acknowledged) and reply.outcome == pb.OUTCOME_OK:
                good = True
                break
        return pb.RecordPutReply(outcome=pb.OUTCOME_OK) if good and self.ring.owns(service) else pb.Busy()

    async def put(self, name, skip=0, spoilt=False):
        """Writes the next version of a service's record, which starts nothing."""
        service = service_id(self.owner.public, name)
        record = pb.Record(
            kind=pb.RECORD_SERVICE,
            owner_key=self.owner.public,
            name=name,
            sequence=rank(await self.read(service))[0] + 1 + skip,
            written_unix_s=int(time.time()),
            content=pb.Service(replicas=1, version=1).SerializeToString(),
        )
        content = self.owner.signed("minga record", record)
        if spoilt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        put, owner = pb.RecordPut(record=content), self.holders(service)[0]
        return await (self.on_recordput(None, put) if owner == self.id else self.ask(owner, put, 8.0, 1.6))

    # ---- leaving, and what the test wants to know

    async def leave(self):
        """Its arc is its keeper's from the moment that it says so."""
        self.leaving = self.ring.left = True
        self.renew(leaving=True)
        await self.tell(self.members[self.id].item())
        handed = pb.Goodbye(node_record=self.signed, predecessors=self.ring.predecessors(), epoch=self.ring.epoch)
        jobs = []
        for each in self.members.up():
            body = handed if each.id == self.ring.keeper else pb.Goodbye(node_record=self.signed)
            jobs.append(self.ask(each.id, body, 1.0))
        await asyncio.gather(*jobs)

    async def agrees(self):
        """Do all members that are up know what it knows?"""
        asked = [self.ask(each.id, pb.Ping(), 0.5) for each in self.members.up() if each.id != self.id]
        said = await asyncio.gather(*asked)
        return all(isinstance(each, pb.Pong) and each.digest == self.members.digest_short() for each in said)

    async def status(self):
        ring = self.ring
        return {
            "id": self.id.hex(),
            "position": ring.place(self.id).hex(),
            "owner": self.owner.public.hex(),
            "leased": ring.leased(),
            "epoch": ring.epoch,
            "from": ring.place(ring.start).hex() if ring.start else None,
            "predecessors": [each.hex() for each in ring.predecessors()],
            "successors": [each.hex() for each in ring.successors()],
            "keeper": ring.keeper.hex() if ring.keeper else None,
            "granted": ring.granted_until > now(),
            "confirmed": [ring.calm_count, ring.short_count],
            "up": len(self.members.up()),
            "agrees": await self.agrees(),
            "records": sorted("%d %s" % (each.kind, each.name) for each in map(stands, self.records.all.values())),
            "heard": self.counts,
        }

    async def command(self, name, *words):
        if name == "status":
            return await self.status()
        if name == "lookup":
            reply = await self.lookup(bytes.fromhex(words[0]))
            return {"responsible": reply.path[-1].hex(), "holders": [each.hex() for each in reply.holders]}
        if name == "put":
            reply = await self.put(words[0], *map(int, words[1:]))
            return {"outcome": pb.Outcome.Name(reply.outcome), "service": service_id(self.owner.public, words[0]).hex()}
        if name == "get":
            found = stands(await self.read(bytes.fromhex(words[0])))
            return {"name": found and found.name, "sequence": found and found.sequence}
        if name == "own":  # a name of the owner's key `words[0]` whose service lies in the own arc, or not
            key = bytes.fromhex(words[0])
            names = ("thing%d" % number for number in range(10000))
            return next(each for each in names if self.ring.covers(service_id(key, each)) == (words[1] == "in"))
        await self.leave()
        asyncio.get_running_loop().call_later(0.2, os._exit, 0)
        return "left"

    async def serve(self):
        path = self.folder / "socket"
        path.unlink(missing_ok=True)

        async def one(reader, writer):
            try:
                answer = await self.command(*json.loads(await reader.readline()))
            except Exception as error:
                traceback.print_exc()
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            writer.close()

        await asyncio.start_unix_server(one, path)


if __name__ == "__main__":
    asyncio.run(Node(*sys.argv[1:4]).begin(Token(pathlib.Path(sys.argv[4]).read_text())))
