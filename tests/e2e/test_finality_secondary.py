#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The file `secondary` of an archive, right and wrong.

Goal: whoever has a copy of an archive finds what was changed in what the
settlement said of it (F03), and what was said of records that it does not have.

Method: the file is written by Python into a copy of the sample archive; `tricast
finality verify` and tests/vectors/check_finality.py read it, and both must find
faults at the same places.
"""

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


sys.exit(TAP.run(story_sound, story_false, story_changed, story_torn))
