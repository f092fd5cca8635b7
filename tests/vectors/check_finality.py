#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Verifies archives of finality records and proofs by docs/finality.md alone.

    check_finality.py verify DIR [--complete] [--key HEX]... [--contains HASH|STREAM.N]...
    check_finality.py proof FILE [--key HEX]...
    check_finality.py --check         tests/vectors/finality and finality.json, in TAP

Goal: the format is what the document says, and whoever reads it can do without
the program.

Method: hashlib, python3-msgpack and python3-nacl; nothing of the C code is
used.  Every value is encoded again and compared, so that it has one encoding.
"""

import datetime
import json
import os
import re
import stat
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from finality_bytes import (  # noqa: E402
    RECORD_BYTES_MAX, RECORD_BYTES_MIN, Bad, header_view, is_stream, leaf_hash, need, read_body,
    read_header, read_leaf, read_proof, record_faults, shape, sha256, signed, tree_holds, tree_path,
    tree_root)
from finality_secondary import Secondary  # noqa: E402

FILE = re.compile(r"([0-9]+-[0-9]+)\.([1-9][0-9]{0,19})\.fin")
STAMP = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z"
FACTS = [re.compile(form, re.ASCII) for form in (
    f"(archive) ([0-9a-f]{{32}}) version 1 at ({STAMP}) key ([0-9a-f]{{64}})",
    f"(open) ([0-9-]+) contents (kept|omitted) at ({STAMP}) key ([0-9a-f]{{64}})",
    "(close) ([0-9-]+) records (0|[1-9][0-9]{0,19}) messages (0|[1-9][0-9]{0,19})"
    f" head ([0-9a-f]{{64}}) at ({STAMP}) key ([0-9a-f]{{64}})")]
LINE = re.compile("(.*) chain ([0-9a-f]{64}) sign ([0-9a-f]{128})", re.ASCII)


def is_stamp(text):
    try:
        when = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return when.year >= 1970


# ---- the manifest ----


class Archive:
    """A directory, verified as far as it can be; `faults` are (file, offset, sentence)."""

    def __init__(self, path, keys=(), complete=False):
        self.path = path
        self.trusted = set(keys)
        self.complete = complete
        self.faults = []
        self.notes = []
        self.streams = {}
        self.keys = set()
        self.ids = {}
        self.seen = set()  # record hashes, chain values of manifest and `secondary`, STREAM.N
        self.archive = None
        self.chain = bytes(32)
        self.records = self.messages = 0
        self.names = set(os.listdir(path))
        self.secondary = Secondary(self, self.read("secondary"))
        self.read_manifest()
        self.read_names()
        for name in sorted(self.streams, key=lambda name: [int(word) for word in name.split("-")]):
            self.read_stream(name, self.streams[name])
        self.secondary.end()

    def read(self, name):
        """What the file holds; None, and a fault, if it is none.  A pipe is not waited for."""
        try:
            file = os.open(os.path.join(self.path, name),
                           os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            if name == "secondary":
                return b""
            self.fault(name, 0, "the file is missing")
            return None
        except OSError:
            self.fault(name, 0, "it is no file")
            return None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            self.fault(name, 0, "it is no file")
            return None
        with os.fdopen(file, "rb") as handle:
            return handle.read()

    def fault(self, file, offset, sentence):
        self.faults.append((file, offset, sentence))

    def key(self, file, offset, key):
        self.keys.add(key.hex())
        if self.trusted and key.hex() not in self.trusted:
            self.fault(file, offset, f"signed by {key.hex()}, which is not trusted")

    def read_manifest(self):
        data = self.read("manifest")
        if data is None:
            return
        whole, _, torn = data.rpartition(b"\n")
        at = len(data) - len(torn)
        if re.fullmatch(rb"[-0-9a-z :.TZ]*", torn) is None:
            self.fault("manifest", at, "what stands behind the last line is no part of one")
        elif (torn or not data) and self.complete:
            self.fault("manifest", at, "the last line is torn")
        elif torn or not data:
            self.notes.append("manifest: a line that is torn or being written")
        offset = 0
        for line in whole.split(b"\n") if whole else []:
            try:
                self.read_line(line, offset)
            except Bad as bad:
                self.fault("manifest", offset, str(bad))
            offset += len(line) + 1

    def read_line(self, line, offset):
        """Says what is wrong with a line, and takes what it says all the same."""
        match = LINE.fullmatch(line.decode("ascii", "replace"))
        need(match, "it is no line of a manifest")
        text, chain, sign = match[1], bytes.fromhex(match[2]), bytes.fromhex(match[3])
        before, self.chain = self.chain, chain
        facts = [fact for fact in (form.fullmatch(text) for form in FACTS) if fact]
        need(facts, "it is no line of a manifest")
        fact = facts[0].groups()
        need(is_stamp(fact[-2]), "its time is none")
        need(fact[0] == "archive" or is_stream(fact[1]), "it names no stream")
        need(fact[0] != "close" or max(int(fact[2]), int(fact[3])) < 1 << 64, "its counts")
        key = bytes.fromhex(fact[-1])
        self.key("manifest", offset, key)
        self.seen.add(chain.hex())
        if chain != sha256(before, text.encode()):
            self.fault("manifest", offset, "it does not continue the line before it")
        elif not signed(key, b"tricast-manifest-1\0" + chain, sign):
            self.fault("manifest", offset, "its signature is not the key's")
        need((offset == 0) == (fact[0] == "archive"), "the archive line stands first, and only there")
        if fact[0] == "archive":
            self.archive = bytes.fromhex(fact[1])
            return
        name = fact[1]
        if fact[0] == "open":
            need(name not in self.streams, "the stream was opened before")
            self.streams[name] = {"chain": chain, "contents": fact[2], "close": None}
            return
        need(name in self.streams, "the stream was not opened")
        need(self.streams[name]["close"] is None, "the stream was closed before")
        self.streams[name]["close"] = (int(fact[2]), int(fact[3]), bytes.fromhex(fact[4]))

    # ---- files ----

    def read_names(self):
        for name in sorted(self.names):
            if not name.endswith(".fin"):
                continue
            match = FILE.fullmatch(name)
            if match is None or not is_stream(match[1]) or int(match[2]) >= 1 << 64:
                self.fault(name, 0, "its name is none of an archive's")
            elif match[1] not in self.streams:
                self.fault(name, 0, "the manifest opens no such stream")
            else:
                self.streams[match[1]].setdefault("files", []).append(int(match[2]))

    def read_stream(self, name, stream):
        walk = Walk(self, name, stream)
        for first in sorted(stream.get("files", [])):
            walk.read(first, first == max(stream["files"]))
        walk.end()


class Walk:
    """A stream, record by record."""

    def __init__(self, archive, name, stream):
        self.archive, self.name, self.stream = archive, name, stream
        self.next = 1
        self.previous = stream["chain"]  # None: not known
        self.records = self.messages = 0
        self.lost = False
        self.at = (f"{name}.1.fin", 0)

    def fault(self, sentence):
        self.archive.fault(*self.at, sentence)

    def lose(self, sentence):
        self.fault(sentence)
        self.previous, self.lost = None, True

    def read(self, first, last):
        file = f"{self.name}.{first}.fin"
        if first > self.next:
            self.at = (f"{self.name}.{self.next}.fin", 0)
            self.lose("the file is missing")
        elif first < self.next:
            self.at = (file, 0)
            self.lose("its name says an ossEpoch that stands in the file before it")
        self.next = first
        self.at = (file, 0)
        data = self.archive.read(file)
        if data is None:
            self.previous, self.lost = None, True
            return
        if not data and not last:
            self.lose("the file is empty, and is not the last one")
        offset = 0
        may_tear = last and self.stream["close"] is None
        while offset < len(data):
            self.at = (file, offset)
            rest = data[offset:offset + 4 + RECORD_BYTES_MAX]
            count = struct.unpack(">I", rest[:4])[0] if len(rest) >= 4 else 0
            is_count = RECORD_BYTES_MIN <= count <= RECORD_BYTES_MAX
            if len(rest) < 4 or is_count and count > len(rest) - 4:
                if may_tear and (len(rest) < 4 or shape(rest[4:]) == 0):
                    if self.archive.complete:
                        self.fault("the last record is torn")
                    else:
                        self.archive.notes.append(f"{file}: offset {offset}: a record that is torn "
                                                  "or being written")
                else:
                    self.lose("the file ends within a record")
                break
            if not is_count:
                self.lose("no record begins here")
                break
            self.take(rest[4:4 + count])
            offset += 4 + count
        else:
            self.at = (file, offset)

    def take(self, body):
        try:
            record, header = read_body(body)
        except Bad as bad:
            self.lose(str(bad))
            self.next += 1
            return
        archive = self.archive
        if archive.archive is not None and header["archive"] != archive.archive:
            self.fault("the record is of another archive")
        if header["stream"] != self.name:
            self.lose(f"the record is of stream {header['stream']}")
        elif header["ossEpoch"] != self.next:
            self.lose(f"ossEpoch {header['ossEpoch']} stands where {self.next} is due")
        elif self.previous not in (None, header["previous"]):
            self.fault("it does not continue the record before it")
        archive.key(*self.at, header["key"])
        faults, leaves = record_faults(record, header)
        for sentence in faults:
            self.fault(sentence)
        if header["stream"] == self.name:
            archive.secondary.record(header, leaves, not faults)
        kept = self.stream["contents"] == "kept"
        if any((content is not None) != kept for _, content in record[2]):
            self.fault("a content is missing" if kept else "a content stands where none are kept")
        for leaf in leaves:
            message = leaf["originalMessageId"]
            if message in archive.ids:
                self.fault(f"{message} is in {archive.ids[message]} too")
            archive.ids.setdefault(message, f"{header['stream']}.{header['ossEpoch']}")
        archive.seen |= {header["hash"].hex(), f"{header['stream']}.{header['ossEpoch']}"}
        archive.records += 1
        archive.messages += len(record[2])
        self.records += 1
        self.messages += len(record[2])
        self.next = header["ossEpoch"] + 1
        self.previous = header["hash"]

    def end(self):
        close = self.stream["close"]
        if self.lost:
            self.archive.secondary.lost(self.name)
        if close is None:
            if self.archive.complete:
                self.fault("the stream was not closed")
        elif not self.lost:
            head = self.previous if self.records else bytes(32)
            if close != (self.records, self.messages, head):
                self.fault(f"the stream was closed with {close[0]} records, {close[1]} messages")


# ---- the programs ----


def verify(path, keys, complete, contains):
    archive = Archive(path, keys, complete)
    for wanted in contains:
        if wanted not in archive.seen:
            archive.fault("manifest", 0, f"{wanted} is not in the archive")
    return archive


def check():
    """The vectors beside this file, in TAP."""
    own = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(own, "finality.json"), encoding="utf-8") as file:
        vectors = json.load(file)
    cases = []
    for leaf in vectors["leaves"]:
        data = bytes.fromhex(leaf["hex"])
        cases.append((read_leaf(data)[0] == leaf["view"]
                      and leaf_hash(data).hex() == leaf["leafHash"], leaf["name"]))
    for tree in vectors["trees"]:
        hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in tree["leaves"]]
        paths = [tree_path(hashes, index) for index in range(len(hashes))]
        cases.append((tree_root(hashes).hex() == tree["root"]
                      and [[digest.hex() for digest in path] for path in paths] == tree["paths"]
                      and all(tree_holds(hashes[i], i, len(hashes), path, tree_root(hashes))
                              for i, path in enumerate(paths)), f"a tree of {len(hashes)}"))
    for row in vectors["headers"]:
        header = read_header(bytes.fromhex(row["hex"]))
        cases.append((header_view(header) == row["view"] and signed(
            header["key"], bytes.fromhex(row["hex"]), bytes.fromhex(row["signature"])),
            row["name"]))
    for kind, read in (("leaves", read_leaf), ("headers", read_header)):
        for row in vectors["refused"][kind]:
            try:
                read(bytes.fromhex(row["hex"]))
                cases.append((False, f"refused: {row['name']}"))
            except Bad:
                cases.append((True, f"refused: {row['name']}"))
    for proof in vectors["proofs"]:
        header = read_proof(json.dumps(proof), [vectors["publicKey"]])
        cases.append((header["hash"].hex() == proof["record"]["recordHash"],
                      f"the proof of {proof['originalMessageId']}"))
    archive = verify(os.path.join(own, "finality"), [vectors["publicKey"]], False, [])
    cases.append((not archive.faults and not archive.notes, "the sample archive is sound"))
    cases.append(([archive.records, archive.messages, archive.chain.hex()] ==
                  [vectors["archive"][name] for name in ("records", "messages", "manifestChain")],
                  "and holds what the vectors say"))
    for number, (holds, name) in enumerate(cases, 1):
        print(f"{'ok' if holds else 'not ok'} {number} - {name}")
    print(f"1..{len(cases)}")
    return 0 if all(holds for holds, _ in cases) else 1


def main(words):
    flags = {"--key": [], "--contains": []}
    complete = "--complete" in words
    words = [word for word in words if word != "--complete"]
    for flag, values in flags.items():
        while flag in words:
            at = words.index(flag)
            values.append(words[at + 1])
            del words[at:at + 2]
    if words == ["--check"]:
        return check()
    if len(words) != 2 or words[0] not in ("verify", "proof"):
        print(__doc__, file=sys.stderr)
        return 2
    if words[0] == "proof":
        try:
            with open(words[1], encoding="utf-8") as file:
                print(json.dumps(header_view(read_proof(file.read(), flags["--key"]))))
            return 0
        except Bad as bad:
            print(f"{words[1]}: {bad}", file=sys.stderr)
            return 1
    if not os.path.isdir(words[1]):
        print(f"{words[1]}: no directory", file=sys.stderr)
        return 1
    archive = verify(words[1], flags["--key"], complete, flags["--contains"])
    for file, offset, sentence in archive.faults:
        print(f"{file}: offset {offset}: {sentence}", file=sys.stderr)
    print(json.dumps({"streams": len(archive.streams), "records": archive.records,
                      "messages": archive.messages, "keys": sorted(archive.keys),
                      "manifestChain": archive.chain.hex(),
                      "secondaryFacts": archive.secondary.count,
                      "secondaryChain": archive.secondary.chain.hex(), "faults": len(archive.faults),
                      "notes": archive.notes}))
    return 1 if archive.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
