#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a journal by docs/journal.md alone, and compares what it reads with the rest of the world.

    read_journal.py DIR                      prints it as `tricast journal check` and `show` do
    read_journal.py --check DIR MAKE TRICAST a test

Goal: the format is what the document says, and stays so.

Method: this reader knows nothing of the C code.  The test reads every byte of
the committed journal, has MAKE write it anew and compares the bytes, and has
`tricast journal` read it too.  Then it flips bits and compares the verdicts.
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import xxhash

PAGE = 4096
SEGMENT = struct.Struct("<8s16sIIIIIIIIQQQQ16s")
BLOCK = struct.Struct("<8s16sIIIIIIQQQQQ16s")
RECORD = struct.Struct("<QIHHQ")
CHAINS, END, OWN = 0xFFFE, 0xFFFF, 0xFF00
NAMES = {CHAINS: "CHAINS", END: "END"}


class Damage(Exception):
    """A sentence."""


def hash128(data, seed=0):
    """Low half first, as it lies in the file."""
    number = xxhash.xxh3_128_intdigest(bytes(data), seed)
    return struct.pack("<QQ", number & (1 << 64) - 1, number >> 64)


def read_manifest(path):
    with open(os.path.join(path, "manifest"), "rb") as file:
        text = file.read()
    body, check = text[:-39], text[-39:].decode("ascii", "replace")
    if check != f"check {xxhash.xxh3_128_hexdigest(body)}\n":
        raise Damage("manifest: check line")
    lines = body.decode("ascii").splitlines()
    if lines[0] != "tricast-journal 1":
        raise Damage("manifest: version")
    streams = []
    for line in lines[4:]:
        words = line.split()
        stream = {"epoch": int(words[1]), "stream": int(words[2]), "streams": int(words[3]),
                  "slots": [int(words[5]), int(words[6])], "seed": int(words[8], 16), "cut": None}
        if words[9] == "cut":
            stream["cut"] = (int(words[10]), int(words[11]))
        streams.append(stream)
    return lines[1:4], streams


