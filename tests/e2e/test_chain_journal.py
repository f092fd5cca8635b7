#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tricast-chain that is killed goes on as if it had not been (P06, P10, P12, P13, D03, D05).

First a coordinator of our own (coordinator.py), which compares answers byte by
byte across kill -9 at every stage of a message; then a real tricastd whose
chains are killed in the middle of its rounds, judged by their ledgers.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

import msgpack

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coordinator as co
import server as host

SECRET = "a secret of the chain"
CHAIN = "eip155:10"
OTHER = "eip155:8453"
TORN_BYTES = 8192
tap = host.Tap()
ok = tap.ok


class Chain:
    """One tricast-chain over many lives, with its coordinator and its journal."""

    def __init__(self, *flags):
        self.own = tempfile.TemporaryDirectory(prefix="tricast-chain-")
        self.journal = os.path.join(self.own.name, "journal")
        self.port_file = os.path.join(self.own.name, "port")
        self.server = co.Coordinator(SECRET.encode())
        self.flags = flags
        self.process = None
        self.peer = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.server.close()
        self.own.cleanup()

    def command(self, chain=CHAIN):
        return [os.path.join(host.BUILD_DIR, "tricast-chain"), "--connect",
                f"127.0.0.1:{self.server.port}", "--chain", chain, "--secret", SECRET, "--journal",
                self.journal, "--journal-segment-bytes", "1048576", "--asset", "gold", "--asset",
                "silver", "--asset-count", "64", "--asset-prefix", "bond-", "--admin",
                "127.0.0.1:0", "--port-file", self.port_file, *self.flags]

    def start(self):
        if os.path.exists(self.port_file):
            os.remove(self.port_file)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, encoding="utf-8",
                                        preexec_fn=host.die_with_parent)
        self.peer = self.server.accept()

    def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()
        self.peer.close()

    def again(self):
        self.kill()
        self.start()

    def ask(self, frame):
        """The answer's bytes; ASK, which every WELCOME brings, is none."""
        self.peer.send(frame)
        return self.hear()

    def hear(self):
        while True:
            body = self.peer.receive_bytes()
            if body is None or msgpack.unpackb(body)[0] != co.ASK:
                return body

    def asset(self, name):
        port = host.wait_port(self.port_file, self.process)
        done = host.program("tricast", "chain", "ledger", f"127.0.0.1:{port}", "--json", "--secret",
                            SECRET)
        found = next(asset for asset in json.loads(done.stdout)["assets"]
                     if asset["assetId"] == name)
        return found["secondaryState"], found["version"], found["reservedBy"]

    def segments(self):
        return sorted(name for name in os.listdir(self.journal) if name.endswith(".seg"))


def kind(body):
    return None if body is None else msgpack.unpackb(body)[2]


def code(body):
    return msgpack.unpackb(body)[6]


def tokens(body):
    return msgpack.unpackb(body)[8]


def story_reserved():
    with Chain() as chain:
        prepared = chain.ask(co.phase("m", co.PREPARE, "gold"))
        chain.kill()
        chain.start()
        ok(chain.peer.receive() == [co.ASK, "m", [1, 1], CHAIN],
           "P14: a recovered reservation is asked about")
        ok(chain.ask(co.phase("m", co.PREPARE, "gold")) == prepared,
           "P06: PREPARE gets the same bytes, the token of the life before included")
        rival = chain.ask(co.phase("rival", co.PREPARE, "gold"))
        ok(kind(rival) == co.PHASE_REJECT and code(rival) == 9, "S04: the asset is still reserved")
        fresh = chain.ask(co.phase("fresh", co.PREPARE, "silver"))
        ok(tokens(prepared) == ["00000001-0000000000000001"] and
           tokens(fresh) == ["00000002-0000000000000002"],
           "P05: a new token has the number of the new life")
        committed = chain.ask(co.phase("m", co.COMMIT, "gold", tokens=tokens(prepared)))
        ok(kind(committed) == co.COMMIT_OK and chain.asset("gold") == ("FROZEN", 1, "m"),
           "L05: the old token commits")
        chain.again()
        ok(chain.ask(co.phase("rival", co.PREPARE, "gold")) == rival, "P06: a refusal is kept too")


