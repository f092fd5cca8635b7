#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A journal's files, damaged in every way that a disk or an operator can think of.

Goal: what was announced is there or the start is refused with a line that
names the file; a full or broken disk is said and loses nothing (D01, D03, D06,
D07).

Method: tests/e2e/journal_probe.c writes, and says what it would have announced;
`tricast journal check` and `show` read.
"""

import fcntl
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import stranger as st  # noqa: E402
from server import BUILD_DIR, Server, Tap, program  # noqa: E402

PROBE = sys.argv[1]
TAP = Tap()
PAGE = 4096


def probe(path, epoch, records, how, *more):
    """Runs the probe.  Returns its exit code, what it called durable, and its other lines."""
    done = subprocess.run([PROBE, path, str(epoch), str(records), how, *map(str, more)],
                          stdout=subprocess.PIPE, encoding="utf-8", check=False, timeout=60)
    durable, lines = 0, []
    for line in done.stdout.splitlines():
        if line.startswith("durable "):
            durable = int(line.split()[1])
        else:
            lines.append(line)
    return done.returncode, durable, lines


def check(path, *flags):
    """Returns the exit code, the streams, and stderr."""
    done = program("tricast", "journal", "check", path, *flags)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def show(path, *flags):
    done = program("tricast", "journal", "show", path, *flags)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


class Journal:
    """A directory with 2,000 records of epoch 1; `how`: as the probe's."""

    def __init__(self, how="kill", records=2000):
        self.own = tempfile.TemporaryDirectory(prefix="tricast-e2e-journal-")
        self.path = self.own.name
        self.records = records
        code, durable, _ = probe(self.path, 1, records, how)
        assert (code, durable) == (0, records)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.own.cleanup()

    def file(self, name):
        return os.path.join(self.path, name)

    def flip(self, name, offset, bit=1):
        with open(self.file(name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0] ^ bit
            file.seek(offset)
            file.write(bytes([byte]))

    def refuses(self, *words):
        """Both the check and a start name every word."""
        code, _, line = check(self.path)
        start, _, lines = probe(self.path, 9, 1, "kill")
        said = line + " ".join(lines)
        return code == 1 and start == 2 and all(w in line and w in " ".join(lines)
                                                for w in words), said


def user_records(rows):
    return [row for row in rows if isinstance(row["type"], int)]


def sound_journals():
    with Journal() as journal:
        code, streams, line = check(journal.path)
        TAP.ok(code == 0 and line == "" and len(streams) == 1 and streams[0]["records"] == 2000
               and streams[0]["lsn"] == 2000 and streams[0]["end"] == "cut",
               "D01 after a kill everything that was durable is there", streams, line)
        code, rows, _ = show(journal.path, "--payload")
        rows = user_records(rows)
        TAP.ok(code == 0 and [row["lsn"] for row in rows] == list(range(1, 2001))
               and all(row["payload"] == f"{row['lsn'] & 255:02x}" * 100 for row in rows),
               "show prints every record, in order, with its bytes")
        code, rows, _ = show(journal.path, "--stream", "7-0")
        TAP.ok(code == 0 and rows == [], "a stream that is not there has no records")
    with Journal("end") as journal:
        code, streams, _ = check(journal.path)
        TAP.ok(code == 0 and streams[0]["end"] == "in order", "an end in order is told from a kill")


def flipped_bits():
    with Journal() as journal:
        _, rows, _ = show(journal.path)
        blocks = {}
        for row in rows:
            blocks.setdefault(row["block"], (row["segment"], row["offset"] // PAGE * PAGE))
        last = max(blocks)
        for block in (1, last // 2, last - 5):
            segment, offset = blocks[block]
            name = f"1-0-{segment}.seg"
            offset = max(offset, PAGE)
            journal.flip(name, offset + 150)
            held, said = journal.refuses(name, f"offset {offset}:", "restore")
            TAP.ok(held, f"D03 a flipped bit in block {block} of {last} is named", said)
            journal.flip(name, offset + 150)
        journal.flip("1-0-2.seg", 40)
        held, said = journal.refuses("1-0-2.seg", "offset 0:", "hash")
        TAP.ok(held, "D03 a flipped bit in the head of a segment is named", said)
        journal.flip("1-0-2.seg", 40)
        segment, offset = blocks[last]
        journal.flip(f"1-0-{segment}.seg", offset + 150)
        code, streams, _ = check(journal.path)
        TAP.ok(code == 0 and streams[0]["end"] == "torn" and streams[0]["lsn"] < 2000
               and streams[0]["endOffset"] == offset and streams[0]["endSegment"] == segment,
               "D03 a torn tail is reported with its place", streams)


def missing_files():
    with Journal() as journal:
        names = sorted(name for name in os.listdir(journal.path) if name.endswith(".seg"))
        for name in ("1-0-1.seg", "1-0-2.seg"):
            os.rename(journal.file(name), journal.file("away"))
            held, said = journal.refuses(name, "missing", "restore")
            TAP.ok(held, f"D03 {name} of {len(names)} is missed", said)
            os.rename(journal.file("away"), journal.file(name))
        os.rename(journal.file("manifest"), journal.file("away"))
        code, _, lines = probe(journal.path, 9, 1, "kill")
        TAP.ok(code == 2 and "manifest" in lines[0] and "missing" in lines[0],
               "D06 a missing manifest is not a new journal", lines)
        os.rename(journal.file("away"), journal.file("manifest"))
        code, durable, _ = probe(journal.path, 2, 10, "kill")
        TAP.ok((code, durable) == (0, 10), "and when it is back the journal goes on")
        for name in names:
            os.remove(journal.file(name))
        held, said = journal.refuses("1-0-", "missing")
        TAP.ok(held, "D03 an old stream without any file is missed", said)


def rehash(journal, name):
    """Makes the hash of a segment's head right again; xxhsum would do."""
    import xxhash  # pylint: disable=import-outside-toplevel
    with open(journal.file(name), "r+b") as file:
        page = bytearray(file.read(PAGE))
        digest = xxhash.xxh3_128_intdigest(bytes(page[24:]))
        page[8:24] = struct.pack("<QQ", digest & (1 << 64) - 1, digest >> 64)
        file.seek(0)
        file.write(page)


def other_versions():
    import xxhash  # pylint: disable=import-outside-toplevel
    with Journal() as journal:
        with open(journal.file("1-0-2.seg"), "r+b") as file:
            file.seek(24)
            file.write(struct.pack("<I", 7))
        rehash(journal, "1-0-2.seg")
        held, said = journal.refuses("1-0-2.seg", "version 7", "version 1")
        TAP.ok(held, "a segment of another format version names both", said)
    with Journal() as journal:
        with open(journal.file("manifest"), encoding="ascii") as file:
            lines = file.read().splitlines(keepends=True)
        lines[0] = "tricast-journal 5\n"
        body = "".join(lines[:-1])
        with open(journal.file("manifest"), "w", encoding="ascii") as file:
            file.write(body + f"check {xxhash.xxh3_128_hexdigest(body.encode())}\n")
        held, said = journal.refuses("manifest", "version 5", "version 1")
        TAP.ok(held, "a manifest of another format version names both", said)


def damaged_manifest():
    with Journal(records=20) as journal:
        size = os.path.getsize(journal.file("manifest"))
        wrong = []
        for offset in range(size):
            journal.flip("manifest", offset, 1 << offset % 7)
            code, _, line = check(journal.path)
            if code != 1 or "/manifest: " not in line:
                wrong.append((offset, line))
            journal.flip("manifest", offset, 1 << offset % 7)
        TAP.ok(not wrong, f"D06 a flipped bit in any of the manifest's {size} bytes is named",
               wrong[:3])
        whole = open(journal.file("manifest"), "rb").read()
        for count in range(size):
            with open(journal.file("manifest"), "wb") as file:
                file.write(whole[:count])
            code, _, line = check(journal.path)
            if code != 1 or "/manifest: " not in line:
                wrong.append((count, line))
        TAP.ok(not wrong, "D06 and so is every truncation", wrong[:3])
        with open(journal.file("manifest"), "wb") as file:
            file.write(whole)
        shutil.copy(journal.file("manifest"), journal.file("older"))
        assert probe(journal.path, 2, 10, "kill")[0] == 0
        os.replace(journal.file("older"), journal.file("manifest"))
        held, said = journal.refuses("manifest", "epoch 1", "2-0-1.seg")
        TAP.ok(held, "D06 a manifest that is older than the segments does not rule over them", said)


def strange_files():
    with Journal() as journal:
        os.rename(journal.file("1-0-2.seg"), journal.file("away"))
        shutil.copy(journal.file("1-0-3.seg"), journal.file("1-0-2.seg"))
        held, said = journal.refuses("1-0-2.seg")
        TAP.ok(held, "D03 another segment under this name is seen", said)
        os.rename(journal.file("away"), journal.file("1-0-2.seg"))
        for name in ("x.seg", "1-0.seg", "01-0-1.seg", "1-0-1.seg.bak", "1-0-99999999999.seg"):
            with open(journal.file(name), "wb") as file:
                file.write(b"x" * 5000)
        code, streams, line = check(journal.path)
        TAP.ok(code == 0 and streams[0]["records"] == 2000,
               "files that are no segments are left alone", line)
        os.truncate(journal.file("1-0-2.seg"), 30000)
        held, said = journal.refuses("1-0-2.seg", "offset 2")
        TAP.ok(held, "D03 a segment that was cut short is seen", said)


def in_use():
    with Journal() as journal:
        with open(journal.file("lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, _, line = check(journal.path)
            TAP.ok(code == 3 and "running" in line, "a journal in use is not judged", line)
        code, _, _ = check(journal.path)
        TAP.ok(code == 0, "and when it is free it is")
        with tempfile.TemporaryDirectory(prefix="tricast-e2e-data-") as data:
            link = os.path.join(data, "journal")
            os.symlink(journal.path, link)
            with open(os.path.join(data, "lock"), "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                codes = [check(link + more)[0] for more in ("", "/", "//")]
                TAP.ok(codes == [3] * 3, "nor one that lies elsewhere than its data directory",
                       codes)
        with (open(journal.file("lock"), "w", encoding="ascii") as lock,
              subprocess.Popen([os.path.join(BUILD_DIR, "tricast"), "journal", "show", "--payload",
                                journal.path], stdout=subprocess.PIPE, encoding="utf-8") as reader):
            reader.stdout.readline()  # the rest is more than a pipe holds
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_held = False
            except BlockingIOError:
                is_held = True
            TAP.ok(is_held, "nobody can begin to write a journal while it is read")
            reader.stdout.read()
            TAP.ok(reader.wait() == 0, "and it is read to its end")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wrong_words():
    for words in (["check"], ["check", "a", "b"], ["show", "--stream", "1", "a"],
                  ["check", "--nothing", "a"]):
        done = program("tricast", "journal", *words)
        TAP.ok(done.returncode == 2 and done.stderr.count("\n") == 1,
               f"journal {' '.join(words)} is refused in one line", done.stderr)
    done = program("tricast", "journal", "check", "/nonexistent")
    TAP.ok(done.returncode == 1 and "/nonexistent" in done.stderr, "a directory that is not there")


def failing_writes():
    """RLIMIT_FSIZE: writes beyond it fail, as a disk that breaks would."""
    with tempfile.TemporaryDirectory(prefix="tricast-e2e-journal-") as path:
        code, durable, lines = probe(path, 1, 2000, "end", 60000, 12288)
        failed = [line for line in lines if line.startswith("failed ")]
        TAP.ok(code == 1 and len(failed) == 1 and int(failed[0].split()[1]) == durable + 1
               and re.search(r"1-0-1\.seg: \d+ bytes at offset \d+ cannot be written: ", failed[0]),
               "D07 a write that fails is said, with the first record that is not durable", lines)
        code, streams, _ = check(path)
        TAP.ok(code == 0 and streams[0]["lsn"] >= durable > 0,
               "D01 and what was durable before it is there", streams)


def full_disk():
    """RLIMIT_FSIZE between the size of the first segment and that of the next."""
    with tempfile.TemporaryDirectory(prefix="tricast-e2e-journal-") as path:
        code, durable, lines = probe(path, 1, 2000, "end", 300, 32768)
        starved = [line for line in lines if line.startswith("starved ")]
        failed = [line for line in lines if line.startswith("failed ")]
        TAP.ok(code == 1 and starved and "1-0-2.seg: cannot be made" in starved[0],
               "R08 a segment that cannot be made holds records back and is said", lines)
        TAP.ok(len(failed) == 1 and int(failed[0].split()[1]) == durable + 1,
               "D03 and is a failure when they have waited for too long", lines)
        code, streams, _ = check(path)
        TAP.ok(code == 0 and streams[0]["lsn"] == durable, "D01 nothing that was durable is lost",
               streams)


def failing_server():
    """The disk of a tricastd refuses writes from one moment on."""
    chain, journal_failed = "eip155:8453", 64
    with Server({chain: "secret-of-chain-1"}, {"bond-*": [chain]}, shards=1,
                journal="file") as house:
        client = st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode())

        def send(ident):
            client.send(st.submit_frame(ident, [chain], [ident], atomicity=st.GUARANTEED))

        send("before")
        TAP.ok(client.receive()[:3] == [st.ACK, "before", st.RECEIVED], "a journal that works")
        resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, (16384, 16384))
        for number in range(10):  # a block each
            send(f"late-{number}")
            time.sleep(0.05)
        end = time.monotonic() + 10
        while not house.stats()["journal_failed"] and time.monotonic() < end:
            time.sleep(0.05)
        TAP.ok(house.stats()["journal_failed"] == 1, "D03 a server counts that its journal failed")
        TAP.ok(re.search(r"event=journal-failed shard=0 reason=\".*cannot be written: ",
                         house.log_tail()), "D03 and says it in its log", house.log_tail())
        other = st.Connection(house.port).greet(st.CLIENT, "other", house.other.encode())
        result = st.submit(other, "after", [chain], ["bond-2"], atomicity=st.GUARANTEED)
        TAP.ok(result.kinds == [st.REJECTED] and result.code == journal_failed,
               "D07 the shard takes no new message, and answers so", result.frames)
        announced = {"before"}
        while (frame := client.receive(0.5)) is not None:
            announced |= {frame[1]} if frame[:3:2] == [st.ACK, st.RECEIVED] else set()
        house.kill()
        house.start()
        other = st.Connection(house.port).greet(st.CLIENT, "other", house.other.encode())
        for ident in announced:
            other.send([st.STATUS_GET, ident])
        known = {frame[1] for frame in (other.receive() for _ in announced)
                 if frame[0] == st.STATUS}
        TAP.ok(known == announced, f"D01 what it had announced is there: {len(announced)} messages",
               announced - known)


NAMESPACE = ["unshare", "--mount", "--map-root-user"]

FULL = r"""
set -e
mount -t tmpfs -o size=%(size)s tmpfs "$1"
head -c 327680 /dev/zero >"$1/filler"
"$2" "$1" 1 2000 end 20000 >"$1.out" &
probe=$!
for i in $(seq 400); do grep -q ^starved "$1.out" && break; sleep 0.05; done
grep -q ^starved "$1.out"
rm "$1/filler"
wait $probe
"$3" journal check "$1"
"""

READ_ONLY = r"""
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
! "$2" "$1" 2 10 end >"$1.out"
"$3" journal check "$1"
"""


def namespaced(script, path):
    return subprocess.run([*NAMESPACE, "bash", "-c", script, "bash", path, PROBE,
                           os.path.join(BUILD_DIR, "tricast")],
                          capture_output=True, encoding="utf-8", check=False, timeout=60)


def small_disks():
    may = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    if not may:
        TAP.ok(True, "no namespaces here # SKIP")
        return
    with tempfile.TemporaryDirectory(prefix="tricast-e2e-journal-") as path:
        directory = os.path.join(path, "disk")
        os.mkdir(directory)
        done = namespaced(FULL % {"size": "512k"}, directory)
        said = open(directory + ".out", encoding="utf-8").read()
        TAP.ok(done.returncode == 0 and "No space left on device; make space" in said
               and "failed" not in said and "durable 2000" in said,
               "R08 on a full disk records wait, and go on when there is space again", said,
               done.stderr)
        stream = json.loads(done.stdout) if done.stdout else {}
        TAP.ok(stream.get("records") == 2000 and stream.get("end") == "in order",
               "D01 and all of them are there", done.stdout)
    with Journal() as journal:
        done = namespaced(READ_ONLY, journal.path)
        with open(journal.path + ".out", encoding="utf-8") as file:
            said = file.read()
        os.remove(journal.path + ".out")
        TAP.ok(done.returncode == 0 and "2-0-1.seg: cannot be made: Read-only file system" in said,
               "D03 a read-only directory refuses a start and says why", said, done.stderr)
        stream = json.loads(done.stdout) if done.stdout else {}
        TAP.ok(stream.get("records") == 2000, "and can still be checked", done.stdout)


sys.exit(TAP.run(sound_journals, flipped_bits, missing_files, other_versions, damaged_manifest,
                 strange_files, in_use, wrong_words, failing_writes, full_disk, failing_server,
                 small_disks))
