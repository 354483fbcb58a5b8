# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of owners: what is kept here, and the fingerprints of ranges of it."""
import os
import pathlib

import protocol_pb2 as pb
from identity import H, opened, service_id
from ring import within

PARTS = 8
MASK = 2**64 - 1


def durable(path, data):
    new = pathlib.Path(str(path) + ".new")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)


def mixed(word):
    """The finaliser of MurmurHash3."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word = (word ^ word >> 33) * factor & MASK
    return word ^ word >> 33


def rank(content):
    """The higher sequence stands, then the lower hash."""
    if not content:
        return (0, 0)
    record = pb.Record.FromString(pb.Signed.FromString(content).body)
    return record.sequence, -int.from_bytes(H("minga record", content), "big")


def stands(content):
    """The record, when it is its owner's and makes sense."""
    record, key = opened(pb.Record, "minga record", content)
    if record is None or key != record.owner_key or not record.name or record.sequence == 0:
        return None
    if record.kind not in (pb.RECORD_SERVICE, pb.RECORD_VERSION) or record.number >> 56:
        return None
    return record if (record.kind == pb.RECORD_SERVICE) == (record.number == 0) else None


def place_of(record):
    return service_id(record.owner_key, record.name), record.kind << 56 | record.number


class Records:
    def __init__(self, folder):
        self.folder = folder
        self.all = {}  # (service, kind and number) -> encoded Signed{Record}
        for path in folder.glob("record-*"):
            content = path.read_bytes()
            self.all[place_of(stands(content))] = content

    def keep(self, content):
        """Acknowledged once it is on the disk."""
        record = stands(content)
        if record is None:
            return pb.OUTCOME_REFUSED
        place = place_of(record)
        own = self.all.get(place)
        if rank(content) < rank(own):
            return pb.OUTCOME_CONFLICT
        if content != own:
            durable(self.folder / ("record-%s-%d" % (place[0].hex(), place[1])), content)
            self.all[place] = content
        return pb.OUTCOME_OK

    def get(self, asked):
        return self.all.get((asked.service, asked.kind << 56 | asked.number), b"")

    def entries(self, arc):
        found = []
        for (service, number), content in self.all.items():
            if arc is None or within(getattr(arc, "from"), service, arc.to):
                check = int.from_bytes(H("minga record", content)[:8], "big")
                found.append(pb.Entry(id=service, number=number, version=rank(content)[0], check=check))
        return found

    def sum(self, start, end, nonce):
        count = total = 0
        for (service, _), content in self.all.items():
            if within(start, service, end):
                word, name = nonce, H("minga record", content)
                for at in range(0, 32, 8):
                    word = mixed(word ^ int.from_bytes(name[at : at + 8], "big"))
                count, total = count + 1, total + word & MASK
        return count, total

    def ranges(self, asked):
        """Which ranges differ, and each of them in eight parts. Lengths are of the first 64 bits."""
        reply = pb.ChunkRangesReply()
        for index, each in enumerate(asked.ranges):
            start, end = getattr(each, "from"), each.to
            if self.sum(start, end, asked.nonce) == (each.count, each.sum):
                continue
            reply.differing |= 1 << index
            first, tail = int.from_bytes(start[:8], "big"), start[8:]
            length = int.from_bytes(end, "big") - int.from_bytes(start, "big")
            step = (length % 2**256 or 2**256) >> 192 >> 3
            cuts = [((first + step * part) & MASK).to_bytes(8, "big") + tail for part in range(PARTS)]
            for low, high in zip(cuts, [*cuts[1:], end]) if step else []:
                count, total = self.sum(low, high, asked.nonce)
                reply.parts.add(count=count, sum=total)
        return reply