class Stream:
    """One stream, from its first segment to its end."""

    def __init__(self, path, named):
        self.named = named
        self.segments = {}
        for name in os.listdir(path):
            words = name.removesuffix(".seg").split("-")
            if name.endswith(".seg") and words[:2] == [str(named["epoch"]), str(named["stream"])]:
                with open(os.path.join(path, name), "rb") as file:
                    self.segments[int(words[2])] = file.read()
        self.last = max(self.segments)
        self.first = self.last
        while self.first - 1 in self.segments:
            self.first -= 1
        self.seq = self.lsn = 0
        self.needed = self.lsn_first = 1
        self.before = bytes(16)
        self.blocks = self.bytes = self.records = 0
        self.rows = []
        self.end = None
        self.torn = False
        self.at = (self.first, 0)

    def head(self, number):
        """Returns the segment's largest block and its size; None: not begun."""
        page = self.segments[number][:PAGE]
        if len(page) < PAGE or page[:8] != b"TRI-SEG\n":
            return None
        (_, digest, version, epoch, stream, streams, slot_first, slot_last, own, block_max, size,
         seed, seq_first, lsn_first, before) = SEGMENT.unpack_from(page)
        if digest != hash128(page[24:]):
            return None
        if version != 1:
            raise Damage(f"version {version}")
        named = self.named
        if (epoch, stream, seed) != (named["epoch"], named["stream"], named["seed"]):
            raise Damage("another stream")
        if own < number:
            return None
        if number == self.first:
            if number > 1:
                self.seq, self.lsn, self.before = seq_first - 1, lsn_first - 1, before
            self.lsn_first = lsn_first
        if (own, streams, [slot_first, slot_last], seq_first, lsn_first, before) != (
                number, named["streams"], named["slots"], self.seq + 1, self.lsn + 1, self.before):
            raise Damage("head")
        if any(page[SEGMENT.size:]):
            raise Damage("rest of the head")
        return block_max, size

    def block_at(self, number, offset, largest):
        """Returns a whole block's head and bytes, or None."""
        data = self.segments[number]
        if len(data) < offset + PAGE or data[offset:offset + 8] != b"TRI-BLK\n":
            return None
        head = BLOCK.unpack_from(data, offset)
        count = head[2]
        if (count % PAGE or not 0 < count <= largest or len(data) < offset + count
                or head[4:6] != (self.named["epoch"], self.named["stream"])
                or not BLOCK.size <= head[3] <= count):
            return None
        block = data[offset:offset + count]
        return (head, block) if head[1] == hash128(block[24:], self.named["seed"]) else None

    def take(self, number, offset, head, block):
        (_, digest, count, used, _, _, segment, records, seq, lsn_first, lsn_last, needed, durable,
         before) = head
        if (before != self.before or segment != number or lsn_first != self.lsn + 1
                or durable >= seq or not self.needed <= needed <= lsn_last + 1):
            raise Damage("chain")
        at, seen, lsn, kind = BLOCK.size, 0, self.lsn, None
        while at < used:
            digest64, size, kind, slot, own = RECORD.unpack_from(block, at)
            payload = block[at + RECORD.size:at + RECORD.size + size]
            padded = (size + 7) // 8 * 8
            lsn += kind < OWN
            if (digest64 != xxhash.xxh3_64_intdigest(block[at + 8:at + RECORD.size + size])
                    or own != lsn or len(payload) != size
                    or any(block[at + RECORD.size + size:at + RECORD.size + padded])):
                raise Damage("record")
            row = {"stream": self.name(), "segment": number, "offset": offset + at, "block": seq,
                   "lsn": lsn, "type": NAMES.get(kind, kind)}
            if kind < OWN:
                row["slot"] = slot
            row.update(bytes=size, payload=payload.hex())
            self.rows.append(row)
            at += RECORD.size + padded
            seen += 1
        if (at, seen, lsn) != (used, records, lsn_last) or any(block[used:]):
            raise Damage("records")
        self.seq, self.lsn, self.needed, self.before = seq, lsn, needed, digest
        self.blocks += 1
        self.bytes += count
        self.records += lsn_last + 1 - lsn_first
        return kind == END

    def name(self):
        return f"{self.named['epoch']}-{self.named['stream']}"

    def walk(self):
        """Ends at the first place that does not continue the stream: True if it is bad."""
        number, offset, largest, size = self.first, 0, 0, 0
        cut = self.named["cut"]
        while True:
            self.at = (number, offset)
            if offset and size - offset < largest:
                number, offset = number + 1, 0
                self.at = (number, 0)
            if cut and (offset or number > self.first) and self.seq == cut[0]:
                return False
            if number > self.last:
                return False
            if offset == 0:
                sizes = self.head(number)
                if sizes is None:
                    return True
                (largest, size), offset = sizes, PAGE
                continue
            found = self.block_at(number, offset, largest)
            if found is None or found[0][8] != self.seq + 1:
                return True
            ended = self.take(number, offset, *found)
            offset += found[0][2]
            if ended:
                self.at = (number, offset)
                self.end = "in order"
                return False

    def witness(self):
        """Whether a block behind the bad one says that it was durable."""
        bad = self.seq + 1
        number, offset = self.at
        while number <= self.last:
            data = self.segments[number]
            for page in range(offset, len(data) - PAGE + 1, PAGE):
                if data[page:page + 8] != b"TRI-BLK\n":
                    continue
                head = BLOCK.unpack_from(data, page)
                if (head[4:6] == (self.named["epoch"], self.named["stream"]) and head[8] >= bad
                        and 0 < head[2] <= 1 << 20 and head[2] % PAGE == 0
                        and BLOCK.size <= head[3] <= head[2]):
                    self.torn = True
                    if bad <= head[12] < head[8] and self.block_at(number, page, 1 << 20):
                        return True
            number, offset = number + 1, 0
        return False

    def read(self):
        bad = self.walk()
        cut = self.named["cut"]
        if cut and (self.seq, self.lsn) != cut:
            raise Damage("cut")
        if bad and (cut or self.first > 1 and self.blocks == 0 or self.witness()):
            raise Damage("damage")
        if self.first > 1 and self.needed < self.lsn_first:
            raise Damage("missing")
        return {"stream": self.name(), "slots": self.named["slots"],
                "segments": self.last - self.first + 1, "blocks": self.blocks,
                "records": self.records, "bytes": self.bytes, "neededLsn": self.needed,
                "lsn": self.lsn, "end": self.end or ("torn" if self.torn else "cut"),
                "endSegment": self.at[0], "endOffset": self.at[1]}


