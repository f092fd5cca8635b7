#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tricastd over real sockets: who gets in, what a bad peer meets, how it starts and ends.

The peers here are sockets of this file; they share nothing with the C code.  Each test makes a
server of its own where it needs one with other limits.
"""

import hmac
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import msgpack

PROGRAM = os.path.join(os.environ["TRI_BUILD_DIR"], "tricastd")
VERSION = "0.5.0"
CHALLENGE, HELLO, WELCOME, ERROR = 1, 2, 3, 4
SUBMIT, ACK, STATUS_GET, STATS_GET, STATS = 16, 17, 19, 23, 24
CLIENT, CHAIN, OPERATOR = 0, 1, 2
CODES = {
    "CHAIN_NOT_SUPPORTED": 5, "MALFORMED_FRAME": 39, "FRAME_TOO_LONG": 40, "UNKNOWN_FRAME": 41,
    "WRONG_ROLE": 42, "AUTHENTICATION_FAILED": 43, "VERSION_NOT_SUPPORTED": 44,
    "FIELD_OUT_OF_RANGE": 45, "INSTANCE_SUPERSEDED": 62, "SHUTTING_DOWN": 63, "UNKNOWN_MESSAGE": 66,
    "HANDSHAKE_EXPECTED": 71, "TOO_MANY_CONNECTIONS": 73, "HANDSHAKE_TIMEOUT": 74,
}
SECRETS = {"bank": b"bank-bank-bank-bank", "eip155:1": b"one-one-one-one-one",
           "eip155:2": b"two-two-two-two-two", "root": b"root-root-root-root"}
CONFIG = """dataDir: {directory}/data
shards: 2
drainMs: 1500
listen: {{address: 127.0.0.1, port: 0}}
chains:
- {{id: "eip155:1", secret: one-one-one-one-one}}
- {{id: "eip155:2", secret: two-two-two-two-two}}
clients: [{{name: bank, secret: bank-bank-bank-bank}}]
operators: [{{name: root, secret: root-root-root-root}}]
locations: {{entries: [{{asset: "*", chains: ["eip155:1", "eip155:2"]}}]}}
limits: {{handshakeMs: 700, peerTimeoutMs: 1500, fruitlessPerSecond: 100000000}}
capacities: {{rounds: 256, waiters: 256, dedupEntries: 1024, bodies416: 256, bodies1024: 256,
  bodies4096: 64, bodies16384: 64, bodies86016: 64, connections: 40, sendBytes: 16777216,
  peerSendBytes: 262144, partialFrameBytes: 4194304}}
"""
count = 0
failures = 0


def ok(holds, name, got=""):
    global count, failures
    count += 1
    failures += 0 if holds else 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)
    if not holds:
        print(f"# got: {got}", flush=True)


class Server:
    """A tricastd with its own directory."""

    def __init__(self, config=CONFIG, directory=None):
        self.directory = directory or tempfile.mkdtemp(prefix="tricast-server-")
        self.config = os.path.join(self.directory, "tricastd.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config.format(directory=self.directory))
        self.port_file = os.path.join(self.directory, "port")
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        self.process = subprocess.Popen(
            [PROGRAM, "--config", self.config, "--port-file", self.port_file],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        until = time.monotonic() + 20
        while not os.path.exists(self.port_file) and self.process.poll() is None:
            if time.monotonic() > until:
                raise TimeoutError("tricastd does not start")
            time.sleep(0.01)
        with open(self.port_file, encoding="ascii") as file:
            self.port = int(file.read())

    def end(self, *signals):
        """Sends the signals and waits; exit code, seconds, stderr."""
        begun = time.monotonic()
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
            time.sleep(0.1)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, time.monotonic() - begun, said

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        shutil.rmtree(self.directory)


class Peer:
    """One connection."""

    def __init__(self, port, patience=8):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.bytes = b""
        self.server_nonce = None
        self.hello_bytes = None

    def read(self):
        """The next frame; None at the end of the stream."""
        while True:
            if len(self.bytes) >= 4:
                size = struct.unpack(">I", self.bytes[:4])[0]
                if len(self.bytes) >= 4 + size:
                    body = self.bytes[4:4 + size]
                    self.bytes = self.bytes[4 + size:]
                    return msgpack.unpackb(body, raw=False, strict_map_key=False)
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.bytes += more

    def send_body(self, body):
        self.socket.sendall(struct.pack(">I", len(body)) + body)

    def send(self, frame):
        self.send_body(msgpack.packb(frame, use_bin_type=True))

    def hello(self, role, name, instance=0, shard=0, secret=None, version=VERSION):
        """Plays the handshake; the server's answer, its proof checked."""
        challenge = self.read()
        assert challenge[0] == CHALLENGE and challenge[1] == VERSION and len(challenge[2]) == 32
        self.server_nonce = challenge[2]
        secret = SECRETS.get(name, b"x" * 16) if secret is None else secret
        nonce = os.urandom(32)
        fields = [version, role, name, instance, nonce, shard]
        proved = b"".join(msgpack.packb(field, use_bin_type=True) for field in fields)
        mac = b""
        if secret:
            mac = hmac.digest(secret, b"tricast hello\0" + self.server_nonce + proved, "sha256")
        self.hello_bytes = msgpack.packb([HELLO] + fields + [mac], use_bin_type=True)
        self.send_body(self.hello_bytes)
        answer = self.read()
        if answer is not None and answer[0] == WELCOME:
            proved = b"".join(msgpack.packb(field) for field in answer[1:5])
            assert answer[5] == hmac.digest(
                secret, b"tricast welcome\0" + nonce + self.server_nonce + proved, "sha256")
        return answer

    def close(self):
        self.socket.close()


