#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What hostile and unlucky peers take from a real server: what a limit says, and no more.

Each behaviour plays alone against a tricastd with real chains.  Of each it is seen that its limit
holds, that it is counted, and that the server's memory stays within its bound; and while it lasts,
a well-behaved client on a connection of its own completes round after round.

Two servers: a wide one with ten thousand places, whose rates nobody reaches, and a narrow one
whose rates are what a story is about.
"""

import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coordinator
import server as host
import stranger as st

tap = host.Tap()
ok = tap.ok

CROWD = 10000
CROWD_NAMES = 4
BATCH = 64              # greeted at once; fewer than may be in their handshake
ROUNDS = 40             # of the well-behaved client, while somebody behaves otherwise
A, B, DEAD = "eip155:8453", "eip155:42161", "solana:dead"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, DEAD)}
LOCATIONS = {"bond-*": [A, B], "dead-*": [DEAD]}
SLOT_BYTES = 81920      # memory for a long frame in pieces
PARTIAL_BYTES = 64 << 20
NARROW = {"accepts": 100, "fruitless": 1000, "handshakes": 8, "connections": 128}
FILES = {shards: shards * (NARROW["connections"] + 18) + 32 for shards in (2, 16)}

CONFIG = """\
dataDir: {directory}/data
shards: {shards}
drainMs: 500
rollbackWindowMs: 5000
log: {{level: warn}}
listen: {{address: 127.0.0.1, port: 0}}
chains:
{chains}
clients:
  - {{name: submitter, secret: {client}}}
  - {{name: other, secret: {other}}}
  - {{name: crowd-0, secret: secret-of-the-crowd}}
  - {{name: crowd-1, secret: secret-of-the-crowd}}
  - {{name: crowd-2, secret: secret-of-the-crowd}}
  - {{name: crowd-3, secret: secret-of-the-crowd}}
operators: [{{name: operator, secret: {operator}}}]
locations:
  entries:
{locations}
timeouts: {{prepareMs: 3000, commitMs: 3000, finalizeMs: 3000}}
retries:
  - {{type: REGULATORY_ACTION, maxRetries: 3, initialBackoffMs: 20, maxBackoffMs: 100}}
"""
WIDE_CONFIG = CONFIG + """\
limits: {{handshakeMs: 1000, peerTimeoutMs: 1500, acceptsPerSecond: 1000000,
  fruitlessPerSecond: 1000000000}}
capacities: {{connections: 9000, rounds: 4096, waiters: 4096, dedupEntries: 65536, bodies416: 4096,
  bodies1024: 256, bodies4096: 64, bodies16384: 64, bodies86016: 64}}
"""
NARROW_CONFIG = CONFIG + """\
limits: {{handshakeMs: 5000, peerTimeoutMs: 5000, acceptsPerSecond: 100, fruitlessPerSecond: 1000}}
capacities: {{connections: 128, handshakes: 8, rounds: 4096, waiters: 4096, dedupEntries: 65536,
  bodies416: 4096, bodies1024: 256, bodies4096: 64, bodies16384: 64, bodies86016: 64}}
