#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Archives of finality records, damaged in every way that a disk or a forger can think of.

Goal: whoever has a copy of an archive, or one proof, finds every change
without a server (F01, F02, F08), and a second reader agrees.

Method: tests/vectors/make_finality.py writes archives, `tricast finality` and
tests/vectors/check_finality.py, which knows only docs/finality.md, read them;
both must find faults at the same places.
"""

import json
import os
import random
import re
import struct
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
SOURCE_DIR = os.environ["TRI_SOURCE_DIR"]
VECTORS = os.path.join(SOURCE_DIR, "tests", "vectors")
sys.path.insert(0, VECTORS)
# pylint: disable=wrong-import-position
import check_finality as cf  # noqa: E402
import finality_bytes as fb  # noqa: E402
import make_finality as mf  # noqa: E402
from server import Tap, program  # noqa: E402

TAP = Tap()
SEED = os.environ.get("TRI_SEED", "0")
DEEP = bool(os.environ.get("TRI_DEEP"))
SAMPLE = os.path.join(VECTORS, "finality")
FAULT = re.compile(r"tricast finality verify: .*/([^/]+): (?:\w+ \d+, )?offset (\d+): (.*)")
PUBLIC = json.loads(open(os.path.join(VECTORS, "finality.json"), encoding="utf-8").read())[
    "publicKey"]


def tricast(*words, **more):
    """Runs `tricast`; exit code, JSON lines, lines of stderr."""
    done = program("tricast", *words, **more)
    return (done.returncode, [json.loads(line) for line in done.stdout.splitlines()],
            done.stderr.splitlines())


def verify(path, *flags):
    """Exit code, places {(file, offset)}, summary."""
    code, rows, lines = tricast("finality", "verify", path, *flags)
    places = set()
    for line in lines:
        match = FAULT.fullmatch(line)
        places.add((match[1], int(match[2])) if match else ("?", line))
    return code, places, rows[-1] if rows else None


def agree(path, complete=False):
    """What both readers find; and whether they agree."""
    mine = cf.Archive(path, complete=complete)
    code, places, summary = verify(path, *["--complete"] * complete)
    expected = {(file, offset) for file, offset, _ in mine.faults}
    holds = (places == expected and code == (1 if expected else 0) and summary is not None
             and summary["faults"] >= len(expected)
             and (summary["records"], summary["messages"]) == (mine.records, mine.messages)
             and len([note for note in summary["notes"] if "torn" in note]) == len(mine.notes))
    return places, holds, (expected ^ places, code, summary)


class Copy:
    """A directory with these files."""

    def __init__(self, files=None):
        self.own = tempfile.TemporaryDirectory(prefix="tricast-e2e-finality-")
        self.path = self.own.name
        self.files = dict(mf.files_of(SAMPLE) if files is None else files)
        for name, data in self.files.items():
            self.put(name, data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.own.cleanup()

    def file(self, name):
        return os.path.join(self.path, name)

    def put(self, name, data):
        with open(self.file(name), "wb") as file:
            file.write(data)

    def restore(self):
        for name in os.listdir(self.path):
            if name not in self.files:
                os.remove(self.file(name))
        for name, data in self.files.items():
            self.put(name, data)


def records_of(data):
    """[(offset, bytes with the length)] of a file."""
    found, at = [], 0
    while at < len(data):
        count = 4 + struct.unpack_from(">I", data, at)[0]
        found.append((at, data[at:at + count]))
        at += count
    return found


def forced_places(files):
    """Where each message's mark F06 stands: the last byte of its leaf."""
    found = []
    for name, data in files.items():
        for at, record in records_of(data) if name.endswith(".fin") else []:
            end = at + len(record)
            for leaf, content in reversed(fb.read_body(record[4:])[0][2]):
                found.append((name, end - len(fb.pack(content)) - 1))
                assert data[found[-1][1]] in (0xc2, 0xc3)
                end -= len(fb.pack([leaf, content]))
    return found


