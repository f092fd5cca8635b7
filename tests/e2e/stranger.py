# SPDX-License-Identifier: Apache-2.0
"""A peer of a tricast server, written from docs/wire.md alone.

Not a test itself.  It uses Python's own library and python3-msgpack, and
nothing of the C code: a connection with the handshake of both sides, the
frames of a submitter and of an operator, and a whole chain that keeps the rules
of the page.  Names of fields and numbers of rules are those of the page.
"""

import hashlib
import hmac
import os
import socket
import struct
import threading
import time

import msgpack

VERSION = "0.5.0"
FRAME_BYTES_MAX = 81920

CHALLENGE, HELLO, WELCOME, ERROR = 1, 2, 3, 4
SUBMIT, ACK, NOTICE, STATUS_GET, STATUS = 16, 17, 18, 19, 20
WATCH, EVENT, STATS_GET, STATS = 21, 22, 23, 24
ENVELOPE, ENVELOPE_ACK = 27, 28
PHASE, PHASE_ACK, CONTROL, CONTROL_ACK, ASK = 32, 33, 34, 35, 36

CLIENT, CHAIN, OPERATOR = 0, 1, 2
PREPARE, COMMIT, FINALIZE = 0, 1, 2
ABORT, ROLLBACK = 0, 1
RECEIVED, PROCESSED, FAILED, REJECTED = 0, 1, 2, 3
PREPARE_OK, COMMIT_OK, FINALIZE_OK, PHASE_REJECT = 4, 5, 6, 7
BEST_EFFORT, GUARANTEED, ALL_OR_NOTHING = 0, 1, 2
LOW, NORMAL, HIGH, CRITICAL = 0, 1, 2, 3
TARGETS, ALL_CHAINS = 0, 1
STATE_SYNC, REGULATORY_ACTION, GOVERNANCE, HEARTBEAT = 0, 1, 2, 3
OPEN, PREPARED, APPLIED, FINAL, REFUSED, UNKNOWN, UNDONE = 0, 1, 2, 3, 4, 5, 6

# The error codes that this file or its tests name.
CODES = {
    "CHAIN_NOT_SUPPORTED": 5, "MAX_RETRIES_EXCEEDED": 8, "CROSS_CHAIN_STATE_CONFLICT": 9,
    "DUPLICATE_ID_MISMATCH": 33, "BUSY": 34, "LOCK_EXPIRED": 35, "NO_RESERVATION": 36, "STALE": 37,
    "TIMESTAMP_AHEAD": 38, "MALFORMED_FRAME": 39, "FRAME_TOO_LONG": 40, "UNKNOWN_FRAME": 41,
    "WRONG_ROLE": 42, "AUTHENTICATION_FAILED": 43, "VERSION_NOT_SUPPORTED": 44,
    "FIELD_OUT_OF_RANGE": 45, "PHASE_MISMATCH": 46, "TERMINAL_ACK_FOR_PHASE": 47,
    "NOT_YOUR_CHAIN": 48, "LOCATION_UNKNOWN": 49, "TARGET_NOT_IN_LOCATION": 50,
    "TOO_MANY_TARGETS": 51, "LOCK_TTL_TOO_SHORT": 52,
    "ATTEMPT_ENDED": 53, "ALREADY_APPLIED": 54, "ROLLBACK_FENCED": 55, "ROLLED_BACK": 57,
    "UNKNOWN_ASSET": 59, "BAD_PAYLOAD": 60, "NO_ANSWER": 61, "INSTANCE_SUPERSEDED": 62,
    "SHUTTING_DOWN": 63, "JOURNAL_FAILED": 64, "UNKNOWN_MESSAGE": 66, "OPERATOR_REFUSED": 69,
    "HANDSHAKE_EXPECTED": 71, "NOT_ALLOWED": 72, "HANDSHAKE_TIMEOUT": 74, "ENVELOPE_STOPPED": 75,
}
NO_HASH = bytes(16)


class Closed(Exception):
    """The server closed the connection."""


class Refused(Exception):
    """The server answered the handshake with ERROR."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class Broken(Exception):
    """The server did what the page does not allow."""


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def run(values):
    """The encoded elements one after another, without an array's head."""
    return b"".join(pack(value) for value in values)


def frame_bytes(body):
    return struct.pack(">I", len(body)) + body


