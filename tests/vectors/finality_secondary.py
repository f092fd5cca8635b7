# SPDX-License-Identifier: Apache-2.0
"""The file `secondary` of an archive, by docs/finality.md, "Two tiers"."""

import struct

import msgpack

from finality_bytes import (
    Bad, is_array, is_bin, is_chain, is_stream, is_uint, need, pack, sha256, unpack)

BODY_BYTES_MIN, BODY_BYTES_MAX = 6, 512
CHAIN_BYTES = 32
U64_MAX = (1 << 64) - 1
SETTLED, HANDED, SEQUENCER = range(3)


def is_text(value, low, high):
    return isinstance(value, str) and low <= len(value.encode()) <= high


def read_fact(body):
    fact = unpack(body, "a fact")
    need(isinstance(fact, list) and fact and is_uint(fact[0], SETTLED, SEQUENCER), "its kind")
    need(is_array(fact, (9, 7, 4)[fact[0]]), "it has not as many elements as its kind")
    need(is_uint(fact[-1], 0, U64_MAX), "its time")
    if fact[0] == SEQUENCER:
        need(isinstance(fact[1], bool) and is_text(fact[2], 1, 64), "a sequencer's fact")
        return fact
    need(is_text(fact[1], 1, 16) and is_stream(fact[1]), "its stream")
    need(is_uint(fact[2], 1, U64_MAX), "its ossEpoch")
    if fact[0] == SETTLED:
        need(is_bin(fact[3], 32) and isinstance(fact[4], bool) and is_uint(fact[5], 0, U64_MAX)
             and is_text(fact[6], 0, 128) and is_text(fact[7], 1, 64), "a settled fact")
    else:
        need(is_text(fact[3], 1, 64) and is_chain(fact[4]) and is_uint(fact[5], 0, 127),
             "a handed fact")
    return fact


def frame(fact, chain):
    """A fact as it stands in the file, and the chain value behind it."""
    body = pack(fact)
    chain = sha256(chain, body)
    return struct.pack(">I", len(body)) + body + chain, chain


def ends_within(data):
    """Whether these bytes begin a fact's body and end within it."""
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(data)
    if data and data[0] & 0xf0 != 0x90:
        return False
    try:
        unpacker.unpack()
    except msgpack.OutOfData:
        return True
    except Exception:  # pylint: disable=broad-except
        return False
    return False


def is_torn(rest, chain):
    """Whether a write of a fact behind this chain could have ended so."""
    if len(rest) < 4:
        return True
    count = struct.unpack(">I", rest[:4])[0]
    rest = rest[4:]
    if not BODY_BYTES_MIN <= count <= BODY_BYTES_MAX or len(rest) >= count + CHAIN_BYTES:
        return False
    if len(rest) < count:
        return ends_within(rest)
    try:
        read_fact(rest[:count])
    except Bad:
        return False
    return sha256(chain, rest[:count]).startswith(rest[count:])


def read_secondary(data, chains):
    """The facts with their offsets, and where and why they end: None, "" (torn) or a sentence.
    Their chain values are added to `chains`."""
    facts, chain, at = [], bytes(CHAIN_BYTES), 0
    while at < len(data):
        rest = data[at:]
        count = struct.unpack(">I", rest[:4])[0] if len(rest) >= 4 else 0
        whole = 4 + count + CHAIN_BYTES
        body = rest[4:4 + count]
        is_whole = BODY_BYTES_MIN <= count <= BODY_BYTES_MAX and whole <= len(rest)
        if not is_whole or sha256(chain, body) != rest[4 + count:whole]:
            if is_torn(rest, chain) or is_torn(rest.rstrip(b"\0"), chain):
                return facts, at, ""
            return facts, at, "it does not follow what stands before it"
        try:
            facts.append((at, read_fact(body)))
        except Bad as bad:
            return facts, at, str(bad)
        chain = rest[4 + count:whole]
        chains.append(chain)
        at += whole
    return facts, at, None


class Secondary:
    """What the file says, held against each record as it is read."""

    def __init__(self, archive, data):
        self.archive = archive
        self.of = {}  # STREAM.N: facts
        chains = []
        facts, at, end = read_secondary(data or b"", chains)
        self.count, self.chain = len(facts), chains[-1] if chains else bytes(CHAIN_BYTES)
        archive.seen |= {chain.hex() for chain in chains}
        if end:
            archive.fault("secondary", at, end)
        elif end == "" and archive.complete:
            archive.fault("secondary", at, "the last fact is torn")
        elif end == "":
            archive.notes.append(f"secondary: offset {at}: a fact that is torn or being written")
        for offset, fact in facts:
            if fact[0] != SEQUENCER:
                self.of.setdefault(f"{fact[1]}.{fact[2]}", []).append((offset, fact))

    def record(self, header, leaves, sound):
        final, handed = False, set()
        for offset, fact in self.of.pop(f"{header['stream']}.{header['ossEpoch']}", []):
            if not sound:
                continue
            if fact[0] == SETTLED:
                if fact[4] != (fact[3] == header["root"]):
                    self.archive.fault("secondary", offset, "its isEqual is not what the roots say")
                final = final or fact[4]
                continue
            if fact[3] not in [leaf["originalMessageId"] for leaf in leaves]:
                self.archive.fault("secondary", offset, f"the record does not have {fact[3]}")
            if final:
                self.archive.fault("secondary", offset, "the record was confirmed before")
            if fact[3] in handed:
                self.archive.fault("secondary", offset, f"{fact[3]} is handed over twice")
            handed.add(fact[3])

    def lost(self, stream):
        """Its records are not all known: that was said."""
        self.of = {name: facts for name, facts in self.of.items()
                   if name.split(".")[0] != stream}

    def end(self):
        for facts in self.of.values():
            for offset, _ in facts:
                self.archive.fault("secondary", offset, "the archive has no such record")
