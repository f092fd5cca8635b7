# SPDX-License-Identifier: Apache-2.0
"""A coordinator for tests of a chain: it says what a test tells it to say.

Not a test itself.  It speaks the frames of docs/wire.md through python3-msgpack
and knows nothing of the C code.
"""

import hashlib
import hmac
import os
import socket
import struct
import time

import msgpack

VERSION = "0.5.0"
CHALLENGE, HELLO, WELCOME, ERROR = 1, 2, 3, 4
PHASE, PHASE_ACK, CONTROL, CONTROL_ACK, ASK = 32, 33, 34, 35, 36
PREPARE, COMMIT, FINALIZE = 0, 1, 2
ABORT, ROLLBACK = 0, 1
PROCESSED, FAILED, REJECTED = 1, 2, 3
PREPARE_OK, COMMIT_OK, FINALIZE_OK, PHASE_REJECT = 4, 5, 6, 7
BEST_EFFORT, GUARANTEED, ALL_OR_NOTHING = 0, 1, 2
STATE_SYNC, REGULATORY_ACTION = 0, 1
ROLE_CHAIN = 1
FRAME_BYTES_MAX = 81920


def pack(values):
    """Elements one after another, without their array's head."""
    return b"".join(msgpack.packb(value, use_bin_type=True) for value in values)


class Peer:
    """One connection, as frames."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def send(self, *frames):
        """Sends frames so that they arrive together."""
        bodies = [msgpack.packb(frame, use_bin_type=True) for frame in frames]
        self.sock.sendall(b"".join(struct.pack(">I", len(body)) + body for body in bodies))

    def send_bytes(self, body):
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def receive(self, timeout_s=5.0):
        """The next frame; None if the peer closed or none came in time."""
        body = self.receive_bytes(timeout_s)
        return None if body is None else msgpack.unpackb(body, raw=False, strict_map_key=False)

    def receive_bytes(self, timeout_s=5.0):
        end = time.monotonic() + timeout_s
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack(">I", self.buffer[:4])[0]
                if len(self.buffer) >= 4 + size:
                    body = self.buffer[4:4 + size]
                    self.buffer = self.buffer[4 + size:]
                    return body
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                got = self.sock.recv(65536)
            except (TimeoutError, ConnectionError):
                return None
            if not got:
                return None
            self.buffer += got

    def close(self):
        self.sock.close()


class Coordinator:
    """Listens like a tricastd and greets chains."""

    def __init__(self, secret, epoch=1):
        self.secret = secret
        self.epoch = epoch
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.hello = None

    def accept(self, timeout_s=5.0):
        """The next chain, welcomed; None if its mac is wrong."""
        self.listener.settimeout(timeout_s)
        peer = Peer(self.listener.accept()[0])
        nonce = os.urandom(32)
        peer.send([CHALLENGE, VERSION, nonce])
        self.hello = peer.receive(timeout_s)
        assert self.hello[0] == HELLO, self.hello
        proof = hmac.digest(self.secret, b"tricast hello\0" + nonce + pack(self.hello[1:7]),
                            hashlib.sha256)
        if not hmac.compare_digest(proof, self.hello[7]):
            peer.send([ERROR, "", 43, "no"])
            peer.close()
            return None
        fields = [self.epoch, 0, 1, FRAME_BYTES_MAX]
        mac = hmac.digest(self.secret, b"tricast welcome\0" + self.hello[5] + nonce + pack(fields),
                          hashlib.sha256)
        peer.send([WELCOME, *fields, mac])
        return peer

    def close(self):
        self.listener.close()


def payload(asset, action="FREEZE", reason="test"):
    return msgpack.packb({"assetId": asset, "action": action, "reason": reason})


def phase(ident, which, asset, attempt=1, epoch=1, tokens=(), atomicity=ALL_OR_NOTHING,
          action="FREEZE", body=None, ttl_ms=60000, content=None, assets=None):
    body = payload(asset, action) if body is None else body
    digest = hashlib.sha256((content or ident).encode()).digest()[:16]
    expires_ms = int(time.time() * 1000) + 60000
    return [PHASE, ident, which, which, [epoch, attempt], atomicity, digest, expires_ms,
            ttl_ms if which == PREPARE else 0, False, REGULATORY_ACTION, 0,
            [asset] if assets is None else assets, body, None, None, list(tokens)]


def control(ident, which, attempt=1, epoch=1, tokens=(), chains=(), content=None):
    digest = hashlib.sha256((content or ident).encode()).digest()[:16]
    now_ms = int(time.time() * 1000)
    is_rollback = which == ROLLBACK
    return [CONTROL, ident, which, [epoch, attempt], digest, now_ms + 60000, list(tokens),
            "test" if is_rollback else "", list(chains) if is_rollback else [],
            now_ms + 30000 if is_rollback else 0]