class Connection:
    """One connection as frames.  Every frame of the server must be canonical."""

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.welcome = None

    def send(self, *frames):
        """Sends frames in one write."""
        self.send_raw(b"".join(frame_bytes(pack(frame)) for frame in frames))

    def send_body(self, body):
        self.send_raw(frame_bytes(body))

    def send_raw(self, data):
        try:
            self.socket.settimeout(10)
            self.socket.sendall(data)
        except ConnectionError as error:
            raise Closed(str(error)) from error

    def receive(self, timeout_s=10.0):
        """The next frame, None if none came in time.  Raises Closed at the end."""
        end = time.monotonic() + timeout_s
        while True:
            frame = self.cut()
            if frame is not None:
                return frame
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(262144)
            except TimeoutError:
                return None
            except OSError as error:
                raise Closed(str(error)) from error
            if not got:
                raise Closed("end of the stream")
            self.buffer += got

    def cut(self):
        if len(self.buffer) < 4:
            return None
        length = struct.unpack(">I", self.buffer[:4])[0]
        if not 1 <= length <= FRAME_BYTES_MAX:
            raise Broken(f"a frame of {length} bytes")
        if len(self.buffer) < 4 + length:
            return None
        body = self.buffer[4:4 + length]
        self.buffer = self.buffer[4 + length:]
        frame = msgpack.unpackb(body, raw=False, strict_map_key=False)
        if pack(frame) != body:
            raise Broken(f"not canonical: {body.hex()}")
        return frame

    def is_closed(self, timeout_s=5.0):
        """True if the server closes without a further frame."""
        try:
            self.receive(timeout_s)
        except Closed:
            return True
        return False

    def close(self):
        self.socket.close()

    # Handshake ------------------------------------------------------------------------------

    def challenge(self):
        """The server nonce."""
        frame = self.receive()
        if frame is None or frame[:2] != [CHALLENGE, VERSION] or len(frame[2]) != 32:
            raise Broken(f"no CHALLENGE: {frame}")
        return frame[2]

    def greet(self, role, identity, secret, instance=0, shard=0):
        """HELLO, then WELCOME with the server's proof.  Returns self."""
        server_nonce = self.challenge()
        hello = make_hello(server_nonce, role, identity, secret, instance, shard)
        self.send(hello)
        frame = self.receive()
        if frame is not None and frame[0] == ERROR:
            raise Refused(frame[2])
        if frame is None or frame[0] != WELCOME:
            raise Broken(f"no WELCOME: {frame}")
        expected = b"" if not secret else hmac.digest(
            secret, b"tricast welcome\0" + hello[5] + server_nonce + run(frame[1:5]),
            hashlib.sha256)
        if not hmac.compare_digest(expected, frame[5]):
            raise Broken("the server does not know the secret")
        self.welcome = frame
        return self


def make_hello(server_nonce, role, identity, secret, instance=0, shard=0):
    proved = [VERSION, role, identity, instance, os.urandom(32), shard]
    mac = b"" if not secret else hmac.digest(
        secret, b"tricast hello\0" + server_nonce + run(proved), hashlib.sha256)
    return [HELLO, *proved, mac]


# A submitter --------------------------------------------------------------------------------


def submit_frame(ident, targets, assets, payload=b"", atomicity=ALL_OR_NOTHING, **more):
    """A SUBMIT; every field can be given by name."""
    field = {"version": VERSION, "priority": NORMAL, "scope": TARGETS, "ttl": 300,
             "timestamp": int(time.time() * 1000), "source": "eip155:1", "node": "stranger",
             "timeouts": [0, 0, 0], "finalize": False, "type": REGULATORY_ACTION, "subtype": 0,
             "envelope": None, "signature": None}
    assert set(more) <= set(field), more
    field.update(more)
    return [SUBMIT, ident, field["version"], field["priority"], field["scope"], atomicity,
            field["ttl"], field["timestamp"], field["source"], field["node"], list(targets),
            field["timeouts"], field["finalize"], field["type"], field["subtype"], list(assets),
            payload, field["envelope"], field["signature"]]


def content_hash(submit):
    return hashlib.sha256(run(submit[1:19])).digest()[:16]


class Result:
    """What a submitter was told of one message, in order."""

    def __init__(self):
        self.frames = []

    @property
    def kinds(self):
        return [frame[2] if frame[0] == ACK else "NOTICE" for frame in self.frames]

    @property
    def last(self):
        return self.frames[-1]

    @property
    def code(self):
        return self.last[3]

    @property
    def targets(self):
        """{chainId: (targetState, errorCode)}"""
        return {row[0]: (row[1], row[2]) for row in self.last[6]}