def submit(name, targets=("eip155:1", "eip155:2"), milliseconds=60000):
    return [SUBMIT, name, VERSION, 1, 0, 2, 60, int(time.time() * 1000), "eip155:1", "node",
            list(targets), [milliseconds] * 3, False, 0, 0, ["gold"], b"", None, None]


def entered(server, role, name, **rest):
    peer = Peer(server.port)
    answer = peer.hello(role, name, **rest)
    assert answer is not None and answer[0] == WELCOME, answer
    return peer


def stats(server):
    peer = entered(server, OPERATOR, "root")
    peer.send([STATS_GET])
    answer = peer.read()
    peer.close()
    assert answer[0] == STATS
    return answer[1]


def total(rows, name):
    return sum(next(values for row, _, _, values in rows if row == name))


def refused(answer, peer, code):
    """ERROR with the code, and then the end."""
    return answer is not None and answer[0] == ERROR and answer[2] == CODES[code] and \
        peer.read() is None


def test_handshake(server):
    peer = Peer(server.port)
    answer = peer.hello(CLIENT, "bank")
    ok(answer[:1] == [WELCOME] and answer[1] >= 1 and answer[3] == 2 and answer[4] == 81920,
       "a client with its secret is welcomed, and the server proves itself", answer)
    replay = Peer(server.port)
    replay.read()
    replay.send_body(peer.hello_bytes)
    ok(refused(replay.read(), replay, "AUTHENTICATION_FAILED"), "a replayed HELLO is refused")
    cases = [
        ("a wrong secret", (CLIENT, "bank"), {"secret": b"b" * 19}, "AUTHENTICATION_FAILED"),
        ("no secret", (CLIENT, "bank"), {"secret": b""}, "AUTHENTICATION_FAILED"),
        ("an unknown name", (CLIENT, "nobody"), {}, "AUTHENTICATION_FAILED"),
        ("a client in the role of an operator", (OPERATOR, "bank"), {}, "AUTHENTICATION_FAILED"),
        ("a chain with the secret of another", (CHAIN, "eip155:1"),
         {"secret": SECRETS["eip155:2"], "instance": 1}, "AUTHENTICATION_FAILED"),
        ("a chain that is not configured", (CHAIN, "eip155:3"), {"instance": 1},
         "CHAIN_NOT_SUPPORTED"),
        ("a chain without an instance", (CHAIN, "eip155:1"), {}, "FIELD_OUT_OF_RANGE"),
        ("another version", (CLIENT, "bank"), {"version": "9.0.0"}, "VERSION_NOT_SUPPORTED"),
    ]
    for name, words, rest, code in cases:
        other = Peer(server.port)
        answer = other.hello(*words, **rest)
        ok(refused(answer, other, code), f"{name} is refused", answer)
    peer.send([STATUS_GET, "m"])
    ok(peer.read()[:3] == [ERROR, "m", CODES["UNKNOWN_MESSAGE"]],
       "the client that was welcomed first noticed nothing")