def story_sound():
    code, rows, lines = tricast("finality", "verify", SAMPLE)
    TAP.ok(code == 0 and lines == [] and [row["end"] for row in rows[:-1]] ==
           ["closed", "closed", "open"], "F02: a sound archive, a line for each stream", rows)
    total = rows[-1]
    TAP.ok([total[name] for name in ("streams", "openStreams", "files", "records", "messages",
                                     "manifestLines", "faults")] == [3, 1, 4, 6, 17, 6, 0],
           "the summary counts", total)
    TAP.ok([key["publicKey"] for key in total["keys"]] == [PUBLIC] and not total["keys"][0]["trusted"]
           and len(total["notes"]) == 1 and "--key" in total["notes"][0],
           "without --key it says which keys it saw and that nobody vouches for them", total)
    code, places, total = verify(SAMPLE, "--key", PUBLIC)
    TAP.ok((code, places, total["notes"]) == (0, set(), []) and total["keys"][0]["trusted"],
           "with the right --key it holds", total)
    many = [word for n in range(255) for word in ("--key", f"{n:064x}")]
    TAP.ok(verify(SAMPLE, *many, "--key", PUBLIC)[0] == 0 and
           tricast("finality", "verify", SAMPLE, *many, "--key", PUBLIC, "--key", PUBLIC)[0] == 2,
           "as many keys can be trusted as an archive may have, 256")
    code, places, total = verify(SAMPLE, "--key", "00" * 32)
    TAP.ok(code == 1 and total["faults"] == 12 and len(places) == 12,
           "with another --key every record and every line is a fault", places, total)
    TAP.ok(agree(SAMPLE, True)[1] and agree(SAMPLE, True)[0] == {("13-0.1.fin", 1207)},
           "F08: an open stream is a fault with --complete", agree(SAMPLE, True))


def story_flips():
    """Every bit of the archive, or a sample of them."""
    draw = random.Random(SEED)
    with Copy() as copy:
        every = [(name, offset, bit) for name, data in copy.files.items()
                 for offset in range(len(data)) for bit in range(8)]
        ends = [(name, len(data) - 1, bit) for name, data in copy.files.items()
                for bit in range(8)]
        starts = [("13-0.1.fin", offset + byte, bit) for offset, _ in
                  records_of(copy.files["13-0.1.fin"]) for byte in range(4) for bit in range(8)]
        marks = [(name, offset, 0) for name, offset in forced_places(copy.files)]
        chosen = every if DEEP else ends + starts + marks + draw.sample(every, 400)
        missed, unnamed, differ = [], [], []
        for name, offset, bit in chosen:
            data = bytearray(copy.files[name])
            data[offset] ^= 1 << bit
            copy.put(name, data)
            places, holds, why = agree(copy.path)
            if not places:
                missed.append((name, offset, bit))
            elif name not in {place[0] for place in places}:
                unnamed.append((name, offset, bit, places))
            if not holds:
                differ.append((name, offset, bit, why))
            copy.put(name, copy.files[name])
        TAP.ok(not missed, f"F02: each of {len(chosen)} flipped bits is found", *missed[:5])
        TAP.ok(not unnamed, "and a fault names the file", *unnamed[:5])
        TAP.ok(not differ, "both readers find the same places", *differ[:3])
        TAP.ok(len(marks) == 17, "F06: the marks of the forced path among them", len(marks))


def broken(copy, name, expected, contains):
    """One damage: the places, both readers, and a word of what is said."""
    places, holds, why = agree(copy.path)
    code, _, lines = tricast("finality", "verify", copy.path)
    TAP.ok(code == 1 and places == expected and holds and any(contains in line for line in lines),
           name, f"found {sorted(places)}", why, *lines)
    copy.restore()


