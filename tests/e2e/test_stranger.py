#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rounds between a real server and peers that know nothing but docs/wire.md.

Three chains and a submitter in Python (stranger.py), the messages that end well
and those that do not, one round together with the real tricast-chain, who may
say who he is, and chains that come back.
"""

import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import msgpack
import server as host
import stranger as st

tap = host.Tap()
ok = tap.ok

A, B, C = "eip155:8453", "eip155:42161", "eip155:10"
REAL_1, REAL_2, SOLO = "eip155:137", "eip155:100", "solana:solo_-9"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, C, REAL_1, REAL_2, SOLO)}
LOCATIONS = {"bond-*": [A, B, C], "mixed-*": [A, REAL_1, REAL_2], "solo-*": [SOLO],
             "pair-*": [A, B]}
ALL = (A, B, C)

house = None
chains = {}
client = None


def code(name):
    return st.CODES[name]


def make_chain(name, **more):
    return st.Chain(name, SECRETS[name].encode(), **more)


def connect_client():
    return st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode())


def payload(asset, action="FREEZE"):
    return st.pack({"assetId": asset, "action": action, "reason": "test"})


def wait_until(holds, timeout_s=5):
    end = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def steps(ident):
    return [chains[name].steps(ident) for name in ALL]


def effects(asset):
    return [chains[name].effects.get(asset, []) for name in ALL]


def are_free(asset):
    return wait_until(lambda: not any(chains[name].is_locked(asset) for name in ALL))


# Rounds -------------------------------------------------------------------------------------


def story_guaranteed():
    frame = st.submit_frame("g1", ALL, ["bond-1"], payload("bond-1"), st.GUARANTEED,
                            envelope=["deal 7", 2, 3], signature=[1, b"\x01\x02", "board", 2])
    client.send(frame)
    result = st.wait_result(client, "g1")
    ok(result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED],
       "R09 F01: RECEIVED, NOTICE, PROCESSED", result.frames)
    ok(result.targets == {name: (st.FINAL, 0) for name in ALL} and result.code == 0,
       "the last ACK names every target as FINAL", result.last)
    ok(sorted(result.frames[1][4]) == sorted(ALL), "the NOTICE names the participating chains")
    ok(steps("g1") == [["PREPARE", "COMMIT", "FINALIZE"]] * 3, "P01: three phases to each chain")
    ok(effects("bond-1") == [["g1"]] * 3, "each chain has applied it once")
    seen = [phase for phase in chains[B].seen if phase[1] == "g1"]
    ok(all(phase[6] == st.content_hash(frame) for phase in seen),
       "R02: the content hash is the one of the page")
    ok(all(phase[10:16] == frame[13:19] for phase in seen),
       "H01: type to signature are passed on as they came", seen[0])
    ok(seen[0][16] == [] and seen[1][16] == seen[2][16] == [chains[B].records["g1"].token],
       "P05: COMMIT and FINALIZE carry the chain's own token")
    ok(seen[0][8] > 0 and seen[1][8] == seen[2][8] == 0, "L07: PREPARE carries a duration")
    ok({tuple(phase[4]) for phase in seen} == {(client.welcome[1], 1)},
       "P10: one attempt, of the epoch that WELCOME told")
    ok(are_free("bond-1"), "FINALIZE has freed the reservations")


def story_all_or_nothing():
    result = st.submit(client, "a1", [A], ["bond-2"], payload("bond-2"), st.ALL_OR_NOTHING)
    ok(result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED] and set(result.targets) == set(ALL),
       "A04: ALL_OR_NOTHING goes to every chain of the asset", result.frames)
    ok(effects("bond-2") == [["a1"]] * 3, "and is applied there")
    told = st.status(client, "a1")
    ok(told[0] == st.STATUS and told[2] == "PROCESSED" and told[6:11] ==
       [st.TARGETS, st.ALL_CHAINS, st.ALL_OR_NOTHING, st.ALL_OR_NOTHING, 7],
       "A04 H02: STATUS shows declared and effective scope, and the map's version", told)
    result = st.submit(client, "a2", [A, B], ["pair-1"], payload("pair-1"), st.BEST_EFFORT,
                       priority=st.CRITICAL)
    ok(result.last[2] == st.PROCESSED and
       chains[A].steps("a2") == ["PREPARE", "COMMIT", "FINALIZE"],
       "A10: CRITICAL forces ALL_OR_NOTHING", result.frames)
    told = st.status(client, "a2")
    ok(told[8:10] == [st.BEST_EFFORT, st.ALL_OR_NOTHING], "A10: both are shown", told)


def story_best_effort():
    chains[C].refuse = lambda step, ident: code("OPERATOR_REFUSED") if ident == "b1" else 0
    result = st.submit(client, "b1", ALL, ["bond-3"], payload("bond-3"), st.BEST_EFFORT,
                       finalize=True)
    ok(result.last[2] == st.PROCESSED and result.targets[C] ==
       (st.REFUSED, code("OPERATOR_REFUSED")) and result.targets[A][0] in (st.APPLIED, st.FINAL),
       "A01: delivered with respect to the others", result.frames)
    ok(wait_until(lambda: chains[A].steps("b1") == ["COMMIT", "FINALIZE"]) and
       chains[C].steps("b1") == ["COMMIT"],
       "A01: COMMIT alone, one light FINALIZE to those that applied", steps("b1"))
    chains[C].refuse = lambda step, ident: 0


def story_refused_at_prepare():
    chains[C].refuse = lambda step, ident: code("OPERATOR_REFUSED") if step == "PREPARE" else 0
    result = st.submit(client, "p1", ALL, ["bond-4"], payload("bond-4"), st.ALL_OR_NOTHING)
    ok(result.kinds == [st.RECEIVED, st.REJECTED] and result.code == code("OPERATOR_REFUSED"),
       "A12: a refusal at PREPARE rejects the message", result.frames)
    ok(result.targets[C] == (st.REFUSED, code("OPERATOR_REFUSED")), "its chain and code are named")
    ok(wait_until(lambda: all(trail[-1:] == ["ABORT"] for trail in steps("p1"))) and
       all("COMMIT" not in trail for trail in steps("p1")),
       "A05 P14: ABORT goes to every target", steps("p1"))
    ok(effects("bond-4") == [[]] * 3 and are_free("bond-4"),
       "no chain changed, nothing is reserved")
    chains[C].refuse = lambda step, ident: 0


def story_refused_at_commit():
    chains[C].refuse = lambda step, ident: code("OPERATOR_REFUSED") if step == "COMMIT" else 0
    result = st.submit(client, "c1", ALL, ["bond-5"], payload("bond-5"), st.ALL_OR_NOTHING)
    ok(result.kinds == [st.RECEIVED, st.FAILED] and result.code == code("ROLLED_BACK"),
       "A06: a refusal at COMMIT fails the message", result.frames)
    ok(result.targets[A][0] == result.targets[B][0] == st.UNDONE and
       result.targets[C] == (st.REFUSED, code("OPERATOR_REFUSED")),
       "the rows say what became of each", result.targets)
    ok(steps("c1") == [["PREPARE", "COMMIT", "ROLLBACK"]] * 2 + [["PREPARE", "COMMIT", "ABORT"]],
       "A06: ROLLBACK to those that applied, ABORT to the other", steps("c1"))
    rollback = chains[A].seen[-1]
    ok(rollback[6] == [chains[A].records["c1"].token] and sorted(rollback[8]) == sorted([A, B]) and
       rollback[9] > time.time() * 1000, "ROLLBACK carries token, affected chains and deadline",
       rollback)
    ok(effects("bond-5") == [[]] * 3 and are_free("bond-5"), "all or none: none")
    chains[C].refuse = lambda step, ident: 0


def story_second_attempt():
    refusals = [code("BUSY")]
    chains[B].refuse = lambda step, ident: refusals.pop() if refusals else 0
    result = st.submit(client, "r1", ALL, ["bond-6"], payload("bond-6"), st.GUARANTEED)
    chains[B].refuse = lambda step, ident: 0
    ok(result.last[2] == st.PROCESSED and result.last[5] == [client.welcome[1], 2],
       "R03: a retryable refusal is followed by a second attempt", result.frames)
    ok(effects("bond-6") == [["r1"]] * 3, "applied once")
    chains[B].mute.add(("COMMIT", "r2"))
    client.send(st.submit_frame("r2", ALL, ["bond-7"], payload("bond-7"), st.ALL_OR_NOTHING,
                                timeouts=[0, 300, 0]))
    result = st.wait_result(client, "r2")
    ok(result.last[2] == st.FAILED and result.code == code("MAX_RETRIES_EXCEEDED") and
       result.last[5] == [client.welcome[1], 4], "R03 R04: three retries, then it fails",
       result.frames)
    ok(chains[B].steps("r2") == ["PREPARE", "COMMIT", "ROLLBACK"] * 4 and
       effects("bond-7") == [[]] * 3 and are_free("bond-7"),
       "P11: a COMMIT without an answer may have applied: it is rolled back, all or none holds",
       steps("r2"))


def story_duplicates():
    frame = st.submit_frame("d1", ALL, ["bond-8"], payload("bond-8"), st.GUARANTEED)
    client.send(frame)
    first = st.wait_result(client, "d1")
    client.send(frame)
    again = st.wait_result(client, "d1")
    ok(again.last[:4] == first.last[:4] and again.last[4] and again.last[5:] == first.last[5:],
       "R01: the same bytes again give the same result, marked as duplicate", again.frames)
    ok(effects("bond-8") == [["d1"]] * 3, "and no second effect")
    before = house.stats()
    client.send([*frame[:6], frame[6] + 1, *frame[7:]])
    other = st.wait_result(client, "d1")
    ok(other.kinds == [st.REJECTED] and other.code == code("DUPLICATE_ID_MISMATCH") and
       house.counted(before, equivocations=1), "R02: other content is refused and counted",
       other.frames)
    elsewhere = st.Connection(house.port).greet(st.CLIENT, "other", house.other.encode())
    elsewhere.send(frame)
    ok(st.wait_result(elsewhere, "d1").last[4], "another client learns the result too")
    elsewhere.close()


def story_mixed():
    ports = [house.chain(name, SECRETS[name], "--asset", "mixed-1", "--asset", "mixed-2")
             for name in (REAL_1, REAL_2)]
    targets = [A, REAL_1, REAL_2]
    good = st.submit(client, "m1", targets, ["mixed-1"], payload("mixed-1"), st.ALL_OR_NOTHING)
    chains[A].refuse = lambda step, ident: code("OPERATOR_REFUSED") if step == "COMMIT" else 0
    bad = st.submit(client, "m2", targets, ["mixed-2"], payload("mixed-2"), st.ALL_OR_NOTHING)
    chains[A].refuse = lambda step, ident: 0
    ok(good.last[2] == st.PROCESSED and good.targets == {name: (st.FINAL, 0) for name in targets},
       "one stranger and two tricast-chain: a freeze reaches all three", good.frames)
    ok(bad.last[2] == st.FAILED and bad.code == code("ROLLED_BACK"),
       "the stranger refuses at COMMIT: the others are rolled back", bad.frames)
    unknown = st.submit(client, "m3", [REAL_1], ["gold"], payload("gold"), st.GUARANTEED)
    ok(unknown.last[2] == st.REJECTED and unknown.targets ==
       {REAL_1: (st.REFUSED, code("UNKNOWN_ASSET"))}, "an asset that the chain does not know",
       unknown.frames)
    for port in ports:
        done = host.program("tricast", "chain", "ledger", f"127.0.0.1:{port}", "--json", "--secret",
                            SECRETS[REAL_1 if port == ports[0] else REAL_2])
        assets = {row["assetId"]: row for row in json.loads(done.stdout)["assets"]}
        ok([(assets[name]["primaryLockState"], assets[name]["reservedBy"])
            for name in ("mixed-1", "mixed-2")] == [("RESTRICTED", None), ("AVAILABLE", None)],
           "the ledger of a tricast-chain says so", assets)
    ok(chains[A].effects["mixed-1"] == ["m1"] and chains[A].effects.get("mixed-2", []) == [],
       "and the stranger's too")


def story_operator():
    operator = st.Connection(house.port).greet(st.OPERATOR, "operator", house.operator.encode())
    operator.send([st.WATCH])
    operator.send([st.STATS_GET])
    stats = operator.receive()
    ok(stats[0] == st.STATS and all(len(row) == 4 and len(row[3]) == operator.welcome[3]
                                    for row in stats[1]),
       "STATS: name, unit, help, a value per shard")
    result = st.submit(operator, "o1", ALL, ["bond-9"], payload("bond-9"), st.GUARANTEED)
    ok(result.last[2] == st.PROCESSED, "an operator may submit")
    st.submit(client, "o2", ALL, ["bond-10"], payload("bond-10"), st.GUARANTEED)
    events = {"o1": [], "o2": []}
    while len(events["o2"]) < 7:
        frame = operator.receive(5)
        if frame is None:
            break
        if frame[0] == st.EVENT and frame[1] in events:
            events[frame[1]].append(frame[3])
    ok(events["o2"] == ["RECEIVED", "PREPARE", "COMMIT", "PRIMARY", "NOTICE", "FINALIZE",
                        "PROCESSED"] or sorted(events["o2"]) == sorted(
                            ["RECEIVED", "PREPARE", "COMMIT", "PRIMARY", "NOTICE", "FINALIZE",
                             "PROCESSED"]), "WATCH shows every step of every message", events)
    unknown = st.status(operator, "never seen")
    ok(unknown[0] == st.ERROR and unknown[2] == code("UNKNOWN_MESSAGE"),
       "STATUS_GET of an unknown id: UNKNOWN_MESSAGE")
    operator.close()


# Identity -----------------------------------------------------------------------------------


def refused_with(role, identity, secret, instance=0):
    connection = st.Connection(house.port)
    try:
        connection.greet(role, identity, secret, instance)
    except st.Refused as refusal:
        return refusal.code if connection.is_closed() else "open"
    finally:
        connection.close()
    return 0


def story_identity():
    before = house.stats()
    for role, name, instance, what in (
            (st.CLIENT, "submitter", 0, "a client's"),
            (st.OPERATOR, "operator", 0, "an operator's"),
            (st.CHAIN, A, 99, "a chain's")):
        ok(refused_with(role, name, b"a wrong secret, too", instance) ==
           code("AUTHENTICATION_FAILED"), f"{what} wrong secret: AUTHENTICATION_FAILED, closed")
        ok(refused_with(role, name, b"", instance) == code("AUTHENTICATION_FAILED"),
           f"{what} empty proof: AUTHENTICATION_FAILED, closed")
    ok(refused_with(st.CLIENT, "nobody", house.client.encode()) == code("AUTHENTICATION_FAILED"),
       "an unknown name: AUTHENTICATION_FAILED")
    ok(refused_with(st.OPERATOR, "submitter", house.client.encode()) ==
       code("AUTHENTICATION_FAILED"), "a client as operator: AUTHENTICATION_FAILED")
    ok(refused_with(st.CHAIN, B, SECRETS[A].encode(), 99) == code("AUTHENTICATION_FAILED"),
       "chain A with its own secret as chain B: AUTHENTICATION_FAILED")
    ok(house.counted(before, hellos_unproved=9), "each is counted")
    before = house.stats()
    ok(refused_with(st.CHAIN, "eip155:404", b"whatever it may be", 1) ==
       code("CHAIN_NOT_SUPPORTED") and house.counted(before, hellos_unknown_chain=1),
       "a chain that is not configured: CHAIN_NOT_SUPPORTED, counted")
    before = house.stats()
    connection = st.Connection(house.port)
    hello = st.make_hello(connection.challenge(), st.CLIENT, "submitter", house.client.encode())
    connection.send(hello)
    ok(connection.receive()[0] == st.WELCOME, "a HELLO is welcome once")
    replay = st.Connection(house.port)
    replay.challenge()
    replay.send(hello)
    answer = replay.receive()
    ok(answer[:3] == [st.ERROR, "", code("AUTHENTICATION_FAILED")] and replay.is_closed() and
       house.counted(before, hellos_unproved=1), "replayed on another connection it is refused",
       answer)
    connection.send(hello)
    answer = connection.receive()
    ok(answer[:3] == [st.ERROR, "", code("WRONG_ROLE")] and connection.is_closed(),
       "a second HELLO on a greeted connection: WRONG_ROLE, closed", answer)
    nonces = [st.Connection(house.port).challenge() for _ in range(8)]
    ok(len(set(nonces)) == 8, "every CHALLENGE has a nonce of its own")


def story_foreign_answers():
    """Chain SOLO, played by hand, answers in the name of A."""
    solo = make_chain(SOLO).start()
    link = solo.connect(house.port)
    before = house.stats()
    client.send(st.submit_frame("f1", ALL, ["bond-11"], payload("bond-11"), st.GUARANTEED,
                                timeouts=[3000, 0, 0]))
    st.wait_result(client, "f1")
    epoch = link.welcome[1]
    for frame in ([st.PHASE_ACK, "f1", st.PHASE_REJECT, 0, [epoch, 1], A, code("BUSY"), False, [],
                   0],
                  [st.CONTROL_ACK, "f1", st.PROCESSED, st.ABORT, [epoch, 1], A, 0],
                  [st.ASK, "f1", [epoch, 1], A]):
        link.send(frame)
        answer = link.receive()
        ok(answer[:3] == [st.ERROR, "f1", code("NOT_YOUR_CHAIN")],
           "a chain that answers for another: NOT_YOUR_CHAIN", answer)
    ok(house.counted(before, foreign_answers=3), "each is counted")
    before = house.stats()
    link.send([st.PHASE_ACK, "f1", st.COMMIT_OK, 1, [epoch, 1], SOLO, 0, False, [], 0])
    link.send([st.PHASE_ACK, "unheard of", st.COMMIT_OK, 1, [epoch, 1], SOLO, 0, False, [], 0])
    ok(link.receive(0.2) is None and house.counted(before, acks=2),
       "P07: an answer of a chain that is no target is taken in and changes nothing")
    ok(st.status(client, "f1")[2] == "PROCESSED", "the message is as it was")
    link.close()


def story_instances():
    solo = make_chain(SOLO)
    solo.instance = 10
    older = solo.connect(house.port)
    before = house.stats()
    ok(refused_with(st.CHAIN, SOLO, SECRETS[SOLO].encode(), 9) == code("INSTANCE_SUPERSEDED"),
       "P15: a lower instance is refused and closed")
    ok(house.counted(before, instances_superseded=1), "it is counted")
    older.send([st.ASK, "probe", [1, 1], SOLO])
    answer = older.receive()
    ok(answer[:3] == [st.CONTROL, "probe", st.ABORT] and answer[4] == st.NO_HASH,
       "P14: the present one goes on; ASK of an unknown message gets ABORT without a hash", answer)
    solo.instance = 11
    newer = solo.connect(house.port)
    answer = older.receive()
    ok(answer[:3] == [st.ERROR, "", code("INSTANCE_SUPERSEDED")] and older.is_closed() and
       house.counted(before, instances_superseded=2), "P15: a higher one closes the older, counted",
       answer)
    shards = newer.welcome[3]
    per_shard = [solo.connect(house.port, shard + 1) for shard in range(shards)]
    ok([link.welcome[2] for link in per_shard] == list(range(shards)),
       "WELCOME names the shard that HELLO wished for")
    for number, link in enumerate(per_shard):
        link.send([st.ASK, f"probe {number}", [1, 1], SOLO])
    answers = []
    wait_until(lambda: answers.extend(frame for frame in [link.receive(0.01) for link in per_shard]
                                      if frame is not None) or len(answers) == shards)
    ok(sorted(answer[:3] for answer in answers) ==
       [[st.CONTROL, f"probe {number}", st.ABORT] for number in range(shards)],
       "one instance speaks over a connection per shard, and hears over any of them", answers)
    twice = solo.connect(house.port, 1)
    answer = per_shard[0].receive()
    ok(answer[:3] == [st.ERROR, "", code("INSTANCE_SUPERSEDED")] and per_shard[0].is_closed(),
       "of two connections of one instance at one shard the later one stays", answer)
    for link in (newer, twice, *per_shard):
        link.close()


# Coming back --------------------------------------------------------------------------------


def next_phase(link):
    """The next PHASE, past what else may come."""
    while True:
        frame = link.receive(5)
        if frame is None or frame[0] == st.PHASE:
            return frame


def read_out(link):
    """Reads up to the end of the stream; false: it did not end."""
    end = time.monotonic() + 5
    try:
        while time.monotonic() < end:
            link.receive(1)
    except st.Closed:
        return True
    return False


def cut(link):
    """Ends the connection behind everything that was sent on it."""
    link.socket.shutdown(socket.SHUT_WR)
    read_out(link)
    link.close()


def story_reconnect():
    solo = make_chain(SOLO)
    solo.instance = 20
    client.send(st.submit_frame("x1", [SOLO], ["solo-1"], payload("solo-1"), st.GUARANTEED,
                                timeouts=[8000, 8000, 8000]))
    ok(client.receive()[2] == st.RECEIVED, "a message for a chain that is away is accepted")
    link = solo.connect(house.port)
    prepare = next_phase(link)
    ok(prepare is not None and prepare[2] == st.PREPARE,
       "P15: the phase was open at once and is sent when the chain connects", prepare)
    cut(link)
    link = solo.connect(house.port)
    ok(next_phase(link) == prepare, "P15: unanswered, it comes again, the same bytes")
    answer = solo.take(prepare)[0]
    link.send_body(answer)
    commit = next_phase(link)
    cut(link)
    solo.start()
    link = solo.connect(house.port)
    ok(solo.asked == [[st.ASK, "x1", prepare[4], SOLO]], "rule 11: it asks about what it holds")
    again = next_phase(link)
    ok(again == commit and again[2] == st.COMMIT and again[16] == [solo.records["x1"].token],
       "P15 P14: PREPARE was answered, COMMIT comes on the new connection; no ABORT", again)
    link.send_body(solo.take(again)[0])
    finalize = next_phase(link)
    cut(link)
    link = solo.connect(house.port)
    ok(finalize[2] == st.FINALIZE and next_phase(link) == finalize, "and so does FINALIZE")
    link.send_body(solo.take(finalize)[0])
    result = st.wait_result(client, "x1")
    ok(result.kinds == ["NOTICE", st.PROCESSED] and result.targets == {SOLO: (st.FINAL, 0)} and
       result.last[5] == prepare[4], "all of it in one attempt", result.frames)
    ok(solo.effects == {"solo-1": ["x1"]}, "and applied once")
    before = house.stats()
    link.send_body(solo.take(commit)[0])
    ok(link.receive(0.2) is None and house.counted(before, acks=1),
       "P07: an answer that comes again is counted and changes nothing")
    link.send_body(answer)
    stray = link.receive(5)
    ok(stray[:4] == [st.CONTROL, "x1", st.ABORT, prepare[4]] and
       msgpack.unpackb(solo.take(stray)[0])[2::4] == [st.REJECTED, code("ALREADY_APPLIED")] and
       solo.effects == {"solo-1": ["x1"]},
       "P14 P12: a late PREPARE_OK gets ABORT, which undoes nothing", stray)
    link.close()


def story_stray_reservation():
    """P14: the server is killed between PREPARE and COMMIT; its successor has no record."""
    global client
    solo = make_chain(SOLO)
    solo.instance = 50
    link = solo.connect(house.port)
    client.send(st.submit_frame("y1", [SOLO], ["solo-2"], payload("solo-2"), st.GUARANTEED,
                                timeouts=[8000, 8000, 8000]))
    prepare = next_phase(link)
    answer = solo.take(prepare)[0]
    epoch = link.welcome[1]
    ok(solo.is_locked("solo-2"), "a reservation is held, its answer is not sent yet")
    house.kill()
    ok(read_out(link), "the server is killed")
    house.start()
    link = solo.connect(house.port)
    ok(link.welcome[1] > epoch, "P10: the next start has a higher epoch")
    abort = link.receive(5)
    ok(abort is not None and abort[:4] == [st.CONTROL, "y1", st.ABORT, prepare[4]] and
       abort[4] == st.NO_HASH, "P14: ASK at WELCOME is answered with ABORT", abort)
    link.send_body(solo.take(abort)[0])
    ok(not solo.is_locked("solo-2"), "the reservation is free")
    link.send_body(answer)
    stray = link.receive(5)
    ok(stray is not None and stray[:4] == [st.CONTROL, "y1", st.ABORT, prepare[4]],
       "P14: a late PREPARE_OK of an attempt that is not open is answered with ABORT", stray)
    ok(solo.take(stray) == solo.take(abort), "rule 7: the same question, the same answer")
    ok(solo.take(prepare)[0] == solo.phase_reject(prepare, "ATTEMPT_ENDED"),
       "rule 9: the tombstone refuses the PREPARE that comes late")
    client = connect_client()
    client.send(st.submit_frame("y2", [SOLO], ["solo-2"], payload("solo-2"), st.GUARANTEED))
    for _ in range(3):
        link.send_body(solo.take(next_phase(link))[0])
    ok(st.wait_result(client, "y2").last[2] == st.PROCESSED, "and the chain goes on")
    link.close()


def story_full_chain():
    """P13: a full table refuses new work and names its window."""
    solo = make_chain(SOLO, entries_max=1, window_ms=1234)
    solo.instance = 40
    solo.serve(house.port)
    first = st.submit(client, "z1", [SOLO], ["solo-3"], payload("solo-3"), st.GUARANTEED)
    before = house.stats()
    second = st.submit(client, "z2", [SOLO], ["solo-4"], payload("solo-4"), st.GUARANTEED)
    ok(first.last[2] == st.PROCESSED and second.last[2] == st.FAILED and
       second.targets[SOLO] == (st.REFUSED, code("BUSY")) and house.counted(before, redeliveries=3),
       "P13 R03: BUSY with its window is retried until the retries are used up", second.frames)
    answer = msgpack.unpackb(solo.phase(solo.seen[-1]) if solo.seen[-1][0] == st.PHASE else
                             solo.phase_reject(solo.seen[0], "BUSY", 1234), raw=False)
    ok(answer[6] == code("BUSY") and answer[9] == 1234, "the answer carried retryAfterMs", answer)
    ok(solo.errors == [], "and the server took it")
    solo.stop()


def story_end():
    """The three chains go on with the new server; then it drains."""
    for name in ALL:
        chains[name].stop()
        chains[name].serve(house.port)
    result = st.submit(client, "e0", ALL, ["bond-12"], payload("bond-12"), st.GUARANTEED)
    ok(result.last[2] == st.PROCESSED and effects("bond-12") == [["e0"]] * 3,
       "after the restart the chains take new messages", result.frames)
    chains[A].mute.add(("PREPARE", "e1"))
    client.send(st.submit_frame("e1", [A, B], ["pair-2"], payload("pair-2"), st.GUARANTEED))
    ok(client.receive()[2] == st.RECEIVED, "a message is open")
    house.process.terminate()
    wait_until(lambda: "event=signal" in house.log_tail())
    client.send(st.submit_frame("e2", [A, B], ["pair-3"], payload("pair-3"), st.GUARANTEED))
    answer = client.receive()
    ok(answer is not None and answer[:4] == [st.ACK, "e2", st.REJECTED, code("SHUTTING_DOWN")],
       "a server that drains takes no new message: SHUTTING_DOWN", answer)
    ok(house.process.wait(20) == 0, "SIGTERM: it ends when drainMs is over, exit code 0")
    ok(all(chains[name].errors == [] for name in ALL), "no chain was ever answered with ERROR")


def main():
    global house, client
    with host.Server(SECRETS, LOCATIONS) as house:
        for name in ALL:
            chains[name] = make_chain(name).start()
            chains[name].serve(house.port)
        client = connect_client()
        exit_code = tap.run(
            story_guaranteed, story_all_or_nothing, story_best_effort, story_refused_at_prepare,
            story_refused_at_commit, story_second_attempt, story_duplicates, story_mixed,
            story_operator, story_identity, story_foreign_answers, story_instances, story_reconnect,
            story_full_chain, story_stray_reservation, story_end)
        for name in ALL:
            chains[name].stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
