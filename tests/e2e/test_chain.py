#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tricast-chain as its coordinator and its operator see it.

A real process per story, a coordinator of its own per process (coordinator.py),
and the ledger read through `tricast chain ledger`.  Proves what the program
adds to the participant library: the way of a payload into the ledger, restarts,
reconnects, and that every kind of misbehaviour is the one that was asked for.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coordinator as co

BUILD_DIR = os.environ["TRI_BUILD_DIR"]
CHAIN = "eip155:10"
SECRET = "a secret of the chain"
count = 0
failures = 0


def ok(holds, name):
    global count, failures
    count += 1
    failures += 0 if holds else 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


class Chain:
    """One tricast-chain with its coordinator and journal."""

    def __init__(self, *flags, directory=None, server=None):
        self.own = tempfile.TemporaryDirectory() if directory is None else None
        self.directory = self.own.name if directory is None else directory
        self.server = server or co.Coordinator(SECRET.encode())
        self.port_file = os.path.join(self.directory, "port")
        if os.path.exists(self.port_file):
            os.remove(self.port_file)
        self.process = subprocess.Popen(
            [os.path.join(BUILD_DIR, "tricast-chain"), "--connect",
             f"127.0.0.1:{self.server.port}", "--chain", CHAIN, "--secret", SECRET, "--journal",
             os.path.join(self.directory, "journal"), "--journal-segment-bytes", "1048576",
             "--asset", "gold", "--asset", "silver",
             "--asset-count", "600", "--asset-prefix", "bond-", "--admin", "127.0.0.1:0",
             "--port-file", self.port_file, *flags],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        self.peer = self.server.accept()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self.own is not None:
            self.server.close()
            self.own.cleanup()

    def ask(self, frame, timeout_s=5.0):
        self.peer.send(frame)
        return self.peer.receive(timeout_s)

    def view(self, *flags):
        end = time.monotonic() + 5
        while not os.path.exists(self.port_file) and time.monotonic() < end:
            time.sleep(0.01)
        with open(self.port_file, encoding="utf-8") as file:
            port = file.read().strip()
        done = subprocess.run(
            [os.path.join(BUILD_DIR, "tricast"), "chain", "ledger", f"127.0.0.1:{port}", "--json",
             "--secret", SECRET, *flags], capture_output=True, encoding="utf-8", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def asset(self, name):
        return next(asset for asset in self.view()["assets"] if asset["assetId"] == name)

    def counters(self):
        return self.view()["counters"]

    def freeze(self, ident, asset, last=co.FINALIZE, **more):
        """The phases up to `last`; the answers."""
        answers = [self.ask(co.phase(ident, co.PREPARE, asset, **more))]
        tokens = answers[0][8]
        for which in range(co.COMMIT, last + 1):
            answers.append(self.ask(co.phase(ident, which, asset, tokens=tokens, **more)))
        return answers


def kinds(answers):
    return [answer[2] if answer else None for answer in answers]


def story_round():
    with Chain() as chain:
        ok(chain.server.hello[2:4] == [co.ROLE_CHAIN, CHAIN] and chain.server.hello[4] == 1,
           "P15: HELLO names the chain and its instance")
        prepared = chain.ask(co.phase("m1", co.PREPARE, "gold"))
        ok(prepared[1:6] == ["m1", co.PREPARE_OK, co.PREPARE, [1, 1], CHAIN] and
           len(prepared[8]) == 1, "P05: PREPARE_OK brings a token")
        gold = chain.asset("gold")
        ok(gold["reservedBy"] == "m1" and gold["primaryLockState"] == "AVAILABLE",
           "S04: the reservation stands beside the lock state, and the ledger names its holder")
        rival = chain.ask(co.phase("m2", co.PREPARE, "gold"))
        ok(rival[2] == co.PHASE_REJECT and rival[6] == 9,
           "S04: a reserved asset refuses other messages")
        committed = chain.ask(co.phase("m1", co.COMMIT, "gold", tokens=prepared[8]))
        again = chain.ask(co.phase("m1", co.COMMIT, "gold", tokens=prepared[8]))
        ok(committed[2] == co.COMMIT_OK and again == committed,
           "P06: the same COMMIT twice gives the same answer")
        chain.ask(co.phase("m1", co.FINALIZE, "gold", tokens=prepared[8]))
        gold = chain.asset("gold")
        ok((gold["primaryLockState"], gold["secondaryState"], gold["version"], gold["reservedBy"])
           == ("RESTRICTED", "FROZEN", 1, None), "a frozen asset was changed once and is free")


def story_rollback():
    with Chain() as chain:
        answers = chain.freeze("m1", "gold", last=co.COMMIT)
        undone = chain.ask(co.control("m1", co.ROLLBACK, tokens=answers[0][8], chains=[CHAIN]))
        gold = chain.asset("gold")
        ok(undone[2] == co.PROCESSED and gold["secondaryState"] == "NONE" and gold["version"] == 2,
           "A06: ROLLBACK restores the state before")
        late = chain.ask(co.phase("m1", co.COMMIT, "gold", tokens=answers[0][8]))
        ok(late[2] == co.PHASE_REJECT and chain.asset("gold")["version"] == 2,
           "P12: a COMMIT behind the rollback meets the tombstone")
        unseen = chain.ask(co.control("m7", co.ABORT))
        late = chain.ask(co.phase("m7", co.PREPARE, "silver"))
        ok(unseen[2] == co.PROCESSED and late[2] == co.PHASE_REJECT,
           "P12: ABORT leaves a tombstone for a message never seen")


def story_payloads():
    with Chain() as chain:
        cases = [
            ("no map", dict(body=b"\x01"), 60),
            ("an asset beside the message's", dict(body=co.payload("silver")), 60),
            ("an unknown action", dict(action="MELT"), 60),
            ("an asset that the ledger does not know", dict(asset="lead"), 59),
            ("a step too far", dict(action="SEIZE"), 32),
            ("a transition that is not listed", dict(action="RELEASE"), 1),
        ]
        for n, (name, change, code) in enumerate(cases):
            asset = change.pop("asset", "gold")
            answer = chain.ask(co.phase(f"bad-{n}", co.PREPARE, asset, **change))
            ok(answer[2] == co.PHASE_REJECT and answer[6] == code, f"{name}: refused with {code}")
        ok(chain.view("--summary")["states"] == {"AVAILABLE": 602}, "refusals change no asset")
        at_once = chain.ask(co.phase("b", co.COMMIT, "gold", atomicity=co.BEST_EFFORT))
        ok(at_once[2] == co.COMMIT_OK and chain.asset("gold")["secondaryState"] == "FROZEN",
           "A01: BEST_EFFORT commits without PREPARE")


def story_restart():
    with tempfile.TemporaryDirectory() as directory:
        server = co.Coordinator(SECRET.encode())
        with Chain(directory=directory, server=server) as chain:
            chain.freeze("m1", "gold")
            answers = chain.freeze("m2", "silver", last=co.COMMIT)
            chain.ask(co.control("m2", co.ROLLBACK, tokens=answers[0][8], chains=[CHAIN]))
            chain.process.kill()
        with Chain(directory=directory, server=server) as chain:
            gold, silver = chain.asset("gold"), chain.asset("silver")
            ok(server.hello[4] == 2, "P15: the instance is raised at every start")
            ok((gold["secondaryState"], gold["version"]) == ("FROZEN", 1) and
               (silver["secondaryState"], silver["version"]) == ("NONE", 2),
               "the ledger outlives kill -9")
            chain.freeze("m3", "silver")
            chain.process.terminate()
            chain.process.wait()
        with Chain(directory=directory, server=server) as chain:
            ok(chain.asset("silver")["version"] == 3, "and an end in good order")
        server.close()
    with Chain("--journal", "none") as chain:
        first = chain.server.hello[4]
        chain.process.kill()
        time.sleep(1.1)
        with Chain("--journal", "none", server=chain.server) as again:
            ok(again.server.hello[4] > first and os.listdir(again.directory) == ["port"],
               "P15: without a journal nothing is kept, and the instance is raised all the same")


def story_reconnect():
    with Chain() as chain:
        prepared = chain.ask(co.phase("m1", co.PREPARE, "gold"))
        chain.peer.close()
        chain.server.epoch = 2
        chain.peer = chain.server.accept()
        asked = chain.peer.receive()
        ok(asked == [co.ASK, "m1", [1, 1], CHAIN], "P14: a new epoch is asked about a reservation")
        same = chain.ask(co.phase("m1", co.PREPARE, "gold"))
        ok(same == prepared, "P15: after a reconnect the stored answer is the same")
        chain.ask(co.control("m1", co.ABORT))
        ok(chain.asset("gold")["reservedBy"] is None, "ABORT frees the reservation")
        chain.peer.send_bytes(b"\xc1")
        ok(chain.peer.receive() is None, "bytes that are no frame end the connection")
        chain.peer.close()
        chain.peer = chain.server.accept()
        ok(chain.ask(co.phase("m2", co.PREPARE, "gold"))[2] == co.PREPARE_OK,
           "and the chain comes back")
        ok(chain.process.poll() is None, "the process lives on")
        chain.process.send_signal(signal.SIGTERM)
        ok(chain.process.wait(5) == 0, "SIGTERM ends it in good order")


def story_connections():
    with Chain("--connections", "3") as chain:
        try:
            ok(chain.server.accept(0.5) is None, "one connection per shard, and no more")
        except TimeoutError:
            ok(True, "one connection per shard, and no more")
        gaps = []
        for _ in range(4):
            chain.peer.close()
            begin = time.monotonic()
            chain.peer = chain.server.accept()
            gaps.append(time.monotonic() - begin)
        ok(gaps[3] > 3 * gaps[0] and gaps[3] > 0.1,
           "a connection that never lasts comes back more and more slowly")
        ok(chain.ask(co.phase("m", co.PREPARE, "gold"))[2] == co.PREPARE_OK, "and works")


def story_faults():
    with Chain("--misbehave", "PREPARE:refuse=BUSY:count=1:id=a",
               "--misbehave", "COMMIT:delay=300:id=b", "--misbehave", "COMMIT:hold=300:id=c",
               "--misbehave", "PREPARE:drop:count=1:id=d", "--misbehave", "PREPARE:duplicate:id=e",
               "--misbehave", "PREPARE:reorder:count=1:id=f",
               "--misbehave", "PREPARE:terminal:id=g", "--misbehave", "ROLLBACK:refuse=BUSY:id=h",
               "--misbehave", "COMMIT:refuse=OPERATOR_REFUSED:id=i") as chain:
        first = chain.ask(co.phase("a", co.PREPARE, "gold"))
        second = chain.ask(co.phase("a", co.PREPARE, "gold", attempt=2))
        ok(first[2] == co.PHASE_REJECT and first[6] == 34 and second[2] == co.PREPARE_OK,
           "refuse: once, with the code, and then no more")
        prepared = chain.ask(co.phase("b", co.PREPARE, "silver"))
        begin = time.monotonic()
        committed = chain.ask(co.phase("b", co.COMMIT, "silver", tokens=prepared[8]))
        ok(committed[2] == co.COMMIT_OK and time.monotonic() - begin >= 0.29,
           "delay: the verdict comes later")
        prepared = chain.ask(co.phase("c", co.PREPARE, "bond-000001"))
        chain.peer.send(co.phase("c", co.COMMIT, "bond-000001", tokens=prepared[8]))
        undone = chain.ask(co.control("c", co.ROLLBACK, tokens=prepared[8], chains=[CHAIN]))
        late = chain.peer.receive()
        ok(undone[0] == co.CONTROL_ACK and undone[2] == co.PROCESSED and
           late[2] == co.PHASE_REJECT and chain.counters()["refused_by_tombstone"] == 1 and
           chain.asset("bond-000001")["version"] == 0,
           "hold: a COMMIT taken up behind its ROLLBACK is refused by the tombstone")
        ok(chain.ask(co.phase("d", co.PREPARE, "bond-000002"), 0.3) is None and
           chain.asset("bond-000002")["reservedBy"] is None,
           "drop: no answer and no reservation")
        one = chain.ask(co.phase("e", co.PREPARE, "bond-000003"))
        ok(one == chain.peer.receive(1) and one[2] == co.PREPARE_OK, "duplicate: two equal answers")
        chain.peer.send(co.phase("f", co.PREPARE, "bond-000004"),
                        co.phase("z", co.PREPARE, "bond-000005"))
        ok([chain.peer.receive()[1], chain.peer.receive()[1]] == ["z", "f"],
           "reorder: the next one goes first")
        terminal = chain.ask(co.phase("g", co.PREPARE, "bond-000006"))
        ok(terminal[0] == co.PHASE_ACK and terminal[2] == co.PROCESSED,
           "terminal: a phase is answered with a terminal ackType")
        answers = chain.freeze("h", "bond-000007", last=co.COMMIT)
        undone = chain.ask(co.control("h", co.ROLLBACK, tokens=answers[0][8], chains=[CHAIN]))
        ok(undone[2] in (co.FAILED, co.REJECTED) and
           chain.asset("bond-000007")["secondaryState"] == "FROZEN",
           "refuse is truthful: a refused ROLLBACK was not done")
        answers = chain.freeze("i", "bond-000008", last=co.COMMIT)
        ok(kinds(answers) == [co.PREPARE_OK, co.PHASE_REJECT] and answers[1][6] == 69 and
           chain.asset("bond-000008")["version"] == 0,
           "refuse is truthful: a refused COMMIT was not applied")


def story_kept():
    """A PREPARE that arrives while an earlier attempt waits for a slow verdict (P14)."""
    with Chain("--misbehave", "PREPARE:delay=200:count=1:id=k",
               "--misbehave", "PREPARE:delay=200:count=1:id=l",
               "--misbehave", "ROLLBACK:delay=200:id=r") as chain:
        holder = chain.ask(co.phase("holder", co.PREPARE, "gold"))
        chain.peer.send(co.phase("k", co.PREPARE, "gold"),
                        co.phase("k", co.PREPARE, "gold", attempt=2))
        first, second = chain.peer.receive(), chain.peer.receive()
        ok(kinds([first, second]) == [co.PHASE_REJECT] * 2 and first[4] == [1, 1] and
           second[4] == [1, 2] and second[6] == 9,
           "P14: a PREPARE that waited for a refusal asks the ledger again")
        chain.ask(co.control("holder", co.ABORT, tokens=holder[8]))
        chain.peer.send(co.phase("l", co.PREPARE, "gold", body=b"\x01"),
                        co.phase("l", co.PREPARE, "gold", body=b"\x01", attempt=2))
        answers = [chain.peer.receive(), chain.peer.receive()]
        ok([(answer[2], answer[6]) for answer in answers] == [(co.PHASE_REJECT, 60)] * 2,
           "P06: and what its payload was refused with still stands")
        answers = chain.freeze("r", "silver", last=co.COMMIT)
        chain.peer.send(co.control("r", co.ROLLBACK, tokens=answers[0][8], chains=[CHAIN]),
                        co.phase("r", co.PREPARE, "silver", attempt=2))
        undone, prepared = chain.peer.receive(), chain.peer.receive()
        ok(undone[0] == co.CONTROL_ACK and undone[2] == co.PROCESSED and
           prepared[2] == co.PREPARE_OK and chain.asset("silver")["reservedBy"] == "r",
           "P10: a PREPARE that waited for a ROLLBACK starts anew behind it")
        ok(chain.process.poll() is None, "the process lives on")


def story_die():
    with Chain("--misbehave", "COMMIT:die") as chain:
        prepared = chain.ask(co.phase("m", co.PREPARE, "gold"))
        chain.peer.send(co.phase("m", co.COMMIT, "gold", tokens=prepared[8]))
        ok(chain.process.wait(5) == -signal.SIGKILL, "die: the process kills itself")


def story_seed():
    def answers(seed):
        with Chain("--misbehave", "PREPARE:refuse=BUSY:p=0.5", "--seed", str(seed)) as chain:
            chain.peer.send(*(co.phase(f"m{n}", co.PREPARE, f"bond-{n:06d}") for n in range(64)))
            return [chain.peer.receive()[2] for _ in range(64)]

    one, same, other = answers(7), answers(7), answers(8)
    ok(one == same and one != other, "the seed alone decides what a probability does")
    ok(16 < one.count(co.PREPARE_OK) < 48, "one in two is about one in two")


def story_pages():
    with Chain() as chain:
        whole = chain.view()
        names = [asset["assetId"] for asset in whole["assets"]]
        ok(len(names) == 602 and names == sorted(names) and whole["chainId"] == CHAIN and
           whole["instance"] == 1, "the ledger is complete, in order, over several pages")
        stranger = subprocess.run(
            [os.path.join(BUILD_DIR, "tricast"), "chain", "ledger",
             "127.0.0.1:" + open(chain.port_file, encoding="utf-8").read().strip(),
             "--secret", "another secret entirely"], capture_output=True, check=False)
        ok(stranger.returncode == 3 and b"AUTHENTICATION_FAILED" in stranger.stderr,
           "a wrong secret sees nothing")


def story_flags():
    base = ["--connect", "127.0.0.1:1", "--chain", CHAIN, "--journal", "/nonexistent/state",
            "--asset", "gold"]
    cases = [
        (["--no-such-flag"], "no-such-flag"),
        (["--connect", "nowhere"], "connect 'nowhere'"),
        ([*base, "--chain", "Optimism"], "chain 'Optimism'"),
        ([*base, "--misbehave", "COMMIT:explode"], "misbehave 'COMMIT:explode'"),
        ([*base, "--misbehave", "FINALIZE:refuse=BUSY"], "cannot be refused"),
        ([*base, "--secret", "short"], "16 to 128 bytes"),
        ([*base, "--assets", "/nonexistent/assets"], "/nonexistent/assets"),
        ([*base, "--admin", "0.0.0.0:0"], "loopback"),
        ([*base, "word"], "'word'"),
        (base, "/nonexistent"),
        ([], "needed"),
    ]
    for flags, part in cases:
        done = subprocess.run([os.path.join(BUILD_DIR, "tricast-chain"), *flags],
                              capture_output=True, encoding="utf-8", check=False, timeout=10)
        lines = done.stderr.splitlines()
        ok(done.returncode == 2 and len(lines) == 1 and part in lines[0],
           f"exit 2 and one line that names {part}")


def main():
    for story in (story_round, story_rollback, story_payloads, story_restart, story_reconnect,
                  story_connections, story_faults, story_kept, story_die, story_seed, story_pages,
                  story_flags):
        try:
            story()
        except (AssertionError, IndexError, KeyError, OSError, StopIteration, TypeError,
                subprocess.TimeoutExpired) as error:
            ok(False, f"{story.__name__}: {type(error).__name__} {error}".replace("\n", " "))
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
