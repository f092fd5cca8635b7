#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Force inclusion with a real server, over real sockets (F06).

Goal: a forced message is accepted although its TTL is over, unless it is so old
that nobody could tell it from a repetition; no chain hears of it before
the operator's verdict, the verdict decides, and both the hold and the verdict
outlive kill -9.

Method: the chains are strangers' (docs/wire.md), who write down what they are
asked; the operator is a stranger too, and once the program tricast.
"""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import stranger as st  # noqa: E402
from server import BUILD_DIR, Server, Tap, program  # noqa: E402

FORCE, VERDICT = 29, 30
SELF_DEFENSE_FAILED, EXPIRED, NOT_ALLOWED, UNKNOWN_MESSAGE = 76, 58, 72, 66
STALE, TIMESTAMP_AHEAD = 37, 38
WINDOW_MS, DAY_MS = 900000, 86400000  # dedupWindowMs, and how far ahead it may be dated
A, B = "eip155:1", "eip155:10"
SECRETS = {A: "secret-of-chain-1-000", B: "secret-of-chain-10-00"}
TAP = Tap()
ok = TAP.ok


class Stage:
    """A server with a journal, its chains, an operator."""

    def __init__(self):
        self.server = Server(SECRETS, {"*": [A, B]}, journal="file")
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
        self.operator = st.Connection(self.server.port).greet(
            st.OPERATOR, "operator", self.server.operator.encode())

    def again(self):
        """The server is killed, and started again; the chains stay."""
        self.server.kill()
        for chain in self.chains.values():
            chain.stop()
        self.server.start()
        self.connect()

    def force(self, ident, **more):
        """Forces a message; the first answer."""
        frame = st.submit_frame(ident, [A, B], [f"asset-{ident}"], **more)
        self.operator.send([FORCE, *frame[1:]])
        return self.operator.receive()

    def verdict(self, ident, passed):
        """Gives the verdict; the STATUS or ERROR that answers it, and what came before."""
        self.operator.send([VERDICT, ident, passed])
        before = []
        while True:
            frame = self.operator.receive()
            if frame is None or frame[0] in (st.STATUS, st.ERROR):
                return frame, before
            before.append(frame)

    def result(self, ident):
        """How a message ends, asked for again and again."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            told = st.status(self.operator, ident)
            if told[0] == st.STATUS and told[2] in ("PROCESSED", "FAILED", "REJECTED"):
                return told
            time.sleep(0.02)
        raise st.Broken(f"{ident} does not end: {told}")

    def asked(self, ident):
        """The steps that each chain has been asked for."""
        return [chain.steps(ident) for chain in self.chains.values()]


def ago(milliseconds):
    return int(time.time() * 1000) - milliseconds