def wait_result(connection, ident, timeout_s=20.0):
    """Reads until the last ACK of `ident`; frames of other messages are passed over."""
    result = Result()
    end = time.monotonic() + timeout_s
    while True:
        frame = connection.receive(max(0.01, end - time.monotonic()))
        if frame is None:
            raise Broken(f"no answer for {ident}: {result.frames}")
        if frame[0] == ERROR:
            raise Broken(f"ERROR for {ident}: {frame}")
        if frame[0] in (ACK, NOTICE) and frame[1] == ident:
            result.frames.append(frame)
            if frame[0] == ACK and frame[2] != RECEIVED:
                return result


def submit(connection, *words, **more):
    """Submits and waits for the end."""
    frame = submit_frame(*words, **more)
    connection.send(frame)
    return wait_result(connection, frame[1])


def status(connection, ident):
    connection.send([STATUS_GET, ident])
    while True:
        frame = connection.receive()
        if frame is None or (frame[0] in (STATUS, ERROR) and frame[1] == ident):
            return frame


# A chain ------------------------------------------------------------------------------------


class Record:
    """What the chain knows of one message (P10)."""

    def __init__(self, content):
        self.content = content
        self.attempt = None      # of the reservation, or the last one that APPLIED has taken over
        self.token = None
        self.expires = 0.0       # of the reservation, monotonic
        self.is_reserved = False
        self.is_applied = False
        self.is_closed = False
        self.applied_by = None   # the attempt that applied
        self.ended = (0, 0)      # the tombstone: this attempt and all before it
        self.assets = []
        self.before = {}         # of the assets, for ROLLBACK
        self.answers = {}        # (kind of frame, phase or kind, attempt): bytes
        self.forget = 0.0        # not before, wall time


