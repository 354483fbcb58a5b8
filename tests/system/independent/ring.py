# SPDX-License-Identifier: GPL-3.0-or-later
"""The ring: a lease from the keeper on (predecessor, own position], and the keeper's side of it."""
import asyncio

import protocol_pb2 as pb
from identity import fnv1a, sum_of, version_of
from wire import now

STABILISE_S, REPEAT_S = 1.03, 0.3
LEASE_S, GRANT_S = 1.9, 1.94
HANDED_S = 0.6
EPOCHS, GIVE_UP_S = 1024, 10


def within(start, place, end):
    """Is it in (start, end] of the ring?"""
    if start < end:
        return start < place <= end
    return place > start or place <= end


class Ring:
    def __init__(self, node, epoch):
        self.node, self.members, self.own = node, node.members, node.id
        self.start = None  # node id behind which the arc begins; None: no arc
        self.epoch = epoch
        self.lease_until = 0
        self.keeper = None
        self.told = {}  # node -> version of our predecessors that it knows
        self.lists = {}  # keeper -> its successors
        self.theirs = {}  # asker -> (version, predecessors, epoch)
        self.granted, self.granted_until = None, 0
        self.newcomer = None  # (node, when it asked last)
        self.handed = None  # (node, from, epoch, until): an arc whose new owner has not asked with it yet
        self.confirmed = {}  # keeper -> the sum that it has confirmed
        self.left = False
        self.wake = asyncio.Event()
        self.calm_count = self.short_count = 0  # confirmed in short: here, of others

    # ---- what it is

    def leased(self):
        return self.start is not None and now() < self.lease_until and not self.left

    def place(self, node):
        return self.members[node].position

    def covers(self, place):
        return self.start is not None and within(self.place(self.start), place, self.place(self.own))

    def owns(self, place):
        return self.leased() and self.covers(place)

    def predecessors(self):
        """Nearest first; the first one is where the arc begins."""
        if self.start is None:
            return []
        behind = self.theirs.get(self.start, (0, [], 0))[1]
        first = [self.newcomer[0]] if self.newcomer else []
        return (first + [self.start] + [each for each in behind if each != self.own])[:4]

    def version(self):
        return fnv1a(b"".join(each[:8] for each in self.predecessors()))

    def successors(self):
        behind = [each.id for each in self.members.after(self.place(self.own)) if each.may_own()]
        return [each for each in behind if each != self.own][:16]

    def reach(self, epoch):
        """A stretch of epochs is durable ahead; a restart begins behind it."""
        self.epoch = max(self.epoch, epoch)
        if self.epoch + EPOCHS // 2 > self.node.kept["epoch"]:
            self.node.kept["epoch"] = self.epoch + EPOCHS
            self.node.remember()

    # ---- asking

    async def run(self):
        asked = set()  # that were no use since the last lease
        while not self.left:
            behind = [each for each in self.successors() if each not in asked]
            if self.keeper is None or self.members[self.keeper].life == pb.LIFE_DEAD:
                self.keeper = behind[0] if behind else None
                asked = set() if not behind else asked
            if self.keeper is None:
                await asyncio.sleep(0.1)
                continue
            sent = now()
            reply = await self.exchange(self.keeper)
            if reply and reply.verdict == pb.LEASE_GRANTED:
                asked.clear()
            wait = self.judge(reply, sent, asked)
            if self.start and now() > self.lease_until + GIVE_UP_S:
                self.start = None
            try:
                await asyncio.wait_for(self.wake.wait(), max(0.005, sent + wait - now()))
            except asyncio.TimeoutError:
                pass
            self.wake.clear()

    def question(self, keeper):
        predecessors = self.predecessors()
        version = self.version()
        known = version_of(self.lists[keeper]) if keeper in self.lists else 0
        digest = self.members.digest_short() & 0xFFFFFFFF
        question = pb.Stabilise(joining=self.start is None, digest=digest, version=version, known=known)
        question.lapsed = self.start is not None and not self.leased()
        total = sum_of(digest, version, known)
        if self.leased() and self.confirmed.get(keeper) == total:
            return pb.Stabilise(sum=total), version
        if predecessors and self.told.get(keeper) != version:
            question.predecessors.extend(predecessors)
            question.epoch = self.epoch
        return question, version

    async def exchange(self, keeper):
        question, version = self.question(keeper)
        reply = await self.node.ask(keeper, question, LEASE_S, REPEAT_S)
        if reply is None:
            return None
        if question.sum and reply.version == 0:
            self.calm_count += 1
            return reply  # all is as confirmed
        self.told[keeper] = reply.told
        if question.sum:
            self.confirmed.pop(keeper, None)
        if reply.change:
            old = sorted(self.lists.get(keeper, []))
            kept = [each for bit, each in enumerate(old) if reply.kept >> bit & 1]
            self.lists[keeper] = kept + list(reply.successors)
        elif reply.successors:
            self.lists[keeper] = list(reply.successors)
        if version_of(self.lists.get(keeper, [])) != reply.version:
            self.lists.pop(keeper, None)
        elif reply.verdict == pb.LEASE_GRANTED and reply.told == version and not question.sum:
            self.confirmed[keeper] = sum_of(question.digest, version, reply.version)
        if reply.digest and reply.digest != question.digest:
            self.node.differs(keeper)
        return reply

    def judge(self, reply, sent, asked):
        """What the verdict means; how long after `sent` the next question comes."""
        if reply is None or reply.verdict == pb.LEASE_IDLE:
            asked.add(self.keeper)
            self.keeper = None
            return 0.1
        if reply.verdict == pb.LEASE_OTHER:
            self.keeper = getattr(reply, "from")
            return 0
        if reply.verdict == pb.LEASE_BUSY:
            return 0.05
        start = getattr(reply, "from")
        if self.start is None:
            if not start:
                return 0.1
            self.start = self.granted = start
            self.reach(reply.epoch)
            self.granted_until = now() + GRANT_S
            self.lease_until = sent + LEASE_S
            return 0  # so that the keeper knows at once
        if start and self.covers(self.place(start)):  # after a lapse, never more than before
            self.start = start
        self.lease_until = sent + LEASE_S
        return STABILISE_S

    # ---- granting

    def cut(self, node):
        start = self.start
        self.newcomer = None
        self.reach(self.epoch + 1)
        self.handed = node, start, self.epoch, now() + HANDED_S
        self.theirs[node] = 0, [start], self.epoch
        self.start = self.granted = node
        self.granted_until = now() + GRANT_S

    def on_stabilise(self, link, question):
        asker = link.node
        reply = pb.StabiliseReply(verdict=self.verdict(asker, question))
        if reply.verdict == pb.LEASE_OTHER:
            before = [each for each in self.predecessors() if each in self.members.all]
            between = [each for each in before if within(self.place(asker), self.place(each), self.place(self.own))]
            setattr(reply, "from", (between or before)[-1 if between else 0])
        if self.handed and self.handed[0] == asker and reply.verdict == pb.LEASE_GRANTED:
            setattr(reply, "from", self.handed[1])
            reply.epoch = self.handed[2]
        digest = self.members.digest_short() & 0xFFFFFFFF
        told = self.theirs.get(asker, (0,))[0] if asker == self.start else 0
        own = self.successors()
        known = question.known
        if question.sum:
            if reply.verdict == pb.LEASE_GRANTED and sum_of(digest, told, version_of(own)) == question.sum:
                self.short_count += 1
                return reply
            known, reply.digest = version_of(own), digest  # without a list
        elif question.digest != digest:
            reply.digest = digest
            self.node.differs(asker)
        reply.told, reply.version = told, version_of(own)
        if known != reply.version:
            reply.successors.extend(own)
        return reply

    def verdict(self, asker, question):
        if question.predecessors:
            self.theirs[asker] = question.version, list(question.predecessors), question.epoch
        if self.start is None:
            return pb.LEASE_IDLE
        member = self.members.get(asker)
        if not self.leased() or not member or not member.may_own():
            return pb.LEASE_BUSY
        if asker == self.start:
            return self.grant(asker, question)
        if not self.covers(member.position):
            return pb.LEASE_OTHER
        if not question.joining and not question.lapsed:  # of another ring: its arc is its own
            self.newcomer = None
            self.start = self.granted = asker
            self.granted_until = now() + GRANT_S
            return pb.LEASE_GRANTED
        return self.let_in(asker)

    def let_in(self, asker):
        """The keeper is told first: so whoever takes over from here knows where to stop."""
        if self.handed and now() < self.handed[3]:
            return pb.LEASE_BUSY
        if self.newcomer and self.newcomer[0] == asker and self.told.get(self.keeper) == self.version():
            self.cut(asker)
            return pb.LEASE_GRANTED
        if self.newcomer is None or self.newcomer[0] == asker or now() > self.newcomer[1] + HANDED_S:
            if self.newcomer is None or self.newcomer[0] != asker:
                self.wake.set()
            self.newcomer = asker, now()
        return pb.LEASE_BUSY

    def grant(self, asker, question):
        handed = self.handed and self.handed[0] == asker
        if question.joining and not handed:  # a new process: what the old one had is waited out
            if now() > self.granted_until:
                self.widen()
            return pb.LEASE_BUSY
        if not question.joining and not question.lapsed:
            self.handed = None if handed else self.handed
        self.granted, self.granted_until = asker, now() + GRANT_S * max(1, question.pace)
        return pb.LEASE_GRANTED

    def take_over(self):
        """The predecessor is gone, and its grant has run out."""
        if self.leased() and self.start != self.own:
            member = self.members.get(self.start)
            if member and not member.is_up() and now() > self.granted_until:
                self.widen()

    def widen(self):
        gone, (_, behind, epoch) = self.start, self.theirs.get(self.start, (0, [], 0))
        up = [each.id for each in self.members.after(self.place(gone)) if each.may_own() and each.id != gone]
        nearest = up[-1] if up else self.own
        start = behind[0] if behind and behind[0] in self.members.all else nearest
        if within(self.place(start), self.place(nearest), self.place(gone)):
            start = nearest
        self.reach(max(self.epoch, epoch) + 1)
        self.start = self.granted = start
        self.granted_until, self.handed = now() + GRANT_S, None

    def on_goodbye(self, asker, goodbye):
        if asker == self.start and goodbye.predecessors and self.leased():
            self.theirs[asker] = 0, list(goodbye.predecessors), goodbye.epoch
            self.widen()