def story_passed():
    with Stage() as stage:
        got = stage.force("old", timestamp=ago(WINDOW_MS // 2))
        ok(got[0] == st.ACK and got[2] == st.RECEIVED, "R05: its age is not asked", got)
        told = st.status(stage.operator, "old")
        ok(told[2] == "HELD" and told[12] is True, "STATUS shows that it is held, and forced", told)
        time.sleep(0.2)
        ok(stage.asked("old") == [[], []], "no chain has heard of it")
        told, before = stage.verdict("old", True)
        ok(told[0] == st.STATUS and told[2] == "PREPARING" and before == [],
           "the verdict is answered with STATUS", told)
        result = st.wait_result(stage.operator, "old")
        ok(result.kinds == ["NOTICE", st.PROCESSED], "and it is final like any other",
           result.frames)
        told, _ = stage.verdict("old", False)
        ok(told[0] == st.ERROR and told[2] == NOT_ALLOWED, "a verdict that comes too late", told)
        told, _ = stage.verdict("ghost", True)
        ok(told[0] == st.ERROR and told[2] == UNKNOWN_MESSAGE, "or is about nothing", told)
        got = stage.force("older", timestamp=ago(WINDOW_MS))
        ok(got[2:4] == [3, STALE], "D04: what cannot be told from a repetition is refused", got)
        got = stage.force("later", timestamp=ago(-DAY_MS - 60000))
        ok(got[2:4] == [3, TIMESTAMP_AHEAD], "and so is what would be known for too long", got)
        got = stage.force("soon", timestamp=ago(-DAY_MS + 60000))
        ok(got[2] == st.RECEIVED, "but its clock may be ahead", got)


def story_failed():
    with Stage() as stage:
        stage.force("bad")
        told, before = stage.verdict("bad", False)
        ok(told[2] == "REJECTED" and told[3] == SELF_DEFENSE_FAILED and
           [frame[2:4] for frame in before] == [[3, SELF_DEFENSE_FAILED]],
           "F06: what fails its check is REJECTED", told, before)
        told, _ = stage.verdict("bad", False)
        ok(told[0] == st.STATUS and told[2] == "REJECTED", "the same verdict again is harmless")
        ok(stage.asked("bad") == [[], []], "and no chain has heard of it")
        got = stage.force("best", atomicity=st.BEST_EFFORT)
        ok(got[2:4] == [3, NOT_ALLOWED], "BEST_EFFORT has no primary record to wait for", got)
        stage.force("slow", ttl=1)
        told = stage.result("slow")
        ok(told[2:4] == ["REJECTED", EXPIRED], "C04: without a verdict its TTL ends it", told)


def story_killed():
    with Stage() as stage:
        for ident in ("pass", "fail", "wait", "given"):
            got = stage.force(ident)
            assert got[2] == st.RECEIVED, got
        told, _ = stage.verdict("fail", False)
        stage.again()
        told = st.status(stage.operator, "pass")
        ok(told[2] == "HELD" and told[12] is True, "D01: the hold outlives kill -9", told)
        told = st.status(stage.operator, "fail")
        ok(told[2:4] == ["REJECTED", SELF_DEFENSE_FAILED], "and so does a verdict that failed it",
           told)
        stage.verdict("pass", True)
        ok(stage.result("pass")[2] == "PROCESSED", "the verdict may come after the restart")
        stage.operator.send([VERDICT, "given", True])
        told = stage.operator.receive()
        stage.again()
        ok(told[0] == st.STATUS and stage.result("given")[2] == "PROCESSED",
           "D01: a verdict that was answered is not lost by kill -9", told)
        ok(st.status(stage.operator, "wait")[2] == "HELD" and stage.asked("wait") == [[], []],
           "and who had none still waits")


def story_program():
    with Stage() as stage:
        words = ["--server", f"127.0.0.1:{stage.server.port}", "--name", "operator", "--secret",
                 stage.server.operator]
        submit = subprocess.Popen(
            [os.path.join(BUILD_DIR, "tricast"), "submit", "--forced", "--id", "cli", "--target", A,
             "--target", B, "--asset", "bond", "--action", "FREEZE", "--timestamp-ms",
             str(ago(WINDOW_MS // 2)), *words],
            stdout=subprocess.PIPE, encoding="utf-8")
        first = json.loads(submit.stdout.readline())
        ok(first["ackType"] == "RECEIVED", "tricast submit --forced waits", first)
        done = program("tricast", "verdict", "cli", "pass", *words)
        ok(done.returncode == 0 and json.loads(done.stdout)["forced"] is True,
           "tricast verdict prints the STATUS", done.stdout, done.stderr)
        rest = [json.loads(line) for line in submit.communicate(timeout=20)[0].splitlines()]
        ok(submit.returncode == 0 and rest[-1]["ackType"] == "PROCESSED", "and it goes on", rest)
        done = program("tricast", "verdict", "cli", "fail", *words)
        ok(done.returncode == 1 and json.loads(done.stdout)["errorCode"] == "NOT_ALLOWED",
           "a verdict that does not count: exit 1", done.stdout)
        for wrong in (["cli"], ["cli", "maybe"], ["cli", "pass", "more"], ["x" * 65, "pass"]):
            done = program("tricast", "verdict", *wrong, *words)
            ok(done.returncode == 2 and done.stderr.count("\n") == 1, f"exit 2: {wrong}",
               done.stderr)


def story_drained():
    with Stage() as stage:
        stage.force("wait")
        begun = time.monotonic()
        stage.server.stop()
        with open(stage.server.log, encoding="utf-8") as log:
            said = log.read()
        ok("event=drained" in said and "event=drain-ended" not in said,
           "a drain does not wait for a verdict", time.monotonic() - begun)
        for chain in stage.chains.values():
            chain.stop()
        stage.server.start()
        stage.connect()
        told = st.status(stage.operator, "wait")
        ok(told[2] == "HELD", "the next start still holds it", told)


if __name__ == "__main__":
    sys.exit(TAP.run(story_passed, story_failed, story_killed, story_program, story_drained))