def story_removed():
    with Copy() as copy:
        whole = copy.files["12-0.1.fin"]
        (_, first), (second_at, second) = records_of(whole)
        copy.put("12-0.1.fin", first)
        broken(copy, "F02: the last record of a file is gone", {("12-0.2.fin", 0)}, "missing")
        copy.put("12-0.1.fin", second)
        broken(copy, "its first record is gone", {("12-0.1.fin", 0)}, "ossEpoch 2 stands here")
        copy.put("12-0.1.fin", second + first)
        broken(copy, "two records have changed places",
               {("12-0.1.fin", 0), ("12-0.1.fin", len(second)), ("12-0.2.fin", 0)}, "stands here")
        copy.put("12-0.1.fin", first + second + second)
        broken(copy, "a record stands twice", {("12-0.1.fin", len(whole))}, "twice")
        os.remove(copy.file("12-0.1.fin"))
        broken(copy, "the first file is gone", {("12-0.1.fin", 0)}, "missing")
        os.remove(copy.file("12-0.3.fin"))
        broken(copy, "the last file of a closed stream is gone", {("12-0.1.fin", len(whole))},
               "2 records")
        os.remove(copy.file("12-1.1.fin"))
        broken(copy, "F08: all files of a closed stream are gone", {("12-1.1.fin", 0)}, "0 records")
        copy.put("12-0.3.fin", copy.files["12-0.3.fin"][:-1])
        broken(copy, "a closed stream ends within a record", {("12-0.3.fin", 0)}, "within a record")
        os.rename(copy.file("12-0.3.fin"), copy.file("12-0.4.fin"))
        broken(copy, "a file has another number", {("12-0.3.fin", 0), ("12-0.4.fin", 0)}, "missing")
        copy.put("12-0.1.fin", copy.files["12-1.1.fin"])
        copy.put("12-1.1.fin", whole)
        broken(copy, "two files have changed places",
               {("12-0.1.fin", 0), ("12-0.2.fin", 0), ("12-1.1.fin", 0),
                ("12-1.1.fin", second_at)}, "of stream 12-1")
        copy.put("12-2.1.fin", whole)
        broken(copy, "a stream that the manifest does not open", {("12-2.1.fin", 0)}, "opens no")
        copy.put("012-0.1.fin", whole)
        broken(copy, "a file with no archive's name", {("012-0.1.fin", 0)}, "name")
        copy.put("12-0.1.fin", first + bytes(7) + second)
        broken(copy, "zeros between records",
               {("12-0.1.fin", len(first)), ("12-0.2.fin", 0)}, "length")
    with Copy() as copy:
        lines = copy.files["manifest"].splitlines(keepends=True)
        for number in range(5):
            copy.put("manifest", b"".join(lines[:number] + lines[number + 1:]))
            places, holds, why = agree(copy.path)
            offset = sum(map(len, lines[:number]))
            TAP.ok(("manifest", offset) in places and holds,
                   f"F08: line {number + 1} of the manifest is gone", places, why)
        copy.put("manifest", b"".join(lines[:5]))
        broken(copy, "its last line is gone, which opens a stream", {("13-0.1.fin", 0)}, "opens no")
        os.remove(copy.file("manifest"))
        places, holds, why = agree(copy.path)
        TAP.ok(("manifest", 0) in places and holds, "the manifest is gone", places, why)


def story_foreign():
    """Records of others, and those of the same key that must not be here."""
    with tempfile.TemporaryDirectory() as other, Copy() as copy:
        bodies = []
        for seed, archive in ((mf.SEED, bytes(16)), (bytes(32), mf.ARCHIVE)):
            path = os.path.join(other, str(len(bodies)))
            os.mkdir(path)
            writer = mf.Writer(path, seed, archive)
            writer.open("12-0")
            bodies.append(writer.record("12-0", [mf.message("order-1", mf.START_MS)])[2])
        (_, first), (_, second) = records_of(copy.files["12-0.1.fin"])
        copy.put("12-0.1.fin", struct.pack(">I", len(bodies[0])) + bodies[0] + second)
        broken(copy, "F02: a record of another archive, with the same key",
               {("12-0.1.fin", 0), ("12-0.1.fin", 4 + len(bodies[0]))}, "another archive")
        copy.put("12-0.1.fin", struct.pack(">I", len(bodies[1])) + bodies[1] + second)
        code, places, _ = verify(copy.path, "--key", PUBLIC)
        TAP.ok(code == 1 and ("12-0.1.fin", 0) in places, "a forger's record, with his own key")
        copy.restore()
        record = fb.read_body(first[4:])[0]
        record[2][0][1] = None
        body = fb.pack(record)
        copy.put("12-0.1.fin", struct.pack(">I", len(body)) + body + second)
        broken(copy, "a content was taken out of a stream that keeps them", {("12-0.1.fin", 0)},
               "content is missing")
    with tempfile.TemporaryDirectory() as path:
        writer = mf.Writer(path)
        writer.open("1-0")
        writer.record("1-0", [mf.message("a", 1), mf.message("b", 2)])
        second_at = os.path.getsize(os.path.join(path, "1-0.1.fin"))
        writer.record("1-0", [mf.message("c", 3), mf.message("a\n", 3), mf.message("b", 4)])
        writer.close("1-0")
        places, holds, why = agree(path)
        _, _, lines = tricast("finality", "verify", path)
        TAP.ok(places == {("1-0.1.fin", second_at)} and holds and lines[0].endswith('"b"'),
               "D04: an id that is in two records", why, *lines)


