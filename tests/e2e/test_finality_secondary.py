#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The file `secondary` of an archive, right and wrong.

Goal: whoever has a copy of an archive finds what was changed in what the
settlement said of it (F03), and what was said of records that it does not have.

Method: the file is written by Python into a copy of the sample archive; `tricast
finality verify` and tests/vectors/check_finality.py read it, and both must find
faults at the same places.
"""

import json
import os
import random
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
VECTORS = os.path.join(os.environ["TRI_SOURCE_DIR"], "tests", "vectors")
sys.path.insert(0, VECTORS)
# pylint: disable=wrong-import-position
import check_finality as cf  # noqa: E402
import finality_bytes as fb  # noqa: E402
import finality_secondary as fs  # noqa: E402
from server import Tap, program  # noqa: E402

TAP = Tap()
DICE = random.Random(os.environ.get("TRI_SEED", "0"))
SAMPLE = os.path.join(VECTORS, "finality")
FAULT = re.compile(r"tricast finality verify: .*/([^/]+): (?:\w+ \d+, )?offset (\d+): (.*)")


def root_and_id(name):
    """Of the first record of a file of the sample."""
    with open(os.path.join(SAMPLE, name), "rb") as file:
        data = file.read()
    count = int.from_bytes(data[:4], "big")
    record, header = fb.read_body(data[4:4 + count])
    return header["root"], fb.read_leaf(record[2][0][0])[0]["originalMessageId"]


ROOT, ID = root_and_id("12-0.1.fin")
SETTLED = [0, "12-0", 1, ROOT, True, 1700000000000, "block 7", "bridge", 1700000000001]
OTHER = [0, "12-0", 1, bytes(32), False, 1700000000000, "", "bridge", 1700000000001]
HANDED = [1, "12-0", 1, ID, "eip155:10", 0, 5]
DOWN = [2, False, "op", 1]


def join(facts):
    data, chain, starts = b"", bytes(32), []
    for fact in facts:
        starts.append(len(data))
        one, chain = fs.frame(fact, chain)
        data += one
    return data, starts


def found(data, complete=False):
    """Where both find faults in `secondary`, how many notes; False if they disagree."""
    with tempfile.TemporaryDirectory(prefix="tricast-e2e-secondary-") as path:
        path = os.path.join(path, "archive")
        shutil.copytree(SAMPLE, path)
        with open(os.path.join(path, "secondary"), "wb") as file:
            file.write(data)
        mine = cf.Archive(path, complete=complete)
        done = program("tricast", "finality", "verify", path, *["--complete"] * complete)
        places = set()
        for line in done.stderr.splitlines():
            match = FAULT.fullmatch(line)
            places.add((match[1], int(match[2])) if match else ("?", line))
    if places != {(file, offset) for file, offset, _ in mine.faults}:
        return False, places, mine.faults
    if done.returncode != (1 if places else 0):
        return False, done.returncode, mine.faults
    return sorted(offset for file, offset in places if file == "secondary"), len(mine.notes)


def story_sound():
    data, _ = join([DOWN, OTHER, HANDED, SETTLED])
    TAP.ok(found(data) == ([], 0), "F03: what the settlement may say is sound", found(data))
    TAP.ok(found(b"") == ([], 0), "and so is nothing")


def story_false():
    cases = [
        ("a root that is the record's, called another",
         [DOWN, SETTLED[:4] + [False] + SETTLED[5:]], [1]),
        ("another root, called the record's", [OTHER[:4] + [True] + OTHER[5:]], [0]),
        ("a record that is not there", [DOWN, SETTLED[:2] + [99] + SETTLED[3:]], [1]),
        ("a stream that is not there", [DOWN, SETTLED[:1] + ["11-0"] + SETTLED[2:]], [1]),
        ("a message that is not there", [DOWN, HANDED[:3] + ["nobody"] + HANDED[4:]], [1]),
        ("a message handed over twice", [HANDED, HANDED], [1]),
        ("a message of a confirmed record", [SETTLED, HANDED], [1]),
        ("a kind that is none", [DOWN, [3, True, "op", 1]], [1]),
        ("an operator without a name", [DOWN, [2, True, "", 1]], [1]),
    ]
    for name, facts, wrong in cases:
        data, starts = join(facts)
        TAP.ok(found(data)[0] == [starts[index] for index in wrong], f"F03: found: {name}",
               found(data))


def story_changed():
    data, starts = join([DOWN, OTHER, HANDED, SETTLED])
    missed = []
    for bit in sorted(DICE.sample(range(8 * len(data)), 60)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        at = max(start for start in starts if start <= bit // 8)
        if found(bytes(changed))[0] != [at]:
            missed.append((bit, found(bytes(changed))))
    TAP.ok(not missed, "F03: a changed bit is found where it is", missed)
    gone = data[:starts[1]] + data[starts[2]:]
    TAP.ok(found(gone)[0] == [starts[1]], "and so is a fact that is gone", found(gone))


def story_torn():
    data, starts = join([DOWN, HANDED])
    wrong = [cut for cut in range(starts[1] + 1, len(data), 7)
             if found(data[:cut]) != ([], 1) or found(data[:cut], True)[0] != [starts[1]]]
    TAP.ok(not wrong, "D03: a fact that is cut off is a note", wrong)
    TAP.ok(found(data[:starts[1] + 9] + bytes(200)) == ([], 1), "and so are zeros")


class Copy:
    """A copy of the sample with these facts."""

    def __init__(self, facts=None):
        self.own = tempfile.TemporaryDirectory(prefix="tricast-e2e-secondary-")
        self.path = os.path.join(self.own.name, "archive")
        shutil.copytree(SAMPLE, self.path)
        if facts is not None:
            self.data, self.starts = join(facts)
            self.put("secondary", self.data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.own.cleanup()

    def file(self, name):
        return os.path.join(self.path, name)

    def put(self, name, data):
        with open(self.file(name), "wb") as file:
            file.write(data)

    def ask(self, verb, *flags):
        """Exit code, rows, lines of stderr."""
        done = program("tricast", "finality", verb, self.path, *flags)
        return (done.returncode, [json.loads(line) for line in done.stdout.splitlines()],
                done.stderr.splitlines())


def story_noted():
    """What is cut off at the end is found by whoever has noted a chain value."""
    with Copy([DOWN, OTHER, HANDED, SETTLED]) as copy:
        last = copy.data[-32:].hex()
        middle = copy.data[copy.starts[2] - 32:copy.starts[2]].hex()
        code, rows, _ = copy.ask("verify")
        TAP.ok((code, rows[-1]["secondaryFacts"], rows[-1]["secondaryChain"]) == (0, 4, last),
               "F03: verify says how many facts there are, and the last chain value", rows[-1])
        mine = cf.Archive(copy.path)
        TAP.ok((mine.secondary.count, mine.secondary.chain.hex()) == (4, last),
               "as the document says it")
        code, rows, lines = copy.ask("verify", "--contains", last, "--contains", middle)
        TAP.ok(code == 0, "--contains takes them", lines)
        copy.put("secondary", copy.data[:copy.starts[3]])
        TAP.ok(copy.ask("verify")[0] == 0, "facts that were cut off at the end go unnoticed")
        code, rows, lines = copy.ask("verify", "--contains", last, "--contains", middle)
        TAP.ok((code, len(lines)) == (1, 1) and f"{last} is not in it" in lines[0] and
               last not in cf.Archive(copy.path).seen, "but for one that was noted", lines)
        os.remove(copy.file("secondary"))
        code, rows, lines = copy.ask("verify", "--contains", middle)
        TAP.ok(code == 1 and (rows[-1]["secondaryFacts"], rows[-1]["secondaryChain"]) ==
               (0, "00" * 32), "and so is the whole file", lines)


def story_shown():
    """What is settled, contested, handed over, and still open."""
    second = ["12-0", 2]
    name = {"fact": "HANDED", "stream": "12-0", "ossEpoch": 1, "originalMessageId": ID,
            "chainId": "eip155:10", "errorCode": None, "at": "1970-01-01T00:00:00.005Z"}
    down = {"fact": "SEQUENCER", "isUp": False, "operator": "op", "at": "1970-01-01T00:00:00.001Z"}
    other = {"fact": "SETTLED", "stream": "12-0", "ossEpoch": 1, "ossStateRoot": "0x" + "00" * 32,
             "isEqual": False, "settledAt": "2023-11-14T22:13:20.000Z", "reference": "",
             "reporter": "bridge", "at": "2023-11-14T22:13:20.001Z"}
    settled = {**other, "ossStateRoot": "0x" + ROOT.hex(), "isEqual": True, "reference": "block 7"}

    with Copy([DOWN, OTHER, HANDED]) as copy:
        TAP.ok(copy.ask("secondary") == (0, [down, other, name], []),
               "F03: what was said is shown, one a line", copy.ask("secondary"))
        TAP.ok(copy.ask("secondary", "--open") == (0, [down, other, name], []),
               "all of it is open", copy.ask("secondary", "--open"))
        code, rows, lines = copy.ask("show")
        places = {message["originalMessageId"]: message["place"] for row in rows
                  for message in row["messages"]}
        TAP.ok(code == 0 and places.pop(ID) == "RECONCILIATION" and set(places.values()) ==
               {"PENDING"} and {row["place"] for row in rows} == {"PENDING"},
               "F05: show says where each message is", rows, lines)
    with Copy([DOWN, OTHER, HANDED, [1, *second, "order-2", "eip155:10", 37, 5],
               [2, True, "op", 1], SETTLED]) as copy:
        code, rows, lines = copy.ask("secondary")
        TAP.ok(code == 0 and len(rows) == 6 and rows[5] == settled and
               rows[3]["errorCode"] == "STALE" and rows[4]["isUp"] is True, "later words too", rows)
        code, rows, lines = copy.ask("secondary", "--open")
        TAP.ok(code == 0 and [row["originalMessageId"] for row in rows] == ["order-2"],
               "a confirmed record's are not open any more, nor is a sequencer that is up", rows)
        rows = copy.ask("show", "--id", ID)[1]
        TAP.ok(rows[0]["place"] == rows[0]["messages"][0]["place"] == "SECONDARY_FINAL",
               "F05: and its messages are secondary-final", rows)
        rows = copy.ask("show", "--id", "order-2")[1]
        TAP.ok(rows[0]["place"] == "PENDING" and [message["place"] for message in
                                                  rows[0]["messages"]].count("RECONCILIATION") == 1,
               "one message alone can be in reconciliation", rows)
        copy.put("secondary", copy.data + b"\0\0")
        code, rows, lines = copy.ask("secondary")
        TAP.ok((code, len(rows), len(lines)) == (0, 6, 1) and "torn" in lines[0],
               "D03: a torn end is said", lines)
        damaged = bytearray(copy.data)
        damaged[copy.starts[3] + 9] ^= 1
        copy.put("secondary", bytes(damaged))
        for flags in ([], ["--open"]):
            code, rows, lines = copy.ask("secondary", *flags)
            TAP.ok((code, len(rows), len(lines)) == (1, 3, 1) and
                   f"offset {copy.starts[3]}: " in lines[0], "and damage is refused", rows, lines)
        code, rows, lines = copy.ask("show", "--id", ID)
        TAP.ok((code, rows[0]["place"], len(lines)) == (1, None, 1),
               "nor is a place told by what is damaged", rows, lines)
    with Copy([SETTLED, OTHER]) as copy:
        rows = copy.ask("secondary", "--open")[1]
        TAP.ok(rows == [other] and copy.ask("show", "--id", ID)[1][0]["place"] == "SECONDARY_FINAL",
               "F03: a confirmed record that was contested afterwards is final, and contested", rows)
    with tempfile.TemporaryDirectory(prefix="tricast-e2e-secondary-") as path:
        done = program("tricast", "finality", "secondary", path)
        TAP.ok(done.returncode == 1 and "it is no archive" in done.stderr, "no archive, no facts",
               done.stderr)
        done = program("tricast", "finality", "show", path)
        TAP.ok(done.returncode == 1 and "it is no archive" in done.stderr, "and no records",
               done.stderr)
    with Copy() as copy:
        for file in os.listdir(copy.path):
            if file.endswith(".fin"):
                os.remove(copy.file(file))
        code, rows, lines = copy.ask("show")
        TAP.ok((code, rows, len(lines)) == (1, [], 1) and "there is no record in it" in lines[0],
               "an archive without a record says so", lines)


def story_no_file():
    """Pipes and links in the place of files."""
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path),
                 lambda path: os.symlink(os.path.join(SAMPLE, "12-0.1.fin"), path), os.mkdir):
        for name in ("12-0.1.fin", "secondary", "manifest"):
            with Copy([SETTLED]) as copy:
                os.remove(copy.file(name))
                make(copy.file(name))
                code, _, lines = copy.ask("verify")
                faults = {(match[1], int(match[2])) for match in map(FAULT.fullmatch, lines)}
                TAP.ok(code == 1 and (name, 0) in faults and
                       any("a pipe or the like" in line for line in lines) and
                       faults == {fault[:2] for fault in cf.Archive(copy.path).faults},
                       f"F08: {name} that is no file is a fault", lines,
                       cf.Archive(copy.path).faults)
                code, _, lines = copy.ask("show")
                TAP.ok((code == 1 and "a pipe or the like" in lines[0]) or name == "manifest",
                       "show does not wait for it either", lines)


sys.exit(TAP.run(story_sound, story_false, story_changed, story_torn, story_noted, story_shown,
                 story_no_file))