def story_applied():
    with Chain() as chain:
        prepared = chain.ask(co.phase("m", co.PREPARE, "gold"))
        commit = co.phase("m", co.COMMIT, "gold", tokens=tokens(prepared))
        chain.peer.send(commit)
        while chain.asset("gold")[1] != 1:
            pass
        chain.again()
        committed = chain.ask(commit)
        ok(kind(committed) == co.COMMIT_OK and chain.asset("gold") == ("FROZEN", 1, "m"),
           "P10: applied before its ACK left, a COMMIT is not applied again")
        chain.again()
        undo = co.control("m", co.ROLLBACK, tokens=tokens(prepared), chains=[CHAIN])
        undone = chain.ask(undo)
        ok(kind(undone) == co.PROCESSED and chain.asset("gold") == ("NONE", 2, None),
           "A06: killed between COMMIT and ROLLBACK, it really undoes what it calls undone")
        chain.again()
        ok(chain.ask(undo) == undone and chain.asset("gold") == ("NONE", 2, None),
           "A07: and says the same after another life, doing nothing")
        late = chain.ask(commit)
        ok(kind(late) == co.PHASE_REJECT and code(late) == 53, "P12: its tombstone is kept")


def story_closed():
    with Chain() as chain:
        prepared = chain.ask(co.phase("m", co.PREPARE, "gold"))
        told = [chain.ask(co.phase("m", which, "gold", tokens=tokens(prepared)))
                for which in (co.COMMIT, co.FINALIZE)]
        aborted = chain.ask(co.control("never", co.ABORT))
        chain.again()
        ok([chain.ask(co.phase("m", which, "gold", tokens=tokens(prepared)))
            for which in (co.COMMIT, co.FINALIZE)] == told and
           chain.asset("gold") == ("FROZEN", 1, None), "P06: a closed message answers as before")
        fenced = chain.ask(co.control("m", co.ROLLBACK, tokens=tokens(prepared), chains=[CHAIN]))
        ok(kind(fenced) == co.FAILED and code(fenced) == 55, "A08: nothing is undone behind FINALIZE")
        ok(chain.ask(co.control("never", co.ABORT)) == aborted and
           code(chain.ask(co.phase("never", co.PREPARE, "silver"))) == 53,
           "P12: so does the tombstone of a message never seen")
        mismatch = chain.ask(co.phase("m", co.COMMIT, "gold", content="another"))
        ok(code(mismatch) == 33, "P06: and the content of a known id is known")


def story_under_way():
    """A verdict that was delayed when the process died was never given."""
    with Chain("--misbehave", "COMMIT:delay=60000") as chain:
        prepared = chain.ask(co.phase("m", co.PREPARE, "gold"))
        commit = co.phase("m", co.COMMIT, "gold", tokens=tokens(prepared))
        chain.peer.send(commit, co.phase("other", co.PREPARE, "silver"))
        chain.hear()
        chain.flags = ()
        chain.again()
        ok(chain.asset("gold") == ("NONE", 0, "m"), "what waited for its verdict is reserved")
        ok(kind(chain.ask(commit)) == co.COMMIT_OK and chain.asset("gold") == ("FROZEN", 1, "m"),
           "and is applied once when it is asked for again")


def story_any_moment(lives=60):
    """Many messages, killed at moments of chance: what was told holds, nothing is applied twice."""
    draw = random.Random(4)
    kept = applied = 0
    with Chain() as chain:
        for life in range(lives):
            names = [f"m{life}-{n}" for n in range(8)]
            asset = {name: f"bond-{n + 8 * (life % 8):06d}" for n, name in enumerate(names)}
            action = "FREEZE" if life // 8 % 2 == 0 else "RELEASE"
            chain.peer.send(*(co.phase(name, co.PREPARE, asset[name], action=action)
                              for name in names))
            prepared = {msgpack.unpackb(body)[1]: body
                        for body in (chain.hear() for _ in names) if body}
            commits = {name: co.phase(name, co.COMMIT, asset[name], action=action,
                                      tokens=tokens(prepared[name])) for name in names}
            chain.peer.send(*commits.values())
            time.sleep(draw.random() * 0.002)
            chain.process.kill()
            told = {}
            while (body := chain.hear()) is not None:
                told[msgpack.unpackb(body)[1]] = body
            chain.again()
            for name in names:
                chain.peer.send(commits[name])
            answers = {}
            for _ in names:
                body = chain.hear()
                answers[msgpack.unpackb(body)[1]] = body
            kept += sum(answers[name] == told[name] for name in told)
            applied += sum(kind(body) == co.COMMIT_OK for body in answers.values())
            if any(answers[name] != told[name] for name in told):
                ok(False, f"life {life}: another answer than before the kill")
            for name in names:
                chain.ask(co.phase(name, co.FINALIZE, asset[name], action=action,
                                   tokens=tokens(prepared[name])))
        versions = [chain.asset(f"bond-{n:06d}")[1] for n in range(64)]
        print(f"# {kept} answers were told before a kill, {applied} of {lives * 8} applied")
        ok(kept > 0 and applied == lives * 8 and sum(versions) == lives * 8,
           "P10: over many kills every COMMIT is applied, and none twice")


