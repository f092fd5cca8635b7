#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Envelopes over TCP (F07): a real tricastd, chains in Python and real ones.

proves: F07 R01 R02 D01 D02
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import server as host  # noqa: E402
import stranger as st  # noqa: E402

tap = host.Tap()
ok = tap.ok

ENVELOPE, ENVELOPE_ACK = st.ENVELOPE, st.ENVELOPE_ACK
A, B = "eip155:8453", "eip155:42161"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B)}
LOCATIONS = {"bond-*": [A, B]}


class House:
    """A server with a journal, two chains in Python, and a submitter."""

    def __init__(self, shards=2, **capacities):
        self.server = host.Server(SECRETS, LOCATIONS, shards=shards, journal="file")
        if capacities:
            self.configure("listen:", "capacities:\n" + "".join(
                f"  {key}: {value}\n" for key, value in capacities.items()) + "listen:")
        self.chains = {name: st.Chain(name, SECRETS[name].encode()).start() for name in (A, B)}
        self.client = None

    def configure(self, old, new):
        with open(self.server.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.server.config, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new, 1))

    def __enter__(self):
        self.server.start()
        self.connect()
        return self

    def __exit__(self, *_):
        self.client.close()
        for chain in self.chains.values():
            chain.stop()
        self.server.__exit__()

    def connect(self):
        for chain in self.chains.values():
            chain.serve(self.server.port)
        self.client = self.submitter()

    def submitter(self):
        return st.Connection(self.server.port).greet(st.CLIENT, "submitter",
                                                     self.server.client.encode())

    def crash(self):
        """kill -9, and everybody comes back."""
        self.server.kill()
        self.client.close()
        for chain in self.chains.values():
            chain.stop()
        self.server.start()
        self.connect()

    def steps(self, ident):
        return [chain.steps(ident) for chain in self.chains.values()]

    def effects(self, asset):
        return [chain.effects.get(asset, []) for chain in self.chains.values()]


def delivery(envelope, place, count, asset, atomicity=st.GUARANTEED, **more):
    return st.submit_frame(f"{envelope}.{place}", (A, B), [asset], b"pay", atomicity,
                           envelope=[envelope, place, count], **more)[1:]


def envelope_frame(ident, count, **more):
    return [ENVELOPE, ident,
            [delivery(ident, place, count, f"bond-{ident}-{place}", **more)
             for place in range(1, count + 1)]]


def wait_end(connection, ident, timeout_s=20):
    """Every frame up to the end of the envelope."""
    frames = []
    end = time.monotonic() + timeout_s
    while True:
        frame = connection.receive(max(0.01, end - time.monotonic()))
        if frame is None:
            raise st.Broken(f"no end of {ident}: {frames}")
        frames.append(frame)
        if frame[0] == st.ERROR or (frame[0] == ENVELOPE_ACK and frame[1] == ident and
                                    frame[2] != st.RECEIVED):
            return frames


def kinds(frames, ident):
    """What came for one delivery."""
    return [frame[2] if frame[0] == st.ACK else "NOTICE" for frame in frames
            if frame[0] in (st.ACK, st.NOTICE) and frame[1] == ident]


