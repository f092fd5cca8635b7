#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How many shards a server has, and over how many connections a chain speaks to it, is nobody's
business: the same messages have the same results and leave the same ledgers.

The messages are drawn from a seed: every strategy, one to three targets, payloads that a ledger
refuses, duplicates and ids used twice, and ids that make the real tricast-chain refuse, drop,
delay or double.  No two messages share an asset, and what a chain does to a message follows from
the message alone; so results may depend on nothing else.  The first run, one shard and one
connection, is what the others are compared with.

Then the other side of it: with a connection for each shard no chain's answer is sent on to
another shard.
"""

import collections
import json
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host
import stranger as st

A, B, C = ALL = ("eip155:8453", "eip155:42161", "eip155:10")
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in ALL}
# Shards, connections of a chain, journal.
RUNS = ((1, 1, "none"), (2, 1, "none"), (2, 2, "file"), (8, 1, "none"), (8, 8, "none"))
ASSETS = 2400
IN_FLIGHT = 256
PATIENCE_MS = 60000
SHORT_MS = 600  # for those of which a phase is meant to end without an answer
tap = host.Tap()
ok = tap.ok
seed = os.environ.get("TRI_SEED", "0")

# By the beginning of an id: what the chains do to the message.
RULES = {
    "plain": {},
    "wrong": {},  # payloads that every ledger refuses
    "lone": {},   # assets that the third chain does not know
    "refused-prepare": {A: ["PREPARE:refuse=OPERATOR_REFUSED"]},
    "refused-commit": {B: ["COMMIT:refuse=OPERATOR_REFUSED"]},
    "refused-commits": {chain: ["COMMIT:refuse=OPERATOR_REFUSED"] for chain in ALL},
    "refused-rollback": {B: ["COMMIT:refuse=OPERATOR_REFUSED"],
                         C: ["ROLLBACK:refuse=ROLLBACK_FENCED"]},
    "busy": {C: ["PREPARE:refuse=BUSY"]},
    "slow": {A: ["PREPARE:delay=20"], B: ["COMMIT:delay=30"], C: ["FINALIZE:hold=10"]},
    "doubled": {chain: ["PREPARE:duplicate", "COMMIT:duplicate"] for chain in (A, C)},
    "mixed-up": {A: ["PREPARE:reorder", "COMMIT:reorder"]},
    "lost-prepare": {B: ["PREPARE:drop"]},
    "lost-commit": {C: ["COMMIT:drop"]},
    "lost-finalize": {A: ["FINALIZE:drop"]},
    "terminal": {B: ["PREPARE:terminal"]},
}
WAITING = ("lost-prepare", "lost-commit", "lost-finalize", "terminal")
# What a chain puts aside is answered on whichever of its connections is there first.
ASIDE = ("slow", "doubled", "mixed-up")
CONFIG = host.CONFIG.replace("handshakeMs: 500", "handshakeMs: 5000").replace(
    "peerTimeoutMs: 1500", "peerTimeoutMs: 20000").replace("maxRetries: 3", "maxRetries: 1").replace(
    "limits:", "capacities:\n  segmentBytes: 4194304\nlimits:")


def make_kinds(draw):
    """[(kind, atomicity)]: of each kind as many of each strategy."""
    kinds = []
    for kind in RULES:
        count = 18 if kind in WAITING else 1050 if kind == "plain" else 126
        kinds += [(kind, number % 3) for number in range(count)]
    draw.shuffle(kinds)
    return kinds


def make_message(draw, number, kind, atomicity, now_ms):
    asset = f"{'bond-lone' if kind == 'lone' else 'bond'}-{number:06}"
    action = draw.choice(["FREEZE"] * 6 + ["RESTRICT", "RESERVE", "LIQUIDATE"])
    named = asset
    if kind == "wrong":
        action = draw.choice(["FREEZE", "SEIZE", "RELEASE", "MELT"])
        named = "another" if action == "FREEZE" else asset
    more = {"finalize": draw.random() < 0.5, "timestamp": now_ms,
            "timeouts": [SHORT_MS if kind in WAITING else PATIENCE_MS] * 3}
    if kind in ("plain", "wrong", "lone", "slow", "refused-prepare"):
        more["priority"] = draw.randrange(4)
    if kind == "plain" and draw.random() < 0.1:
        more["scope"] = st.ALL_CHAINS
    return st.submit_frame(f"{kind}-{number:06}", draw.sample(ALL, draw.randint(1, 3)), [asset],
                           st.pack({"assetId": named, "action": action, "reason": "test"}),
                           atomicity, **more)


def make_messages():
    """Two batches of [(SUBMIT, what follows it)]: those that wait for something, and the rest.

    What follows is the same again on another connection, once the first is RECEIVED, or the same
    id with other content, behind it.
    """
    draw = random.Random(f"shards {seed}")
    now_ms = int(time.time() * 1000)
    batches = [], []
    for number, (kind, atomicity) in enumerate(make_kinds(draw)):
        frame = make_message(draw, number, kind, atomicity, now_ms)
        luck = draw.random()
        batches[kind not in (*WAITING, *ASIDE)].append(
            (frame, "again" if luck < 0.05 else "other" if luck < 0.1 else None))
    return batches


def kind_of(ident):
    return ident.rpartition("-")[0]


# A run --------------------------------------------------------------------------------------


def flags_of(house, chain, connections):
    flags = ["--connections", str(connections), "--asset-prefix", "bond-", "--asset-count",
             str(ASSETS)]
    for kind, rules in RULES.items():
        for rule in rules.get(chain, []):
            flags += ["--misbehave", f"{rule}:id={kind}-"]
    if chain != C:
        path = os.path.join(house.directory, "lone")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"bond-lone-{number:06}\n" for number in range(ASSETS))
        flags += ["--assets", path]
    return flags


def outcome(frame, is_repeated):
    """What a submitter is told at the end, but for what is a matter of time.

    P01: a refusal ends PREPARE at once, so another chain may have said OK by then or not (PREPARED
    is OPEN here), and of several that refuse one is named.  A duplicate that comes behind the end
    is told no codes of targets.
    """
    targets = []
    for chain, state, code in frame[6]:
        if state == st.PREPARED or (kind_of(frame[1]) == "wrong" and frame[2] == st.REJECTED):
            state, code = st.OPEN, 0
        targets.append((chain, state, 0 if is_repeated else code))
    return frame[2], frame[3], frame[5][1], tuple(targets)


class Player:
    """Submits on two connections and notes what it is told."""

    def __init__(self, house, shards):
        self.clients = [
            st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode(), shard=1),
            st.Connection(house.port).greet(st.CLIENT, "other", house.other.encode(), shard=shards)]
        self.outcomes = collections.defaultdict(list)  # by (connection, id), sorted at the end
        self.notices = {}
        self.owed = [0, 0]
        self.repeats = {}

    def send(self, connection, frame):
        self.clients[connection].send(frame)
        self.owed[connection] += 1

    def play(self, batch):
        for frame, follows in batch:
            while sum(self.owed) >= IN_FLIGHT:
                self.take()
            if follows == "again":
                self.repeats[frame[1]] = frame
            self.send(0, frame)
            if follows == "other":
                self.send(0, [*frame[:9], "another node", *frame[10:]])
        while any(self.owed):
            self.take()
        for told in self.outcomes.values():
            told.sort()

    def take(self):
        connection = 0 if self.owed[0] else 1
        frame = self.clients[connection].receive(30)
        if frame is None or frame[0] not in (st.ACK, st.NOTICE):
            raise st.Broken(f"{self.owed} results are owed, but there is {frame}")
        ident = frame[1]
        if frame[0] == st.NOTICE:
            self.notices.setdefault((connection, ident), sorted(frame[4]))
        elif frame[2] != st.RECEIVED:
            self.outcomes[connection, ident].append(outcome(frame, connection == 1))
            self.owed[connection] -= 1
        elif connection == 0 and ident in self.repeats:
            self.send(1, self.repeats.pop(ident))


def read_ledgers(ports):
    ledgers = {}
    for chain, port in ports.items():
        done = host.program("tricast", "chain", "ledger", f"127.0.0.1:{port}", "--json", "--secret",
                            SECRETS[chain])
        ledgers[chain] = json.loads(done.stdout)["assets"]
    return ledgers


def settled_ledgers(ports, expected):
    """The ledgers once they are as expected, or no longer change."""
    end = time.monotonic() + 10
    ledgers = read_ledgers(ports)
    while ledgers != expected and time.monotonic() < end:
        time.sleep(0.3)
        before, ledgers = ledgers, read_ledgers(ports)
        if expected is None and before == ledgers:
            break
    return ledgers


def wait_linked(house, connections):
    """Until each chain has its connections."""
    end = time.monotonic() + 10
    while house.stats()["hellos"] < 1 + len(ALL) * connections and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.1)  # every shard hears of it


def shards_of(house, chain):
    """The shards on which the chain was welcomed, as it says itself."""
    with open(os.path.join(house.directory, chain.replace(":", "-") + ".log"), encoding="utf-8") \
            as file:
        return sorted(int(re.search(r"shard=(\d+)", line)[1]) for line in file
                      if "event=link_open" in line)


def run(shards, connections, journal, batches, expected):
    with host.Server(SECRETS, {"bond-*": ALL}, config=CONFIG, shards=shards,
                     journal=journal) as house:
        ports = {chain: house.chain(chain, SECRETS[chain], *flags_of(house, chain, connections))
                 for chain in ALL}
        wait_linked(house, connections)
        begin = time.monotonic()
        player = Player(house, shards)
        player.play(batches[0])
        forwarded = house.stats()["answers_forwarded"]
        player.play(batches[1])
        took_s = time.monotonic() - begin
        ledgers = settled_ledgers(ports, expected and expected["ledgers"])
        stats = house.stats()
        forwarded = stats["answers_forwarded"] - forwarded
        landed = [shards_of(house, chain) for chain in ALL]
    print(f"# {shards} shards, {connections} connections, journal {journal}: {took_s:.1f} s, "
          f"answers_forwarded {forwarded}, frames_forwarded {stats['frames_forwarded']}, handovers "
          f"{stats['handovers']}", flush=True)
    return {"outcomes": dict(player.outcomes), "ledgers": ledgers, "forwarded": forwarded,
            "notices": {ident: chains for (connection, ident), chains in player.notices.items()
                        if connection == 0}, "landed": landed}


def differences(one, other):
    return [f"{key}: {one.get(key)} != {other.get(key)}" for key in sorted({*one, *other})
            if one.get(key) != other.get(key)][:20]


def story_shards():
    batches = make_messages()
    expected = run(*RUNS[0], batches, None)
    census(expected)
    for shards, connections, journal in RUNS[1:]:
        name = f"{shards} shards, {connections} connection(s) a chain, journal {journal}"
        got = run(shards, connections, journal, batches, expected)
        ok(got["outcomes"] == expected["outcomes"], f"{name}: each id has the result of one shard",
           *differences(expected["outcomes"], got["outcomes"]))
        ok(got["notices"] == expected["notices"], f"{name}: and the NOTICE",
           *differences(expected["notices"], got["notices"]))
        ok(got["ledgers"] == expected["ledgers"], f"{name}: the ledgers are those of one shard",
           *differences(*({(chain, asset["assetId"]): asset for chain in ALL
                           for asset in one["ledgers"][chain]} for one in (expected, got))))
        if connections == shards:
            ok(got["landed"] == [list(range(shards))] * len(ALL),
               f"{name}: every connection moves to the shard that its HELLO wishes for",
               got["landed"])
            ok(got["forwarded"] == 0, f"{name}: no answer is sent on", got["forwarded"])
        else:
            ok(got["forwarded"] > 0, f"{name}: answers are sent on to where they belong")


def census(expected):
    """That the messages met everything that they were made for."""
    told = [what for outcomes in expected["outcomes"].values() for what in outcomes]
    codes = {what[1] for what in told}
    states = {target[1] for what in told for target in what[3]}
    assets = {(asset["primaryLockState"], asset["version"])
              for ledger in expected["ledgers"].values() for asset in ledger}
    # From PROCESSED over everything that a ledger says to RECONCILIATION_REQUIRED, ROLLED_BACK,
    # ROLLBACK_INCOMPLETE, MAX_RETRIES_EXCEEDED, FINALIZE_INCOMPLETE and DUPLICATE_ID_MISMATCH.
    ok(codes == {0, 1, 7, 8, 32, 33, 56, 57, 59, 60, 67, 68, 69}, "messages ended in every way",
       codes)
    ok(states == {st.OPEN, st.APPLIED, st.FINAL, st.REFUSED, st.UNKNOWN, st.UNDONE},
       "targets ended in every state", states)
    ok(assets == {("AVAILABLE", 0), ("RESTRICTED", 1), ("RESERVED", 1), ("TERMINATED", 1),
                  ("AVAILABLE", 2), ("AVAILABLE", 4)},
       "assets were changed, and changed back once and twice", assets)
    print("#", collections.Counter(what[:2] for what in told))


if __name__ == "__main__":
    sys.exit(tap.run(story_shards))
