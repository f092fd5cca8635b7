#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes wire.json: frames as fields and as bytes, and frames that must be refused.

    make_wire.py [--check]

The bytes come from python3-msgpack and this file alone, following docs/wire.md;
nothing of the C code is used.  --check writes nothing, compares with the file
that is there and reports in TAP.

An entry of the first kind has `frame` (fields by their names in docs/wire.md,
enums by name, binary as hex) and `hex`, the frame's body without its length.
`secret` and `serverNonce` or `peerNonce` beside it say what its mac is made of.
An entry of the second kind has `hex`, and the `code`, `at` (byte offset) and
`field` of the refusal.
"""

import hashlib
import hmac
import json
import os
import sys

import msgpack

PHASES = ["PREPARE", "COMMIT", "FINALIZE"]
ACK_TYPES = ["RECEIVED", "PROCESSED", "FAILED", "REJECTED", "PHASE_PREPARE_OK", "PHASE_COMMIT_OK",
             "PHASE_FINALIZE_OK", "PHASE_REJECT"]
ATOMICITIES = ["BEST_EFFORT", "GUARANTEED", "ALL_OR_NOTHING"]
PRIORITIES = ["LOW", "NORMAL", "HIGH", "CRITICAL"]
SCOPES = ["TARGETS", "ALL_CHAINS"]
TYPES = ["STATE_SYNC", "REGULATORY_ACTION", "GOVERNANCE", "HEARTBEAT", "ACK", "QUERY"]
SUBTYPES = ["NONE", "EXECUTE"]
ROLES = ["CLIENT", "CHAIN", "OPERATOR", "SETTLEMENT"]
CONTROLS = ["ABORT", "ROLLBACK"]
VERDICTS = ["FINAL", "DIFFERENT", "UNKNOWN", "HELD"]
TARGET_STATES = ["OPEN", "PREPARED", "APPLIED", "FINAL", "REFUSED", "UNKNOWN", "UNDONE"]
CODES = {"NONE": 0, "INVALID_STATE_TRANSITION": 1, "RECONCILIATION_REQUIRED": 7, "BUSY": 34,
         "LOCK_EXPIRED": 35, "DUPLICATE_ID_MISMATCH": 33, "NO_ANSWER": 61, "ALREADY_APPLIED": 54,
         "FIELD_OUT_OF_RANGE": 45, "WRONG_ROLE": 42, "ROLLBACK_FENCED": 55, "ROLLED_BACK": 57,
         "UNKNOWN_MESSAGE": 66, "MAX_RETRIES_EXCEEDED": 8, "ENVELOPE_STOPPED": 75}
ENUMS = {"phase": PHASES, "ackType": ACK_TYPES, "atomicity": ATOMICITIES, "priority": PRIORITIES,
         "targetScope": SCOPES, "type": TYPES, "subtype": SUBTYPES, "role": ROLES,
         "kind": CONTROLS, "declaredScope": SCOPES, "effectiveScope": SCOPES,
         "declaredAtomicity": ATOMICITIES, "effectiveAtomicity": ATOMICITIES}

FRAMES = {
    "CHALLENGE": (1, "version nonce"),
    "HELLO": (2, "version role identity instance nonce shard mac"),
    "WELCOME": (3, "epoch shard shards frameBytesMax mac"),
    "ERROR": (4, "originalMessageId errorCode detail"),
    "SUBMIT": (16, "originalMessageId version priority targetScope atomicity ttlSeconds "
                   "timestampMs sourceChainId sourceNodeId targets timeouts "
                   "finalizeRequested type subtype "
                   "assets payload envelope signature"),
    "ACK": (17, "originalMessageId ackType errorCode duplicate attempt targets"),
    "NOTICE": (18, "originalMessageId attempt issuedAtMs participatingChains stream ossEpoch"),
    "STATUS_GET": (19, "originalMessageId"),
    "STATUS": (20, "originalMessageId state errorCode attempt retries declaredScope effectiveScope "
                   "declaredAtomicity effectiveAtomicity mapVersion targets forced"),
    "WATCH": (21, ""),
    "EVENT": (22, "originalMessageId atMs what attempt chains errorCode missed"),
    "STATS_GET": (23, ""),
    "STATS": (24, "counters"),
    "LEDGER_GET": (25, "after limit"),
    "LEDGER": (26, "chainId more assets counters"),
    "FORCE": (29, "originalMessageId version priority targetScope atomicity ttlSeconds "
                  "timestampMs sourceChainId sourceNodeId targets timeouts "
                  "finalizeRequested type subtype "
                  "assets payload envelope signature"),
    "ENVELOPE": (27, "envelopeId deliveries"),
    "ENVELOPE_ACK": (28, "envelopeId ackType errorCode duplicate deliveries"),
    "VERDICT": (30, "originalMessageId passed"),
    "PHASE": (32, "originalMessageId phase phaseSequence attempt atomicity contentHash expiresAtMs "
                  "reservationTtlMs system type subtype assets payload envelope signature "
                  "reservedResources"),
    "PHASE_ACK": (33, "originalMessageId ackType phase attempt chainId errorCode alreadyApplied "
                      "reservedResources retryAfterMs"),
    "CONTROL": (34, "originalMessageId kind attempt contentHash expiresAtMs reservedResources "
                    "rollbackReason affectedChains rollbackDeadline"),
    "CONTROL_ACK": (35, "originalMessageId ackType kind attempt chainId errorCode"),
    "ASK": (36, "originalMessageId attempt chainId"),
    "PENDING_GET": (40, "stream ossEpoch limit"),
    "PENDING": (41, "more records"),
    "SETTLE": (42, "stream ossEpoch ossStateRoot settledAtMs reference"),
    "SETTLED": (43, "stream ossEpoch verdict"),
    "HEARTBEAT": (44, "lagSeconds"),
    "SEQUENCER": (45, "up"),
    "FINALITY_GET": (46, ""),
    "FINALITY": (47, "rows"),
}

ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
TOKEN = "8f14e45f-ceea-467f-9b6d-1c2f3a4b5c6d"
BASE, ARBITRUM, OPTIMISM = "eip155:8453", "eip155:42161", "eip155:10"
CHAIN_LONGEST = "abcdefgh:" + "Z_-9" * 8
ASSET = "isin:US0378331005"
SECRET = b"correct horse battery staple"
SERVER_NONCE = bytes(range(32))
PEER_NONCE = bytes(range(100, 132))
NOW_MS = 1763700000000


class Raw(bytes):
    """Bytes that are put as they are: what no packer would write."""


def pack(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, list):
        return msgpack.Packer().pack_array_header(len(value)) + b"".join(map(pack, value))
    return msgpack.packb(value, use_bin_type=True)


def offset(value, path):
    """The byte offset of the element at `path` within pack(value)."""
    if not path:
        return 0
    head = len(msgpack.Packer().pack_array_header(len(value)))
    before = sum(len(pack(element)) for element in value[:path[0]])
    return head + before + offset(value[path[0]], path[1:])


def elements(kind, fields):
    """The frame's array: type first, enums as numbers."""
    number, names = FRAMES[kind]
    values = [number]
    for name in names.split():
        value = fields[name]
        if name in ENUMS:
            value = ENUMS[name].index(value)
        elif name == "verdict" and kind == "SETTLED":
            value = VERDICTS.index(value)
        elif name == "errorCode":
            value = CODES[value]
        elif name == "targets" and kind in ("ACK", "STATUS"):
            value = [[row[0], TARGET_STATES.index(row[1]), CODES[row[2]], *row[3:]]
                     for row in value]
        elif name == "deliveries" and kind == "ENVELOPE":
            value = [elements("SUBMIT", delivery)[1:] for delivery in value]
        elif name == "deliveries":
            value = [[row[0], ACK_TYPES.index(row[1]), CODES[row[2]]] for row in value]
        values.append(value)
    assert set(fields) == set(names.split()), (kind, set(fields) ^ set(names.split()))
    return values