def read_journal(path):
    """Returns what check and show print, and how many streams are damaged."""
    checks, rows, damaged = [], [], 0
    for named in read_manifest(path)[1]:
        stream = Stream(path, named)
        try:
            checks.append(stream.read())
        except Damage:
            damaged += 1
        rows += stream.rows
    return checks, rows, damaged


def by_tricast(tricast, path):
    """The same, by the C code."""
    out = []
    for words in (["check"], ["show", "--payload"]):
        done = subprocess.run([tricast, "journal", *words, path], capture_output=True,
                              encoding="utf-8", check=False, timeout=30)
        out.append([json.loads(line) for line in done.stdout.splitlines()])
    return out[0], out[1], done.stderr.count("\n")


CASES = 0
FAILED = 0


def ok(holds, name, *notes):
    global CASES, FAILED  # pylint: disable=global-statement
    CASES += 1
    FAILED += not holds
    print(f"{'ok' if holds else 'not ok'} {CASES} - {name}")
    for note in notes if not holds else ():
        print(f"# {note}")


def files_of(path):
    return {name: open(os.path.join(path, name), "rb").read() for name in sorted(os.listdir(path))}


def test(path, make, tricast):
    lines, streams = read_manifest(path)
    ok(lines == ["epoch 2", "kind coordinator", "secret 85ff755a092d9d5b4e232b3a9859100b"]
       and len(streams) == 3, "the manifest says what the document says", lines)
    checks, rows, damaged = read_journal(path)
    ok([(c["stream"], c["end"], c["lsn"], c["records"]) for c in checks]
       == [("1-0", "cut", 30, 21), ("2-0", "in order", 6, 6), ("2-1", "torn", 35, 35)]
       and damaged == 0, "an independent reader finds every stream and its end", checks)
    ok(sum(isinstance(row["type"], int) for row in rows) == 62
       and sum(row["type"] == "CHAINS" for row in rows) == 6
       and all(row["payload"] == "0200086569703135353a31096569703135353a3130"
               for row in rows if row["type"] == "CHAINS"),
       "and every record, with the chains at the head of every segment", len(rows))
    ok(by_tricast(tricast, path) == (checks, rows, 0), "tricast journal reads the same")
    with tempfile.TemporaryDirectory(prefix="tricast-vectors-") as other:
        subprocess.run([make, other], check=True, timeout=30)
        ok(files_of(other) == files_of(path), "written anew it is the same, byte for byte")
        draw = random.Random(os.environ.get("TRI_SEED", "0"))
        differ = []
        whole = files_of(path)
        for _ in range(150):
            name = draw.choice([name for name in whole if name != "manifest"])
            data = bytearray(whole[name])
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            with open(os.path.join(other, name), "wb") as file:
                file.write(data)
            mine, theirs = read_journal(other), by_tricast(tricast, other)
            if mine != theirs:
                differ.append((name, mine[0], theirs[0]))
            with open(os.path.join(other, name), "wb") as file:
                file.write(whole[name])
        ok(not differ, "D03 with a flipped bit both come to the same verdict", *differ[:2])
    print(f"1..{CASES}")
    return 1 if FAILED else 0


def main():
    if sys.argv[1] == "--check":
        return test(*sys.argv[2:])
    checks, rows, damaged = read_journal(sys.argv[1])
    for row in checks + rows:
        print(json.dumps(row))
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
