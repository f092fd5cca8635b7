#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a hostile or broken peer gets from a real server.

Every frame of tests/vectors/wire.json that must be refused goes over a real
connection, and many more: each gets the ERROR or the close that docs/wire.md
promises and is counted.  After each batch a well-behaved submitter on a
connection of its own completes a message with two well-behaved chains, whose
connections were there all the time.
"""

import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host
import stranger as st

SOURCE_DIR = os.environ.get("TRI_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", ".."))
tap = host.Tap()
ok = tap.ok

A, B, ODD = "eip155:8453", "eip155:42161", "solana:odd"
FAR = [f"far:{number}" for number in range(63)]
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, ODD, *FAR)}
LOCATIONS = {"bond-*": [A, B], "odd-*": [ODD], "wide-1": FAR, "wide-2": [A, B, ODD]}
CLOSING = {"MALFORMED_FRAME", "FRAME_TOO_LONG", "UNKNOWN_FRAME", "WRONG_ROLE"}
NAMES = {number: name for name, number in st.CODES.items()}

house = None
client = None
chains = []
messages = 0


def connect(role=st.CLIENT):
    if role == st.CHAIN:
        connect.instance += 1
        return st.Connection(house.port).greet(st.CHAIN, ODD, SECRETS[ODD].encode(),
                                               connect.instance)
    if role == st.OPERATOR:
        return st.Connection(house.port).greet(role, "operator", house.operator.encode())
    return st.Connection(house.port).greet(role, "other", house.other.encode())


connect.instance = 0


def undisturbed(name):
    """A message of somebody else ends as if nothing had been."""
    global messages
    messages += 1
    begin = time.monotonic()
    asset = f"bond-{messages}"
    result = st.submit(client, f"good {messages}", [A, B], [asset], b"", st.ALL_OR_NOTHING)
    took_s = time.monotonic() - begin
    ok(result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED] and
       all(chain.effects[asset] == [f"good {messages}"] for chain in chains) and
       all(not chain.errors for chain in chains) and took_s < 5,
       f"after {name} other connections go on as before", result.frames, took_s)


def answer_to(connection):
    """The next frame that is no PHASE: what is open comes on every connection of the chain."""
    while True:
        frame = connection.receive(5)
        if frame is None or frame[0] != st.PHASE:
            return frame


def answer_of(connection):
    """(code by name, None without ERROR; whether the connection is closed behind it)"""
    try:
        frame = answer_to(connection)
    except st.Closed:
        return None, True
    if frame is None or frame[0] != st.ERROR:
        return f"{frame}", False
    name = NAMES.get(frame[2], frame[2])
    is_closed = name in CLOSING and connection.is_closed()
    return name, is_closed


def is_alive(connection, role):
    """The connection still does its work."""
    probe = f"probe {time.monotonic_ns()}"
    connection.send([st.ASK, probe, [1, 1], ODD] if role == st.CHAIN else [st.STATUS_GET, probe])
    try:
        frame = answer_to(connection)
    except st.Closed:
        return False
    return frame is not None and frame[:2] == [st.CONTROL if role == st.CHAIN else st.ERROR, probe]


class Attacker:
    """Sends one bad thing after another over as few connections as the server allows."""

    def __init__(self, role):
        self.role = role
        self.connection = None
        self.sent = 0

    def send(self, data, expected):
        """None if the answer is the documented one, else what came."""
        self.connection = self.connection or connect(self.role)
        self.sent += 1
        self.connection.send_raw(data)
        got = answer_of(self.connection)
        wanted = (expected, expected in CLOSING)
        if got != wanted or got[1] or not is_alive(self.connection, self.role):
            is_good = got == wanted and got[1]
            self.connection.close()
            self.connection = None
            return None if is_good else (wanted, got)
        return None

    def body(self, body, expected):
        return self.send(st.frame_bytes(body), expected)

    def close(self):
        if self.connection is not None:
            self.connection.close()


def batch(name, role, cases):
    """`cases`: [(what, data with its length, code by name)].  Each is refused, and each counted."""
    before = house.stats()
    attacker = Attacker(role)
    wrong = []
    for what, data, expected in cases:
        got = attacker.send(data, expected)
        if got is not None:
            wrong.append(f"{what}: wanted {got[0]}, got {got[1]}")
    attacker.close()
    ok(not wrong, f"{name}: {len(cases)} frames, each with its documented answer", *wrong)
    framing = sum(1 for _, data, _ in cases if not 1 <= struct.unpack(">I", data[:4])[0] <=
                  st.FRAME_BYTES_MAX)
    ok(house.counted(before, frames_refused=len(cases) - framing, recv_faults=framing),
       f"{name}: each is counted")
    undisturbed(name)


def frame(values):
    return st.frame_bytes(st.pack(values))


# Vectors ------------------------------------------------------------------------------------


def read_type(body):
    """The frame type of a body, None if it cannot be read."""
    head = {0xdc: 3, 0xdd: 5}.get(body[0], 1)
    if head == 1 and body[0] & 0xf0 != 0x90 or len(body) <= head or body[head] >= 0x80:
        return None
    return body[head]


def story_vectors():
    path = os.path.join(SOURCE_DIR, "tests", "vectors", "wire.json")
    with open(path, encoding="utf-8") as file:
        refused = [vector for vector in json.load(file) if "frame" not in vector]
    groups = {"client": [], "chain": [], "nobody": [], "hello": []}
    for vector in refused:
        body = bytes.fromhex(vector["hex"])
        kind = read_type(body)
        case = (vector["name"], st.frame_bytes(body), vector["code"])
        if kind in (st.SUBMIT, st.ENVELOPE, st.STATUS_GET):
            groups["client"].append(case)
        elif kind in (st.PHASE_ACK, st.CONTROL_ACK, st.ASK):
            groups["chain"].append(case)
        elif kind == st.HELLO:
            groups["hello"].append(case)
        elif ": " in vector["name"]:
            groups["nobody"].append((*case[:2], "WRONG_ROLE"))
        else:
            groups["client"].append(case)
    ok(sum(len(cases) for cases in groups.values()) == len(refused) > 200 and
       all(len(cases) > 5 for cases in groups.values()), "the vectors are all dealt")
    batch("bad frames of a client", st.CLIENT, groups["client"])
    batch("bad frames of a chain", st.CHAIN, groups["chain"])
    batch("bad frames that only a server sends, by a client", st.CLIENT, groups["nobody"])
    batch("bad frames that only a server sends, by a chain", st.CHAIN, groups["nobody"])
    story_vectors_hello(groups["hello"])


def story_vectors_hello(cases):
    before = house.stats()
    wrong = []
    for what, data, expected in cases:
        connection = st.Connection(house.port)
        connection.challenge()
        connection.send_raw(data)
        name, _ = answer_of(connection)
        if name != expected or not connection.is_closed():
            wrong.append(f"{what}: wanted {expected}, got {name}")
        connection.close()
    ok(not wrong, f"bad HELLOs: {len(cases)}, each with its documented code and a close", *wrong)
    versions = sum(1 for case in cases if case[2] == "VERSION_NOT_SUPPORTED")
    ok(house.counted(before, hellos_wrong_version=versions,
                     hellos_malformed=len(cases) - versions), "bad HELLOs: each is counted")
    undisturbed("bad HELLOs")


# Framing ------------------------------------------------------------------------------------


def story_framing():
    cases = [(f"length {length}", struct.pack(">I", length) + b"\x91\x15", "FRAME_TOO_LONG")
             for length in (81921, 2**24, 2**31, 2**32 - 1)]
    cases.append(("length 0", struct.pack(">I", 0), "MALFORMED_FRAME"))
    batch("bad lengths", st.CLIENT, cases)
    batch("bad lengths of a chain", st.CHAIN, cases)


def story_truncated():
    good = st.pack(st.submit_frame("cut", [A, B], ["bond-1"], b"x" * 40,
                                   envelope=["e", 1, 2], signature=[1, b"s", "set", 3]))
    cases = [(f"SUBMIT cut to {size} bytes", st.frame_bytes(good[:size]), "MALFORMED_FRAME")
             for size in range(1, len(good), 5)]
    batch("truncated SUBMIT", st.CLIENT, cases)
    good = st.pack([st.PHASE_ACK, "cut", st.PREPARE_OK, 0, [1, 1], ODD, 0, False, ["token"], 0])
    cases = [(f"PHASE_ACK cut to {size} bytes", st.frame_bytes(good[:size]), "MALFORMED_FRAME")
             for size in range(1, len(good))]
    batch("truncated PHASE_ACK", st.CHAIN, cases)


def story_half_frames():
    """A frame that never ends, and one that the peer gives up."""
    whole = frame(st.submit_frame("half", [A, B], ["bond-1"]))
    gone = [connect() for _ in range(20)]
    for size, connection in enumerate(gone):
        connection.send_raw(whole[:1 + size * 5])
        connection.close()
    undisturbed("peers that go in the middle of a frame")
    waiting = connect()
    waiting.send_raw(whole[:-1])
    slow = connect()
    for byte in whole:
        slow.send_raw(bytes([byte]))
    ok(slow.receive()[:3] == [st.ACK, "half", st.RECEIVED], "a frame byte by byte is a frame")
    ok(st.wait_result(slow, "half").last[2] == st.PROCESSED, "and its message runs")
    slow.close()
    begin = time.monotonic()
    is_closed = waiting.is_closed(10)
    took_s = time.monotonic() - begin
    ok(is_closed and 0.3 < took_s < 8, "an unfinished frame: closed after peerTimeoutMs", took_s)
    undisturbed("an unfinished frame")


def story_counts():
    """Counts and lengths beyond the frame, in every field that has one."""
    good = st.submit_frame("count", [A, B], ["bond-1"], b"p")
    huge = {"array": b"\xdd\xff\xff\xff\xff", "string": b"\xdb\xff\xff\xff\xff",
            "binary": b"\xc6\xff\xff\xff\xff", "array of 65535": b"\xdc\xff\xff",
            "map": b"\xdf\xff\xff\xff\xff", "extension": b"\xc9\xff\xff\xff\xff\x01"}
    cases = []
    for index in range(1, 19):
        for name, head in huge.items():
            body = b"\xdc\x00\x13" + b"".join(head if i == index else st.pack(value)
                                             for i, value in enumerate(good))
            cases.append((f"element {index} a huge {name}", st.frame_bytes(body),
                          "MALFORMED_FRAME"))
    cases.append(("4 billion elements", st.frame_bytes(b"\xdd\xff\xff\xff\xff\x10"),
                  "MALFORMED_FRAME"))
    cases.append(("a map", st.frame_bytes(b"\x81\x10\x01"), "MALFORMED_FRAME"))
    batch("counts beyond the frame", st.CLIENT, cases)


def story_types():
    """Every field of SUBMIT and PHASE_ACK with a value of every other type."""
    others = [None, True, 7, "text", b"binary", [[[1]]], 1.5]
    submit = st.submit_frame("type", [A, B], ["bond-1"], b"p")
    ack = [st.PHASE_ACK, "type", st.PREPARE_OK, 0, [1, 1], ODD, 0, False, ["token"], 0]
    for name, role, good in (("SUBMIT", st.CLIENT, submit), ("PHASE_ACK", st.CHAIN, ack)):
        cases = []
        for index in range(1, len(good)):
            for other in others:
                is_optional = name == "SUBMIT" and index > 16 and other in (None, [[[1]]])
                if type(other) is type(good[index]) or is_optional:
                    continue
                values = [*good[:index], other, *good[index + 1:]]
                cases.append((f"element {index} is {other!r}", frame(values), "MALFORMED_FRAME"))
        batch(f"wrong types in {name}", role, cases)


# Roles and rules ----------------------------------------------------------------------------


def story_roles():
    epoch = client.welcome[1]
    everything = {
        st.CHALLENGE: [st.VERSION, bytes(32)],
        st.HELLO: st.make_hello(bytes(32), st.CLIENT, "other", b"x")[1:],
        st.WELCOME: [1, 0, 1, 81920, b""], st.ERROR: ["", 45, ""],
        st.SUBMIT: st.submit_frame("role", [A, B], ["bond-1"])[1:],
        st.ACK: ["role", 1, 0, False, [1, 1], []], st.NOTICE: ["role", [1, 1], 0, [A], "", 0],
        st.STATUS_GET: ["role"],
        st.STATUS: ["role", "PREPARING", 0, [1, 1], 0, 0, 0, 0, 0, 1, [], False], st.WATCH: [],
        st.EVENT: ["role", 0, "COMMIT", [1, 1], [], 0, 0], st.STATS_GET: [], st.STATS: [[]],
        st.ENVELOPE: ["role", [st.submit_frame("role.1", [A, B], ["bond-1"],
                                               envelope=["role", 1, 1])[1:]]],
        st.ENVELOPE_ACK: ["role", 0, 0, False, []],
        29: st.submit_frame("role", [A, B], ["bond-1"])[1:], 30: ["role", True],
        25: ["", 1], 26: [A, False, [], []],
        st.PHASE: ["role", 1, 1, [epoch, 1], 1, bytes(16), 0, 0, False, 1, 0, ["bond-1"], b"", None,
                   None, ["t"]],
        st.PHASE_ACK: ["role", 5, 1, [epoch, 1], ODD, 0, False, [], 0],
        st.CONTROL: ["role", 0, [epoch, 1], bytes(16), 0, [], "", [], 0],
        st.CONTROL_ACK: ["role", 1, 0, [epoch, 1], ODD, 0], st.ASK: ["role", [epoch, 1], ODD],
    }
    allowed = {st.CLIENT: {st.SUBMIT, st.ENVELOPE, st.STATUS_GET},
               st.OPERATOR: {st.SUBMIT, st.ENVELOPE, st.STATUS_GET, st.WATCH, st.STATS_GET, 29, 30},
               st.CHAIN: {st.PHASE_ACK, st.CONTROL_ACK, st.ASK}}
    before = house.stats()
    sent = 0
    for role, name in ((st.CLIENT, "a client"), (st.OPERATOR, "an operator"),
                       (st.CHAIN, "a chain")):
        cases = [(f"frame {kind}", frame([kind, *values]), "WRONG_ROLE")
                 for kind, values in everything.items() if kind not in allowed[role]]
        sent += len(cases)
        batch(f"frames that {name} may not send", role, cases)
    ok(house.counted(before, wrong_roles=sent), "wrong roles have a counter of their own")
    operator = connect(st.OPERATOR)
    operator.send_body(b"\x91\x17\x00")
    ok(answer_of(operator) == ("MALFORMED_FRAME", True),
       "STATS_GET with a byte behind it is refused")
    operator.close()
    unknown = [(f"type {kind}", frame([kind, "id"]), "UNKNOWN_FRAME")
               for kind in (0, 5, 15, 31, 37, 127, 128, 65536, 2**32 - 1)]
    batch("types that no frame has", st.CLIENT, unknown)


def story_answers():
    """Answers of a chain that break a rule between fields."""
    epoch = client.welcome[1]

    def ack(kind, phase, name="odd 1", attempt=(epoch, 1), chain=ODD, error=0, applied=False,
            tokens=(), retry=0):
        return frame([st.PHASE_ACK, name, kind, phase, list(attempt), chain, error, applied,
                      list(tokens), retry])

    link = connect(st.CHAIN)
    client.send(st.submit_frame("odd 1", [ODD], ["odd-1"], b"", st.GUARANTEED,
                                timeouts=[20000, 20000, 20000]))
    phase = link.receive(5)
    ok(phase[:3] == [st.PHASE, "odd 1", st.PREPARE] and client.receive()[2] == st.RECEIVED,
       "a message is open and waits for PREPARE_OK", phase)
    link.close()
    cases = [(f"{('RECEIVED', 'PROCESSED', 'FAILED', 'REJECTED')[kind]} for phase {which}",
              ack(kind, which, error=kind > 1 and 34 or 0), "TERMINAL_ACK_FOR_PHASE")
             for kind in range(4) for which in range(3)]
    before = house.stats()
    batch("terminal ackTypes for a phase", st.CHAIN, cases)
    ok(house.counted(before, terminal_phase_acks=len(cases)),
       "P04: they have a counter of their own")
    cases = [("PREPARE_OK in another name", ack(st.PREPARE_OK, 0, chain=A, tokens=["t"]),
              "NOT_YOUR_CHAIN"),
             ("PHASE_REJECT in another name", ack(st.PHASE_REJECT, 0, chain=B, error=34),
              "NOT_YOUR_CHAIN"),
             ("an unknown chain's name", ack(st.PHASE_REJECT, 0, chain="far:999", error=34),
              "NOT_YOUR_CHAIN"),
             ("CONTROL_ACK in another name",
              frame([st.CONTROL_ACK, "odd 1", 1, 0, [epoch, 1], A, 0]), "NOT_YOUR_CHAIN"),
             ("ASK in another name", frame([st.ASK, "odd 1", [epoch, 1], A]), "NOT_YOUR_CHAIN")]
    before = house.stats()
    batch("answers of another's chain", st.CHAIN, cases)
    ok(house.counted(before, foreign_answers=len(cases)), "they have a counter of their own")
    cases = [("COMMIT_OK for PREPARE", ack(st.COMMIT_OK, 0), "NOT_ALLOWED"),
             ("PREPARE_OK for FINALIZE", ack(st.PREPARE_OK, 2, tokens=["t"]), "NOT_ALLOWED"),
             ("PREPARE_OK without a token", ack(st.PREPARE_OK, 0), "NOT_ALLOWED"),
             ("COMMIT_OK with a token", ack(st.COMMIT_OK, 1, tokens=["t"]), "NOT_ALLOWED"),
             ("an OK with a code", ack(st.COMMIT_OK, 1, error=34), "NOT_ALLOWED"),
             ("PHASE_REJECT without a code", ack(st.PHASE_REJECT, 0), "NOT_ALLOWED"),
             ("PHASE_REJECT of what is applied", ack(st.PHASE_REJECT, 0, error=34, applied=True),
              "NOT_ALLOWED"),
             ("an OK with retryAfterMs", ack(st.PREPARE_OK, 0, tokens=["t"], retry=1),
              "NOT_ALLOWED"),
             ("STALE with retryAfterMs", ack(st.PHASE_REJECT, 0, error=37, retry=1), "NOT_ALLOWED"),
             ("an unknown code", ack(st.PHASE_REJECT, 0, error=20), "FIELD_OUT_OF_RANGE"),
             ("attempt [0, 1]", ack(st.COMMIT_OK, 1, attempt=(0, 1)), "FIELD_OUT_OF_RANGE"),
             ("five tokens", ack(st.PREPARE_OK, 0, tokens="abcde"), "FIELD_OUT_OF_RANGE"),
             ("tokens of 43 bytes", ack(st.PREPARE_OK, 0, tokens=["t" * 40]), "FIELD_OUT_OF_RANGE"),
             ("an id of 65 bytes", ack(st.COMMIT_OK, 1, name="i" * 65), "FIELD_OUT_OF_RANGE")]
    batch("answers that contradict themselves", st.CHAIN, cases)
    told = st.status(client, "odd 1")
    ok(told[0] == st.STATUS and told[2] == "PREPARING" and told[11][0][1:] == [st.OPEN, 0, []],
       "P04: none of it has changed the message", told)
    link = connect(st.CHAIN)
    ok(link.receive(5) == phase, "P15: its PREPARE is still open")
    for number, (kind, tokens) in enumerate(((4, ["t"]), (5, []), (6, []))):
        link.send_raw(ack(kind, number, tokens=tokens))
        if number < 2:
            ok(link.receive(5)[2] == number + 1, "P07: the right answer counts")
    ok(st.wait_result(client, "odd 1").last[2] == st.PROCESSED, "and the message ends PROCESSED")
    link.close()


def story_submits():
    """Fields that can be read, and values that the engine refuses."""
    now_ms = int(time.time() * 1000)
    far = [f"far:{number}" for number in range(65)]
    good = st.submit_frame("submit", [A, B], ["bond-1"], b"p")

    def changed(index, value):
        return frame([*good[:index], value, *good[index + 1:]])

    cases = [("no target", changed(10, []), "FIELD_OUT_OF_RANGE"),
             ("65 targets", changed(10, far), "FIELD_OUT_OF_RANGE"),
             ("a target twice", changed(10, [A, B, A]), "FIELD_OUT_OF_RANGE"),
             ("a target that is no chain id", changed(10, ["base"]), "FIELD_OUT_OF_RANGE"),
             ("an id that is not UTF-8",
              st.frame_bytes(b"\xdc\x00\x13\x10\xa2\xff\xfe" + st.run(good[2:])),
              "FIELD_OUT_OF_RANGE"),
             ("another version", changed(2, "0.6.0"), "VERSION_NOT_SUPPORTED"),
             ("an asset twice", changed(15, ["bond-1", "bond-1"]), "FIELD_OUT_OF_RANGE"),
             ("EXECUTE of REGULATORY_ACTION", changed(14, 1), "NOT_ALLOWED")]
    batch("SUBMITs out of range", st.CLIENT, cases)
    cases = [("an asset that no entry names", {"assets": ["gold"]}, "LOCATION_UNKNOWN"),
             ("one known and one unknown asset", {"assets": ["bond-1", "gold"]},
              "LOCATION_UNKNOWN"),
             ("a chain that is not configured", {"targets": ["eip155:404"]}, "CHAIN_NOT_SUPPORTED"),
             ("a target where the asset does not live", {"targets": [A, ODD]},
              "TARGET_NOT_IN_LOCATION"),
             ("assets on 66 chains", {"assets": ["wide-1", "wide-2"], "targets": [A]},
              "TOO_MANY_TARGETS"),
             ("a timestamp ahead", {"timestamp": now_ms + 3600000}, "TIMESTAMP_AHEAD"),
             ("a timestamp too old", {"timestamp": now_ms - 90000000}, "STALE"),
             ("a timeout above its maximum", {"timeouts": [0, 2**32 - 1, 0]}, "FIELD_OUT_OF_RANGE"),
             ("a TTL that the lock of its type does not outlive",
              {"type": st.STATE_SYNC, "ttl": 301}, "LOCK_TTL_TOO_SHORT")]
    before = house.stats()
    other = connect()
    for number, (what, fields, expected) in enumerate(cases):
        words = {"targets": [A, B], "assets": ["bond-1"], **fields}
        name = f"refused {number}"
        other.send(st.submit_frame(name, **words))
        answer = other.receive(5)
        ok(answer is not None and answer[:2] == [st.ACK, name] and answer[2] == st.REJECTED and
           NAMES.get(answer[3]) == expected and answer[5:] == [[0, 0], []],
           f"{what}: REJECTED, {expected}", answer, NAMES.get(answer[3]) if answer else None)
        unknown = st.status(other, name)
        ok(unknown[0] == st.ERROR and unknown[2] == st.CODES["UNKNOWN_MESSAGE"],
           f"{what}: nothing is kept of it", unknown)
    ok(house.counted(before, refused=len(cases), accepted=0), "each is counted")
    allowed = st.submit(other, "lock", [A, B], ["bond-1"], type=st.STATE_SYNC, ttl=300)
    ok(allowed.last[2] == st.PROCESSED, "L01: one second less and it is taken", allowed.frames)
    other.close()
    undisturbed("SUBMITs that the engine refuses")


# Handshake ----------------------------------------------------------------------------------


def story_handshake():
    before = house.stats()
    firsts = [frame(st.submit_frame("early", [A, B], ["bond-1"])), frame([st.STATUS_GET, "early"]),
              frame([st.WATCH]), frame([st.ASK, "early", [1, 1], ODD]),
              frame([st.WELCOME, 1, 0, 1, 81920, b""]),
              frame([st.CHALLENGE, st.VERSION, bytes(32)])]
    for data in firsts:
        connection = st.Connection(house.port)
        connection.challenge()
        connection.send_raw(data)
        ok(answer_of(connection)[0] == "HANDSHAKE_EXPECTED" and connection.is_closed(),
           "a frame before HELLO: HANDSHAKE_EXPECTED, closed")
    ok(house.counted(before, hellos_missing=len(firsts), frames=0), "each is counted, none is read")
    connection = st.Connection(house.port)
    connection.challenge()
    connection.send_raw(struct.pack(">I", 513))
    ok(answer_of(connection) == ("FRAME_TOO_LONG", True),
       "a first frame of 513 bytes: FRAME_TOO_LONG")
    before = house.stats()
    begin = time.monotonic()
    silent = st.Connection(house.port)
    nonce = silent.challenge()
    hello = frame(st.make_hello(nonce, st.CLIENT, "other", house.other.encode()))
    slow = st.Connection(house.port)
    slow.challenge()
    is_over = False
    for byte in hello:
        try:
            slow.send_raw(bytes([byte]))
            time.sleep(0.02)
            if slow.receive(0.001) is not None:
                is_over = True
                break
        except st.Closed:
            is_over = True
            break
    ok(is_over and 0.4 < time.monotonic() - begin < 2.5,
       "a HELLO that trickles in does not lengthen the time", time.monotonic() - begin)
    ok(answer_of(silent)[0] == "HANDSHAKE_TIMEOUT" and silent.is_closed(),
       "a peer that says nothing: HANDSHAKE_TIMEOUT, closed")
    ok(house.counted(before, handshake_timeouts=2), "both are counted")
    flood = [st.Connection(house.port) for _ in range(100)]
    undisturbed("a hundred silent connections")
    for connection in flood:
        connection.close()


def story_noise():
    """Bytes that are no frames at all, on greeted and fresh connections; from a fixed seed."""
    state = 12345
    for number in range(60):
        data = bytearray()
        for _ in range(40 + number * 7):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            data.append(state >> 56)
        connection = connect() if number % 2 else st.Connection(house.port)
        try:
            connection.send_raw(bytes(data))
            while number % 3 == 0 and connection.receive(2) is not None:
                pass
        except st.Closed:
            pass
        connection.close()
    undisturbed("noise")
    ok(house.process.poll() is None, "the server lives")


def main():
    global house, client
    with host.Server(SECRETS, LOCATIONS) as house:
        for name in (A, B):
            chains.append(st.Chain(name, SECRETS[name].encode()).start())
            chains[-1].serve(house.port)
        client = st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode())
        exit_code = tap.run(
            story_vectors, story_framing, story_truncated, story_half_frames, story_counts,
            story_types, story_roles, story_answers, story_submits, story_handshake, story_noise)
        for chain in chains:
            chain.stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