def test_before_hello(server):
    for name, body, code in [
            ("another frame", msgpack.packb([STATUS_GET, "m"]), "HANDSHAKE_EXPECTED"),
            ("a HELLO cut short", msgpack.packb([HELLO, VERSION]), "MALFORMED_FRAME"),
            ("no msgpack", b"\xc1\xc1\xc1", "MALFORMED_FRAME"),
            ("more bytes than a HELLO has", b"\0" * 600, "FRAME_TOO_LONG")]:
        peer = Peer(server.port)
        peer.read()
        peer.send_body(body)
        answer = peer.read()
        ok(refused(answer, peer, code), f"{name} before HELLO: {code}", answer)
    peer = Peer(server.port)
    peer.read()
    begun = time.monotonic()
    answer = peer.read()
    ok(refused(answer, peer, "HANDSHAKE_TIMEOUT") and 0.5 < time.monotonic() - begun < 3,
       "a peer that says nothing is closed after handshakeMs", answer)


def test_bad_frames(server):
    quiet = entered(server, CLIENT, "bank")
    for name, frame, code in [
            ("no msgpack", b"\xc1", "MALFORMED_FRAME"),
            ("more elements than bytes", b"\xdd\x7f\xff\xff\xff\x10", "MALFORMED_FRAME"),
            ("an unknown type", msgpack.packb([99, "m"]), "UNKNOWN_FRAME"),
            ("nested too deep", msgpack.packb([STATUS_GET, "m", [[[[[[[[[1]]]]]]]]]]),
             "MALFORMED_FRAME")]:
        peer = entered(server, CLIENT, "bank")
        peer.send_body(frame)
        answer = peer.read()
        ok(refused(answer, peer, code), f"{name}: {code}, then closed", answer)
    for name, size, code in [("a length of 0", 0, "MALFORMED_FRAME"),
                             ("a length above the maximum", 81921, "FRAME_TOO_LONG")]:
        peer = entered(server, CLIENT, "bank")
        peer.socket.sendall(struct.pack(">I", size))
        answer = peer.read()
        ok(refused(answer, peer, code), f"{name}: {code}, then closed", answer)
    peer = entered(server, CLIENT, "bank")
    peer.send([STATS_GET])
    answer = peer.read()
    ok(answer[:1] == [ERROR] and answer[2] == CODES["WRONG_ROLE"],
       "a client may not read counters", answer)
    quiet.send([STATUS_GET, "m"])
    ok(quiet.read()[:3] == [ERROR, "m", CODES["UNKNOWN_MESSAGE"]],
       "another connection noticed nothing")


def test_pieces(server):
    peer = entered(server, CLIENT, "bank")
    body = msgpack.packb([STATUS_GET, "in-pieces"])
    for byte in struct.pack(">I", len(body)) + body:
        peer.socket.sendall(bytes([byte]))
        time.sleep(0.002)
    ok(peer.read()[1] == "in-pieces", "a frame in single bytes is understood")
    peer.socket.sendall(struct.pack(">I", 80000) + b"\x92" * 100)
    begun = time.monotonic()
    ok(peer.read() is None and time.monotonic() - begun < 6,
       "a frame that is never finished ends the connection after peerTimeoutMs")


def test_shards(server):
    landed = []
    for wish in [1, 2] * 5:
        peer = entered(server, CLIENT, "bank", shard=wish)
        peer.close()
        peer = Peer(server.port)
        landed.append((wish, peer.hello(CLIENT, "bank", shard=wish)[2]))
        peer.send([STATUS_GET, "m"])
        assert peer.read()[2] == CODES["UNKNOWN_MESSAGE"]
        peer.close()
    ok(all(shard == wish - 1 for wish, shard in landed),
       "a connection moves to the shard that HELLO wishes for", landed)
    ok(total(stats(server), "handovers") > 0, "and some of them had to move")


def test_instances(server):
    old = entered(server, CHAIN, "eip155:1", instance=5)
    lower = Peer(server.port)
    answer = lower.hello(CHAIN, "eip155:1", instance=4)
    ok(refused(answer, lower, "INSTANCE_SUPERSEDED"), "P15: a lower instance is refused", answer)
    new = entered(server, CHAIN, "eip155:1", instance=6)
    answer = old.read()
    ok(refused(answer, old, "INSTANCE_SUPERSEDED"), "P15: a higher instance closes the other one",
       answer)
    new.close()