class Chain:
    """A chain by the rules of the page.  Its life is longer than that of its connections.

    `refuse(step, id)` may return an error code for PREPARE or COMMIT; `mute` is a set of
    (step, id) that are handled but not answered.
    """

    def __init__(self, identity, secret, entries_max=1000, window_ms=60000):
        self.identity = identity
        self.secret = secret
        self.instance = 0
        self.entries_max = entries_max
        self.window_ms = window_ms
        self.records = {}
        self.effects = {}        # asset: ids of the messages that changed it, in order
        self.holders = {}        # asset: id of the message that holds it
        self.tokens = 0
        self.refuse = lambda step, ident: 0
        self.mute = set()
        self.seen = []           # every PHASE and CONTROL, in order
        self.errors = []         # every ERROR
        self.asked = []
        self.connections = []
        self.threads = []

    # Connections ----------------------------------------------------------------------------

    def start(self):
        """Rule 12: a new instance with each start of the chain."""
        self.instance += 1
        return self

    def connect(self, port, shard=0):
        """A greeted connection, and the questions of rule 11 are asked."""
        connection = Connection(port).greet(CHAIN, self.identity, self.secret, self.instance, shard)
        questions = [[ASK, ident, list(record.attempt), self.identity]
                     for ident, record in self.records.items()
                     if record.is_reserved and not record.is_applied]
        self.asked += questions
        connection.send(*questions)
        return connection

    def serve(self, port, shard=0):
        """Answers on a new connection, in the background, until it is closed."""
        connection = self.connect(port, shard)
        thread = threading.Thread(target=self.loop, args=(connection,), daemon=True)
        self.connections.append(connection)
        self.threads.append(thread)
        thread.start()
        return connection

    def loop(self, connection):
        try:
            while True:
                frame = connection.receive(60)
                if frame is not None:
                    connection.send_raw(b"".join(frame_bytes(body) for body in self.take(frame)))
        except Closed:
            connection.close()

    def stop(self):
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(10)
        self.connections, self.threads = [], []

    # Frames ---------------------------------------------------------------------------------

    def take(self, frame):
        """One frame of the server; the bodies of the answers."""
        if frame[0] == ERROR:
            self.errors.append(frame)
            return []
        if frame[0] not in (PHASE, CONTROL):
            raise Broken(f"a chain was sent {frame}")
        self.seen.append(frame)
        if frame[0] == PHASE:
            if frame[2] != frame[3]:
                raise Broken(f"phase {frame[2]}, phaseSequence {frame[3]}")
            body = self.phase(frame)
            step = ("PREPARE", "COMMIT", "FINALIZE")[frame[2]]
        else:
            body = self.control(frame)
            step = ("ABORT", "ROLLBACK")[frame[2]]
        return [] if (step, frame[1]) in self.mute else [body]

    def steps(self, ident):
        """The names of the frames that came for a message."""
        names = {PHASE: ("PREPARE", "COMMIT", "FINALIZE"), CONTROL: ("ABORT", "ROLLBACK")}
        return [names[frame[0]][frame[2]] for frame in self.seen if frame[1] == ident]

    def is_locked(self, asset):
        return asset in self.holders

    def release(self, ident, record):
        record.is_reserved = False
        for asset in [asset for asset, holder in self.holders.items() if holder == ident]:
            del self.holders[asset]

    def expire(self):
        """Rule 1: a reservation lasts for its time, on a monotonic clock."""
        now = time.monotonic()
        for ident, record in self.records.items():
            if record.is_reserved and not record.is_applied and now >= record.expires:
                self.release(ident, record)

    def forget(self):
        """Rule 10: only what is closed and whose window has passed."""
        now_ms = time.time() * 1000
        for ident, record in list(self.records.items()):
            is_over = not record.is_applied or record.is_closed
            if is_over and not record.is_reserved and now_ms >= record.forget:
                del self.records[ident]

    def record_of(self, ident, content, expires_ms):
        """The record of a message, a new one if there is room, else None."""
        record = self.records.get(ident)
        if record is None:
            self.forget()
            if len(self.records) >= self.entries_max:
                return None
            record = self.records[ident] = Record(content)
        if record.content == NO_HASH:
            record.content = content
        record.forget = max(record.forget, max(expires_ms, time.time() * 1000) + self.window_ms)
        return record

    # Phases: checks in the order of rule 8 ---------------------------------------------------

    def phase_ack(self, frame, kind, code=0, applied=False, tokens=(), retry_ms=0):
        return pack([PHASE_ACK, frame[1], kind, frame[2], frame[4], self.identity, code, applied,
                     list(tokens), retry_ms])

    def phase_reject(self, frame, name, retry_ms=0):
        code = CODES[name] if isinstance(name, str) else name
        return self.phase_ack(frame, PHASE_REJECT, code, retry_ms=retry_ms)

    def phase(self, frame):
        ident, phase, attempt, content = frame[1], frame[2], tuple(frame[4]), frame[6]
        self.expire()
        record = self.records.get(ident)
        key = (PHASE, phase, attempt)
        if record is not None:
            if record.content not in (content, NO_HASH):
                return self.phase_reject(frame, "DUPLICATE_ID_MISMATCH")
            is_earlier = record.attempt is not None and attempt < record.attempt
            if attempt <= record.ended or (is_earlier and not record.is_applied):
                return self.phase_reject(frame, "ATTEMPT_ENDED")
            if key in record.answers:
                return record.answers[key]
        if phase == FINALIZE:
            answer = self.finalize(frame, record)
        elif record is not None and record.is_applied:
            answer = self.applied_already(frame, record)
        elif phase == PREPARE:
            answer = self.prepare(frame)
        else:
            answer = self.commit(frame)
        record = self.records.get(ident)
        if record is not None:
            record.answers[key] = answer
        return answer

    def applied_already(self, frame, record):
        """Rule 6."""
        record.attempt = max(record.attempt, tuple(frame[4]))
        if frame[2] == PREPARE:
            return self.phase_ack(frame, PREPARE_OK, applied=True, tokens=[record.token])
        return self.phase_ack(frame, COMMIT_OK, applied=True)

    def is_stale(self, frame):
        return time.time() * 1000 >= frame[7]

    def new_token(self):
        self.tokens += 1
        return f"{self.identity.split(':')[1]}.{self.instance}.{self.tokens}"

    def conflict(self, ident, assets, step):
        """Why the ledger does not take the message; 0 = it does."""
        if any(self.holders.get(asset, ident) != ident for asset in assets):
            return CODES["CROSS_CHAIN_STATE_CONFLICT"]
        return self.refuse(step, ident)

    def apply(self, ident, record):
        record.is_applied = True
        record.before = {asset: list(self.effects.get(asset, [])) for asset in record.assets}
        for asset in record.assets:
            self.effects.setdefault(asset, []).append(ident)

    def prepare(self, frame):
        """Rule 1."""
        ident, attempt, assets = frame[1], tuple(frame[4]), frame[12]
        if self.is_stale(frame):
            return self.phase_reject(frame, "STALE")
        record = self.record_of(ident, frame[6], frame[7])
        if record is None:
            return self.phase_reject(frame, "BUSY", self.window_ms)
        record.attempt = attempt
        code = self.conflict(ident, assets, "PREPARE")
        if code:
            self.release(ident, record)
            return self.phase_reject(frame, code)
        record.assets = assets
        record.token = self.new_token()
        record.expires = time.monotonic() + frame[8] / 1000
        record.is_reserved = True
        for asset in assets:
            self.holders[asset] = ident
        return self.phase_ack(frame, PREPARE_OK, tokens=[record.token])

    def commit(self, frame):
        """Rule 2."""
        ident, attempt = frame[1], tuple(frame[4])
        if frame[5] == BEST_EFFORT:
            return self.commit_alone(frame)
        record = self.records.get(ident)
        if record is None or record.attempt != attempt or record.token is None:
            return self.phase_reject(frame, "NO_RESERVATION")
        if not record.is_reserved or frame[16] != [record.token]:
            return self.phase_reject(frame, "LOCK_EXPIRED")
        code = self.refuse("COMMIT", ident)
        if code:
            self.release(ident, record)
            return self.phase_reject(frame, code)
        record.applied_by = attempt
        self.apply(ident, record)
        return self.phase_ack(frame, COMMIT_OK)

    def commit_alone(self, frame):
        """A01: reserve and apply at once."""
        ident, attempt, assets = frame[1], tuple(frame[4]), frame[12]
        if self.is_stale(frame):
            return self.phase_reject(frame, "STALE")
        record = self.record_of(ident, frame[6], frame[7])
        if record is None:
            return self.phase_reject(frame, "BUSY", self.window_ms)
        code = self.conflict(ident, assets, "COMMIT")
        if code:
            return self.phase_reject(frame, code)
        record.attempt = record.applied_by = attempt
        record.assets = assets
        self.apply(ident, record)
        record.is_closed = True
        return self.phase_ack(frame, COMMIT_OK)

    def finalize(self, frame, record):
        """Rule 3."""
        if record is None or not record.is_applied:
            return self.phase_reject(frame, "NO_RESERVATION")
        self.release(frame[1], record)
        record.is_closed = True
        return self.phase_ack(frame, FINALIZE_OK)

    # ABORT and ROLLBACK ---------------------------------------------------------------------

    def control_ack(self, frame, kind, name=None):
        return pack([CONTROL_ACK, frame[1], kind, frame[2], frame[3], self.identity,
                     CODES[name] if name else 0])

    def control(self, frame):
        ident, kind, attempt, content = frame[1], frame[2], tuple(frame[3]), frame[4]
        self.expire()
        record = self.record_of(ident, content, frame[5])
        if record is None:
            return self.control_ack(frame, FAILED, "BUSY")
        if content != record.content and not (content == NO_HASH and kind == ABORT):
            return self.control_ack(frame, REJECTED, "DUPLICATE_ID_MISMATCH")
        if attempt <= record.ended:
            return self.control_ack(frame, PROCESSED)
        key = (CONTROL, kind, attempt)
        if key not in record.answers:
            record.answers[key] = (self.abort if kind == ABORT else self.rollback)(frame, record)
        return record.answers[key]

    def end(self, frame, record):
        attempt = tuple(frame[3])
        if record.attempt is None or record.attempt <= attempt:
            self.release(frame[1], record)
        record.ended = max(record.ended, attempt)
        return self.control_ack(frame, PROCESSED)

    def abort(self, frame, record):
        """Rule 4."""
        if record.is_applied:
            return self.control_ack(frame, REJECTED, "ALREADY_APPLIED")
        return self.end(frame, record)

    def rollback(self, frame, record):
        """Rule 5."""
        ident = frame[1]
        if not record.is_applied:
            return self.end(frame, record)
        if record.attempt > tuple(frame[3]):
            return self.control_ack(frame, REJECTED, "ATTEMPT_ENDED")
        if record.is_closed or any(self.effects.get(asset) != [*record.before[asset], ident]
                                   for asset in record.assets):
            return self.control_ack(frame, FAILED, "ROLLBACK_FENCED")
        for asset in record.assets:
            self.effects[asset] = record.before[asset]
        record.is_applied = False
        return self.end(frame, record)