def story_torn():
    with Chain() as chain:
        told = [chain.ask(co.phase(f"m{n}", co.PREPARE, f"bond-{n:06d}")) for n in range(8)]
        chain.kill()
        path = os.path.join(chain.journal, chain.segments()[0])
        with open(path, "r+b") as file:
            bytes_ = file.read()
            end = (len(bytes_.rstrip(b"\0")) + 4095) // 4096 * 4096
            file.seek(end)
            file.write(random.Random(5).randbytes(TORN_BYTES))
        chain.start()
        ok([chain.ask(co.phase(f"m{n}", co.PREPARE, f"bond-{n:06d}")) for n in range(8)] == told,
           "D03: a torn tail is cut, and what was told before it holds")
        chain.ask(co.phase("late", co.PREPARE, "gold"))
        chain.again()
        ok(kind(chain.ask(co.phase("late", co.PREPARE, "gold"))) == co.PREPARE_OK and
           chain.asset("gold")[2] == "late", "what came behind the cut is kept")


def story_damaged():
    with Chain() as chain:
        for n in range(8):
            chain.ask(co.phase(f"m{n}", co.PREPARE, f"bond-{n:06d}"))
        chain.kill()
        path = os.path.join(chain.journal, chain.segments()[0])
        with open(path, "r+b") as file:
            file.seek(2 * 4096 + 100)
            file.write(b"\xff" * 16)
        refused = subprocess.run(chain.command(), capture_output=True, check=False, timeout=20,
                                 encoding="utf-8")
        ok(refused.returncode == 2 and len(refused.stderr.splitlines()) == 1 and
           os.path.basename(path) in refused.stderr,
           "D03: damage before what was told stops the start and names the file", refused.stderr)


def story_directory():
    with Chain() as chain:
        second = subprocess.run(chain.command(), capture_output=True, check=False, timeout=20,
                                encoding="utf-8")
        ok(second.returncode == 2 and "another process" in second.stderr and
           len(second.stderr.splitlines()) == 1, "two processes on one directory: the second ends")
        ok(kind(chain.ask(co.phase("m", co.PREPARE, "gold"))) == co.PREPARE_OK,
           "and the first is not disturbed")
        chain.kill()
        strange = subprocess.run(chain.command("eip155:8453"), capture_output=True, check=False,
                                 timeout=20, encoding="utf-8")
        ok(strange.returncode == 2 and f"belongs to '{CHAIN}'" in strange.stderr,
           "another chain's directory is refused")
        with open(os.path.join(chain.journal, "hash-secret"), "r+b") as file:
            file.write(b"\0")
        other = subprocess.run(chain.command(), capture_output=True, check=False, timeout=20,
                               encoding="utf-8")
        ok(other.returncode == 2 and len(other.stderr.splitlines()) == 1,
           "D06: another hash secret refuses to start", other.stderr)


def story_bounded(rounds=12000, batch=500):
    """The journal is bounded by checkpoints, and they hold everything that is remembered."""
    with Chain("--entries", "20000", "--dedup-window-ms", "2000") as chain:
        open_ = chain.ask(co.phase("open", co.PREPARE, "gold", ttl_ms=600000))
        chain.ask(co.phase("open", co.COMMIT, "gold", tokens=tokens(open_)))
        most = 0
        for begin in range(0, rounds, batch):
            names = [f"r{begin + n}" for n in range(batch)]
            for which in (co.PREPARE, co.ABORT):
                chain.peer.send(*(co.phase(name, co.PREPARE, f"bond-{n % 64:06d}", ttl_ms=1)
                                  if which == co.PREPARE else co.control(name, co.ABORT)
                                  for n, name in enumerate(names)))
                for _ in names:
                    chain.hear()
            used = sum(os.path.getsize(os.path.join(chain.journal, name))
                       for name in chain.segments())
            most = max(most, used)
        first = chain.segments()[0]
        ok(first != "1-0-1.seg" and most < 24 << 20,
           f"old segments go: at most {most >> 20} MiB of the journal at once", chain.segments())
        chain.again()
        undone = chain.ask(co.control("open", co.ROLLBACK, tokens=tokens(open_), chains=[CHAIN]))
        ok(kind(undone) == co.PROCESSED and chain.asset("gold") == ("NONE", 2, None),
           "P13: what is applied and not closed is in every checkpoint")


