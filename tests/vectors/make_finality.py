#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes finality.json and the small archive finality/, by docs/finality.md alone.

    make_finality.py             writes both anew
    make_finality.py --check     writes nothing, compares with what is there, in TAP

The key is the test's own: its seed is 32 times the byte 0x07.  Everything is
fixed, so the same bytes come out every time.
"""

import json
import os
import random
import shutil
import struct
import sys
import tempfile

import nacl.signing

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from finality_bytes import (  # noqa: E402
    FORMAT, header_view, leaf_hash, pack, proof_of, read_body, read_header, read_leaf,
    record_faults, sha256, stamp, tree_path, tree_root)

OWN = os.path.dirname(os.path.abspath(__file__))
SEED = bytes([7]) * 32
ARCHIVE = bytes.fromhex("00112233445566778899aabbccddeeff")
START_MS = 1795256430123
BASE, ARBITRUM, OPTIMISM = "eip155:8453", "eip155:42161", "eip155:10"


def content_of(name, draw=None):
    """SUBMIT's elements 1 to 18, one behind the other."""
    payload = draw.randbytes(draw.randrange(60)) if draw else b"\x81\xa1a\x01"
    values = [name, "0.5.0", 1, 0, 1, 300, START_MS - 1000, BASE, "regulator-1",
              [BASE, OPTIMISM], [0, 0, 0], False, 1, 0, ["bond-1"], payload, None, None]
    return b"".join(map(pack, values))


def message(name, issued, chains=(BASE, OPTIMISM), applied=None, attempt=(12, 1), content=None,
            forced=False):
    content = content or content_of(name)
    leaf = [name, sha256(content)[:16], list(attempt), issued, list(chains),
            None if applied is None else list(applied), forced]
    return leaf, content


class Writer:
    """Writes an archive as a server does; `seed` is the key's."""

    def __init__(self, path, seed=SEED, archive=ARCHIVE):
        self.path, self.archive = path, archive
        self.chain = bytes(32)
        self.at = START_MS
        self.streams = {}
        self.use(seed)
        self.line(f"archive {archive.hex()} version 1")

    def use(self, seed):
        self.secret = nacl.signing.SigningKey(seed)
        self.public = self.secret.verify_key.encode()

    def file(self, name, data):
        with open(os.path.join(self.path, name), "ab") as file:
            file.write(data)

    def line(self, fact):
        fact = f"{fact} at {stamp(self.at)} key {self.public.hex()}"
        self.chain = sha256(self.chain, fact.encode())
        sign = self.secret.sign(b"tricast-manifest-1\0" + self.chain).signature
        self.file("manifest", f"{fact} chain {self.chain.hex()} sign {sign.hex()}\n".encode())

    def open(self, name, kept=True):
        self.line(f"open {name} contents {'kept' if kept else 'omitted'}")
        self.streams[name] = {"kept": kept, "first": 1, "epoch": 0, "messages": 0,
                              "head": self.chain, "last": bytes(32)}

    def record(self, name, messages, proof=None):
        """The header's bytes and the signature of the record that it appends."""
        stream = self.streams[name]
        leaves = [pack(leaf) for leaf, _ in messages]
        stream["epoch"] += 1
        stream["messages"] += len(messages)
        chains = sorted({chain for leaf, _ in messages for chain in leaf[4]}, key=str.encode)
        header = pack([FORMAT, self.archive, name, stream["epoch"], stream["head"],
                       max(leaf[3] for leaf, _ in messages),
                       tree_root([leaf_hash(leaf) for leaf in leaves]), proof, chains,
                       len(messages), self.public])
        signature = self.secret.sign(header).signature
        body = pack([header, signature, [
            [leaf, content if stream["kept"] else None]
            for leaf, (_, content) in zip(leaves, messages)]])
        self.file(f"{name}.{stream['first']}.fin", struct.pack(">I", len(body)) + body)
        stream["head"] = stream["last"] = sha256(header)
        return header, signature, body

    def next_file(self, name):
        self.streams[name]["first"] = self.streams[name]["epoch"] + 1

    def close(self, name):
        stream = self.streams[name]
        self.line(f"close {name} records {stream['epoch']} messages {stream['messages']}"
                  f" head {stream['last'].hex()}")


