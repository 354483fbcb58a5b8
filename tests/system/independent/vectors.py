#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vectors.py PROTOCOL.md: are keys, a Join and a Hello what the page's test vector says?
vectors.py seed HEX: a node's seed whose position begins with these digits."""
import os
import re
import sys

import identity
import protocol_pb2 as pb
from wire import encoded

CREATED_S, ZERO = 1790000000, bytes(32)


def computed():
    community, invitation, node, owner = (identity.Key(bytes([number]) * 32) for number in (1, 2, 3, 4))
    key = node.public
    ids = [key, identity.node_id(key), identity.position(key), identity.curve_public(key)]
    signed = community.signed(
        "minga invitation",
        pb.Invitation(
            community=community.public,
            key=invitation.public,
            created_unix_s=CREATED_S,
            expires_unix_s=CREATED_S + 604800,
        ),
    )
    join = identity.join_of(node, owner, pb.Signed.FromString(signed), invitation.seed, ("oak", "ann"), CREATED_S)
    record = pb.NodeRecord(sequence=1, incarnation=1, addresses=["192.0.2.1:7400"], name="oak", runs=True)
    hello = pb.Hello(
        node_key=key,
        community_key=community.public,
        digest=pb.Digest(bans=ZERO, admissions=ZERO, nodes=ZERO),
        node_record=node.signed("minga node", record),
    )
    return [b"".join(ids), encoded(join, 5), encoded(hello)]


def seed(digits):
    while True:
        found = os.urandom(32)
        if identity.position(identity.Key(found).public).hex().startswith(digits):
            return found.hex()


if sys.argv[1] == "seed":
    print(seed(sys.argv[2]))
else:
    with open(sys.argv[1]) as page:
        blocks = re.findall(r"^```\n([0-9a-f\n]+)^```", page.read(), re.M)
    sys.exit([bytes.fromhex(each.replace("\n", "")) for each in blocks] != computed())