def story_refused_writes():
    """A limit of the process is a disk that refuses, and a reader of its log that is gone nothing."""
    with Chain() as chain:
        resource.prlimit(chain.process.pid, resource.RLIMIT_FSIZE, (16384, 16384))
        for number in range(8):  # a block each
            try:
                chain.ask(co.phase(f"m{number}", co.PREPARE, f"bond-{number:06d}"))
            except OSError:
                break
        _, said = chain.process.communicate(timeout=20)
        ok(chain.process.returncode == 1 and "cannot be written: File too large" in said,
           "D03 a write that is refused ends the chain, which says why", chain.process.returncode,
           said)
    with Chain() as chain:
        chain.process.stderr.close()
        chain.process.send_signal(signal.SIGTERM)
        ok(chain.process.wait(20) == 0, "nobody reads the log: the chain ends in good order",
           chain.process.returncode)


# ---- with a real coordinator ----

def wait_for(condition, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)

A, B = CHAIN, OTHER
LOAD = 8000  # messages, each on an asset of its own
SECRETS = {A: "a secret of chain A", B: "a secret of chain B"}


class House(host.Server):
    """A tricastd with its two chains, which can be killed."""

    def __init__(self):
        super().__init__(SECRETS, {"bond-*": [A, B]})
        self.ports = {}
        self.chains = {}
        self.starts = {}

    def start_chain(self, name, *flags):
        """Returns when the coordinator has welcomed it."""
        base = os.path.join(self.directory, name.replace(":", "-"))
        if os.path.exists(base + ".port"):
            os.remove(base + ".port")
        self.starts[name] = self.starts.get(name, 0) + 1
        self.ports[name] = self.chain(name, SECRETS[name], "--asset-count", str(LOAD),
                                      "--asset-prefix", "bond-", *flags)
        self.chains[name] = self.processes[-1]
        wait_for(lambda: open(base + ".log", encoding="utf-8").read().count("event=link_open ") >=
                 self.starts[name])

    def kill_chain(self, name):
        self.chains[name].kill()
        self.chains[name].wait()

    def ledger(self, name):
        done = host.program("tricast", "chain", "ledger", f"127.0.0.1:{self.ports[name]}", "--json",
                            "--secret", SECRETS[name])
        return {asset["assetId"]: asset for asset in json.loads(done.stdout)["assets"]}

    def submit(self, *flags):
        return subprocess.Popen(
            [os.path.join(host.BUILD_DIR, "tricast"), "submit", "--server",
             f"127.0.0.1:{self.port}", "--name", "submitter", "--secret", self.client, "--target",
             A, "--target", B, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", preexec_fn=host.die_with_parent)


def story_rollback_after_kill():
    with House() as house:
        house.start_chain(A)
        house.start_chain(B, "--misbehave", "COMMIT:drop:count=1")
        done = house.submit("--id", "m", "--asset", "bond-000001", "--action", "FREEZE",
                            "--commit-ms", "2000")
        wait_for(lambda: house.ledger(A)["bond-000001"]["version"] == 1)
        house.kill_chain(A)
        house.start_chain(A)
        out, _ = done.communicate(timeout=60)
        frozen = [house.ledger(name)["bond-000001"] for name in (A, B)]
        ok(done.returncode == 0 and [asset["version"] for asset in frozen] == [3, 1] and
           all(asset["secondaryState"] == "FROZEN" for asset in frozen),
           "A06: killed between COMMIT and ROLLBACK, a chain undoes, and the next attempt applies",
           out, str(frozen))


def story_kills_under_load(kills=8):
    draw = random.Random(6)
    with House() as house:
        house.start_chain(A)
        house.start_chain(B)
        burst = house.submit("--burst", str(LOAD), "--id", "load", "--asset", "bond-", "--action",
                             "FREEZE", "--in-flight", "16", "--commit-ms", "1000", "--prepare-ms",
                             "1000", "--timeout-ms", "60000")
        for _ in range(kills):
            time.sleep(0.02 + draw.random() * 0.1)
            name = draw.choice((A, B))
            house.kill_chain(name)
            house.start_chain(name)
        was_running = burst.poll() is None
        out, err = burst.communicate(timeout=100)
        wait_for(lambda: all(asset["reservedBy"] is None for name in (A, B)
                             for asset in house.ledger(name).values()))
        ledgers = [{name: asset["secondaryState"] for name, asset in house.ledger(chain).items()}
                   for chain in (A, B)]
        frozen = list(ledgers[0].values()).count("FROZEN")
        print(f"# {frozen} of {LOAD} frozen; {out.strip()[:400]} {err.strip()[:200]}")
        ok(was_running and ledgers[0] == ledgers[1] and frozen == json.loads(out)["results"]
           ["PROCESSED"] > LOAD // 2, "all or none, though chains were killed")


def main():
    return tap.run(story_reserved, story_applied, story_closed, story_under_way, story_any_moment,
                   story_torn, story_damaged, story_directory, story_bounded,
                   story_refused_writes, story_rollback_after_kill, story_kills_under_load)


if __name__ == "__main__":
    sys.exit(main())