def sample(path):
    """Two streams that are closed, one in two files, and one that is open.  Returns the bodies."""
    writer = Writer(path)
    bodies = []

    def record(stream, *messages, **more):
        bodies.append(writer.record(stream, messages, **more)[2])

    writer.open("12-0")
    writer.open("12-1", kept=False)
    at = START_MS + 500
    record("12-0", message("order-1", at))
    record("12-0", message("order-2", at + 1, (BASE, ARBITRUM, OPTIMISM), (BASE, OPTIMISM)),
           message("order-3", at + 3), message("order-4", at + 2, (ARBITRUM,), attempt=(12, 7)))
    writer.next_file("12-0")
    record("12-0", message("order-5", at + 4, forced=True), message("\u00e9-\u4e2d", at + 4))
    record("12-1", *(message(f"small-{n}", at + n) for n in range(7)))
    writer.at += 60000
    writer.close("12-0")
    writer.close("12-1")
    writer.open("13-0")
    record("13-0", message("order-6", at + 70000, attempt=(13, 1)), proof=sha256(b"a proof"))
    record("13-0", *(message(f"late-{n}", at + 70001 + n, attempt=(13, 1)) for n in range(3)))
    return bodies, writer


def generated(path, seed, records=40, file_records=7):
    """An archive drawn from the seed; one stream in three stays open."""
    draw = random.Random(seed)
    writer = Writer(path, draw.randbytes(32), draw.randbytes(16))
    names = [f"{epoch}-{shard}" for epoch in (1, 2) for shard in range(2)]
    count = 0
    chains = [f"eip155:{n}" for n in range(1, 70)]
    for name in names:
        writer.open(name, draw.random() < 0.6)
        for _ in range(draw.randrange(1, records // 2)):
            messages = []
            for _ in range(draw.choice([1, 2, 3, 5, 8, 17])):
                count += 1
                mine = draw.sample(chains, draw.choice([1, 2, 3, 64]))
                some = [chain for chain in mine if draw.random() < 0.9]
                content = content_of(f"m-{count}", draw)
                messages.append(message(
                    f"m-{count}", START_MS + draw.randrange(10**6), mine,
                    some if 0 < len(some) < len(mine) else None,
                    (int(name[0]), draw.randrange(1, 5)), content, draw.random() < 0.1))
            writer.record(name, messages, draw.choice([None, draw.randbytes(32)]))
            if draw.randrange(file_records) == 0:
                writer.next_file(name)
        if name != names[-1] and draw.random() < 0.8:
            writer.close(name)
    return writer


# ---- what must be refused ----

def text(value, head=b"\xd9"):
    """Text in a longer form than it needs."""
    return head + struct.pack(">B", len(value)) + value.encode()


def swapped(array, index, value):
    return array[:index] + [value] + array[index + 1:]


def refused_leaves():
    leaf = message("order-1", START_MS)[0]
    three = message("order-1", START_MS, (BASE, ARBITRUM, OPTIMISM), (BASE, OPTIMISM))[0]
    whole = pack(leaf)
    many = [f"eip155:{n}" for n in range(1, 66)]
    rows = [
        ("cut short", whole[:-1]), ("bytes behind it", whole + b"\xc0"), ("nothing", b""),
        ("an array of 6", pack(leaf[:6])), ("an array of 8", pack(leaf + [None])),
        ("a map", pack({n: value for n, value in enumerate(leaf)})),
        ("an empty id", pack(swapped(leaf, 0, ""))),
        ("an id of 65 bytes", pack(swapped(leaf, 0, "x" * 65))),
        ("an id that is no UTF-8", whole.replace(b"order-1", b"order-\xff")),
        ("an id as binary", pack(swapped(leaf, 0, b"order-1"))),
        ("an id in a longer form", whole.replace(pack("order-1"), text("order-1"))),
        ("a hash of 15 bytes", pack(swapped(leaf, 1, leaf[1][:15]))),
        ("a hash of 17 bytes", pack(swapped(leaf, 1, leaf[1] + b"\0"))),
        ("epoch 0", pack(swapped(leaf, 2, [0, 1]))), ("attempt 0", pack(swapped(leaf, 2, [1, 0]))),
        ("an epoch of 33 bits", pack(swapped(leaf, 2, [1 << 32, 1]))),
        ("an attempt of 3 elements", pack(swapped(leaf, 2, [1, 1, 1]))),
        ("a time before 1970", pack(swapped(leaf, 3, -1))),
        ("a time as float", pack(swapped(leaf, 3, float(START_MS)))),
        ("no chain", pack(swapped(leaf, 4, []))),
        ("65 chains", pack(swapped(leaf, 4, many))),
        ("a chain twice", pack(swapped(leaf, 4, [BASE, BASE]))),
        ("a chain that is no CAIP-2 id", pack(swapped(leaf, 4, ["EIP155:1"]))),
        ("appliedChains with all", pack(swapped(leaf, 5, leaf[4]))),
        ("appliedChains with none", pack(swapped(leaf, 5, []))),
        ("appliedChains in another order", pack(swapped(three, 5, [OPTIMISM, BASE]))),
        ("an applied chain twice", pack(swapped(three, 5, [BASE, BASE]))),
        ("an applied chain that takes no part", pack(swapped(leaf, 5, [ARBITRUM]))),
        ("appliedChains false", pack(swapped(leaf, 5, False))),
        ("forced null", pack(swapped(leaf, 6, None))), ("forced 0", pack(swapped(leaf, 6, 0))),
    ]
    return [{"name": name, "hex": data.hex()} for name, data in rows]


def refused_headers(header):
    whole = pack(header)
    chains = [f"eip155:{n:04}" for n in range(1025)]
    rows = [
        ("cut short", whole[:-1]), ("bytes behind it", whole + b"\0"), ("nothing", b""),
        ("an array of 10", pack(header[:10])), ("an array of 12", pack(header + [None])),
        ("another format", pack(swapped(header, 0, "tricast-finality-2"))),
        ("an archive of 15 bytes", pack(swapped(header, 1, ARCHIVE[:15]))),
        ("no stream", pack(swapped(header, 2, ""))),
        ("a stream of epoch 0", pack(swapped(header, 2, "0-0"))),
        ("a stream with a leading zero", pack(swapped(header, 2, "012-0"))),
        ("shard 64", pack(swapped(header, 2, "12-64"))),
        ("a stream of epoch 2^32", pack(swapped(header, 2, "4294967296-0"))),
        ("a stream without a shard", pack(swapped(header, 2, "12-"))),
        ("ossEpoch 0", pack(swapped(header, 3, 0))),
        ("a previous hash of 31 bytes", pack(swapped(header, 4, header[4][:31]))),
        ("a previous hash as text", pack(swapped(header, 4, "x" * 32))),
        ("a root of 33 bytes", pack(swapped(header, 6, header[6] + b"\0"))),
        ("an empty proof", pack(swapped(header, 7, b""))),
        ("gkrProofHash false", pack(swapped(header, 7, False))),
        ("no chain", pack(swapped(header, 8, []))),
        ("1025 chains", pack(swapped(header, 8, chains))),
        ("chains in another order", pack(swapped(header, 8, [BASE, OPTIMISM]))),
        ("a chain twice", pack(swapped(header, 8, [BASE, BASE]))),
        ("a chain that is no CAIP-2 id", pack(swapped(header, 8, ["eip155"]))),
        ("no message", pack(swapped(header, 9, 0))),
        ("4097 messages", pack(swapped(header, 9, 4097))),
        ("a count in a longer form", whole.replace(b"\x03" + pack(header[10]),
                                                   b"\xcc\x03" + pack(header[10]))),
        ("a key of 31 bytes", pack(swapped(header, 10, header[10][:31]))),
    ]
    return [{"name": name, "hex": data.hex()} for name, data in rows]


def vectors(bodies, writer):
    leaves, headers, proofs, trees = [], [], [], []
    for body in bodies:
        record, header = read_body(body)
        faults, views = record_faults(record, header)
        assert not faults
        name = f"{header['stream']}.{header['ossEpoch']}"
        headers.append({"name": name, "hex": record[0].hex(), "hash": header["hash"].hex(),
                        "signature": record[1].hex(), "view": header_view(header)})
        hashes = [leaf_hash(entry[0]) for entry in record[2]]
        trees.append({"leaves": [entry[0].hex() for entry in record[2]],
                      "root": tree_root(hashes).hex(),
                      "paths": [[digest.hex() for digest in tree_path(hashes, index)]
                                for index in range(len(hashes))]})
        for index, (entry, view) in enumerate(zip(record[2], views)):
            leaves.append({"name": f"{name}, message {index}", "hex": entry[0].hex(),
                           "leafHash": hashes[index].hex(), "view": view,
                           "content": entry[1].hex() if entry[1] else None})
            proofs.append(proof_of(record, header, views, index))
    largest = ["x" * 64, bytes(16), [4294967295, 4294967295], (1 << 64) - 1,
               [f"abcdefgh:{'Z_-9' * 7}{n:04}" for n in range(64)], None, True]
    largest[5] = largest[4][1:]
    smallest = ["x", bytes(16), [1, 1], 0, ["abc:1"], None, False]
    for name, leaf in (("the largest leaf", largest), ("the smallest leaf", smallest)):
        data = pack(leaf)
        leaves.append({"name": name, "hex": data.hex(), "leafHash": leaf_hash(data).hex(),
                       "view": read_leaf(data)[0], "content": None})
    chosen = [proof for proof in proofs if proof["originalMessageId"] in (
        "order-1", "order-2", "small-6", "small-3", "order-6", "\u00e9-\u4e2d")]
    sound = [FORMAT, ARCHIVE, "12-0", 2, bytes(range(32)), START_MS, sha256(b"root"), None,
             [OPTIMISM, ARBITRUM, BASE], 3, writer.public]
    read_header(pack(sound))
    return {"publicKey": writer.public.hex(), "seed": SEED.hex(), "leaves": leaves,
            "trees": trees, "headers": headers, "proofs": chosen,
            "refused": {"leaves": refused_leaves(), "headers": refused_headers(sound)},
            "archive": {"records": len(bodies), "messages": sum(len(t["leaves"]) for t in trees),
                        "manifestChain": writer.chain.hex()}}


def files_of(path):
    found = {}
    for name in sorted(os.listdir(path)):
        with open(os.path.join(path, name), "rb") as file:
            found[name] = file.read()
    return found


def main():
    with tempfile.TemporaryDirectory(prefix="tricast-finality-") as fresh:
        bodies, writer = sample(fresh)
        new = json.dumps(vectors(bodies, writer), indent=1, ensure_ascii=True) + "\n"
        path, folder = os.path.join(OWN, "finality.json"), os.path.join(OWN, "finality")
        if sys.argv[1:] == ["--check"]:
            with open(path, encoding="utf-8") as file:
                cases = [(file.read() == new, "finality.json is what make_finality.py writes"),
                         (files_of(folder) == files_of(fresh), "so is the archive beside it")]
            for number, (holds, name) in enumerate(cases, 1):
                print(f"{'ok' if holds else 'not ok'} {number} - {name}")
            print(f"1..{len(cases)}")
            return 0 if all(holds for holds, _ in cases) else 1
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        for name, data in files_of(fresh).items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
