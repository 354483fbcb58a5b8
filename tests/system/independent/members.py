# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member knows of the community: admissions, bans, node records, lives; its digest, and pages of it."""
import struct

import protocol_pb2 as pb
from identity import CLOCK_SKEW_S_MAX, H, Admission, check, invitation_point, node_id, opened, position

PAGE = 48
ITEMS = 16


def xor(hashes):
    value = 0
    for each in hashes:
        value ^= int.from_bytes(each, "big")
    return value.to_bytes(32, "big")


class Member:
    def __init__(self, admission):
        self.admission = admission
        self.key = admission.key
        self.id = node_id(self.key)
        self.position = position(self.key)
        self.signed = b""  # encoded Signed{NodeRecord}
        self.record = pb.NodeRecord()
        self.incarnation = 0
        self.life = pb.LIFE_UNKNOWN

    def digest(self):
        return H("minga item", self.signed, struct.pack("<QB", self.incarnation, self.life))

    def admission_entry(self):
        version, negated = self.admission.rank()
        return pb.Entry(id=self.id, version=version, check=-negated)

    def is_up(self):
        return self.life == pb.LIFE_ALIVE and not self.record.leaving

    def may_own(self):
        return self.record.reachable in (pb.REACHABLE_UNKNOWN, pb.REACHABLE_DIRECT)

    def entry(self):
        known = self.life != pb.LIFE_UNKNOWN
        version = known and (self.record.sequence << 1 | (self.life == pb.LIFE_DEAD))
        return pb.Entry(id=self.id, version=version, check=check(self.signed) if version else 0)

    def item(self):
        return pb.Item(kind=pb.ITEM_NODE, content=self.signed, incarnation=self.incarnation, life=self.life)