def story_torn():
    with Copy() as copy:
        whole = copy.files["13-0.1.fin"]
        last_at, last = records_of(whole)[1]
        differ, verdicts = [], set()
        for cut in range(1, len(last)):
            copy.put("13-0.1.fin", whole[:last_at + cut])
            places, holds, why = agree(copy.path)
            verdicts.add(tuple(places))
            if not holds or "torn" not in str(why[2]["notes"]):
                differ.append((cut, why))
        TAP.ok(verdicts == {()} and not differ,
               "F08: the last record of an open stream, cut at every byte, is no fault but a note",
               verdicts, *differ[:2])
        copy.put("13-0.1.fin", whole[:-1])
        TAP.ok(verify(copy.path, "--complete")[0] == 1 and agree(copy.path, True)[1],
               "it is one with --complete")
        copy.put("13-0.1.fin", whole[:last_at])
        noted = fb.read_body(last[4:])[1]["hash"].hex()
        TAP.ok(agree(copy.path)[:2] == (set(), True),
               "F02: a record cut off at the end of an open stream is not seen")
        codes = [(verify(path, "--contains", wanted)[0]) for path in (copy.path, SAMPLE)
                 for wanted in (noted, "13-0.2")]
        TAP.ok(codes == [1, 1, 0, 0], "unless its hash, or stream and ossEpoch, were noted", codes)
        copy.restore()
        manifest = copy.files["manifest"]
        lines = manifest.splitlines(keepends=True)
        for cut in (1, 40, len(lines[-1]) - 1):
            copy.put("manifest", manifest + lines[-1][:cut])
            places, holds, why = agree(copy.path)
            TAP.ok(places == set() and holds,
                   f"F08: {cut} bytes of a line that is being written are a note", why)
        chain = re.search(rb" chain ([0-9a-f]{64}) sign", lines[4])[1].decode()
        copy.put("manifest", b"".join(lines[:4]))
        os.remove(copy.file("13-0.1.fin"))
        TAP.ok(verify(copy.path)[0] == 0 and verify(copy.path, "--contains", chain)[0] == 1,
               "so with the manifest's last lines: a noted chain value says that they are gone")