def readable(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [readable(element) for element in value]
    if isinstance(value, dict):
        return {key: readable(element) for key, element in value.items()}
    return value


VALID = []
REFUSED = []


def valid(name, kind, fields, extra=b"", extra_count=0, **beside):
    values = elements(kind, fields)
    count = msgpack.Packer().pack_array_header(len(values) + extra_count)
    body = count + b"".join(map(pack, values)) + extra
    entry = {"name": name, "type": kind,
             "frame": {key: readable(value) for key, value in fields.items()}}
    entry.update({key: readable(value) for key, value in beside.items()})
    entry["hex"] = body.hex()
    if extra_count:
        entry["trailing"] = extra_count
    VALID.append(entry)


def refused(name, body, code, at, field):
    REFUSED.append({"name": name, "hex": body.hex(), "code": code, "at": at, "field": field})


def spoiled(name, kind, fields, path, value, code, field, behind=False):
    """A valid frame with one element put wrong; the fault lies at it, or behind it."""
    values = elements(kind, fields)
    spot = values
    for index in path[:-1]:
        spot[index] = list(spot[index])
        spot = spot[index]
    spot[path[-1]] = value
    at = offset(values, path) + (len(pack(value)) if behind else 0)
    refused(f"{kind}: {name}", pack(values), code, at, field)


def hello_mac(values):
    proved = b"".join(map(pack, values[1:7]))
    return hmac.new(SECRET, b"tricast hello\0" + SERVER_NONCE + proved, hashlib.sha256).digest()


def welcome_mac(values):
    proved = b"".join(map(pack, values[1:5]))
    return hmac.new(SECRET, b"tricast welcome\0" + PEER_NONCE + SERVER_NONCE + proved,
                    hashlib.sha256).digest()


SUBMIT = {"originalMessageId": ID, "version": "0.5.0", "priority": "NORMAL",
          "targetScope": "TARGETS", "atomicity": "ALL_OR_NOTHING", "ttlSeconds": 300,
          "timestampMs": NOW_MS, "sourceChainId": "eip155:1", "sourceNodeId": "regulator-1",
          "targets": [BASE, ARBITRUM, OPTIMISM], "timeouts": [0, 0, 0],
          "finalizeRequested": False, "type": "REGULATORY_ACTION", "subtype": "NONE",
          "assets": [ASSET],
          "payload": msgpack.packb({"assetId": ASSET, "action": "FREEZE", "reason": "order 7"}),
          "envelope": None, "signature": None}


def content_hash(fields):
    """The first 16 bytes of SHA-256 over elements 1..18 of the SUBMIT."""
    body = b"".join(map(pack, elements("SUBMIT", fields)[1:19]))
    return hashlib.sha256(body).digest()[:16]


HASH = content_hash(SUBMIT)
ENVELOPE_ID = "settlement-7"
DELIVERIES = [{**SUBMIT, "originalMessageId": f"{ENVELOPE_ID}-{n}",
               "envelope": [ENVELOPE_ID, n, 2]} for n in (1, 2)]
ENVELOPE = {"envelopeId": ENVELOPE_ID, "deliveries": DELIVERIES}
ENVELOPE_HASH = hashlib.sha256(b"".join(map(pack, elements("ENVELOPE", ENVELOPE)[1:]))).digest()[:16]
ENVELOPE_ACK = {"envelopeId": ENVELOPE_ID, "ackType": "FAILED",
                "errorCode": "MAX_RETRIES_EXCEEDED", "duplicate": True,
                "deliveries": [["settlement-7-1", "PROCESSED", "NONE"],
                               ["settlement-7-2", "FAILED", "MAX_RETRIES_EXCEEDED"],
                               ["settlement-7-3", "REJECTED", "ENVELOPE_STOPPED"]]}
PHASE = {"originalMessageId": ID, "phase": "PREPARE", "phaseSequence": 0, "attempt": [3, 1],
         "atomicity": "ALL_OR_NOTHING", "contentHash": HASH, "expiresAtMs": NOW_MS + 300000,
         "reservationTtlMs": 600000, "system": False, "type": "REGULATORY_ACTION",
         "subtype": "NONE", "assets": [ASSET], "payload": SUBMIT["payload"], "envelope": None,
         "signature": None, "reservedResources": []}
COMMIT = {**PHASE, "phase": "COMMIT", "phaseSequence": 1, "reservationTtlMs": 0,
          "reservedResources": [TOKEN]}
PHASE_ACK = {"originalMessageId": ID, "ackType": "PHASE_PREPARE_OK", "phase": "PREPARE",
             "attempt": [3, 1], "chainId": BASE, "errorCode": "NONE", "alreadyApplied": False,
             "reservedResources": [TOKEN], "retryAfterMs": 0}
REJECT = {**PHASE_ACK, "ackType": "PHASE_REJECT", "errorCode": "INVALID_STATE_TRANSITION",
          "reservedResources": []}
ABORT = {"originalMessageId": ID, "kind": "ABORT", "attempt": [3, 1], "contentHash": HASH,
         "expiresAtMs": NOW_MS + 300000, "reservedResources": [TOKEN], "rollbackReason": "",
         "affectedChains": [], "rollbackDeadline": 0}
ROLLBACK = {**ABORT, "kind": "ROLLBACK", "rollbackReason": "COMMIT failed",
            "affectedChains": [BASE, ARBITRUM], "rollbackDeadline": NOW_MS + 60000}
CONTROL_ACK = {"originalMessageId": ID, "ackType": "PROCESSED", "kind": "ROLLBACK",
               "attempt": [3, 1], "chainId": BASE, "errorCode": "NONE"}
ASK = {"originalMessageId": ID, "attempt": [3, 1], "chainId": BASE}
ACK = {"originalMessageId": ID, "ackType": "PROCESSED", "errorCode": "NONE", "duplicate": False,
       "attempt": [3, 1], "targets": [[BASE, "FINAL", "NONE"], [ARBITRUM, "FINAL", "NONE"]]}
NOTICE = {"originalMessageId": ID, "attempt": [3, 1], "issuedAtMs": NOW_MS + 12,
          "participatingChains": [BASE, ARBITRUM, OPTIMISM], "stream": "3-0", "ossEpoch": 17}
SETTLE = {"stream": "3-0", "ossEpoch": 17, "ossStateRoot": bytes(range(32)),
          "settledAtMs": NOW_MS + 90000, "reference": "0x5fe7f977e71dba2ea1a68e21057beebb"}
SETTLED = {"stream": "3-0", "ossEpoch": 17, "verdict": "FINAL"}
STATUS = {"originalMessageId": ID, "state": "COMMITTING", "errorCode": "NONE", "attempt": [3, 2],
          "retries": 1, "declaredScope": "TARGETS", "effectiveScope": "ALL_CHAINS",
          "declaredAtomicity": "GUARANTEED", "effectiveAtomicity": "ALL_OR_NOTHING",
          "mapVersion": 7, "targets": [[BASE, "APPLIED", "NONE", [TOKEN]],
                                       [OPTIMISM, "UNKNOWN", "NO_ANSWER", []]],
          "forced": False}
EVENT = {"originalMessageId": ID, "atMs": NOW_MS, "what": "COMMIT", "attempt": [3, 1],
         "chains": [BASE, ARBITRUM], "errorCode": "NONE", "missed": 0}
CHALLENGE = {"version": "0.5.0", "nonce": SERVER_NONCE}
HELLO = {"version": "0.5.0", "role": "CLIENT", "identity": "regulator-1", "instance": 0,
         "nonce": PEER_NONCE, "shard": 0, "mac": b""}
HELLO_CHAIN = {**HELLO, "role": "CHAIN", "identity": BASE, "instance": 41, "shard": 2}
WELCOME = {"epoch": 3, "shard": 1, "shards": 2, "frameBytesMax": 81920, "mac": b""}
ERROR = {"originalMessageId": ID, "errorCode": "FIELD_OUT_OF_RANGE", "detail": "ttlSeconds"}


def make_session():
    valid("CHALLENGE", "CHALLENGE", CHALLENGE)
    valid("HELLO of a client without a secret", "HELLO", HELLO)
    mac = hello_mac(elements("HELLO", HELLO_CHAIN))
    valid("HELLO of a chain with its proof", "HELLO", {**HELLO_CHAIN, "mac": mac}, secret=SECRET,
          serverNonce=SERVER_NONCE)
    valid("WELCOME without a secret", "WELCOME", WELCOME)
    valid("WELCOME with the server's proof", "WELCOME",
          {**WELCOME, "mac": welcome_mac(elements("WELCOME", WELCOME))}, secret=SECRET,
          serverNonce=SERVER_NONCE, peerNonce=PEER_NONCE)
    valid("ERROR about a message", "ERROR", ERROR)
    valid("ERROR about a connection", "ERROR",
          {**ERROR, "originalMessageId": "", "errorCode": "WRONG_ROLE", "detail": ""})


def make_client():
    valid("SUBMIT of a freeze", "SUBMIT", SUBMIT, contentHash=HASH)
    full = {**SUBMIT, "originalMessageId": "i" * 64, "priority": "CRITICAL",
            "targetScope": "ALL_CHAINS", "atomicity": "GUARANTEED", "ttlSeconds": 86400,
            "sourceChainId": CHAIN_LONGEST, "sourceNodeId": "n" * 64,
            "targets": [f"eip155:{number}" for number in range(1, 65)],
            "timeouts": [5000, 10000, 2**32 - 1], "type": "GOVERNANCE", "subtype": "EXECUTE",
            "assets": [f"asset:{number:02}".ljust(128, "x") for number in range(16)],
            "payload": bytes(300), "envelope": ["e" * 64, 2, 16],
            "signature": [1, bytes(range(256)) * 4, "board", 255]}
    valid("SUBMIT with everything", "SUBMIT", full, contentHash=content_hash(full))
    least = {**SUBMIT, "originalMessageId": "ü", "priority": "LOW", "atomicity": "BEST_EFFORT",
             "ttlSeconds": 1, "timestampMs": 0, "sourceChainId": "abc:1", "sourceNodeId": "n",
             "targets": [OPTIMISM], "finalizeRequested": True, "type": "QUERY", "assets": [],
             "payload": b"", "envelope": ["e", 1, 1], "signature": [0, b"s", "", 0]}
    valid("SUBMIT with the least", "SUBMIT", least, contentHash=content_hash(least))
    valid("ACK PROCESSED", "ACK", ACK)
    valid("ACK RECEIVED", "ACK", {**ACK, "ackType": "RECEIVED", "targets": []})
    valid("ACK REJECTED before any attempt", "ACK",
          {**ACK, "ackType": "REJECTED", "errorCode": "BUSY", "attempt": [0, 0], "targets": []})
    valid("ACK FAILED of a duplicate", "ACK",
          {**ACK, "ackType": "FAILED", "errorCode": "RECONCILIATION_REQUIRED", "duplicate": True,
           "attempt": [2**32 - 1, 2**32 - 1],
           "targets": [[BASE, "APPLIED", "NONE"], [OPTIMISM, "REFUSED", "LOCK_EXPIRED"],
                       [ARBITRUM, "UNDONE", "NO_ANSWER"]]})
    valid("NOTICE", "NOTICE", NOTICE)
    valid("ENVELOPE", "ENVELOPE", ENVELOPE, contentHash=ENVELOPE_HASH)
    valid("ENVELOPE_ACK FAILED, and what became of each delivery", "ENVELOPE_ACK", ENVELOPE_ACK)
    valid("ENVELOPE_ACK RECEIVED", "ENVELOPE_ACK",
          {**ENVELOPE_ACK, "ackType": "RECEIVED", "errorCode": "NONE", "duplicate": False,
           "deliveries": []})
    valid("STATUS_GET", "STATUS_GET", {"originalMessageId": ID})
    valid("STATUS", "STATUS", STATUS)
    valid("STATUS of a held message", "STATUS",
          {**STATUS, "state": "HELD", "attempt": [3, 1], "retries": 0, "forced": True,
           "targets": [[BASE, "OPEN", "NONE", []]]})
    valid("FORCE, which is hashed like a SUBMIT", "FORCE", SUBMIT, contentHash=HASH)
    valid("VERDICT", "VERDICT", {"originalMessageId": ID, "passed": True})
    valid("EVENT", "EVENT", EVENT)
    valid("EVENT after a gap", "EVENT",
          {**EVENT, "what": "RECEIVED", "attempt": [0, 0], "chains": [], "missed": 70000})
    valid("WATCH", "WATCH", {})
    valid("STATS_GET", "STATS_GET", {})
    valid("STATS", "STATS",
          {"counters": [["submits", "messages", "SUBMIT events", [12, 300]]]})
    valid("PENDING_GET of everything", "PENDING_GET", {"stream": "", "ossEpoch": 0, "limit": 256})
    valid("PENDING_GET behind a record", "PENDING_GET",
          {"stream": "4294967295-63", "ossEpoch": 2**40, "limit": 1})
    valid("PENDING", "PENDING", {"more": True, "records": [[b"header", bytes(64)],
                                                           [bytes(300), bytes(range(64))]]})
    valid("PENDING of nothing", "PENDING", {"more": False, "records": []})
    valid("SETTLE", "SETTLE", SETTLE)
    for verdict in VERDICTS:
        valid(f"SETTLED {verdict}", "SETTLED", {**SETTLED, "verdict": verdict})
    valid("HEARTBEAT", "HEARTBEAT", {"lagSeconds": 301})
    valid("SEQUENCER down", "SEQUENCER", {"up": False})
    valid("FINALITY_GET", "FINALITY_GET", {})
    valid("FINALITY", "FINALITY", {"rows": [["pendingRecords", "records", 12],
                                            ["lagSeconds", "", 2**33]]})
    valid("LEDGER_GET", "LEDGER_GET", {"after": "", "limit": 256})
    valid("LEDGER", "LEDGER", {"chainId": BASE, "more": False, "assets": [[ASSET, 2, 1, 9, ""]],
                               "counters": [["phases", 3]]})


def make_round():
    valid("PREPARE", "PHASE", PHASE)
    valid("COMMIT with its token", "PHASE", COMMIT)
    valid("COMMIT of BEST_EFFORT", "PHASE",
          {**COMMIT, "atomicity": "BEST_EFFORT", "reservedResources": []})
    valid("FINALIZE", "PHASE", {**COMMIT, "phase": "FINALIZE", "phaseSequence": 2})
    valid("PREPARE of 16 assets, driven by the coordinator", "PHASE",
          {**PHASE, "system": True, "type": "STATE_SYNC", "attempt": [128, 65536],
           "assets": [f"asset {number}" for number in range(16)], "payload": bytes(70)})
    valid("COMMIT of a signed delivery", "PHASE",
          {**COMMIT, "envelope": ["e", 2, 3], "signature": [1, b"s" * 70, "board", 3]})
    valid("PHASE_PREPARE_OK", "PHASE_ACK", PHASE_ACK)
    valid("PHASE_PREPARE_OK with four tokens, applied before", "PHASE_ACK",
          {**PHASE_ACK, "alreadyApplied": True,
           "reservedResources": ["a", "bb", "ccc", "0123456789abcdef0123456789abcde"]})
    valid("PHASE_COMMIT_OK", "PHASE_ACK", {**PHASE_ACK, "ackType": "PHASE_COMMIT_OK",
                                           "phase": "COMMIT", "reservedResources": []})
    valid("PHASE_FINALIZE_OK", "PHASE_ACK", {**PHASE_ACK, "ackType": "PHASE_FINALIZE_OK",
                                             "phase": "FINALIZE", "reservedResources": []})
    valid("PHASE_REJECT of a PREPARE", "PHASE_ACK", REJECT)
    valid("PHASE_REJECT of a COMMIT", "PHASE_ACK",
          {**REJECT, "phase": "COMMIT", "errorCode": "LOCK_EXPIRED", "chainId": CHAIN_LONGEST})
    valid("PHASE_REJECT of a full table, which names its window", "PHASE_ACK",
          {**REJECT, "errorCode": "BUSY", "retryAfterMs": 600000})
    valid("PHASE_REJECT of a busy chain", "PHASE_ACK", {**REJECT, "errorCode": "BUSY"})
    valid("a terminal ackType for a phase, which the server refuses", "PHASE_ACK",
          {**PHASE_ACK, "ackType": "PROCESSED", "reservedResources": []})
    valid("ABORT", "CONTROL", ABORT)
    valid("ABORT of a message without a record", "CONTROL",
          {**ABORT, "contentHash": bytes(16), "expiresAtMs": 0, "reservedResources": []})
    valid("ROLLBACK", "CONTROL", ROLLBACK)
    valid("ROLLBACK answered", "CONTROL_ACK", CONTROL_ACK)
    valid("ROLLBACK refused", "CONTROL_ACK",
          {**CONTROL_ACK, "ackType": "FAILED", "errorCode": "ROLLBACK_FENCED"})
    valid("ABORT refused by an applied chain", "CONTROL_ACK",
          {**CONTROL_ACK, "ackType": "REJECTED", "kind": "ABORT", "errorCode": "ALREADY_APPLIED"})
    valid("ASK", "ASK", ASK)
    valid("ASK with elements of a later version", "ASK", ASK,
          extra=pack([{"k": [1, -5, None]}, 2**40, b"x", 1.5]) + pack("later"), extra_count=2)


def refuse_shape():
    good = pack(elements("ASK", ASK))
    refused("not an array", b"\x81\x01\x02", "MALFORMED_FRAME", 0, "frame")
    refused("an empty array", b"\x90", "FIELD_OUT_OF_RANGE", 0, "frame")
    refused("an array of 100 million elements in 5 bytes", bytes.fromhex("dd06000000"),
            "MALFORMED_FRAME", 0, "frame")
    refused("an array head that is cut off", b"\xdc\x00", "MALFORMED_FRAME", 0, "frame")
    refused("an array head longer than needed", b"\xdc\x00\x04" + good[1:], "MALFORMED_FRAME", 0,
            "frame")
    refused("a type that is a string", b"\x91\xa1x", "MALFORMED_FRAME", 1, "frameType")
    refused("a negative type", b"\x91\xff", "FIELD_OUT_OF_RANGE", 1, "frameType")
    refused("an unknown type", b"\x91\x05", "UNKNOWN_FRAME", 2, "frameType")
    refused("an unknown large type", b"\x91\xce\x00\x01\x00\x00", "UNKNOWN_FRAME", 6, "frameType")
    refused("a type longer than needed", b"\x94\xcc" + good[1:], "MALFORMED_FRAME", 1, "frameType")
    refused("an element missing", b"\x93" + good[1:], "MALFORMED_FRAME", 0, "frame")
    refused("a byte behind the frame", good + b"\x00", "MALFORMED_FRAME", len(good), "frame")
    refused("a trailing element longer than needed", b"\x95" + good[1:] + b"\xcc\x05",
            "MALFORMED_FRAME", len(good), "frame")
    refused("a trailing element that nothing defines", b"\x95" + good[1:] + b"\xc1",
            "MALFORMED_FRAME", len(good), "frame")
    refused("a trailing map that claims more than there is",
            b"\x95" + good[1:] + bytes.fromhex("dfffffffff"), "MALFORMED_FRAME", len(good), "frame")
    refused("an array nine deep", b"\x95" + good[1:] + b"\x91" * 7 + b"\x90", "MALFORMED_FRAME",
            len(good), "frame")
    valid("ASK with an array eight deep", "ASK", ASK,
          extra=b"\x91" * 6 + b"\x90", extra_count=1)


def refuse_values():
    out, malformed, not_allowed = "FIELD_OUT_OF_RANGE", "MALFORMED_FRAME", "NOT_ALLOWED"
    for name, value, code in [
            ("empty", "", out), ("of 65 bytes", "i" * 65, out), ("an integer", 7, malformed),
            ("binary", b"id", malformed), ("not UTF-8", Raw(b"\xa2\xc3\x28"), out),
            ("a surrogate", Raw(b"\xa3\xed\xa0\x80"), out),
            ("an overlong form", Raw(b"\xa2\xc0\xaf"), out),
            ("a str8 that fits a fixstr", Raw(b"\xd9\x01x"), malformed),
            ("longer than the frame", Raw(b"\xda\xff\xff"), malformed)]:
        spoiled(f"id {name}", "SUBMIT", SUBMIT, [1], value, code, "originalMessageId")
        spoiled(f"id {name}", "PHASE_ACK", PHASE_ACK, [1], value, code, "originalMessageId")
    for name, value in [("0.4.0", "0.4.0"), ("with a v", "v0.5.0"), ("empty", "")]:
        spoiled(f"version {name}", "SUBMIT", SUBMIT, [2], value, "VERSION_NOT_SUPPORTED", "version")
        spoiled(f"version {name}", "HELLO", HELLO, [1], value, "VERSION_NOT_SUPPORTED", "version")
    for index, field, high in [(3, "priority", 4), (4, "targetScope", 2), (5, "atomicity", 3),
                               (13, "type", 6), (14, "subtype", 2)]:
        spoiled(f"{field} {high}", "SUBMIT", SUBMIT, [index], high, out, field)
        spoiled(f"{field} negative", "SUBMIT", SUBMIT, [index], -1, out, field)
        spoiled(f"{field} very large", "SUBMIT", SUBMIT, [index], 2**64 - 1, out, field)
        spoiled(f"{field} a float", "SUBMIT", SUBMIT, [index], 1.0, malformed, field)
        spoiled(f"{field} nil", "SUBMIT", SUBMIT, [index], None, malformed, field)
        spoiled(f"{field} longer than needed", "SUBMIT", SUBMIT, [index], Raw(b"\xcc\x01"),
                malformed, field)
    for value in (0, 86401, -40000):
        spoiled(f"ttlSeconds {value}", "SUBMIT", SUBMIT, [6], value, out, "ttlSeconds")
    for name, value in [("no colon", "eip155"), ("short namespace", "ab:1"),
                        ("long namespace", "abcdefghi:1"), ("upper case namespace", "EIP155:1"),
                        ("empty reference", "eip155:"), ("long reference", "eip155:" + "1" * 33),
                        ("a space", "eip155: 1"), ("two colons", "eip155:1:1"), ("empty", "")]:
        spoiled(f"source {name}", "SUBMIT", SUBMIT, [8], value, out, "sourceChainId")
        spoiled(f"target {name}", "SUBMIT", SUBMIT, [10, 1], value, out, "targets")
        spoiled(f"chain {name}", "PHASE_ACK", PHASE_ACK, [5], value, out, "chainId")
    spoiled("source node empty", "SUBMIT", SUBMIT, [9], "", out, "sourceNodeId")
    spoiled("source node of 65 bytes", "SUBMIT", SUBMIT, [9], "n" * 65, out, "sourceNodeId")
    spoiled("no targets", "SUBMIT", SUBMIT, [10], [], out, "targets")
    spoiled("65 targets", "SUBMIT", SUBMIT, [10], [f"abc:{n}" for n in range(65)], out, "targets")
    spoiled("a target twice", "SUBMIT", SUBMIT, [10, 2], BASE, out, "targets")
    spoiled("two timeouts", "SUBMIT", SUBMIT, [11], [0, 0], out, "timeouts")
    spoiled("a timeout of 2^32", "SUBMIT", SUBMIT, [11, 1], 2**32, out, "timeouts")
    spoiled("finalizeRequested 1", "SUBMIT", SUBMIT, [12], 1, malformed, "finalizeRequested")
    refuse_submit_rest(out, malformed, not_allowed)


def refuse_submit_rest(out, malformed, not_allowed):
    spoiled("EXECUTE of STATE_SYNC", "SUBMIT", {**SUBMIT, "type": "STATE_SYNC"}, [14], 1,
            not_allowed, "subtype")
    spoiled("no assets", "SUBMIT", SUBMIT, [15], [], out, "assets")
    spoiled("17 assets", "SUBMIT", SUBMIT, [15], [f"a{n}" for n in range(17)], out, "assets")
    spoiled("an asset twice", "SUBMIT", {**SUBMIT, "assets": ["a", "b"]}, [15, 1], "a", out,
            "assets")
    spoiled("an empty asset", "SUBMIT", SUBMIT, [15, 0], "", out, "assets")
    spoiled("an asset of 129 bytes", "SUBMIT", SUBMIT, [15, 0], "a" * 129, out, "assets")
    spoiled("a payload that is a string", "SUBMIT", SUBMIT, [16], "x", malformed, "payload")
    spoiled("a bin16 that fits a bin8", "SUBMIT", SUBMIT, [16], Raw(b"\xc5\x00\x01x"), malformed,
            "payload")
    spoiled("envelope of two", "SUBMIT", SUBMIT, [17], ["e", 1], out, "envelope")
    spoiled("envelope n 0", "SUBMIT", {**SUBMIT, "envelope": ["e", 1, 1]}, [17, 1], 0, out,
            "envelope")
    spoiled("envelope n above m", "SUBMIT", {**SUBMIT, "envelope": ["e", 3, 3]}, [17, 2], 2, out,
            "envelope")
    spoiled("envelope m 17", "SUBMIT", {**SUBMIT, "envelope": ["e", 3, 3]}, [17, 2], 17, out,
            "envelope")
    spoiled("envelope id empty", "SUBMIT", {**SUBMIT, "envelope": ["e", 3, 3]}, [17, 0], "", out,
            "envelope")
    single = {**SUBMIT, "signature": [0, b"s", "set", 0]}
    several = {**SUBMIT, "signature": [1, b"s", "set", 2]}
    spoiled("signatureType 2", "SUBMIT", single, [18, 0], 2, out, "signatureType")
    spoiled("an empty signature", "SUBMIT", single, [18, 1], b"", out, "signature")
    spoiled("a signature of 1025 bytes", "SUBMIT", single, [18, 1], bytes(1025), out, "signature")
    spoiled("signerSet of 65 bytes", "SUBMIT", single, [18, 2], "s" * 65, out, "signerSet")
    spoiled("SINGLE with a threshold", "SUBMIT", single, [18, 3], 1, out, "threshold")
    spoiled("THRESHOLD 0", "SUBMIT", several, [18, 3], 0, out, "threshold")
    spoiled("THRESHOLD 256", "SUBMIT", several, [18, 3], 256, out, "threshold")


def refuse_round():
    out, malformed, not_allowed = "FIELD_OUT_OF_RANGE", "MALFORMED_FRAME", "NOT_ALLOWED"
    spoiled("phase 3", "PHASE", PHASE, [2], 3, out, "phase")
    for sequence in (1, 2, 300):
        spoiled(f"PREPARE with phaseSequence {sequence}", "PHASE", PHASE, [3], sequence,
                "PHASE_MISMATCH", "phaseSequence", behind=True)
    spoiled("COMMIT with phaseSequence 0", "PHASE", COMMIT, [3], 0, "PHASE_MISMATCH",
            "phaseSequence", behind=True)
    for kind, fields, index in (("PHASE", PHASE, 4), ("PHASE_ACK", PHASE_ACK, 4),
                                ("CONTROL", ABORT, 3), ("CONTROL_ACK", CONTROL_ACK, 4),
                                ("ASK", ASK, 2), ("NOTICE", NOTICE, 2)):
        spoiled("epoch 0", kind, fields, [index, 0], 0, out, "attempt")
        spoiled("n 0", kind, fields, [index, 1], 0, out, "attempt")
        spoiled("epoch 2^32", kind, fields, [index, 0], 2**32, out, "attempt")
        spoiled("attempt of three", kind, fields, [index], [1, 1, 1], out, "attempt")
        spoiled("attempt a number", kind, fields, [index], 1, malformed, "attempt")
    spoiled("atomicity 3", "PHASE", PHASE, [5], 3, out, "atomicity")
    spoiled("PREPARE of BEST_EFFORT", "PHASE", PHASE, [5], 0, not_allowed, "atomicity", behind=True)
    spoiled("hash of 15 bytes", "PHASE", PHASE, [6], bytes(15), out, "contentHash")
    spoiled("hash of 17 bytes", "CONTROL", ABORT, [4], bytes(17), out, "contentHash")
    spoiled("PREPARE without a reservation time", "PHASE", PHASE, [8], 0, not_allowed,
            "reservationTtlMs", behind=True)
    spoiled("COMMIT with a reservation time", "PHASE", COMMIT, [8], 1, not_allowed,
            "reservationTtlMs", behind=True)
    spoiled("system 0", "PHASE", PHASE, [9], 0, malformed, "system")
    signed = {**PHASE, "envelope": ["e", 1, 2], "signature": [0, b"s", "", 0]}
    spoiled("a payload of 65537 bytes", "PHASE", PHASE, [13], bytes(65537), out, "payload")
    spoiled("envelope of two", "PHASE", PHASE, [14], ["e", 1], out, "envelope")
    spoiled("envelope n above m", "PHASE", signed, [14, 2], 0, out, "envelope")
    spoiled("signature a number", "PHASE", signed, [15], 1, malformed, "signature")
    spoiled("an empty signature", "PHASE", signed, [15, 1], b"", out, "signature")
    spoiled("PREPARE with a token", "PHASE", PHASE, [16], ["t"], not_allowed, "reservedResources",
            behind=True)
    spoiled("five tokens", "PHASE", COMMIT, [16], list("abcde"), out, "reservedResources")
    spoiled("an empty token", "PHASE", COMMIT, [16, 0], "", out, "reservedResources")
    spoiled("tokens of 43 bytes", "PHASE", COMMIT, [16], ["t" * 40], out, "reservedResources")
    spoiled("ackType 8", "PHASE_ACK", PHASE_ACK, [2], 8, out, "ackType")
    spoiled("phase 3", "PHASE_ACK", PHASE_ACK, [3], 3, out, "phase")
    spoiled("unknown code", "PHASE_ACK", REJECT, [6], 20, out, "errorCode")
    spoiled("code above all", "PHASE_ACK", REJECT, [6], 126, out, "errorCode")
    spoiled("alreadyApplied nil", "PHASE_ACK", PHASE_ACK, [7], None, malformed, "alreadyApplied")
    spoiled("retryAfterMs 2^32", "PHASE_ACK", {**REJECT, "errorCode": "BUSY"}, [9], 2**32, out,
            "retryAfterMs")
    spoiled("retryAfterMs nil", "PHASE_ACK", REJECT, [9], None, malformed, "retryAfterMs")
    for name, fields, field in [
            ("PREPARE_OK of COMMIT", {**PHASE_ACK, "phase": "COMMIT"}, "phase"),
            ("PREPARE_OK with a code", {**PHASE_ACK, "errorCode": "BUSY"}, "errorCode"),
            ("PREPARE_OK without a token", {**PHASE_ACK, "reservedResources": []},
             "reservedResources"),
            ("COMMIT_OK with a token", {**PHASE_ACK, "ackType": "PHASE_COMMIT_OK",
                                        "phase": "COMMIT"}, "reservedResources"),
            ("REJECT without a code", {**REJECT, "errorCode": "NONE"}, "errorCode"),
            ("REJECT of something applied", {**REJECT, "alreadyApplied": True}, "alreadyApplied"),
            ("REJECT with a token", {**REJECT, "reservedResources": [TOKEN]}, "reservedResources"),
            ("PREPARE_OK with retryAfterMs", {**PHASE_ACK, "retryAfterMs": 1}, "retryAfterMs"),
            ("REJECT other than BUSY with retryAfterMs", {**REJECT, "retryAfterMs": 1},
             "retryAfterMs")]:
        body = pack(elements("PHASE_ACK", fields))
        refused(f"PHASE_ACK: {name}", body, not_allowed, len(body), field)
    refuse_control(out, not_allowed)


def refuse_control(out, not_allowed):
    for name, fields, field in [
            ("ABORT with a reason", {**ABORT, "rollbackReason": "r"}, "rollbackReason"),
            ("ABORT with chains", {**ABORT, "affectedChains": [BASE]}, "affectedChains"),
            ("ABORT with a deadline", {**ABORT, "rollbackDeadline": 1}, "rollbackDeadline"),
            ("ROLLBACK without chains", {**ROLLBACK, "affectedChains": []}, "affectedChains"),
            ("ROLLBACK without a deadline", {**ROLLBACK, "rollbackDeadline": 0},
             "rollbackDeadline")]:
        body = pack(elements("CONTROL", fields))
        refused(f"CONTROL: {name}", body, not_allowed, len(body), field)
    spoiled("kind 2", "CONTROL", ABORT, [2], 2, out, "kind")
    spoiled("a reason of 257 bytes", "CONTROL", ROLLBACK, [7], "r" * 257, out, "rollbackReason")
    spoiled("a chain twice", "CONTROL", ROLLBACK, [8, 1], BASE, out, "affectedChains")
    spoiled("65 chains", "CONTROL", ROLLBACK, [8], [f"abc:{n}" for n in range(65)], out,
            "affectedChains")
    spoiled("RECEIVED", "CONTROL_ACK", CONTROL_ACK, [2], 0, out, "ackType")
    spoiled("a phase's ackType", "CONTROL_ACK", CONTROL_ACK, [2], 4, out, "ackType")
    body = pack(elements("CONTROL_ACK", {**CONTROL_ACK, "ackType": "FAILED"}))
    refused("CONTROL_ACK: FAILED without a code", body, not_allowed, len(body), "errorCode")


def refuse_session():
    out, not_allowed = "FIELD_OUT_OF_RANGE", "NOT_ALLOWED"
    spoiled("nonce of 31 bytes", "CHALLENGE", CHALLENGE, [2], bytes(31), out, "nonce")
    spoiled("role 4", "HELLO", HELLO, [2], 4, out, "role")
    spoiled("identity empty", "HELLO", HELLO, [3], "", out, "identity")
    spoiled("a chain whose identity is no chain id", "HELLO", HELLO_CHAIN, [3], "regulator", out,
            "identity")
    spoiled("a chain without an instance", "HELLO", HELLO_CHAIN, [4], 0, out, "instance")
    spoiled("a client with an instance", "HELLO", HELLO, [4], 1, out, "instance")
    spoiled("nonce of 33 bytes", "HELLO", HELLO, [5], bytes(33), out, "nonce")
    spoiled("shard 65", "HELLO", HELLO, [6], 65, out, "shard")
    spoiled("mac of 31 bytes", "HELLO", HELLO, [7], bytes(31), out, "mac")
    spoiled("epoch 0", "WELCOME", WELCOME, [1], 0, out, "epoch")
    spoiled("shard 2 of 2", "WELCOME", WELCOME, [3], 1, out, "shards")
    spoiled("65 shards", "WELCOME", WELCOME, [3], 65, out, "shards")
    spoiled("frames larger than the maximum", "WELCOME", WELCOME, [4], 81921, out, "frameBytesMax")
    spoiled("mac of 1 byte", "WELCOME", WELCOME, [5], b"m", out, "mac")
    spoiled("code 0", "ERROR", ERROR, [2], 0, out, "errorCode")
    spoiled("detail of 257 bytes", "ERROR", ERROR, [3], "d" * 257, out, "detail")
    spoiled("a phase's ackType", "ACK", ACK, [2], 4, out, "ackType")
    spoiled("FAILED without a code", "ACK", {**ACK, "ackType": "FAILED"}, [3], 0, not_allowed,
            "errorCode", behind=True)
    spoiled("target state 7", "ACK", ACK, [6, 1, 1], 7, out, "targetState")
    spoiled("target of two", "ACK", ACK, [6, 0], [BASE, 1], out, "targets")
    spoiled("no chains", "NOTICE", NOTICE, [4], [], out, "participatingChains")
    spoiled("stream of 17 bytes", "PENDING_GET", {"stream": "", "ossEpoch": 0, "limit": 1}, [1],
            "1" * 17, out, "stream")
    for limit in (0, 257):
        spoiled(f"limit {limit}", "PENDING_GET", {"stream": "", "ossEpoch": 0, "limit": 1}, [3],
                limit, out, "limit")
    spoiled("signature of 63 bytes", "PENDING", {"more": False, "records": [[b"h", bytes(64)]]},
            [2, 0, 1], bytes(63), out, "signature")
    spoiled("ossEpoch 0", "SETTLE", SETTLE, [2], 0, out, "ossEpoch")
    spoiled("root of 31 bytes", "SETTLE", SETTLE, [3], bytes(31), out, "ossStateRoot")
    spoiled("reference of 129 bytes", "SETTLE", SETTLE, [5], "r" * 129, out, "reference")
    spoiled("verdict 4", "SETTLED", SETTLED, [3], 4, out, "verdict")
    spoiled("lag of 2^32 s", "HEARTBEAT", {"lagSeconds": 0}, [1], 2**32, out, "lagSeconds")
    spoiled("up is 1", "SEQUENCER", {"up": True}, [1], 1, "MALFORMED_FRAME", "up")
    spoiled("a row of two", "FINALITY", {"rows": [["a", "b", 1]]}, [1, 0], ["a", "b"], out, "rows")
    spoiled("stream of 17 bytes", "NOTICE", NOTICE, [5], "1" * 17, out, "stream")
    spoiled("forced an integer", "STATUS", STATUS, [12], 0, "MALFORMED_FRAME", "forced")
    spoiled("no delivery", "ENVELOPE", ENVELOPE, [2], [], out, "deliveries")
    spoiled("17 deliveries", "ENVELOPE", ENVELOPE, [2], 17 * [0], out, "deliveries")
    spoiled("a delivery of 17 elements", "ENVELOPE", ENVELOPE, [2, 1],
            elements("SUBMIT", DELIVERIES[1])[1:18], out, "delivery")
    spoiled("ttlSeconds 0", "ENVELOPE", ENVELOPE, [2, 1, 5], 0, out, "ttlSeconds")
    for name, change in (("no envelope in a delivery", {"envelope": None}),
                         ("another envelope's delivery", {"envelope": ["settlement-8", 2, 2]}),
                         ("another place", {"envelope": [ENVELOPE_ID, 1, 2]}),
                         ("another number", {"envelope": [ENVELOPE_ID, 2, 3]}),
                         ("an id twice", {"originalMessageId": "settlement-7-1"})):
        spoiled(name, "ENVELOPE", ENVELOPE, [2, 1],
                elements("SUBMIT", {**DELIVERIES[1], **change})[1:], "NOT_ALLOWED", "envelope")
    spoiled("FAILED without a code", "ENVELOPE_ACK", ENVELOPE_ACK, [3], 0, "NOT_ALLOWED",
            "errorCode", behind=True)
    spoiled("ackType 4", "ENVELOPE_ACK", ENVELOPE_ACK, [2], 4, out, "ackType")
    spoiled("a delivery RECEIVED", "ENVELOPE_ACK", ENVELOPE_ACK, [5, 0, 1], 0, out, "ackType")
    spoiled("a delivery REJECTED without a code", "ENVELOPE_ACK", ENVELOPE_ACK, [5, 2, 2], 0,
            "NOT_ALLOWED", "errorCode", behind=True)
    spoiled("ttlSeconds 0", "FORCE", SUBMIT, [6], 0, out, "ttlSeconds")
    spoiled("passed an integer", "VERDICT", {"originalMessageId": ID, "passed": True}, [2], 1,
            "MALFORMED_FRAME", "passed")
    spoiled("state of 33 bytes", "STATUS", STATUS, [2], "S" * 33, out, "state")
    spoiled("target without tokens", "STATUS", STATUS, [11, 0], [BASE, 1, 0], out, "targets")
    spoiled("an empty name", "EVENT", EVENT, [3], "", out, "what")
    refused("STATS: an integer longer than needed", bytes.fromhex("9218cc05"), "MALFORMED_FRAME", 2,
            "frame")


def main():
    make_session()
    make_client()
    make_round()
    refuse_shape()
    refuse_values()
    refuse_round()
    refuse_session()
    names = [entry["name"] for entry in VALID + REFUSED]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
    text = "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False)
                              for entry in VALID + REFUSED) + "\n]\n"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wire.json")
    if "--check" in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            is_same = file.read() == text
        print(f"{'ok' if is_same else 'not ok'} 1 - wire.json is what make_wire.py writes\n1..1")
        return 0 if is_same else 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{len(VALID)} frames, {len(REFUSED)} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