def test_counters(server):
    rows = stats(server)
    names = [row[0] for row in rows]
    ok(len(names) == len(set(names)) and len(names) > 60,
       "STATS has every counter once", len(names))
    ok(all(unit and text and len(values) == 2 for _, unit, text, values in rows),
       "each with a unit, a meaning and a value per shard")
    expected = {"hellos_unproved": 6, "hellos_unknown_chain": 1, "hellos_wrong_version": 1,
                "hellos_missing": 1, "handshake_timeouts": 1}
    found = {name: total(rows, name) for name in expected}
    ok(found == expected, "every refusal was counted", found)


def test_slow_reader(server):
    slow = entered(server, CLIENT, "bank")
    slow.socket.settimeout(0.2)
    question = msgpack.packb([STATUS_GET, "x" * 64])
    block = (struct.pack(">I", len(question)) + question) * 1000
    sent = 0
    stuck = False
    until = time.monotonic() + 10
    while not stuck and time.monotonic() < until:
        try:
            sent += slow.socket.send(block)
        except (TimeoutError, ConnectionError):
            stuck = True
    ok(stuck, "a client that does not read is not read either, or closed", sent)
    begun = time.monotonic()
    other = entered(server, CLIENT, "bank")
    other.send([STATUS_GET, "m"])
    ok(other.read()[1] == "m" and time.monotonic() - begun < 1, "another client noticed nothing")
    rows = stats(server)
    ok(total(rows, "send_high_waters") + total(rows, "slow_consumers") > 0, "and it was counted")
    slow.close()


def test_too_many(server):
    peers = [Peer(server.port) for _ in range(100)]
    answers = [peer.read() for peer in peers]
    greeted = sum(answer is not None and answer[0] == CHALLENGE for answer in answers)
    full = sum(answer is not None and answer[0] == ERROR and
               answer[2] == CODES["TOO_MANY_CONNECTIONS"] for answer in answers)
    ok(greeted >= 40 and full >= 20 and greeted + full == 100,
       "connections beyond the limit are told so", (greeted, full))
    for peer in peers:
        peer.close()
    time.sleep(0.3)
    entered(server, CLIENT, "bank").close()
    ok(True, "afterwards there is room again")


def test_same_directory(server):
    done = subprocess.run([PROGRAM, "--config", server.config], capture_output=True,
                          encoding="utf-8", check=False, timeout=20)
    ok(done.returncode == 1 and "another process uses this data directory" in done.stderr and
       done.stderr.count("\n") == 1, "a second server with the same directory refuses to start",
       done.stderr)


