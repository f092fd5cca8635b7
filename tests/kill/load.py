# SPDX-License-Identifier: Apache-2.0
"""Clients that keep many messages open, and write down whatever they are told.

Not a test itself.  It runs as a process of its own, speaks by docs/wire.md
alone, and is never killed: its log is the memory that the killed programs are
held against.  A line is a few words:

    S id                                   submitted for the first time
    R epoch id duplicate                   RECEIVED
    N epoch id attempt chains record       NOTICE; the record is STREAM.OSSEPOCH
    A epoch id ackType code duplicate attempt chain:state:code,...
    T epoch id state code                  STATUS
    E epoch id code                        ERROR
    X id                                   refused, because the content was another
    V epoch id sentence                    what may never be, seen by the client itself

The epoch is that of the start which has said it.  A connection that breaks is
opened again, and everything that is open on it is submitted again with the
same bytes; now and then something that has ended too, or a known id with
other content, which must be refused (R02).
"""

import ctypes
import pickle
import random
import selectors
import socket
import struct
import time

import msgpack
import stranger as wire

COUNTERS = ("open", "pending", "submitted", "ended", "command", "done", "connected", "told")
OPEN, PENDING, SUBMITTED, ENDED, COMMAND, DONE, CONNECTED, TOLD = range(len(COUNTERS))
RUN, DRAIN, VERIFY, EXIT = range(4)

CONNECTIONS = 4
AGAIN_S = 0.005
VERIFY_WINDOW = 400
TTL_S = 2
# Passing reasons for which the server takes a message not yet, and remembers nothing of it.
NOT_YET = {wire.CODES["BUSY"], wire.CODES["SHUTTING_DOWN"]}
MISMATCH = wire.CODES["DUPLICATE_ID_MISMATCH"]

# The first letter of an id says what the message is; the chains' rules look at it too.
MIX = {
    "g": 28,  # GUARANTEED, an asset of its own
    "a": 24,  # ALL_OR_NOTHING, likewise
    "c": 6,   # CRITICAL
    "b": 10,  # BEST_EFFORT
    "u": 22,  # ALL_OR_NOTHING that one chain refuses at COMMIT
    "s": 10,  # on one of few shared assets
}
SHARED_ASSETS = 12


def counters():
    """Shared with the driver: one writer for each, but for the command."""
    import multiprocessing  # pylint: disable=import-outside-toplevel
    return multiprocessing.RawArray(ctypes.c_int64, len(COUNTERS))


class Message:
    """What the client knows of one message."""

    __slots__ = ("ident", "frame", "body", "line", "received", "result", "asked", "due", "answers")

    def __init__(self, ident, frame):
        self.ident = ident
        self.frame = frame
        self.body = wire.frame_bytes(wire.pack(frame))
        self.line = None
        self.received = False
        self.result = None
        self.asked = None   # of an ended one: "same" or "other", if an answer is due
        self.due = 0.0      # refused for now: not before
        self.answers = 0    # in the last round of questions


class Line:
    """One connection, non-blocking, and the messages that belong to it."""

    def __init__(self, index, secret):
        self.index = index
        self.secret = secret
        self.socket = None
        self.buffer = bytearray()
        self.out = bytearray()
        self.epoch = 0
        self.hello = None
        self.again = 0.0
        self.messages = {}  # open ones, by id

    @property
    def is_up(self):
        return self.epoch > 0


