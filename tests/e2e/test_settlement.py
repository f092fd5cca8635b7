#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two tiers of finality, with a real server, over real sockets.

Goal: a message that is final here and not yet outside is never forgotten: it is
offered to the settlement until that reports its record's own root, over kills
of the server too; a difference is raised and changes nothing; a lag drives
messages forward, never back; forced ones wait for the sequencer (F03 to F06).

Method: chains and the settlement are strangers' (docs/wire.md, docs/finality.md);
what the archive holds is checked by tests/vectors/check_finality.py and by the
program.
"""

import hashlib
import json
import os
import sys
import time

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
# pylint: disable=wrong-import-position
import check_finality  # noqa: E402
import finality_bytes  # noqa: E402
import stranger as st  # noqa: E402
from server import CONFIG, Server, Tap, program  # noqa: E402

PENDING_GET, PENDING, SETTLE, SETTLED, HEARTBEAT, SEQUENCER, FINALITY_GET, FINALITY = range(40, 48)
SETTLEMENT = 3
FINAL, DIFFERENT, UNKNOWN, HELD = range(4)
A, B = "eip155:1", "eip155:10"
SECRETS = {A: "secret-of-chain-1-000", B: "secret-of-chain-10-00"}
SETTLED_CONFIG = CONFIG + """\
settlements:
  - name: base-l2
    secret: secret-of-settlement-1
finality:
  gapSeconds: {gap}
  redeliveryPauseSeconds: 1
  redeliveries: {redeliveries}
