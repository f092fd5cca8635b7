#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An archive of finality records that is not where it was.

Goal: a start never takes the place of a lost archive, or of its lost key, for
that of a first start (F02, D04): it refuses, says what to do, and leaves
everything as it is.

Method: a real server with a journal; between its starts the archive and the key
are moved away, exchanged, and taken from an older copy.
"""

import json
import os
import re
import shutil
import stat
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
# pylint: disable=wrong-import-position
import check_finality  # noqa: E402
import make_finality  # noqa: E402
import stranger as st  # noqa: E402
from server import Server, Tap, program  # noqa: E402

CHAIN, OTHER, SECRET = "eip155:1", "eip155:10", "secret-of-chain-1-000"
TAP = Tap()
ok = TAP.ok


class Stage:
    """A server with a journal, and its data directory."""

    def __init__(self):
        self.server = Server({CHAIN: SECRET, OTHER: SECRET}, {"*": [CHAIN]}, shards=1, journal="file")
        self.data = os.path.join(self.server.directory, "data")

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *words):
        self.server.__exit__(*words)

    def file(self, *names):
        return os.path.join(self.data, *names)

    def read(self, *names):
        with open(self.file(*names), "rb") as file:
            return file.read()

    def files(self):
        """{name: bytes} but for the number of the start, which every try raises."""
        found = {}
        for folder, _, names in os.walk(self.data):
            found[os.path.relpath(folder, self.data)] = None
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.data)
                found[path] = (os.readlink(self.file(path)) if os.path.islink(self.file(path))
                               else self.read(path))
        return {name: data for name, data in found.items() if name not in ("epoch", "epoch.new")}

    def play(self, ident):
        """One message that ends PROCESSED; its notice."""
        chain = st.Chain(CHAIN, SECRET.encode()).start()
        try:
            chain.serve(self.server.port)
            client = st.Connection(self.server.port).greet(st.CLIENT, "submitter",
                                                           self.server.client.encode())
            result = st.submit(client, ident, [CHAIN], [ident])
            assert result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED], result.frames
            return result.frames[1]
        finally:
            chain.stop()

    def refused(self, name, *words):
        """The next start ends, says one line with these words, and changes nothing."""
        before = self.files()
        done = program("tricastd", "--config", self.server.config)
        lines = [line for line in done.stderr.splitlines() if line.startswith("tricastd: ")]
        ok(done.returncode == 1 and len(lines) == 1 and all(word in lines[0] for word in words),
           name, done.returncode, done.stderr)
        after = self.files()
        ok(before == after, "and nothing was made or changed",
           [path for path in {*before, *after} if before.get(path) != after.get(path)])
        ok("journal check" not in done.stderr, "the journal is not blamed", done.stderr)


def story_id():
    with Stage() as stage:
        kept = stage.read("finality-id")
        ok(re.fullmatch(b"[0-9a-f]{32}\n", kept) and
           stage.read("finality", "manifest").split()[1] == kept.strip(),
           "F02: a first start keeps the archiveId beside the archive", kept)
        ok(stat.S_IMODE(os.stat(stage.file("finality-id")).st_mode) == 0o600,
           "and only its owner may read it")
        stage.server.stop()
        os.remove(stage.file("finality-id"))
        stage.server.start()
        ok(stage.read("finality-id") == kept,
           "one of before there was such a file gets it at its next start")
        stage.server.stop()
        stage.server.start()
        ok(stage.read("finality-id") == kept and stage.server.stop() == 0, "and keeps it")


def story_missing():
    with Stage() as stage:
        notice = stage.play("m")
        stage.server.stop()
        os.rename(stage.file("finality"), stage.file("aside"))
        advice = ("is missing", "put its newest copy back", "to begin anew and lose its records, "
                  f"remove {stage.file('finality-id')}")
        stage.refused("F02: a start without the archive refuses", *advice)
        os.rename(stage.file("finality-key"), stage.file("key"))
        stage.refused("without the key too", *advice)
        os.rename(stage.file("key"), stage.file("finality-key"))
        os.mkdir(stage.file("finality"))
        stage.refused("an empty directory is no archive", *advice)
        with open(stage.file("finality", "manifest"), "wb"):
            pass
        stage.refused("nor is an empty manifest", *advice)
        with open(stage.file("finality", "manifest"), "wb") as file:
            file.write(b"archive\n")
        stage.refused("nor one whose first line is none", "its first line is none")
        shutil.rmtree(stage.file("finality"))
        os.rename(stage.file("aside"), stage.file("finality"))
        stage.server.start()
        other = stage.play("n")
        ok(stage.server.stop() == 0, "when it is back, the server runs")
        archive = check_finality.Archive(stage.file("finality"), complete=True)
        ok(not archive.faults and archive.ids == {f[1]: f"{f[5]}.{f[6]}" for f in (notice, other)},
           "and each message is where its notice says", archive.faults, archive.ids)


def story_other():
    with Stage() as stage:
        stage.server.stop()
        os.rename(stage.file("finality"), stage.file("aside"))
        os.mkdir(stage.file("finality"))
        make_finality.Writer(stage.file("finality"))
        stage.refused("F02: another archive in its place is refused", "another one is in its place",
                      "put its newest copy back")
        kept = stage.read("finality-id")
        for damaged in (b"", kept[:-1], kept + b"\n", b"g" * 32 + b"\n"):
            with open(stage.file("finality-id"), "wb") as file:
                file.write(damaged)
            stage.refused(f"an id of {len(damaged)} bytes that is none is refused",
                          "it must hold the archiveId")
        os.remove(stage.file("finality-id"))
        shutil.rmtree(stage.file("finality"))
        stage.server.start()
        ok(stage.read("finality-id") not in (kept, b"") and stage.server.stop() == 0,
           "who removes the id begins anew")


def story_older():
    """The journal has primary records that an older copy lacks, and may not make up for."""
    with Stage() as stage, tempfile.TemporaryDirectory() as own:
        copy = os.path.join(own, "copy")
        stage.server.kill()
        shutil.copytree(stage.file("finality"), copy)
        stage.server.start()
        notice = stage.play("m")
        stage.server.kill()
        os.rename(stage.file("finality"), stage.file("aside"))
        shutil.copytree(copy, stage.file("finality"))
        done = program("tricastd", "--config", stage.server.config)
        ok(done.returncode == 1 and "was never opened" in done.stderr and
           "put its newest copy back" in done.stderr and "journal check" not in done.stderr,
           "D04: a copy from before the stream was opened: the newest one is asked for",
           done.stderr)
        shutil.rmtree(stage.file("finality"))
        os.rename(stage.file("aside"), stage.file("finality"))
        stage.server.start()
        ok(stage.server.stop() == 0, "with it the server runs")
        archive = check_finality.Archive(stage.file("finality"), complete=True)
        ok(not archive.faults and archive.ids == {notice[1]: f"{notice[5]}.{notice[6]}"},
           "and the message is where its notice says", archive.faults, archive.ids)


def public_of(path):
    return json.loads(program("tricast", "key", "show", path).stdout)["publicKey"]


def story_key():
    """A key is made with its archive, and never again."""
    with Stage() as stage:
        key, aside = stage.file("finality-key"), stage.file("aside")
        first = public_of(key)
        ok(f"event=signer key={first}\n" in stage.server.log_tail(),
           "F02: a start says which key signs", stage.server.log_tail())
        stage.play("m")
        stage.server.stop()
        os.rename(key, aside)
        advice = ("the key is missing, but the archive is there", "put its copy back",
                  f"tricast key new {key}")
        stage.refused("F02: a start without the key refuses, and makes no other", *advice)
        os.rename(stage.file("finality", "manifest"), stage.file("manifest"))
        os.remove(stage.file("finality-id"))
        stage.refused("nor without the manifest, as long as there are records", *advice)
        os.rename(stage.file("manifest"), stage.file("finality", "manifest"))
        os.symlink(stage.file("nowhere"), key)
        stage.refused("a link that leads nowhere is said to be one", "finality-key: it is a symbolic "
                      "link to a file that is not there")
        os.remove(key)
        second = json.loads(program("tricast", "key", "new", key).stdout)["publicKey"]
        stage.server.start()
        ok(f"level=warn event=signer key={second} before={first}\n" in stage.server.log_tail(),
           "F02: with another key it says so, and which one it was", stage.server.log_tail())
        stage.play("n")
        ok(stage.server.stop() == 0, "and runs")
        verify = ("finality", "verify", stage.file("finality"), "--complete", "--key", second)
        done = program("tricast", *verify)
        ok(done.returncode == 1 and "a key that is not trusted" in done.stderr,
           "who knows the new key alone finds out", done.stderr)
        done = program("tricast", *verify, "--key", first)
        ok(done.returncode == 0, "with both the archive is sound", done.stderr)
        stage.server.start()
        ok(f"level=info event=signer key={second}\n" in stage.server.log_tail(),
           "the next start finds nothing odd", stage.server.log_tail())


def story_unconfigured():
    """What an older copy lacks is made up for from the journal, if it still can be."""
    with Stage() as stage, tempfile.TemporaryDirectory() as own:
        copy = os.path.join(own, "copy")
        shutil.copytree(stage.file("finality"), copy)
        notice = stage.play("m")
        stage.server.kill()
        shutil.rmtree(stage.file("finality"))
        shutil.copytree(copy, stage.file("finality"))
        with open(stage.server.config, "w", encoding="utf-8") as file:
            file.write(stage.server.text.replace(f"  - id: {CHAIN}\n    secret: {SECRET}\n", "")
                       .replace(f"chains: [{CHAIN}]", f"chains: [{OTHER}]"))
        done = program("tricastd", "--config", stage.server.config)
        ok(done.returncode == 1 and "configure its chain again" in done.stderr and
           "journal check" not in done.stderr,
           "D04: a record whose chain is not configured any more is refused", done.stderr)
        with open(stage.server.config, "w", encoding="utf-8") as file:
            file.write(stage.server.text)
        stage.server.start()
        ok(stage.server.stop() == 0, "with it the archive is completed from the journal")
        archive = check_finality.Archive(stage.file("finality"), complete=True)
        ok(not archive.faults and archive.ids == {notice[1]: f"{notice[5]}.{notice[6]}"},
           "D04: and the message is where its notice said", archive.faults, archive.ids)


sys.exit(TAP.run(story_id, story_missing, story_other, story_older, story_key,
                 story_unconfigured))