class Members:
    def __init__(self, community, own_key):
        self.community, self.own = community, node_id(own_key)
        self.all, self.expulsions, self.revocations = {}, {}, {}
        self.orphans = {}  # admissions whose countersigner is not known yet, or only since later
        self.doubted = lambda member: None  # others contradict: to be asked itself

    def __getitem__(self, node):
        return self.all[node]

    def get(self, node):
        return self.all.get(node)

    def up(self):
        return [each for each in self.all.values() if each.is_up() and each.id not in self.expulsions]

    def after(self, place):
        """Those who are up, in ring order behind a position."""
        far = lambda each: (int.from_bytes(each.position, "big") - int.from_bytes(place, "big") - 1) % 2**256
        return sorted(self.up(), key=far)

    def digest(self):
        return pb.Digest(
            bans=xor(H("minga item", each) for each in [*self.expulsions, *self.revocations]),
            admissions=xor(H("minga item", each.admission.content) for each in self.all.values()),
            nodes=xor(each.digest() for each in self.all.values()),
        )

    def digest_short(self):
        """Of one who knows all the lowest bit is 0."""
        digest = self.digest()
        return int.from_bytes(xor([digest.bans[:8], digest.admissions[:8], digest.nodes[:8]])[-8:], "big") & ~1

    # ---- what is told

    def admit(self, content):
        """Takes an admission in when it stands. Is it new?"""
        try:
            admission = Admission(content, self.community)
        except ValueError:
            return False
        known = self.all.get(node_id(admission.key))
        if known and admission.rank() <= known.admission.rank():
            return False
        if not self._vouched(admission):
            self.orphans[content] = admission
            return False
        if known:
            known.admission = admission
        else:
            self.all[node_id(admission.key)] = Member(admission)
        for other, orphan in list(self.orphans.items()):
            if self._vouched(orphan):
                del self.orphans[other]
                self.admit(other)
        return True

    def _vouched(self, admission):
        if admission.countersigner == self.community:
            return True
        by = node_id(admission.countersigner)
        expulsion = self.expulsions.get(by)
        if by not in self.all or self.all[by].admission.admitted_s >= admission.admitted_s:
            return False
        if not expulsion:
            return True
        since_s = opened(pb.Expulsion, "minga expulsion", expulsion)[0].expelled_unix_s
        return admission.admitted_s <= since_s + CLOCK_SKEW_S_MAX

    def node_record(self, content):
        """Takes a newer node record in; the member, or None."""
        record, key = opened(pb.NodeRecord, "minga node", content)
        member = self.get(node_id(key)) if record else None
        if member is None or record.sequence < member.record.sequence:
            return None
        if record.sequence == member.record.sequence and check(content) >= check(member.signed):
            return None
        member.signed, member.record = content, record
        if record.incarnation > member.incarnation:
            member.incarnation = record.incarnation
            if member.life == pb.LIFE_DEAD:
                member.life = pb.LIFE_UNKNOWN
        return member

    def _weigh_life(self, member, item):
        """What somebody holds of a member's life. A contradiction is put to the member itself."""
        if member.id == self.own or item.life in (pb.LIFE_UNKNOWN, member.life):
            return False
        if member.life == pb.LIFE_UNKNOWN or member.record.leaving:
            if item.life == pb.LIFE_DEAD:
                if item.incarnation < member.incarnation:
                    return False
                member.incarnation = item.incarnation
            member.life = item.life
            return True
        self.doubted(member)
        return False

    def take(self, item):
        """An item that somebody tells. Was it news?"""
        if item.kind == pb.ITEM_ADMISSION:
            return self.admit(item.content)
        if item.kind == pb.ITEM_EXPULSION:
            expulsion, key = opened(pb.Expulsion, "minga expulsion", item.content)
            if key != self.community or node_id(expulsion.node_key) in self.expulsions:
                return False
            self.expulsions[node_id(expulsion.node_key)] = item.content
            return True
        if item.kind == pb.ITEM_REVOCATION:
            revocation, key = opened(pb.Revocation, "minga revocation", item.content)
            if key != self.community or invitation_point(revocation.invitation_key) in self.revocations:
                return False
            self.revocations[invitation_point(revocation.invitation_key)] = item.content
            return True
        if item.kind == pb.ITEM_NODE:
            is_new = self.node_record(item.content) is not None
            told = self.get(node_id(pb.Signed.FromString(item.content).key))
            return told is not None and self._weigh_life(told, item) or is_new
        if item.kind == pb.ITEM_DEATH:
            told = self.get(item.node)
            if told is None or not told.incarnation <= item.incarnation <= told.incarnation + 2**20:
                return False
            if told.life == pb.LIFE_DEAD and told.incarnation == item.incarnation:
                return False
            told.incarnation, told.life = item.incarnation, pb.LIFE_DEAD
            return True
        return False

    # ---- pages

    def entries(self, section):
        if section == pb.SYNC_EXPULSIONS:
            found = [pb.Entry(id=each) for each in self.expulsions]
        elif section == pb.SYNC_REVOCATIONS:
            found = [pb.Entry(id=each) for each in self.revocations]
        elif section == pb.SYNC_ADMISSIONS:
            found = [each.admission_entry() for each in self.all.values()]
        elif section == pb.SYNC_NODES:
            found = [each.entry() for each in self.all.values()]
        else:
            found = []
        return found

    def item(self, section, node):
        if section == pb.SYNC_EXPULSIONS:
            return pb.Item(kind=pb.ITEM_EXPULSION, content=self.expulsions[node])
        if section == pb.SYNC_REVOCATIONS:
            return pb.Item(kind=pb.ITEM_REVOCATION, content=self.revocations[node])
        if section == pb.SYNC_ADMISSIONS:
            return pb.Item(kind=pb.ITEM_ADMISSION, content=self.all[node].admission.content)
        return self.all[node].item()


def place_of(entry):
    return entry.id, entry.number


def rank(entry):
    """Of two entries of one place the greater rank stands."""
    return entry.version, -entry.check


def page(section, entries, after):
    """A Summary of what comes behind `after`, a (id, number) or None."""
    behind = sorted((each for each in entries if after is None or place_of(each) > after), key=place_of)
    summary = pb.Summary(section=section, entries=behind[:PAGE], to_end=len(behind) <= PAGE)
    if after:
        summary.after.id, summary.after.number = after
    return summary


def answer(summary, own):
    """To a page: the entries that its sender lacks, and the reply."""
    after = place_of(summary.after) if summary.HasField("after") else None
    last = place_of(summary.entries[-1]) if summary.entries else after
    theirs = {place_of(each): (index, each) for index, each in enumerate(summary.entries)}
    mine = {
        place_of(each): each
        for each in own
        if (after is None or place_of(each) > after) and (summary.to_end or place_of(each) <= last)
    }
    reply = pb.SummaryReply(section=summary.section)
    lacked = []
    done = last
    for place in sorted({*mine, *theirs}):
        if place not in theirs or place in mine and rank(mine[place]) > rank(theirs[place][1]):
            if len(lacked) == ITEMS:
                break
            lacked.append(mine[place])
        elif place not in mine or rank(mine[place]) < rank(theirs[place][1]):
            reply.wanted.append(theirs[place][0])
        done = place
    else:
        reply.done = summary.to_end
    if done:
        reply.resume.id, reply.resume.number = done
    reply.sent = len(lacked)
    return lacked, reply