class Load:
    """All lines of a load, until it is told to exit."""

    def __init__(self, settings, shared):
        self.settings = settings
        self.shared = shared
        self.draw = random.Random(settings["seed"])
        self.selector = selectors.DefaultSelector()
        self.lines = [Line(i, settings["secret"]) for i in range(CONNECTIONS)]
        self.log = open(settings["log"], "w", encoding="utf-8", buffering=1 << 16)
        self.messages = {}
        self.ended = []
        self.later = []
        self.is_verifying = False
        self.unasked = []
        self.questions = 0

    # ---- messages ----

    def make(self):
        number = len(self.messages)
        draw = self.draw
        kind = draw.choices(list(MIX), list(MIX.values()))[0]
        chains = list(self.settings["chains"])
        ident = f"{kind}-{self.settings['episode']}-{number}"
        asset = f"own-{number:06d}"
        action = "FREEZE"
        more = {"ttl": TTL_S, "node": f"line-{number % CONNECTIONS}"}
        atomicity = wire.ALL_OR_NOTHING
        if kind in "gb":
            atomicity = wire.GUARANTEED if kind == "g" else wire.BEST_EFFORT
            chains = draw.sample(chains, draw.choice((2, 3)))
            more["finalize"] = kind == "b" and draw.random() < 0.5
        elif kind == "c":
            more["priority"] = wire.CRITICAL
            atomicity = wire.GUARANTEED
        elif kind == "s":
            asset = f"shared-{draw.randrange(SHARED_ASSETS):02d}"
            action = draw.choice(("FREEZE", "RELEASE"))
            atomicity = draw.choice((wire.ALL_OR_NOTHING, wire.GUARANTEED))
        payload = msgpack.packb({"assetId": asset, "action": action,
                                 "reason": "x" * draw.randrange(40)})
        frame = wire.submit_frame(ident, chains, [asset], payload, atomicity, **more)
        return Message(ident, frame)

    def submit(self, line):
        message = self.make()
        message.line = line
        self.messages[message.ident] = message
        line.messages[message.ident] = message
        line.out += message.body
        self.shared[SUBMITTED] += 1
        self.shared[PENDING] += 1
        self.log.write(f"S {message.ident}\n")

    def ask_again(self, line):
        """A message that has ended, with the same content or with other."""
        message = self.draw.choice(self.ended)
        if message.asked is not None or not message.received:
            return
        message.line = line
        if self.draw.random() < 0.3:
            message.asked = "other"
            other = list(message.frame)
            other[16] = other[16] + b"\xc0"
            line.out += wire.frame_bytes(wire.pack(other))
        else:
            message.asked = "same"
            line.out += message.body

    # ---- what is told ----

    def violation(self, line, ident, sentence):
        self.log.write(f"V {line.epoch} {ident} {sentence}\n")

    def take(self, line, frame):
        kind = frame[0]
        self.shared[TOLD] += 1
        if kind == wire.ACK:
            self.take_ack(line, frame)
        elif kind == wire.NOTICE:
            epoch, number = frame[2]
            self.log.write(f"N {line.epoch} {frame[1]} {epoch}.{number} {','.join(frame[4])} "
                           f"{frame[5]}.{frame[6]}\n")
        elif kind == wire.STATUS:
            self.log.write(f"T {line.epoch} {frame[1]} {frame[2]} {frame[3]}\n")
            self.answered(frame[1])
        elif kind == wire.ERROR:
            self.log.write(f"E {line.epoch} {frame[1] or '-'} {frame[2]}\n")
            self.answered(frame[1])
        else:
            self.violation(line, "-", f"a client was sent a frame of type {kind}")

    def answered(self, ident):
        """An answer to a question of the last round."""
        message = self.messages.get(ident)
        if self.is_verifying and message is not None and message.answers > 0:
            message.answers -= 1
            self.questions -= 1

    def take_ack(self, line, frame):
        _, ident, ack, code, duplicate, (epoch, number), targets = frame[:7]
        message = self.messages[ident]
        if ack == wire.RECEIVED:
            self.log.write(f"R {line.epoch} {ident} {int(duplicate)}\n")
            if not message.received:
                message.received = True
                self.shared[OPEN] += message.result is None
            return
        if code == MISMATCH and not targets:
            if message.asked != "other":
                self.violation(line, ident, "R02: the same bytes were refused as other ones")
            message.asked = None
            self.log.write(f"X {ident}\n")
            return
        if ack == wire.REJECTED and code in NOT_YET and not targets:
            message.due = time.monotonic() + 0.02
            self.later.append(message)
            return
        rows = ",".join(f"{row[0]}:{row[1]}:{row[2]}".replace("eip155:", "") for row in targets)
        self.log.write(f"A {line.epoch} {ident} {ack} {code} {int(duplicate)} {epoch}.{number} "
                       f"{rows or '-'}\n")
        if message.asked == "other":
            self.violation(line, ident, "R02: another content was taken for the same message")
        message.asked = None
        self.answered(ident)
        if message.result is None:
            message.result = (ack, code)
            self.shared[OPEN] -= message.received
            self.shared[PENDING] -= 1
            self.shared[ENDED] += 1
            self.ended.append(message)
            message.line.messages.pop(ident, None)

    # ---- connections ----

    def connect(self, line):
        line.socket = socket.socket()
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            line.socket.connect(self.settings["address"])  # loopback: at once or not at all
        except OSError:
            line.socket.close()
            line.socket = None
            line.again = time.monotonic() + AGAIN_S
            return
        line.socket.setblocking(False)
        line.buffer.clear()
        line.out.clear()
        self.selector.register(line.socket, selectors.EVENT_READ, line)

    def lose(self, line):
        self.selector.unregister(line.socket)
        line.socket.close()
        line.socket = None
        self.shared[CONNECTED] -= line.is_up
        line.epoch = 0
        line.again = time.monotonic() + AGAIN_S
        for message in self.ended:
            if message.asked is not None and message.line is line:
                message.asked = None
        if self.is_verifying:
            self.verify()

    def greet(self, line, frame):
        """CHALLENGE, then WELCOME; then everything that is open goes out again."""
        if frame[0] == wire.CHALLENGE:
            line.hello = (frame[2], wire.make_hello(frame[2], wire.CLIENT, "load", line.secret))
            line.out += wire.frame_bytes(wire.pack(line.hello[1]))
            return
        if frame[0] != wire.WELCOME:
            raise wire.Closed(f"refused: {frame}")
        nonce, hello = line.hello
        if frame[5] != wire.hmac.digest(line.secret, b"tricast welcome\0" + hello[5] + nonce +
                                        wire.run(frame[1:5]), wire.hashlib.sha256):
            raise wire.Broken("the server does not know the secret")
        line.epoch = frame[1]
        self.shared[CONNECTED] += 1
        for message in line.messages.values():
            line.out += message.body

    def read(self, line):
        try:
            got = line.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            raise wire.Closed(str(error)) from error
        if not got:
            raise wire.Closed("end of the stream")
        line.buffer += got
        at = 0
        while len(line.buffer) - at >= 4:
            size = struct.unpack_from(">I", line.buffer, at)[0]
            if len(line.buffer) - at < 4 + size:
                break
            frame = msgpack.unpackb(line.buffer[at + 4:at + 4 + size])
            at += 4 + size
            if line.is_up:
                self.take(line, frame)
            else:
                self.greet(line, frame)
        del line.buffer[:at]

    def write(self, line):
        try:
            sent = line.socket.send(line.out)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read says that it is lost
        del line.out[:sent]

    # ---- the end ----

    def verify(self):
        """Everything is asked for once more: the message itself and its status."""
        self.is_verifying = True
        self.shared[DONE] = 0
        self.questions = 0
        self.unasked = list(self.messages.values())
        for message in self.unasked:
            message.answers = 0
            message.asked = None

    def verify_on(self):
        line = self.lines[0]
        while line.is_up and self.unasked and self.questions < VERIFY_WINDOW:
            message = self.unasked.pop()
            message.answers = 2
            message.line = line
            self.questions += 2
            line.out += message.body
            line.out += wire.frame_bytes(wire.pack([wire.STATUS_GET, message.ident]))
        self.shared[DONE] = line.is_up and not self.unasked and self.questions == 0

    def fill(self):
        """Keeps so many open, a few at a time so that no server is flooded."""
        up = [line for line in self.lines if line.is_up]
        if not up:
            return
        now = time.monotonic()
        for message in [message for message in self.later if message.due <= now]:
            self.later.remove(message)
            if message.line.is_up:
                message.line.out += message.body
        if self.shared[COMMAND] != RUN:
            return
        missing = min(self.settings["window"] - self.shared[PENDING], 64)
        for _ in range(missing):
            self.submit(self.draw.choice(up))
            if self.ended and self.draw.random() < 0.04:
                self.ask_again(self.draw.choice(up))

    def turn(self):
        now = time.monotonic()
        for line in self.lines:
            if line.socket is None and line.again <= now:
                self.connect(line)
        if self.is_verifying:
            self.verify_on()
        self.fill()
        for line in self.lines:
            if line.out and line.socket is not None:
                self.write(line)
        for key, _ in self.selector.select(0.004):
            try:
                self.read(key.data)
            except wire.Closed:
                self.lose(key.data)

    def run(self):
        while self.shared[COMMAND] != EXIT:
            if self.shared[COMMAND] == VERIFY and not self.is_verifying:
                self.verify()
            self.turn()
        self.log.close()
        with open(self.settings["messages"], "wb") as file:
            pickle.dump({m.ident: m.frame for m in self.messages.values()}, file)


def main(settings, shared):
    import server as host  # pylint: disable=import-outside-toplevel
    host.die_with_parent()
    Load(settings, shared).run()