def wait_until(holds, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def story_in_order(house):
    house.client.send(envelope_frame("deal", 3))
    frames = wait_end(house.client, "deal")
    ok([frame for frame in frames if frame[0] == ENVELOPE_ACK] ==
       [[ENVELOPE_ACK, "deal", st.RECEIVED, 0, False, []],
        [ENVELOPE_ACK, "deal", st.PROCESSED, 0, False,
         [[f"deal.{n}", st.PROCESSED, 0] for n in (1, 2, 3)]]],
       "F07 an envelope of three: RECEIVED, then PROCESSED with a row for each", frames)
    ok(all(kinds(frames, f"deal.{n}") == [st.RECEIVED, "NOTICE", st.PROCESSED] for n in (1, 2, 3)),
       "R09 F01 each delivery: RECEIVED, NOTICE, PROCESSED", frames)
    seen = [(frame[1], frame[2]) for frame in house.chains[A].seen if frame[0] == st.PHASE]
    ok(all(seen.index((f"deal.{n}", st.COMMIT)) < seen.index((f"deal.{n + 1}", st.PREPARE))
           for n in (1, 2)), "F07 a delivery begins behind the record of the one before", seen)
    ok(house.effects("bond-deal-2") == [["deal.2"], ["deal.2"]], "each is applied once")


def story_stopped(house):
    for chain in house.chains.values():
        chain.refuse = lambda step, ident: 69 if ident == "stop.2" else 0
    house.client.send(envelope_frame("stop", 4))
    frames = wait_end(house.client, "stop")
    ok(frames[-1] == [ENVELOPE_ACK, "stop", st.FAILED, 69, False,
                      [["stop.1", st.PROCESSED, 0], ["stop.2", st.REJECTED, 69],
                       ["stop.3", st.REJECTED, st.CODES["ENVELOPE_STOPPED"]],
                       ["stop.4", st.REJECTED, st.CODES["ENVELOPE_STOPPED"]]]],
       "F07 a refused delivery stops those behind it, and the one before it stands", frames)
    ok(house.steps("stop.3") == [[], []] and kinds(frames, "stop.3") == [],
       "F07 nothing is sent for a delivery behind it")
    house.client.send([st.STATUS_GET, "stop.3"])
    ok(house.client.receive()[2] == st.CODES["UNKNOWN_MESSAGE"], "which the server does not know")
    house.client.send(envelope_frame("none", 2, ttl=1, timestamp=1))
    frames = wait_end(house.client, "none")
    ok(frames[-1][2:4] == [st.REJECTED, st.CODES["STALE"]] and frames[-1][5][0][1] == st.REJECTED,
       "R09 an envelope of which nothing began is REJECTED", frames)


def story_repeated(house):
    frame = envelope_frame("again", 2)
    house.client.send(frame)
    first = wait_end(house.client, "again")[-1]
    house.client.send(frame)
    second = wait_end(house.client, "again")
    ok(second == [[*first[:4], True, first[5]]], "R01 the same bytes again get the result", second)
    other = envelope_frame("again", 2)
    other[2][1][15] = b"other"
    house.client.send(other)
    frames = wait_end(house.client, "again")
    ok(frames == [[ENVELOPE_ACK, "again", st.REJECTED, st.CODES["DUPLICATE_ID_MISMATCH"], False,
                   []]], "R02 other content under the same id is refused", frames)
    bad = envelope_frame("bad", 2)
    bad[2][1][16] = ["bad", 1, 2]
    house.client.send(bad)
    frame = house.client.receive()
    ok(frame[:3] == [st.ERROR, "bad", st.CODES["NOT_ALLOWED"]],
       "a delivery out of its place refuses the frame", frame)


def story_killed(house):
    """The server dies while the second delivery is in COMMIT."""
    for chain in house.chains.values():
        chain.mute = {("COMMIT", "kill.2")}
    frame = envelope_frame("kill", 3)
    house.client.send(frame)
    ok(wait_until(lambda: all("COMMIT" in steps for steps in house.steps("kill.2"))),
       "the second delivery is in COMMIT")
    for chain in house.chains.values():
        chain.mute = set()
    house.crash()
    house.client.send(frame)
    frames = wait_end(house.client, "kill")
    ok(frames[-1][2:4] == [st.PROCESSED, 0] and len(frames[-1][5]) == 3,
       "D02 after kill -9 the envelope goes on where it was", frames)
    ok([ENVELOPE_ACK, "kill", st.RECEIVED, 0, True, []] in frames,
       "R01 the client that comes back is attached", frames)
    ok(all(house.effects(f"bond-kill-{n}") == [[f"kill.{n}"], [f"kill.{n}"]] for n in (1, 2, 3)),
       "P10 every delivery was applied once", [house.effects(f"bond-kill-{n}") for n in (1, 2, 3)])
    house.crash()
    house.client.send(frame)
    frames = wait_end(house.client, "kill")
    ok(frames[0][2:5] == [st.PROCESSED, 0, True] and len(frames) == 1,
       "D01 its result survives the next kill -9", frames)


def story_killed_alone(house):
    """Nobody comes back for it: it ends by itself, also behind a failure."""
    for chain in house.chains.values():
        chain.mute = {("PREPARE", "lone.2")}
        chain.refuse = lambda step, ident: 69 if ident == "lone.3" else 0
    house.client.send(envelope_frame("lone", 4))
    wait_until(lambda: all("PREPARE" in steps for steps in house.steps("lone.2")))
    for chain in house.chains.values():
        chain.mute = set()
    house.crash()
    ok(wait_until(lambda: all("PREPARE" in steps for steps in house.steps("lone.3"))),
       "F07 it goes on without its client")
    ok(wait_until(lambda: house.server.stats()["envelopes_ended"] == 1), "and ends")
    house.crash()
    house.client.send(envelope_frame("lone2", 1))
    wait_end(house.client, "lone2")
    ok(house.steps("lone.4") == [[], []], "nothing behind the failure begins, restarts or not")


def story_kills_at_random(house):
    """Twelve envelopes at once, and a kill -9 every now and then."""
    frames = [envelope_frame(f"many{i}", 4) for i in range(12)]
    for round_number in range(4):
        house.client.send(*frames)
        time.sleep(0.02 + 0.03 * round_number)
        house.crash()
    house.client.send(*frames)
    ended = {}
    end = time.monotonic() + 60
    while len(ended) < 12 and time.monotonic() < end:
        frame = house.client.receive(5)
        if frame is not None and frame[0] == ENVELOPE_ACK and frame[2] != st.RECEIVED:
            ended[frame[1]] = frame
    ok(len(ended) == 12 and all(frame[2] == st.PROCESSED for frame in ended.values()),
       "every accepted envelope ends, PROCESSED", ended)
    ok(all(house.effects(f"bond-many{i}-{n}") == [[f"many{i}.{n}"]] * 2
           for i in range(12) for n in (1, 2, 3, 4)), "and every delivery was applied once")


def story_refused_by_name(house):
    """A chain refuses with a code that is the server's own for a passing fault."""
    house.chains[A].refuse = lambda step, ident: (
        st.CODES["JOURNAL_FAILED"] if ident == "name.1" else 0)
    house.client.send(envelope_frame("name", 2))
    frames = wait_end(house.client, "name")
    ok(frames[-1][2:4] == [st.REJECTED, st.CODES["JOURNAL_FAILED"]],
       "F07 what a chain refuses has failed, whatever the code", frames)
    ok(house.server.stats()["deliveries_again"] == 0, "and is not submitted again")


def story_large(house):
    """As many large envelopes at once as one client may have, and more."""
    count = 48
    house.client.send(*[
        [ENVELOPE, f"large{i}", [st.submit_frame(
            f"large{i}.1", (A, B), [f"bond-{i}"], b"x" * 60000, st.GUARANTEED,
            envelope=[f"large{i}", 1, 1], ttl=30)[1:]]] for i in range(count)])
    results = {}
    end = time.monotonic() + 20
    while len(results) < count and time.monotonic() < end:
        frame = house.client.receive(5)
        if frame is not None and frame[0] == ENVELOPE_ACK and frame[2] != st.RECEIVED:
            results[frame[1]] = (frame[2], frame[3])
    taken = [result for result in results.values()
             if result != (st.REJECTED, st.CODES["BUSY"])]
    ok(len(results) == count and taken and set(taken) == {(st.PROCESSED, 0)},
       "R08 an envelope that was accepted finds room for its deliveries",
       len(taken), sorted(set(results.values())))


def story_other_shards(before, after):
    """A pool full of results and of open envelopes, and a start with other shards."""
    def run():
        with House(before, envelopes=32) as house:
            frames = {f"e{i}": envelope_frame(f"e{i}", 1) for i in range(48)}
            ends, accepted, is_open = [], [], [f"e{i}" for i in range(12)]
            for chain in house.chains.values():
                chain.mute = {("PREPARE", f"{ident}.1") for ident in is_open}
            clients = [house.client, st.Connection(house.server.port).greet(
                st.CLIENT, "other", house.server.other.encode())]
            for i, (ident, frame) in enumerate(frames.items()):
                clients[i % 2].send(frame)
                if ident not in is_open:
                    ends.append(wait_end(clients[i % 2], ident)[-1])
                    accepted += [ident] if ends[-1][2] == st.PROCESSED else []
            clients[1].close()
            is_full = any(end[3] == st.CODES["BUSY"] for end in ends)
            ok(is_full and len(accepted) >= 10, "the pool is full", len(accepted))
            for chain in house.chains.values():
                chain.mute = set()
            house.configure(f"shards: {before}", f"shards: {after}")
            house.crash()
            ok(True, f"D06 {before} shards, then {after}: a full pool is no obstacle")
            house.client.send(*[frames[ident] for ident in is_open])
            ok(wait_until(lambda: house.server.stats()["envelopes_ended"] >= len(is_open)),
               "every open envelope ends", house.server.stats()["envelopes_ended"])
            known = 0
            client = house.submitter()
            for ident in accepted:
                client.send(frames[ident])
                known += wait_end(client, ident)[-1][2:5] == [st.PROCESSED, 0, True]
            ok(known >= len(accepted) // 2, "most results are remembered", known, len(accepted))
    run.__name__ = f"story_other_shards_{before}_{after}"
    return run


def story_cli():
    with host.Server(SECRETS, LOCATIONS) as server:
        for name, secret in SECRETS.items():
            server.chain(name, secret, "--asset", "bond-1")
        path = os.path.join(server.directory, "deal.json")

        def envelope(ident, *actions):
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"id": ident, "deliveries": [
                    {"target": [A, B], "asset": "bond-1", "action": action, "ttl": 30,
                     "atomicity": "GUARANTEED"} for action in actions]}, file)
            done = host.program("tricast", "envelope", path, "--server",
                                f"127.0.0.1:{server.port}", "--name", "submitter", "--secret",
                                server.client)
            return done, [json.loads(line) for line in done.stdout.splitlines()]

        done, lines = envelope("cli-1", "FREEZE", "SEIZE")
        ok(done.returncode == 0 and lines[-1]["view"] == "ENVELOPE_ACK" and
           lines[-1]["ackType"] == "PROCESSED" and
           [row["originalMessageId"] for row in lines[-1]["deliveries"]] == ["cli-1-1", "cli-1-2"],
           "tricast envelope: FREEZE, then SEIZE, on real chains", done.stdout, done.stderr)
        done, lines = envelope("cli-2", "RECOVER", "CONFISCATE", "RECOVER")
        ok(done.returncode == 1 and lines[-1]["ackType"] == "FAILED" and
           [row["ackType"] for row in lines[-1]["deliveries"]] ==
           ["PROCESSED", "REJECTED", "REJECTED"] and
           lines[-1]["deliveries"][2]["errorCode"] == "ENVELOPE_STOPPED",
           "and one whose second step the ledger refuses", done.stdout, done.stderr)
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"id": "cli-3", "deliveries": [{"target": "eip155:1", "colour": "red"}]}')
        done = host.program("tricast", "envelope", path)
        ok(done.returncode == 2 and "colour" in done.stderr, "an unknown key is a wrong flag",
           done.stderr)
        for key, value, part in (("forced", True, "a delivery cannot be forced"),
                                 ("burst", 2, "a delivery is one message")):
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"id": "cli-4", "deliveries": [
                    {"target": [A, B], "asset": "bond-1", "action": "FREEZE", key: value}]}, file)
            done = host.program("tricast", "envelope", path)
            ok(done.returncode == 2 and part in done.stderr and not done.stdout,
               f"F06, F07 {key} is refused in a delivery", done.stderr)


def with_house(story, shards=2):
    def run():
        with House(shards) as house:
            story(house)
    run.__name__ = story.__name__
    return run


sys.exit(tap.run(with_house(story_in_order), with_house(story_in_order, 1),
                 with_house(story_stopped), with_house(story_repeated),
                 with_house(story_killed), with_house(story_killed, 1),
                 with_house(story_killed_alone), with_house(story_kills_at_random, 3),
                 with_house(story_refused_by_name), with_house(story_large, 1),
                 story_other_shards(2, 4), story_other_shards(2, 3), story_other_shards(4, 1),
                 story_cli))
