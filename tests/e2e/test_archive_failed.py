#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tricastd when its archive of finality records cannot be written any more.

Goal: what was announced stays true and nothing new is begun (D03, D07), on
every shard, also on those that were asleep; whoever asks about finality is
answered; and the next start completes the archive from the journal (D04).

Method: a preloaded library refuses the archive's writes from a moment on, with
an error, or within a record.
"""

import errno
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
# pylint: disable=wrong-import-position
import check_finality  # noqa: E402
import stranger as st  # noqa: E402
from server import Server, Tap  # noqa: E402

RECORDS_REFUSED = sys.argv[1]
FINALITY_GET = 46
SHARDS = 4
NEW = 40   # ids enough for any shard to own some
A, B = "eip155:1", "eip155:10"
SECRETS = {A: "secret-of-chain-1-000", B: "secret-of-chain-10-00"}
TAP = Tap()
ok = TAP.ok


class Stage:
    """A server whose archive may be refused, its chains, a submitter."""

    def __init__(self, **env):
        self.server = Server(SECRETS, {"*": [A, B]}, shards=SHARDS, journal="file",
                             env={"LD_PRELOAD": RECORDS_REFUSED, **env})
        self.gate = os.path.join(self.server.directory, "gate")
        self.server.env["FIN_GATE"] = self.gate
        self.chains = {name: st.Chain(name, secret.encode()).start()
                       for name, secret in SECRETS.items()}

    def __enter__(self):
        self.server.__enter__()
        self.connect()
        return self

    def __exit__(self, *words):
        for chain in self.chains.values():
            chain.stop()
        self.server.__exit__(*words)

    def connect(self):
        for chain in self.chains.values():
            chain.serve(self.server.port)
        self.client = st.Connection(self.server.port).greet(st.CLIENT, "submitter",
                                                            self.server.client.encode())

    def said(self, event):
        with open(self.server.log, encoding="utf-8", errors="replace") as file:
            return [line for line in file if f"event={event} " in line]

    def archive(self, complete=False):
        return check_finality.Archive(os.path.join(self.server.directory, "data", "finality"),
                                      complete=complete)

    def refuse(self, notices):
        """When all of them are written nothing more can be; one message makes that seen."""
        end = time.monotonic() + 10
        while len(self.archive().ids) < len(notices) and time.monotonic() < end:
            time.sleep(0.02)
        with open(self.gate, "wb"):
            pass
        self.client.send(st.submit_frame("last", [A, B], ["last"]))
        notice = self.client.receive()
        while notice[0] != st.NOTICE:
            notice = self.client.receive()
        end = time.monotonic() + 10
        while not self.said("archive-failed") and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.05)   # it is said first
        return notice

    def everywhere(self):
        """A connection on each shard."""
        found = {}
        for _ in range(100):
            if len(found) < SHARDS:
                peer = st.Connection(self.server.port).greet(st.CLIENT, "other",
                                                             self.server.other.encode())
                found[peer.welcome[2]] = peer
        return found


def fails(name, error, torn, kill):
    words = {"FIN_ERROR": str(error), **({"FIN_TORN": "1"} if torn else {})}
    with Stage(**words) as stage:
        notices = []
        for i in range(10):
            result = st.submit(stage.client, f"m-{i}", [A, B], [f"asset-{i}"])
            assert result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED], result.frames
            notices.append(result.frames[1])
        idle = stage.everywhere()
        notices.append(stage.refuse(notices))
        lines = stage.said("archive-failed")
        ok(len(lines) == 1 and os.strerror(error) in lines[0] and ".fin" in lines[0],
           f"D03: {name}: it is said, with the file and the reason", lines)
        told = []
        for peer in idle.values():
            peer.send(*(st.submit_frame(f"new-{len(told) + i}", [A, B], [f"new-{i}"])
                        for i in range(NEW)))
            told += [peer.receive(1) for _ in range(NEW)]
        ok(len(idle) == SHARDS and
           all(frame is not None and frame[0] == st.ACK and frame[2] == st.REJECTED and
               frame[3] == st.CODES["JOURNAL_FAILED"] for frame in told),
           "D07: each new message is refused, the first one of a shard that slept too",
           len(idle), *[frame for frame in told if frame is None or frame[2] != st.REJECTED][:3])
        operator = st.Connection(stage.server.port).greet(st.OPERATOR, "operator",
                                                          stage.server.operator.encode())
        operator.send([FINALITY_GET])
        frame = operator.receive(1)
        ok(frame is not None and frame[0] == st.ERROR and frame[2] == st.CODES["JOURNAL_FAILED"],
           "and who asks about finality is told", frame)
        ok(len(stage.said("archive-failed")) == 1, "it is said once")
        if kill:
            stage.server.kill()
        else:
            ok(stage.server.stop() == 0, "the server ends")
        for chain in stage.chains.values():
            chain.stop()
        completes(stage, notices, torn)


def completes(stage, notices, torn):
    """The next start, on a disk that writes."""
    os.remove(stage.gate)
    stage.server.start()
    stage.connect()
    ok(len(stage.said("archive")) == (1 if torn else 0), "F08: a torn record is cut, and that said",
       stage.said("archive"))
    new = st.submit(stage.client, "new-0", [A, B], ["new-0"])
    ok(new.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED],
       "what was refused may be submitted again", new.frames)
    notices.append(new.frames[1])
    ok(all(chain.effects.get(asset) == [ident] for chain in stage.chains.values()
           for asset, ident in (("last", "last"), ("asset-9", "m-9"))),
       "P10: what was announced is applied, once")
    ok(all(not chain.steps(f"new-{i}") for chain in stage.chains.values()
           for i in range(1, SHARDS * NEW)), "and of what was refused no chain has heard")
    ok(stage.server.stop() == 0, "the server ends in order")
    archive = stage.archive(complete=True)
    ok(not archive.faults and archive.ids == {f[1]: f"{f[5]}.{f[6]}" for f in notices},
       "D04: the archive is complete: each message is in the record that its notice named",
       archive.faults, archive.ids)


def story_error():
    fails("a disk that fails", errno.EIO, torn=False, kill=True)


def story_full():
    fails("a disk that is full", errno.ENOSPC, torn=False, kill=False)


def story_torn():
    fails("a record that is cut off", errno.ENOSPC, torn=True, kill=True)


sys.exit(TAP.run(story_error, story_full, story_torn))