def story_running():
    """A writer that writes in pieces, and whoever verifies meanwhile."""
    with tempfile.TemporaryDirectory() as path:
        writer = mf.Writer(path)
        stop = threading.Event()

        class Pieces:
            """Writes as a kernel may: in two pieces."""

            def __call__(self, name, data):
                for part in (data[:len(data) // 3], data[len(data) // 3:]):
                    with open(os.path.join(path, name), "ab") as file:
                        file.write(part)

        writer.file = Pieces()

        def write():
            number = 0
            for epoch in range(1, 41):
                writer.open(f"{epoch}-0")
                for _ in range(10):
                    writer.record(f"{epoch}-0", [mf.message(f"m-{number + n}", number)
                                                 for n in range(5)])
                    number += 5
                    if number % 20 == 0:
                        writer.next_file(f"{epoch}-0")
                writer.close(f"{epoch}-0")
            stop.set()

        thread = threading.Thread(target=write)
        thread.start()
        faults, runs = [], 0
        while not stop.is_set():
            code, rows, lines = tricast("finality", "verify", path)
            # Before the first line there is nothing to judge.
            faults += lines if code != 0 and rows and rows[-1]["manifestLines"] > 0 else []
            runs += 1
        thread.join()
        code, _, total = verify(path, "--complete")
        TAP.ok(not faults, f"F02: verified {runs} times while it is written, it is sound",
               *faults[:3])
        TAP.ok((code, total["records"], total["messages"]) == (0, 400, 2000),
               "and complete in the end", total)


def story_generated():
    draw = random.Random(SEED)
    for number in range(4):
        with tempfile.TemporaryDirectory() as path:
            mf.generated(path, f"{SEED} {number}")
            places, holds, why = agree(path)
            TAP.ok(places == set() and holds, f"an archive from seed {SEED} {number} is sound", why)
            whole = mf.files_of(path)
        with Copy(whole) as copy:
            differ = []
            for _ in range(25):
                name = draw.choice(sorted(whole))
                data = bytearray(whole[name])
                at = draw.randrange(len(data))
                how = draw.choice(["byte", "insert", "delete", "cut", "zero"])
                if how == "byte":
                    data[at] = (data[at] + draw.randrange(1, 256)) % 256
                elif how == "insert":
                    data[at:at] = draw.randbytes(draw.randrange(1, 9))
                elif how == "delete":
                    del data[at:at + draw.randrange(1, 9)]
                elif how == "cut":
                    del data[at:]
                else:
                    data[at:at + 16] = bytes(len(data[at:at + 16]))
                copy.put(name, data)
                places, holds, why = agree(copy.path)
                if not holds:
                    differ.append((name, how, at, why))
                copy.put(name, whole[name])
            TAP.ok(not differ, "both readers find the same places in 25 damaged ones",
                   *differ[:3])


def story_show():
    code, rows, lines = tricast("finality", "show", SAMPLE)
    bodies = [fb.read_body(record[4:]) for name in
              ("12-0.1.fin", "12-0.3.fin", "12-1.1.fin", "13-0.1.fin")
              for _, record in records_of(mf.files_of(SAMPLE)[name])]
    views = [fb.record_view(record, header, fb.record_faults(record, header)[1])
             for record, header in bodies]
    TAP.ok((code, lines) == (0, []) and rows == views, "F01: show prints what the document says")
    TAP.ok(list(rows[0])[:6] == ["ossStateRoot", "gkrProofHash", "issuedAt", "ossEpoch",
                                 "appliedMessageIds", "participatingChains"]
           and re.fullmatch("0x[0-9a-f]{64}", rows[0]["ossStateRoot"])
           and rows[0]["gkrProofHash"] is None and re.fullmatch("0x[0-9a-f]{64}",
                                                                rows[4]["gkrProofHash"])
           and rows[1]["issuedAt"] == "2026-11-21T10:20:30.626Z",
           "F01: the specification's names and forms come first", rows[0])
    message = rows[1]["messages"][0]
    TAP.ok(message["appliedChains"] == ["eip155:8453", "eip155:10"]
           and len(message["participatingChains"]) == 3, "A03: a chain that is missing shows")
    for flags, expected in ((["--stream", "12-0"], views[:3]), (["--id", "small-6"], [views[3]]),
                            (["--stream", "12-0", "--epoch", "3"], [views[2]]),
                            (["--id", "\u00e9-\u4e2d"], [views[2]]),
                            (["--stream", "13-0", "--id", "late-2"], [views[5]])):
        code, rows, _ = tricast("finality", "show", SAMPLE, *flags)
        TAP.ok(code == 0 and rows == expected, " ".join(["show", *flags]), rows)
    for flags in (["--id", "order-9"], ["--stream", "12-0", "--epoch", "4"], ["--stream", "9-0"],
                  ["--id", "order"]):
        code, rows, lines = tricast("finality", "show", SAMPLE, *flags)
        TAP.ok((code, rows, len(lines)) == (1, [], 1), f"{' '.join(flags)}: nothing, and a line")
    with Copy() as copy:
        data = bytearray(copy.files["12-0.1.fin"])
        data[100] ^= 1
        copy.put("12-0.1.fin", data)
        code, rows, lines = tricast("finality", "show", copy.path)
        TAP.ok(code == 1 and rows == views[1:] and len(lines) == 1,
               "a record that does not hold is not shown", lines)
    usage = [["show"], ["show", SAMPLE, "--epoch", "1"], ["show", SAMPLE, "--stream", "012-0"],
             ["prove", SAMPLE], ["verify"], ["verify", SAMPLE, "--key", "00"],
             ["verify", SAMPLE, "--contains", "12-0"], ["verify", SAMPLE, SAMPLE]]
    codes = [program("tricast", "finality", *words).returncode for words in usage]
    TAP.ok(codes == [2] * len(usage), "wrong flags: exit 2", codes)
    TAP.ok(tricast("finality", "verify", "/nonexistent")[0] == 1, "no such archive: exit 1")


def story_limits():
    """The largest record, and one byte more."""
    with tempfile.TemporaryDirectory() as path:
        writer = mf.Writer(path)
        writer.open("1-0")
        chains = [f"abcdefgh:{'x' * 28}{n:04}" for n in range(1024)]

        def record(each, last):
            """Its contents have so many bytes; returns header, signature, body."""
            writer.streams["1-0"].update(epoch=0, messages=0, head=writer.chain)
            if os.path.exists(os.path.join(path, "1-0.1.fin")):
                os.remove(os.path.join(path, "1-0.1.fin"))
            return writer.record("1-0", [mf.message(
                f"m-{n}", n, [chains[(n * 64 + i) % 1024] for i in range(64)] if n < 16
                else chains[:1], content=b"x" * (each if n < 4095 else last))
                                         for n in range(4096)])

        spare = (4 << 20) - len(record(800, 800)[2])
        each, last = 800 + spare // 4096, 800 + spare // 4096 + spare % 4096
        header, _, body = record(each, last)
        places, holds, why = agree(path)
        TAP.ok((places, holds, len(body)) == (set(), True, 4 << 20) and len(header) > 40000,
               "F01: 4,096 messages, 1,024 chains, 4 MiB", why, len(body), len(header))
        code, rows, _ = tricast("finality", "prove", path, "--id", "m-4095")
        TAP.ok(code == 0 and len(rows[0]["auditPath"]) == 12
               and is_proof(json.dumps(rows[0])) == (True, True), "the last message's proof holds")
        record(each, last + 1)
        places, holds, why = agree(path)
        TAP.ok(places == {("1-0.1.fin", 0)} and holds, "one byte more is no record", why)
    with tempfile.TemporaryDirectory() as path:
        writer = mf.Writer(path)
        writer.open("1-0")
        leaf, content = mf.message("x" * 64, (1 << 64) - 1, chains[:64], chains[1:64],
                                   (4294967295, 4294967295), forced=True)
        writer.record("1-0", [(leaf, content)])
        places, holds, why = agree(path)
        TAP.ok((places, holds, len(fb.pack(leaf))) == (set(), True, 5573),
               "F01: a leaf of 64 chains, 63 of which have applied", why, len(fb.pack(leaf)))


def flips_of(proof, draw):
    """The proof with one bit flipped in a field that must be trusted."""
    fields = [(name, None) for name in ("leaf", "header", "signature", "content")]
    fields += [("auditPath", index) for index in range(len(proof["auditPath"]))]
    rows = []
    for name, index in fields:
        value = proof[name] if index is None else proof[name][index]
        for bit in range(len(value) * 4):
            data = bytearray.fromhex(value)
            data[bit // 8] ^= 1 << bit % 8
            rows.append((name, index, data.hex()))
    for name, index, value in rows if DEEP else draw.sample(rows, 250):
        other = json.loads(json.dumps(proof))
        if index is None:
            other[name] = value
        else:
            other[name][index] = value
        yield name, other


def is_proof(text):
    """Both readers' verdicts."""
    try:
        fb.read_proof(text)
        mine = True
    except fb.Bad:
        mine = False
    return mine, program("tricast", "finality", "verify", "-", input=text).returncode == 0


def story_proof():
    draw = random.Random(SEED)
    different = []
    for name, data in mf.files_of(SAMPLE).items():
        for _, raw in records_of(data) if name.endswith(".fin") else []:
            record, header = fb.read_body(raw[4:])
            leaves = fb.record_faults(record, header)[1]
            for index, leaf in enumerate(leaves):
                code, rows, _ = tricast("finality", "prove", SAMPLE, "--id",
                                        leaf["originalMessageId"])
                expected = fb.proof_of(record, header, leaves, index)
                if code != 0 or rows != [expected] or is_proof(json.dumps(rows[0])) != (True, True):
                    different.append(leaf["originalMessageId"])
    TAP.ok(not different, "F02: prove makes the document's proof of every message", different)
    proof = tricast("finality", "prove", SAMPLE, "--id", "order-2")[1][0]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(proof))
        file.flush()
        results = [tricast("finality", "verify", file.name, *flags) for flags in (
            [], ["--key", PUBLIC], ["--key", "11" * 32], ["--contains", "12-0.2"],
            ["--contains", "12-0.1"], ["--contains", proof["record"]["recordHash"]])]
        TAP.ok([code for code, _, _ in results] == [0, 0, 1, 0, 1, 0]
               and [rows[0]["trusted"] for _, rows, _ in results[:2]] == [False, True]
               and results[0][1][0]["record"] == proof["record"],
               "a proof is trusted as its key is, and says its record", results)
    taken = [name for name, other in flips_of(proof, draw) if is_proof(json.dumps(other)) !=
             (False, False)]
    TAP.ok(not taken, "F02: every flipped bit of leaf, header, signature, path and content is found",
           taken[:5])
    changes = [
        {"leafIndex": 1}, {"leafIndex": 3}, {"leafIndex": -1}, {"leafIndex": 0.0},
        {"leafIndex": True}, {"auditPath": proof["auditPath"][:1]},
        {"auditPath": proof["auditPath"] + proof["auditPath"][:1]}, {"auditPath": None},
        {"auditPath": proof["auditPath"][::-1]}, {"format": "tricast-proof-2"},
        {"originalMessageId": "order-3"}, {"record": {**proof["record"], "ossEpoch": 3}},
        {"record": {**proof["record"], "ossEpoch": 2.0}}, {"record": None}, {"more": 1},
        {"record": {**proof["record"], "verified": True}}, {"content": ""}, {"content": "C0"},
        {"leaf": proof["leaf"].upper()}, {"signature": proof["signature"] + "00"},
        {"leaf": ""}, {"header": proof["header"] + " "}]
    verdicts = [is_proof(json.dumps({**proof, **change})) for change in changes]
    TAP.ok(verdicts == [(False, False)] * len(changes), "what contradicts the bytes is refused",
           *[change for change, verdict in zip(changes, verdicts) if verdict != (False, False)])
    TAP.ok(is_proof(json.dumps({**proof, "content": None})) == (True, True),
           "without its content it still proves the hash")
    texts = ["", "{", "[]", "null", json.dumps(proof)[:-1], json.dumps(proof) + "x",
             json.dumps(proof)[:-1] + ', "leaf": ""}',
             *[json.dumps({key: value for key, value in proof.items() if key != gone})
               for gone in proof]]
    verdicts = [is_proof(text) for text in texts]
    TAP.ok(verdicts == [(False, False)] * len(texts), "and so is what is no whole proof", verdicts)


def story_key():
    with tempfile.TemporaryDirectory() as path:
        file = os.path.join(path, "key")
        code, rows, _ = tricast("key", "new", file)
        TAP.ok(code == 0 and rows[0]["file"] == file and os.stat(file).st_mode & 0o777 == 0o600
               and re.fullmatch("[0-9a-f]{64}", rows[0]["publicKey"]), "a new key is its owner's")
        with open(file, encoding="ascii") as opened:
            words = opened.read().split()
        TAP.ok(words[:3] == ["tricast-key", "1", "ed25519"] and words[3::2] == ["secret", "public"]
               and words[6] == rows[0]["publicKey"]
               and mf.Writer(path, bytes.fromhex(words[4])).public.hex() == words[6],
               "F02: the file holds the seed and the public half")
        TAP.ok(tricast("key", "show", file)[:2] == (0, rows), "show prints the public half")
        code, _, lines = tricast("key", "new", file)
        TAP.ok(code == 1 and len(lines) == 1 and tricast("key", "show", file)[1] == rows,
               "a key is never replaced")
        os.chmod(file, 0o644)
        TAP.ok(tricast("key", "show", file)[0] == 1, "a key that others may read is refused")


sys.exit(TAP.run(story_sound, story_flips, story_removed, story_foreign, story_torn, story_running,
                 story_generated, story_show, story_limits, story_proof, story_key))