"""


class House(host.Server):
    """A server, its chains, its well-behaved client, and an operator who looks at the counters."""

    def __init__(self, config):
        super().__init__(SECRETS, LOCATIONS, config=config)
        self.client = self.client.encode()
        self.other = self.other.encode()
        self.connection = None
        self.watcher = None
        self.rounds = 0

    def open(self):
        for chain in (A, B):
            self.chain(chain, SECRETS[chain], "--asset-prefix", "bond-", "--asset-count", "4")
        self.connection = st.Connection(self.port).greet(st.CLIENT, "submitter", self.client)
        self.watcher = st.Connection(self.port).greet(st.OPERATOR, "operator",
                                                      self.operator.encode())
        self.play("warm up", 2)

    def counters(self):
        """{name: total over the shards}, over a connection that was there all the time."""
        self.watcher.send([st.STATS_GET])
        frame = self.watcher.receive()
        return {name: sum(values) for name, _, _, values in frame[1]}

    def grown(self, before):
        now = self.counters()
        return {name: now[name] - before[name] for name in now}

    def wait(self, condition, timeout_s=10):
        """True once condition(counters) holds."""
        end = time.monotonic() + timeout_s
        while not condition(self.counters()):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def round(self):
        self.rounds += 1
        ident = f"good {self.rounds}"
        action = "FREEZE" if self.rounds % 2 else "RELEASE"
        result = st.submit(self.connection, ident, [A, B], ["bond-000000"],
                           coordinator.payload("bond-000000", action), st.GUARANTEED)
        return result.kinds == [st.RECEIVED, "NOTICE", st.PROCESSED], result.frames

    def play(self, name, rounds=ROUNDS):
        """The well-behaved client goes on as if nothing were."""
        wrong = [frames for good, frames in (self.round() for _ in range(rounds)) if not good]
        ok(not wrong, f"{name}: {rounds} rounds of the well-behaved client end", *wrong[:3])

    def memory_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def bounded(self, name, before_mib, more_mib):
        now_mib = self.memory_mib()
        ok(now_mib <= before_mib + more_mib,
           f"{name}: memory {before_mib:.0f} -> {now_mib:.0f} MiB, at most {more_mib} more")


def dial(port):
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    peer.settimeout(10)
    return peer


def receive_frame(peer):
    head = b""
    while len(head) < 4:
        head += peer.recv(4 - len(head)) or b"\xff\xff\xff\xff"
    size = struct.unpack(">I", head)[0]
    body = b""
    while len(body) < size:
        more = peer.recv(size - len(body))
        if not more:
            raise st.Closed("end of the stream")
        body += more
    return st.msgpack.unpackb(body, raw=False)


def crowd(port, count):
    """`count` greeted connections of four identities."""
    peers = []
    while len(peers) < count:
        batch = [(dial(port), f"crowd-{(len(peers) + number) % CROWD_NAMES}")
                 for number in range(min(BATCH, count - len(peers)))]
        for peer, name in batch:
            hello = st.make_hello(receive_frame(peer)[2], st.CLIENT, name, b"secret-of-the-crowd")
            peer.sendall(st.frame_bytes(st.pack(hello)))
        for peer, name in batch:
            frame = receive_frame(peer)
            if frame[0] != st.WELCOME:
                raise st.Broken(f"{name}: {frame}")
            peers.append(peer)
    return peers


def leave(house, peers):
    for peer in peers:
        peer.close()
    house.wait(lambda now: now["connections"] < 20)


class Flood:
    """Does something as often as it can, on threads, until the block ends."""

    def __init__(self, act, threads=1):
        self.act = act
        self.is_over = False
        self.errors = []
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.loop, daemon=True) for _ in range(threads)]

    def loop(self):
        while not self.is_over:
            try:
                self.act()
            except (OSError, st.Closed):
                pass
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(error)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(15)
        ok(not self.errors and not any(thread.is_alive() for thread in self.threads),
           f"{self.act.__name__}: it went on to its end", *self.errors)

    def elapsed_s(self):
        return time.monotonic() - self.began


# The wide server ----------------------------------------------------------------------------


def story_idle(house):
    before, memory = house.counters(), house.memory_mib()
    peers = crowd(house.port, CROWD)
    house.play(f"{CROWD} idle connections")
    grown = house.grown(before)
    ok(grown["connections"] == CROWD and grown["hellos"] == CROWD and not grown["accepts_refused"],
       f"{CROWD} idle connections: all of them are there, and counted", grown["connections"],
       grown["hellos"])
    house.bounded(f"{CROWD} idle connections", memory, 32)
    story_halves(house, peers)
    leave(house, peers)


def story_halves(house, peers):
    """Each of them sends half a frame of 80,000 bytes."""
    name = f"{CROWD} connections with half a frame each"
    before, memory = house.counters(), house.memory_mib()
    half = struct.pack(">I", 80000) + bytes(40000)
    for peer in peers:
        try:
            peer.sendall(half)
        except ConnectionError:
            pass
    slots = 2 * (PARTIAL_BYTES // 2 // 4 * 3 // SLOT_BYTES)
    ok(house.wait(lambda now: now["partials_evicted"] - before["partials_evicted"] >=
                  CROWD - slots), f"{name}: all but {slots} had to make room, and were counted",
       house.grown(before)["partials_evicted"], CROWD - slots)
    grown = house.grown(before)
    ok(grown["partial_bytes"] <= PARTIAL_BYTES,
       f"{name}: they hold {grown['partial_bytes'] / 2**20:.0f} MiB of partialFrameBytes, "
       f"{PARTIAL_BYTES >> 20} MiB")
    house.bounded(name, memory, (PARTIAL_BYTES >> 20) + 8)
    house.play(name)
    told = [receive_frame(peers[number])[:3] for number in range(3)]
    ok(all(frame[0] == st.ERROR and frame[2] == st.CODES["BUSY"] for frame in told),
       f"{name}: who has to make room is told BUSY", *told)
    ok(house.wait(lambda now: now["partial_bytes"] == before["partial_bytes"]),
       f"{name}: peerTimeoutMs ends the rest")
    grown = house.grown(before)
    ok(grown["frame_timeouts"] + grown["partials_evicted"] >= CROWD,
       f"{name}: and they are counted too", grown["frame_timeouts"], grown["partials_evicted"])


def story_never_reads(house):
    before, memory = house.counters(), house.memory_mib()
    peer = st.Connection(house.port).greet(st.CLIENT, "other", house.other)
    peer.socket.settimeout(0.3)
    question = st.frame_bytes(st.pack([st.STATUS_GET, "x" * 64])) * 500
    is_stuck = False
    end = time.monotonic() + 10
    while not is_stuck and time.monotonic() < end:
        try:
            peer.socket.send(question)
        except TimeoutError:
            is_stuck = True
    ok(is_stuck, "a client that never reads is not read either")
    house.play("a client that never reads")
    grown = house.grown(before)
    ok(grown["send_high_waters"] == 1, "a client that never reads: half of peerSendBytes is counted",
       grown["send_high_waters"])
    # peerSendBytes, and a shard's receive buffers, which nobody may have touched before.
    house.bounded("a client that never reads", memory, 4 + 4 + 1)
    ok(house.wait(lambda now: now["peer_timeouts"] - before["peer_timeouts"] == 1),
       "a client that never reads: peerTimeoutMs ends it, and it is counted")
    peer.close()


def drip(peer, data):
    """A byte a second until the server closes; the number sent."""
    for number, byte in enumerate(data):
        try:
            peer.sendall(bytes([byte]))
            peer.settimeout(1)
            if not peer.recv(4096):
                return number + 1
        except TimeoutError:
            pass
        except ConnectionError:
            return number + 1
    return len(data)


def story_byte_a_second(house):
    before = house.counters()
    greeted = st.Connection(house.port).greet(st.CLIENT, "other", house.other)
    stranger = dial(house.port)
    nonce = receive_frame(stranger)[2]
    sent = []
    threads = [threading.Thread(target=lambda peer=peer, data=data: sent.append(drip(peer, data)))
               for peer, data in (
                   (greeted.socket, st.frame_bytes(st.pack([st.STATUS_GET, "slow"]))),
                   (stranger, st.frame_bytes(st.pack(st.make_hello(nonce, st.CLIENT, "other",
                                                                   house.other)))))]
    for thread in threads:
        thread.start()
    house.play("a byte a second")
    for thread in threads:
        thread.join(20)
    grown = house.grown(before)
    ok(len(sent) == 2 and max(sent) <= 5 and grown["frame_timeouts"] == 1 and
       grown["handshake_timeouts"] == 1,
       "a byte a second: peerTimeoutMs ends a frame and handshakeMs a HELLO, both counted", sent,
       grown["frame_timeouts"], grown["handshake_timeouts"])


# The narrow server --------------------------------------------------------------------------


def accepts_hold(house, name, before, flood):
    """No more connections than the rate, the burst of a second, and what was in the kernel."""
    grown = house.grown(before)
    most = 2 * NARROW["accepts"] * (flood.elapsed_s() + 1) + 4
    ok(grown["accepts"] <= most, f"{name}: {grown['accepts']} accepts, at most {most:.0f}")
    ok(grown["accepts_delayed"] > 0, f"{name}: that others had to wait is counted")
    return grown


def story_hello_flood(house):
    before, memory = house.counters(), house.memory_mib()

    def bad_hello():
        with dial(house.port) as peer:
            nonce = receive_frame(peer)[2]
            peer.sendall(st.frame_bytes(st.pack(st.make_hello(nonce, st.CLIENT, "other",
                                                              b"not its secret at all"))))
            receive_frame(peer)

    with Flood(bad_hello, threads=8) as flood:
        house.wait(lambda now: now["hellos_unproved"] - before["hellos_unproved"] >= 300)
        house.play("a flood of HELLOs")
        grown = accepts_hold(house, "a flood of HELLOs", before, flood)
    ok(grown["hellos_unproved"] >= 300, "a flood of HELLOs: each is counted",
       grown["hellos_unproved"])
    house.bounded("a flood of HELLOs", memory, 8)


def story_silent_strangers(house):
    """Whoever has no secret cannot keep out who has."""
    before = house.counters()
    strangers = [dial(house.port) for _ in range(60)]
    ok(house.wait(lambda now: now["accepts"] - before["accepts"] >= 60),
       "60 silent strangers are accepted")
    now = house.counters()
    ok(now["handshakes"] <= 2 * NARROW["handshakes"] and
       now["handshakes_evicted"] - before["handshakes_evicted"] >= 60 - 2 * NARROW["handshakes"],
       "silent strangers: the oldest make room, and are counted", now["handshakes"],
       now["handshakes_evicted"])
    frames = [receive_frame(strangers[0]), receive_frame(strangers[0])]
    ok(frames[0][0] == st.CHALLENGE and frames[1][0] == st.ERROR,
       "silent strangers: who has to make room is told so", frames)
    greeted = st.Connection(house.port).greet(st.CLIENT, "other", house.other)
    ok(greeted.welcome is not None, "silent strangers: who has a secret gets in")
    house.play("silent strangers", 10)
    greeted.close()
    leave(house, strangers)


def story_connection_storm(house):
    before, memory = house.counters(), house.memory_mib()

    def come_and_go():
        dial(house.port).close()

    with Flood(come_and_go, threads=4) as flood:
        house.wait(lambda now: now["accepts"] - before["accepts"] >= 300)
        house.play("a connection storm")
        accepts_hold(house, "a connection storm", before, flood)
    house.bounded("a connection storm", memory, 8)
    ok(house.wait(lambda now: now["connections"] == before["connections"], 20),
       "a connection storm: nothing is left of it")


def story_share_of_connections(house):
    before = house.counters()
    greeted, refused = [], 0
    most = NARROW["connections"] // 2
    while refused < 3 and len(greeted) <= 2 * most:
        try:
            greeted.append(st.Connection(house.port).greet(st.CLIENT, "crowd-0",
                                                           b"secret-of-the-crowd"))
        except st.Refused as error:
            refused += error.code == 73
    grown = house.grown(before)
    ok(most <= len(greeted) <= 2 * most and refused == 3 and grown["hellos_over_share"] == 3,
       f"one identity gets its share of connections, half of {2 * NARROW['connections']} at most",
       len(greeted), refused, grown["hellos_over_share"])
    st.Connection(house.port).greet(st.CLIENT, "crowd-1", b"secret-of-the-crowd").close()
    house.play("an identity with all connections that it may have", 10)
    for connection in greeted:
        connection.close()
    house.wait(lambda now: now["connections"] < 20)


def story_submit_flood(house):
    before, memory = house.counters(), house.memory_mib()
    flooder = st.Connection(house.port).greet(st.CLIENT, "other", house.other)
    flooder.socket.setblocking(True)
    number = 0

    def submit_to_the_dead():
        nonlocal number
        block = b""
        for _ in range(200):
            number += 1
            block += st.frame_bytes(st.pack(st.submit_frame(
                f"dead {number}", [DEAD], [f"dead-{number}"], b"", st.GUARANTEED)))
        flooder.socket.sendall(block)

    def read_all():
        flooder.socket.recv(1 << 20)

    with Flood(submit_to_the_dead) as flood, Flood(read_all):
        house.wait(lambda now: now["throttles"] - before["throttles"] >= 2)
        house.play("a flood of submits to a dead chain")
        grown = house.grown(before)
        # Each shard charges its own share; what had been received before the first look is free.
        most = 2 * NARROW["fruitless"] * (flood.elapsed_s() + 2) + 2 * 2500
        ok(0 < grown["charges"] <= most,
           f"a flood of submits: {grown['charges']} of {number} were refused so far, at most "
           f"{most:.0f}")
        ok(grown["open_messages"] <= 4096 // 2 + 2 and
           grown["refused_chain_share"] + grown["refused_submitter_share"] > 0,
           "a flood of submits: it holds half of the messages at most, and that is counted",
           grown["open_messages"], grown["refused_chain_share"],
           grown["refused_submitter_share"])
        house.bounded("a flood of submits", memory, 16)
        flooder.socket.shutdown(socket.SHUT_RDWR)
    flooder.close()


# Files --------------------------------------------------------------------------------------


def with_files(soft, hard, *words):
    def limit():
        host.die_with_parent()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return subprocess.run([os.path.join(host.BUILD_DIR, "tricastd"), *words], capture_output=True,
                          encoding="utf-8", check=False, timeout=30, preexec_fn=limit)


def story_files(house):
    wanted = FILES[2]
    path = os.path.join(house.directory, "files.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(house.text.replace("/data\n", "/data-of-files\n", 1))
    done = with_files(100, wanted, "--config", path, "--check-config")
    ok(done.returncode == 0 and f"files      {wanted} of {wanted}\n" in done.stdout,
       "--check-config says how many files are needed, and of how many", done.stdout, done.stderr)
    for words in (["--check-config"], []):
        done = with_files(100, wanted - 1, "--config", path, *words)
        ok(done.returncode == (2 if words else 1) and done.stderr.count("\n") == 1 and
           f"only {wanted - 1} files may be open" in done.stderr and
           f"needs {wanted}" in done.stderr and "ulimit -n" in done.stderr,
           f"too few files{' for --check-config' if words else ''}: one line, and no start",
           done.returncode, done.stderr)
    with open(path, "w", encoding="utf-8") as file:
        file.write(house.text.replace("shards: 2\n", "shards: 16\n", 1))
    done = with_files(100, FILES[16] - 1, "--config", path, "--check-config")
    ok(done.returncode == 2 and f"needs {FILES[16]}" in done.stderr,
       "rings, listeners and journals of many shards are counted too", done.returncode, done.stderr)
    with open(house.log, encoding="utf-8") as file:
        ok("files" not in file.read(), "a server with enough files complains about nothing")


def start_line():
    """What the server says when it starts."""
    with House(NARROW_CONFIG) as house:
        house.kill()
        port_file = os.path.join(house.directory, "port")
        os.remove(port_file)
        with subprocess.Popen([os.path.join(host.BUILD_DIR, "tricastd"), "--config", house.config,
                               "--port-file", port_file], stdout=subprocess.PIPE,
                              encoding="utf-8", preexec_fn=host.die_with_parent) as process:
            line = process.stdout.readline()
            process.kill()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = "" if hard == resource.RLIM_INFINITY else f" of {hard}"
        ok(f"files {FILES[2]}{most}, " in line, "the line at the start says it too", line)


def main():
    soft_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_hard[1], soft_hard[1]))
    for config, stories in (
            (WIDE_CONFIG, (story_idle, story_never_reads, story_byte_a_second)),
            (NARROW_CONFIG, (story_files, story_hello_flood, story_silent_strangers,
                             story_connection_storm, story_share_of_connections,
                             story_submit_flood))):
        with House(config) as house:
            house.open()
            for story in stories:
                try:
                    story(house)
                except Exception as error:  # pylint: disable=broad-except
                    ok(False, f"{story.__name__}: {type(error).__name__} {error}", house.log_tail())
    return tap.run(start_line)


if __name__ == "__main__":
    sys.exit(main())
