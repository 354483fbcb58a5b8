# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes, keys, signatures, tokens and admissions, as docs/protocol.md has them."""
import base64
import hashlib
import struct
import time

import nacl.exceptions
import nacl.signing
import protocol_pb2 as pb

CLOCK_SKEW_S_MAX = 300  # between two members' wall clocks


def H(purpose, *parts):
    return hashlib.blake2b(purpose.encode() + b"\0" + b"".join(parts), digest_size=32).digest()


def node_id(key):
    return H("minga node", key)


def position(key):
    return H("minga position", key, bytes(4))


def invitation_point(key):
    return H("minga invitation", key)


def service_id(owner_key, name):
    return H("minga service", owner_key, name.encode())


class Key:
    """An Ed25519 key pair, and the CURVE keys that derive from it."""

    def __init__(self, seed):
        self.seed = seed
        self._signing = nacl.signing.SigningKey(seed)
        self.public = bytes(self._signing.verify_key)
        self.curve_secret = bytes(self._signing.to_curve25519_private_key())

    def sign(self, purpose, body):
        return self._signing.sign(H(purpose, body)).signature

    def signed(self, purpose, body):
        body = body.SerializeToString()
        return pb.Signed(
            body=body, key=self.public, signature=self.sign(purpose, body)
        ).SerializeToString()


def curve_public(key):
    return bytes(nacl.signing.VerifyKey(key).to_curve25519_public_key())


def verified(purpose, body, key, signature):
    try:
        nacl.signing.VerifyKey(key).verify(H(purpose, body), signature)
        return True
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError):
        return False


def opened(kind, purpose, content):
    """What is in an encoded Signed, and its signer; None when it does not verify."""
    signed = pb.Signed.FromString(content)
    if not verified(purpose, signed.body, signed.key, signed.signature):
        return None, None
    return kind.FromString(signed.body), signed.key


def check(content):
    return int.from_bytes(H("minga item", content)[:8], "big")


class Admission:
    """A member's admission, whose own four signatures are right. Its countersigner is another matter."""

    def __init__(self, content, community):
        done, self.countersigner = opened(pb.Countersigned, "minga countersignature", content)
        if done is None:
            raise ValueError("countersignature")
        request = pb.AdmissionRequest.FromString(done.request)
        self.content, self.key, self.admitted_s = content, request.node_key, done.admitted_unix_s
        self.owner_key, self.name = request.owner_key, request.node_name
        if request.community != community:
            raise ValueError("community")
        self.is_invited = self.countersigner != community
        signers = [(request.node_key, done.node_signature), (request.owner_key, done.owner_signature)]
        if self.is_invited:  # the first node needs no invitation
            invitation, inviter = opened(
                pb.Invitation, "minga invitation", request.invitation.SerializeToString()
            )
            if invitation is None or inviter != community or invitation.community != community:
                raise ValueError("invitation")
            signers.append((invitation.key, done.invitation_signature))
            if self.admitted_s + CLOCK_SKEW_S_MAX < invitation.created_unix_s:
                raise ValueError("older than its invitation")
        for key, signature in signers:
            if not verified("minga admission", done.request, key, signature):
                raise ValueError("admission")


    def rank(self):
        """Of several of one node the one of greatest rank counts: the earliest. (Nobody is void here.)"""
        return 2**64 - 1 - (self.admitted_s if self.is_invited else 0), -check(self.content)


class Token:
    def __init__(self, text):
        assert text.startswith("minga1")
        text = text[6:].strip()
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        assert data[-8:] == H("minga token", data[:-8])[:8], "the token is damaged"
        self._data, self._at = data[:-8], 0
        assert self._number(1) == 1
        signed = self._take(self._number(4))
        self.community, self.key = opened(pb.Community, "minga community", signed)
        assert self.community.key == self.key
        self.invitation = pb.Signed.FromString(self._take(self._number(4)))
        self.seed = self._take(32)
        self.contacts = []  # (key, [address])
        for _ in range(self._number(1)):
            key = self._take(32)
            count = self._number(1)
            addresses = [self._take(self._number(4)).decode() for _ in range(count)]
            self.contacts.append((key, addresses))
        assert self._at == len(self._data), "the token goes on"

    def _take(self, count):
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, count):
        return int.from_bytes(self._take(count), "big")


def join_of(node, owner, invitation, seed, names, at_s=None):
    """A Join, signed three times. `invitation` is a Signed{Invitation}, `seed` its key's."""
    request = pb.AdmissionRequest(
        community=pb.Invitation.FromString(invitation.body).community,
        node_key=node.public,
        owner_key=owner.public,
        node_name=names[0],
        owner_name=names[1],
        positions=1,
        requested_unix_s=at_s or int(time.time()),
        invitation=invitation,
    ).SerializeToString()
    return pb.Join(
        request=request,
        node_signature=node.sign("minga admission", request),
        owner_signature=owner.sign("minga admission", request),
        invitation_signature=Key(seed).sign("minga admission", request),
    )


def fnv1a(data):
    """32 bits; 0 counts as 1."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value or 1


def version_of(ids):
    return fnv1a(b"".join(each[:8] for each in sorted(ids)))


def sum_of(*words):
    return fnv1a(struct.pack("<%dI" % len(words), *words))