"""
TAP = Tap()
ok = TAP.ok


def config(gap=300, redeliveries=2):
    return SETTLED_CONFIG.replace("{gap}", str(gap)).replace("{redeliveries}", str(redeliveries))


class Stage:
    """A server with a journal, its chains, a submitter."""

    def __init__(self, text):
        self.server = Server(SECRETS, {"*": [A, B]}, config=text, journal="file")
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
        self.client = self.peer(st.CLIENT, "submitter", self.server.client)

    def again(self):
        """The server is killed, and started again; the chains stay."""
        self.server.kill()
        for chain in self.chains.values():
            chain.stop()
        self.server.start()
        self.connect()

    def configure(self, text):
        """What the next start reads."""
        with open(self.server.config, "w", encoding="utf-8") as file:
            file.write(text)

    def peer(self, role, name, secret):
        return st.Connection(self.server.port).greet(role, name, secret.encode())

    def settlement(self):
        return self.peer(SETTLEMENT, "base-l2", "secret-of-settlement-1")

    def operator(self):
        return self.peer(st.OPERATOR, "operator", self.server.operator)

    def finality(self):
        return os.path.join(self.server.directory, "data", "finality")

    def play(self, count, prefix):
        """Messages that end PROCESSED; their notices."""
        notices = []
        for i in range(count):
            result = st.submit(self.client, f"{prefix}-{i}", [A, B], [f"asset-{prefix}-{i}"])
            assert result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED], result.frames
            notices.append(result.frames[1])
        return notices


def ask(connection, frame, kind):
    connection.send(frame)
    answer = connection.receive()
    assert answer is not None and answer[0] == kind, answer
    return answer


def look(connection):
    """{name: value}"""
    return {row[0]: row[2] for row in ask(connection, [FINALITY_GET], FINALITY)[1]}


def until(condition, timeout_s=15):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def pending(connection, after=("", 0), limit=256):
    """Headers of the records that wait."""
    headers = []
    while True:
        _, more, rows = ask(connection, [PENDING_GET, *after, limit], PENDING)
        for header, signature in rows:
            read = finality_bytes.read_header(header)
            assert finality_bytes.signed(read["key"], header, signature)
            headers.append(read)
        if not more:
            return headers
        after = (headers[-1]["stream"], headers[-1]["ossEpoch"])


def settle(connection, header, root=None, reference="0xabc"):
    return ask(connection, [SETTLE, header["stream"], header["ossEpoch"], root or header["root"],
                            int(time.time() * 1000), reference], SETTLED)[3]


def where(header):
    return header["stream"], header["ossEpoch"]


def story_off():
    with Stage(CONFIG) as stage:
        notices = stage.play(3, "off")
        view = look(stage.operator())
        ok(view["settlement"] == 0 and view["pendingRecords"] == 0,
           "F05: without a settlement the queue is off, and the view says so", view)
        operator = stage.operator()
        operator.send([SEQUENCER, False])
        frame = operator.receive()
        ok(frame[0] == st.ERROR and frame[2] == st.CODES["NOT_ALLOWED"],
           "F06: nothing would keep a hold then, so none is answered as if it stood", frame)
        ok(look(operator)["sequencerUp"] == 1, "and the connection stays")
        ok(all(frame[5] and frame[6] >= 1 for frame in notices),
           "F08: a notice names its record all the same")
        ok(stage.server.stop() == 0, "the server ends in order")
        archive = check_finality.Archive(stage.finality(), complete=True)
        ok(not archive.faults and archive.ids ==
           {frame[1]: f"{frame[5]}.{frame[6]}" for frame in notices},
           "F02: the archive is closed and whole, and has each message where its notice says",
           archive.faults, archive.ids)
        done = program("tricast", "finality", "verify", stage.finality())
        ok(done.returncode == 0, "and `tricast finality verify` says so too", done.stdout,
           done.stderr)


def story_limits():
    """What --check-config lets pass, starts."""
    most = config(redeliveries=20) + "  redeliveriesPerSecond: 10000\n"
    with Stage(most) as stage:
        done = program("tricastd", "--config", stage.server.config, "--check-config")
        ok(done.returncode == 0 and look(stage.operator())["settlement"] == 1,
           "the most redeliveries that may be configured", done.stderr)
        for key, one_more in (("redeliveries: 20", "redeliveries: 21"),
                              ("PerSecond: 10000", "PerSecond: 10001")):
            stage.configure(stage.server.text.replace(key, one_more))
            done = program("tricastd", "--config", stage.server.config, "--check-config")
            ok(done.returncode == 2, f"{one_more}: one more is refused", done.stderr)


def story_gone():
    """A chain leaves the configuration while a message for it waits for the settlement."""
    with Stage(config(redeliveries=2)) as stage:
        stage.play(1, "g")
        text = stage.server.text.replace(f'chains: [{A}, {B}]', f'chains: [{A}]')
        text = text.replace(f"  - id: {B}\n    secret: {SECRETS[B]}\n", "")
        assert until(lambda: look(stage.settlement())["pendingRecords"] == 1)
        assert stage.server.stop() == 0
        for chain in stage.chains.values():
            chain.stop()
        del stage.chains[B]
        stage.configure(text)
        stage.server.start()
        stage.connect()
        peer = stage.settlement()
        ask(peer, [HEARTBEAT, 1000], FINALITY)
        ok(until(lambda: look(peer)["reconciliation"] == 1),
           "F04: each try counts as one that has failed, and at last it is handed over",
           look(peer), stage.server.log_tail())
        view = look(peer)
        lines = stage.server.log_tail().splitlines()
        told = [line for line in lines if 'reconciliation message="g-0"' in line]
        ok(view["redeliveriesFailed"] == 2 and len(told) == 1 and "reason=" in told[0] and
           sum("redelivery-refused" in line for line in lines) == 2,
           "F04: a line for each try, and one that names the message", view, lines)
        stage.again()
        ok(look(stage.settlement())["reconciliation"] == 1, "which survives kill -9")


def story_settle():
    with Stage(config()) as stage:
        notices = stage.play(5, "s")
        named = sorted({(frame[5], frame[6]) for frame in notices})
        peer = stage.settlement()
        ok(until(lambda: sorted(map(where, pending(peer))) == named),
           "F05: what has a notice and no settlement is offered", named)
        headers = pending(peer, limit=1)
        ok(sorted(map(where, headers)) == named, "record by record it is the same")
        first, second = headers[0], headers[1]
        ok(settle(peer, first, root=bytes(32)) == DIFFERENT, "F03: another root is a difference")
        ok(where(first) in map(where, pending(peer)), "the primary wins: the record still waits")
        ok(settle(peer, first) == FINAL and settle(peer, first) == FINAL,
           "F03: its own root makes it secondary-final, twice too")
        ok(settle(peer, second) == FINAL, "another one")
        unknown = {**second, "ossEpoch": 1 << 40}
        ok(settle(peer, unknown) == UNKNOWN, "a record that is none is said to be none")
        for frame in ([SETTLE, "1_0", 1, bytes(32), 0, ""], [PENDING_GET, "1_0", 0, 10],
                      [PENDING_GET, "", 5, 10]):
            peer.send(frame)
            got = peer.receive()
            ok(got[0] == st.ERROR and got[2] == st.CODES["FIELD_OUT_OF_RANGE"],
               f"a field that is none is refused: {frame[:3]}", got)
        left = [place for place in named if place not in (where(first), where(second))]
        ok(sorted(map(where, pending(peer))) == left, "F05: the others still wait")
        view = look(peer)
        ok((view["settlement"], view["settledRecords"], view["differences"],
            view["pendingRecords"]) == (1, 2, 1, len(left)), "and the view counts them", view)
        stage.again()
        peer = stage.settlement()
        ok(sorted(map(where, pending(peer))) == left and look(peer)["settledRecords"] == 2,
           "F03, F05: after kill -9 the same wait, and the same are settled")
        more = stage.play(1, "t")
        ok(until(lambda: sorted(map(where, pending(peer))) ==
                 sorted(left + [(more[0][5], more[0][6])])), "and new ones join them")
        stage.client.send([SETTLE, "1-0", 1, bytes(32), 0, ""])
        frame = stage.client.receive()
        ok(frame[0] == st.ERROR and frame[2] == st.CODES["WRONG_ROLE"],
           "a client may not report a settlement")
        done = program("tricast", "finality", "verify", stage.finality())
        ok(done.returncode == 0, "F02: archive and reports are sound while the server runs",
           done.stdout, done.stderr)


def story_forward():
    with Stage(config(redeliveries=2)) as stage:
        notices = stage.play(2, "f")
        peer = stage.settlement()
        effects = {name: dict(chain.effects) for name, chain in stage.chains.items()}
        ok(until(lambda: look(peer)["pendingRecords"] == len({(n[5], n[6]) for n in notices})),
           "two messages wait for the settlement")
        view = {row[0]: row[2] for row in ask(peer, [HEARTBEAT, 300], FINALITY)[1]}
        ok(view["gap"] == 0, "F04: a lag of 300 s is no gap")
        view = {row[0]: row[2] for row in ask(peer, [HEARTBEAT, 301], FINALITY)[1]}
        ok(view["gap"] == 1 and view["lagSeconds"] == 301, "F04: one of 301 s is", view)
        ok(until(lambda: look(peer)["alarms"] == 2),
           "F04: each is driven forward twice; all chains agree, so it stays queued with an alarm",
           look(peer), stage.server.log_tail())
        view = look(peer)
        ok((view["redeliveries"], view["redeliveriesFailed"], view["reconciliation"]) == (4, 0, 0),
           "none of the four has failed, none is handed over", view)
        ok(effects == {name: chain.effects for name, chain in stage.chains.items()},
           "P10: nothing was applied again")
        steps = {ident: chain.steps(ident) for ident in ("f-0", "f-1")
                 for chain in stage.chains.values()}
        ok(all("ROLLBACK" not in names and "ABORT" not in names for names in steps.values()),
           "A08: and nothing went back", steps)
        ok(all(settle(peer, header) == FINAL for header in pending(peer)),
           "they can still be settled")
        ask(peer, [HEARTBEAT, 0], FINALITY)
        ok(until(lambda: look(peer)["gap"] == 0 and look(peer)["pendingRecords"] == 0),
           "then there is no gap any more", look(peer))


def story_reconciliation():
    with Stage(config(redeliveries=2)) as stage:
        stage.play(1, "r")
        peer = stage.settlement()
        stage.chains[B].records.clear()   # it has forgotten, long before it may
        stage.chains[B].refuse = lambda step, ident: st.CODES["OPERATOR_REFUSED"]
        ask(peer, [HEARTBEAT, 1000], FINALITY)
        ok(until(lambda: look(peer)["reconciliation"] == 1),
           "F04: a chain that does not answer OK: used up, it is handed to reconciliation",
           look(peer), stage.server.log_tail())
        ok(stage.chains[B].effects.get("asset-r-0") == ["r-0"], "P10: applied once, as before")
        stage.again()
        view = look(stage.settlement())
        ok((view["reconciliation"], view["gap"]) == (1, 0), "F05: which survives kill -9", view)
        header = pending(stage.settlement())
        ok(len(header) == 1 and settle(stage.settlement(), header[0]) == FINAL and
           look(stage.settlement())["reconciliation"] == 0,
           "and ends when the settlement reports the record after all")


def story_forced():
    with Stage(config()) as stage:
        operator, peer = stage.operator(), stage.settlement()
        view = {row[0]: row[2] for row in ask(operator, [SEQUENCER, False], FINALITY)[1]}
        ok(view["sequencerUp"] == 0, "F06: the sequencer is down")
        frame = st.submit_frame("forced-1", [A, B], ["gold"])
        operator.send([29, *frame[1:]])
        got = operator.receive()
        ok(got[0] == st.ACK and got[2] == st.RECEIVED, "a forced message is accepted", got)
        ok(stage.chains[A].steps("forced-1") == [], "and held: no chain has heard of it")
        operator.send([30, "forced-1", True])
        kinds = []
        while "PROCESSED" not in kinds:
            got = operator.receive()
            kinds.append({st.ACK: "PROCESSED", st.NOTICE: "NOTICE", st.STATUS: "STATUS"}[got[0]]
                         if got[0] != st.ACK or got[2] == st.PROCESSED else got)
        ok(kinds == ["STATUS", "NOTICE", "PROCESSED"],
           "F06: when the self-defense check has passed it becomes final like any other", kinds)
        usual = stage.play(1, "u")
        ok(until(lambda: look(peer)["pendingRecords"] == 2), "two records wait", look(peer))
        ok(until(lambda: [where(header) for header in pending(peer)] ==
                 [(usual[0][5], usual[0][6])]) and look(peer)["heldRecords"] == 1,
           "F06: but the forced one is held")
        stage.again()
        operator, peer = stage.operator(), stage.settlement()
        ok(look(peer)["sequencerUp"] == 0 and len(pending(peer)) == 1,
           "the hold survives kill -9", look(peer))
        ask(operator, [SEQUENCER, True], FINALITY)
        ok(len(pending(peer)) == 2 and look(peer)["heldRecords"] == 0,
           "F06: and is released when the sequencer is up")
        stage.again()
        ok(len(pending(stage.settlement())) == 2, "which survives kill -9 too")
        operator = stage.operator()
        frame = st.submit_frame("forced-2", [A, B], ["silver"])
        operator.send([29, *frame[1:]])
        operator.receive()
        operator.send([30, "forced-2", False])
        frames = [operator.receive(), operator.receive()]
        last = [got for got in frames if got[0] == st.ACK]
        ok(len(last) == 1 and last[0][2] == st.REJECTED and
           stage.chains[A].steps("forced-2") == [],
           "F06: one whose check has not passed is REJECTED, and no chain has heard of it", frames)


def story_cli():
    """The same by the command line."""
    with Stage(config()) as stage:
        stage.play(2, "c")
        address = ["--server", f"127.0.0.1:{stage.server.port}"]
        as_operator = [*address, "--secret", stage.server.operator]
        as_settlement = [*address, "--name", "base-l2", "--secret", "secret-of-settlement-1"]

        def cli(*words):
            done = program("tricast", *words)
            return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

        ok(until(lambda: len(cli("finality", "pending", *as_operator)[1]) == 2),
           "`tricast finality pending` lists what waits")
        first = cli("finality", "pending", *as_operator)[1][0]
        code, rows = cli("finality", "pending", "--role", "settlement", *as_settlement)
        shown = cli("finality", "show", stage.finality())[1]
        ok(code == 0 and rows == cli("finality", "pending", *as_operator)[1] and
           {row["recordHash"]: row["signature"] for row in rows} ==
           {row["recordHash"]: row["signature"] for row in shown} and
           {row["place"] for row in shown} == {"PENDING"},
           "F05: the settlement sees the same, each with its signature", rows, shown)
        code, told = cli("heartbeat", "301", *as_settlement)
        ok(code == 0 and (told[0]["lagSeconds"], told[0]["gap"]) == (301, 1),
           "F04: `tricast heartbeat` says how far the settlement is behind", told)
        code, told = cli("heartbeat", "0", *as_settlement)
        ok(code == 0 and told[0]["gap"] == 0, "and that it is not any more", told)
        ok([cli("heartbeat", *words, *as_settlement)[0] for words in ([], ["-1"], ["4294967296"])]
           == [2, 2, 2], "no number of seconds is no lag")
        ok(cli("heartbeat", "1", *as_operator)[0] != 0, "F04: an operator cannot say so")
        help_text = " ".join(program("tricast", "settle", "--help").stdout.split())
        ok("default: that of its role: client, operator or settlement" in help_text,
           "--help says as whom it connects", help_text)
        words = [first["stream"], str(first["ossEpoch"])]
        code, told = cli("settle", *words, "0x" + "00" * 32, *as_settlement)
        ok((code, told[0]["verdict"]) == (1, "DIFFERENT"), "`tricast settle` with another root")
        code, told = cli("settle", *words, first["ossStateRoot"], "--reference", "0xabc",
                         *as_settlement)
        ok((code, told[0]["verdict"]) == (0, "FINAL"), "and with the record's own", told)
        code, told = cli("finality", "status", *as_operator)
        ok(code == 0 and (told[0]["settledRecords"], told[0]["pendingRecords"],
                          told[0]["differences"]) == (1, 1, 1), "`tricast finality status`", told)
        code, told = cli("sequencer", "down", *as_operator)
        ok(code == 0 and told[0]["sequencerUp"] == 0, "`tricast sequencer down`", told)
        code, told = cli("sequencer", "up", *as_operator)
        ok(code == 0 and told[0]["sequencerUp"] == 1, "`tricast sequencer up`", told)


def story_proof():
    """What a client keeps: proof and content, verified without us."""
    with Stage(config()) as stage:
        stage.play(3, "p")
        ok(stage.server.stop() == 0, "the server ends in order")
        path = os.path.join(stage.server.directory, "proof.json")
        done = program("tricast", "finality", "prove", stage.finality(), "--id", "p-1")
        with open(path, "w", encoding="utf-8") as file:
            file.write(done.stdout)
        proof = json.loads(done.stdout)
        content = bytes.fromhex(proof["content"])
        leaf = msgpack.unpackb(bytes.fromhex(proof["leaf"]))
        ok(leaf[0] == "p-1" and leaf[1] == hashlib.sha256(content).digest()[:16],
           "F02: with a settlement the archive keeps the content, and the leaf proves it")
        done = program("tricast", "finality", "verify", path)
        ok(done.returncode == 0, "F02: the proof holds, offline", done.stdout, done.stderr)
        proof["leafIndex"] += 1
        with open(path, "w", encoding="utf-8") as file:
            json.dump(proof, file)
        done = program("tricast", "finality", "verify", path)
        ok(done.returncode == 1, "and not at another place", done.stdout)


def tear(path):
    """Cuts each file of records within one, as if the power had gone; what is left of those."""
    torn = 0
    for name in os.listdir(path):
        with open(os.path.join(path, name), "r+b") as file:
            data = file.read() if name.endswith(".fin") else b""
            starts, at = [], 0
            while at < len(data):
                starts.append(at)
                at += 4 + int.from_bytes(data[at:at + 4], "big")
            if starts:
                file.truncate(starts[len(starts) // 2] + 50)
                torn += 50
    return torn


def story_changed():
    """The settlement comes or goes between a crash and the next start."""
    tail = config()[len(CONFIG):]
    for before, now in ((config(), "without"), (CONFIG, "with")):
        with Stage(before) as stage:
            own = stage.server.text
            notices = stage.play(8, "before")
            assert until(lambda: len(check_finality.Archive(stage.finality()).ids) == 8)
            for i in range(20):
                stage.client.send(st.submit_frame(f"load-{i}", [A, B], [f"asset-load-{i}"]))
            while sum(frame[1].startswith("load-") for frame in notices) < 5:
                notices += [frame for frame in [stage.client.receive()] if frame[0] == st.NOTICE]
            stage.server.kill()
            torn = tear(stage.finality())
            stage.configure(own + tail if now == "with" else own.removesuffix(tail))
            stage.again()
            view = look(stage.operator())
            ok(view["recordsBefore"] > 0 and view["gap"] == 0 and view["alarms"] == 0
               if now == "with" else view["settlement"] == 0,
               "F05: the queue begins where contents are kept", view)
            ok(torn > 0 and f"archive cut={torn}\n" in stage.server.log_tail(),
               f"D04: killed, torn and started {now} a settlement, it says how much it has cut",
               torn, stage.server.log_tail())
            notices += stage.play(3, "after")
            ok(stage.server.stop() == 0, "the server ends in order")
            archive = check_finality.Archive(stage.finality(), complete=True)
            places = {frame[1]: f"{frame[5]}.{frame[6]}" for frame in notices}
            ok(not archive.faults and len(places) >= 16 and places.items() <= archive.ids.items(),
               "F02: the archive is whole, and has each message where its notice says",
               archive.faults, places, archive.ids)
            kept = [stream["contents"] for _, stream in sorted(archive.streams.items())]
            ok(kept == (["kept"] * 2 + ["omitted"] * 2 if now == "without" else
                        ["omitted"] * 2 + ["kept"] * 2),
               "each stream has contents as it was opened", kept)
            done = program("tricast", "finality", "verify", stage.finality(), "--complete")
            ok(done.returncode == 0, "and `tricast finality verify` says so too", done.stdout,
               done.stderr)


if __name__ == "__main__":
    sys.exit(TAP.run(story_off, story_limits, story_gone, story_settle, story_forward,
                     story_reconciliation, story_forced, story_cli, story_proof, story_changed))