def test_same_port(server):
    directory = tempfile.mkdtemp(prefix="tricast-server-")
    path = os.path.join(directory, "tricastd.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(directory=directory))
    done = subprocess.run([PROGRAM, "--config", path, "--listen", f"127.0.0.1:{server.port}"],
                          capture_output=True, encoding="utf-8", check=False, timeout=20)
    ok(done.returncode == 1 and "Address already in use" in done.stderr and
       done.stderr.count("tricastd:") == 1, "a second server at the same port refuses to start",
       done.stderr)
    shutil.rmtree(directory)


def test_restart(server):
    first = entered(server, CLIENT, "bank")
    first.close()
    code, _, said = server.end()
    ok(code == 0, "SIGTERM ends an idle server with exit code 0", said)
    epochs = []
    for _ in range(2):
        again = Server(directory=server.directory)
        peer = Peer(again.port)
        epochs.append(peer.hello(CLIENT, "bank")[1])
        peer.close()
        again.process.kill()
        again.process.communicate()
    ok(epochs == [2, 3], "P10: every start has a higher epoch, after a kill too", epochs)


def test_drain():
    server = Server()
    peer = entered(server, CLIENT, "bank")
    peer.send(submit("open-1"))
    ok(peer.read()[:2] == [ACK, "open-1"], "a message whose chains are away is open")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    peer.send(submit("late-1"))
    answer = peer.read()
    ok(answer[:2] == [ACK, "late-1"] and answer[3] == CODES["SHUTTING_DOWN"],
       "a draining server refuses new messages", answer)
    try:
        Peer(server.port).read()
        ok(False, "a draining server takes no new connections")
    except ConnectionError:
        ok(True, "a draining server takes no new connections")
    _, said = server.process.communicate(timeout=20)
    ok(server.process.returncode == 0 and "event=drain-ended" in said,
       "the drain ends after drainMs although a message is open", said)
    server.remove()

    server = Server()
    peer = entered(server, CLIENT, "bank")
    peer.send(submit("open-2"))
    peer.read()
    code, seconds, said = server.end(signal.SIGTERM, signal.SIGTERM)
    ok(code == 0 and seconds < 1.2, "a second signal stops at once", (code, seconds, said))
    server.remove()


def test_early_peers(starts=10):
    """Peers that come while the last of many shards has not begun, and wish to be there."""
    directory = tempfile.mkdtemp(prefix="tricast-server-")
    path = os.path.join(directory, "x.yaml")
    welcomed = []
    for _ in range(starts):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(directory=directory).replace("shards: 2", "shards: 64")
                       .replace("port: 0", f"port: {port}") + "journal: none\n")
        process = subprocess.Popen([PROGRAM, "--config", path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        peer = None
        while peer is None and process.poll() is None:
            try:
                peer = Peer(port, patience=3)
            except ConnectionRefusedError:
                pass
        try:
            welcomed.append(peer.hello(CLIENT, "bank", shard=64)[0] == WELCOME)
        except TimeoutError:
            welcomed.append(False)
        process.kill()
        process.wait()
    ok(welcomed == [True] * starts, "who comes early is welcomed, there or elsewhere", welcomed)
    shutil.rmtree(directory)


def test_too_few_threads():
    """Some shards have begun and sleep when the next one gets no thread."""
    directory = tempfile.mkdtemp(prefix="tricast-server-")
    path = os.path.join(directory, "x.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(directory=directory).replace("shards: 2", "shards: 8") +
                   "journal: none\n")
    os.chmod(directory, 0o777)

    def nobody():
        os.setgroups([])
        os.setgid(54321)
        os.setuid(54321)
        resource.setrlimit(resource.RLIMIT_NPROC, (7, 7))

    ended = []
    try:
        for _ in range(5):
            process = subprocess.Popen([PROGRAM, "--config", path], preexec_fn=nobody,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       encoding="utf-8")
            try:
                _, said = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
            ended.append((process.returncode, "no thread for a shard" in said))
        ok(ended == [(1, True)] * 5, "a server that gets too few threads says so and ends", ended)
    except (PermissionError, subprocess.SubprocessError) as error:
        ok(True, f"nobody else can run the program here # SKIP {error}")
    shutil.rmtree(directory)


def one_line(words, expected):
    """Expects exit code 2 and one line that ends in, or holds, `expected`."""
    done = subprocess.run([PROGRAM, *words], capture_output=True, encoding="utf-8", check=False,
                          timeout=20)
    ok(done.returncode == 2 and done.stderr.count("\n") == 1 and expected in done.stderr,
       f"exit 2 and one line: {os.path.basename(expected)}",
       (done.returncode, done.stderr))


def test_command_line():
    directory = tempfile.mkdtemp(prefix="tricast-server-")
    path = os.path.join(directory, "x.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("dataDir: d\nchains: [{id: eip155:1}]\nshards: 65\n")
    one_line(["--config", path], f"{path}:3: shards: must be 0..64 threads")
    one_line(["--config", path, "--check-config"], f"{path}:3: shards: must be 0..64 threads")
    one_line(["--config", path + "-"], "No such file or directory")
    one_line([], "--config: missing")
    one_line(["--nonsense"], "--nonsense")
    one_line(["--config", path, "--listen", "nowhere"], "--listen: 'nowhere'")
    one_line(["--config", path, "--listen", "nowhere:0"], "--listen: 'nowhere' is no numeric")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"dataDir: {directory}/d\nchains: [{{id: eip155:1}}]\n")
    one_line(["--config", path, "--listen", "0.0.0.0:0"], "--listen: must be a loopback address")
    done = subprocess.run([PROGRAM, "--config", path, "--check-config"], capture_output=True,
                          encoding="utf-8", check=False, timeout=20)
    ok(done.returncode == 0 and f"{path}: OK" in done.stdout and "1165 messages/s" in done.stdout
       and not os.path.exists(f"{directory}/d"),
       "--check-config says what the configuration amounts to and touches nothing", done.stdout)
    shutil.rmtree(directory)


def main():
    server = Server()
    try:
        test_handshake(server)
        test_before_hello(server)
        test_bad_frames(server)
        test_pieces(server)
        test_shards(server)
        test_instances(server)
        test_counters(server)
        test_slow_reader(server)
        test_too_many(server)
        test_same_directory(server)
        test_same_port(server)
        test_restart(server)
    finally:
        server.remove()
    test_drain()
    test_early_peers()
    test_too_few_threads()
    test_command_line()
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
