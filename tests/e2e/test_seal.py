#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All memory is acquired before the first turn: what a shard's thread does afterwards allocates
nothing.

    test_seal.py MALLOC_SEAL.so SEAL_PROBE

The real tricastd runs under a preloaded counter of allocations (tests/seal/malloc_seal.c), sealed
as soon as its shards' threads are there and before the first connection.  A million rounds run
over real chains while a thousand other connections come and go: clients, chains, operators, and
everything that is refused at the door.  Then fewer of both, with a journal.

That the counter sees what there is to see is shown twice: on a program whose allocations are
known, and by an allocation that is planted in the shards' threads at the end.
"""

import concurrent.futures
import itertools
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host
import stranger as st

LIBRARY, PROBE = (os.path.join(host.BUILD_DIR, name) for name in sys.argv[1:3])
# Rounds and reconnects, by the journal's kind.
LOADS = {"none": (1000000, 1000), "file": (100000, 200)}
BURST = 50000
CHURNERS = 4
SHARDS = 2
THREADS = {"none": SHARDS, "file": SHARDS + 1}
PLANTED = 64
PAGE_BYTES = 16384
SEALED, PLANT = 1, 2
A, B, FLAPPING = "eip155:8453", "eip155:42161", "solana:flapping"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, FLAPPING)}
# Room for every round, so that nothing here depends on how fast they are played.
CONFIG = """\
dataDir: {directory}/data
journal: {journal}
shards: {shards}
drainMs: 500
rollbackWindowMs: 500
clockAllowanceMs: 500
log: {{level: debug}}
listen: {{address: 127.0.0.1, port: 0}}
limits: {{handshakeMs: 1000}}
timeouts: {{prepareMs: 300, commitMs: 300, finalizeMs: 300}}
capacities: {{rounds: 16384, dedupEntries: 2097152, bodies416: 16384, chainSendBytes: 1048576}}
retries:
  - {{type: REGULATORY_ACTION, maxRetries: 1, initialBackoffMs: 20, maxBackoffMs: 20}}
chains:
{chains}
clients: [{{name: submitter, secret: {client}}}, {{name: other, secret: {other}}}]
operators: [{{name: operator, secret: {operator}}}]
locations:
  version: 1
  entries:
{locations}
"""
# What the reconnects have to bring about, by the counters of the server.
KINDS = ["hellos", "hellos_unproved", "hellos_unknown_chain", "hellos_malformed",
         "hellos_wrong_version", "hellos_missing", "handshake_timeouts", "handovers", "recv_faults",
         "recv_frames_pieced", "frames_refused", "instances_superseded", "resets", "stats_views",
         "phase_timeouts", "redeliveries"]
tap = host.Tap()
ok = tap.ok
seed = os.environ.get("TRI_SEED", "0")
instances = itertools.count(2)


class Page:
    """The file that malloc_seal writes into: a row per thread."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "seal")
        with open(self.path, "wb") as file:
            file.truncate(PAGE_BYTES)
        self.env = {"MALLOC_SEAL": self.path, "LD_PRELOAD": LIBRARY}

    def rows(self):
        """[(thread id, allocations before; allocations, frees, mappings behind the seal)], a row
        for every thread that there ever was."""
        with open(self.path, "rb") as file:
            words = struct.unpack(f"<{PAGE_BYTES // 8}Q", file.read())
        return [words[8 + 8 * row:13 + 8 * row] for row in range(words[1])]

    def command(self, number):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<Q", number))

    def live_rows(self, pid):
        """The rows of the threads that live: after the start these are the shards' and, with a
        journal, the archive's."""
        threads = {int(name) for name in os.listdir(f"/proc/{pid}/task")}
        return [row for row in self.rows() if row[0] in threads]

    def wait_rows(self, pid, count, timeout_s=20):
        end = time.monotonic() + timeout_s
        while len(self.live_rows(pid)) < count and time.monotonic() < end:
            time.sleep(0.001)
        return self.live_rows(pid)


def story_probe():
    """seal_probe.c says what it does; here stand the numbers."""
    with tempfile.TemporaryDirectory() as directory:
        page = Page(directory)
        done = subprocess.run([PROBE], env={**os.environ, **page.env}, capture_output=True,
                              encoding="utf-8", check=False, timeout=20)
        rows = page.rows()
    ok(done.returncode == 0 and len(rows) == 3, "a program with known allocations has three rows",
       done, rows)
    ok(rows[0][1] >= 8 and rows[0][2:] == (8, 6, 1),
       "its main thread: eight allocations, six frees, one mapping behind the seal", rows)
    ok(sorted(row[1:3] for row in rows[1:]) == [(0, 0), (0, 1)],
       "a thread that allocates once has 1, one that does not has 0", rows)
    ok(done.stderr.count("malloc_seal: thread") == 4 and "malloc of 10 bytes" in done.stderr,
       "the first of them are reported with their callers", done.stderr)


# Connections that come and go ---------------------------------------------------------------


def with_role(house, role, name, secret, **more):
    return st.Connection(house.port).greet(role, name, secret.encode(), **more)


def end(connection, draw):
    """A close in good order, or a reset that leaves bytes unread."""
    if draw.random() < 0.3:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def come_client(house, draw, number):
    client = with_role(house, st.CLIENT, "other", house.other, shard=draw.randrange(3))
    name = f"{threading.get_native_id()}-{number}"
    if number % 4 == 0:
        # A message that no chain answers, and one that is refused; results are not awaited.
        payload = draw.randbytes(draw.choice([10, 700, 3000, 60000]))
        client.send(st.submit_frame(f"lone-{name}", [FLAPPING], [f"far-{name}"], payload,
                                    draw.choice([st.BEST_EFFORT, st.GUARANTEED]), ttl=1),
                    st.submit_frame(f"lost-{name}", [FLAPPING], ["nowhere"], b""),
                    [st.STATUS_GET, f"lone-{name}"])
        client.receive(2)
    elif number % 4 == 1:
        client.send([st.STATUS_GET, f"unknown-{name}"])
        client.receive(2)
    elif number % 4 == 2:
        client.send_body(draw.choice([b"\xc1", b"\x92\x10", draw.randbytes(40)]))
    return client


def come_operator(house, draw, number):
    operator = with_role(house, st.OPERATOR, "operator", house.operator, shard=draw.randrange(3))
    if number % 2 == 0:
        operator.send([st.STATS_GET])
        assert operator.receive(5)[0] == st.STATS
    else:
        operator.send([st.WATCH])
        for _ in range(draw.randrange(20)):
            operator.receive(0.02)
    return operator


def come_chain(house, draw, number):
    """Takes what is open and answers none of it; one in five is an instance that is too old."""
    chain = with_role(house, st.CHAIN, FLAPPING, SECRETS[FLAPPING], shard=draw.randrange(3),
                      instance=1 if number % 5 == 4 else next(instances))
    for _ in range(draw.randrange(4)):
        chain.receive(0.01)
    return chain


def come_stranger(house, draw, number):
    """Somebody who does not get in."""
    wrong = [(st.CLIENT, "other", b"not the secret at all"), (st.CLIENT, "nobody", b"x" * 20),
             (st.CHAIN, "eip155:99", b"x" * 20, 1), (st.CLIENT, "other", b""),
             (st.OPERATOR, "submitter", house.client.encode())]
    raw = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\3\xc1\xc1\xc1",
           st.frame_bytes(st.pack([st.STATUS_GET, "m"]))]
    connection = st.Connection(house.port)
    hello = st.make_hello(connection.challenge(), *wrong[number % len(wrong)])
    if number % 4 == 0:
        connection.send(hello)
    elif number % 4 == 1:
        hello[1] = "9.9.9"
        connection.send(hello)
    elif number % 4 == 2:
        connection.send_raw(raw[number // 4 % len(raw)])
    else:
        connection.send_raw(st.frame_bytes(st.pack(hello))[:draw.randrange(1, 40)])
        return connection
    connection.receive(2)
    return connection


def come_and_go(house, churner, count):
    """One thread's share of the reconnects; returns how many connections it made."""
    draw = random.Random(f"{seed} {churner}")
    plan = [(come, number) for come, share in SHARES for number in range(count * share // 20)]
    draw.shuffle(plan)
    for come, number in plan:
        try:
            end(come(house, draw, number), draw)
        except (st.Closed, st.Refused):
            pass
    return len(plan)


# Of twenty.
SHARES = ((come_client, 8), (come_operator, 2), (come_chain, 6), (come_stranger, 4))


# Rounds -------------------------------------------------------------------------------------


def play_rounds(house, count):
    """Each asset is frozen and released in turn; returns the results added up."""
    results = {}
    for number in range(count // BURST):
        done = subprocess.run(
            [os.path.join(host.BUILD_DIR, "tricast"), "submit", "--burst", str(BURST), "--id",
             f"burst-{number}", "--target", A, "--target", B, "--asset", "bond-", "--action",
             ("FREEZE", "RELEASE")[number % 2], "--atomicity", "GUARANTEED", "--prepare-ms",
             "20000", "--commit-ms", "20000", "--finalize-ms", "20000", "--server",
             f"127.0.0.1:{house.port}", "--name", "submitter", "--secret", house.client],
            capture_output=True, encoding="utf-8", check=False, timeout=120)
        view = json.loads(done.stdout)
        for name, count in {**view["results"], **view["errorCodes"]}.items():
            results[name] = results.get(name, 0) + count
    return results


def start_chains(house, rounds):
    for name in (A, B):
        house.chain(name, SECRETS[name], "--asset-count", str(BURST), "--asset-prefix", "bond-",
                    "--entries", str(rounds + BURST), "--journal", "none", "--connections",
                    str(SHARDS))


def play(house, rounds, reconnects):
    """The rounds and the reconnects, at the same time."""
    start_chains(house, rounds)
    silent = st.Connection(house.port)
    silent.challenge()
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CHURNERS + 1) as pool:
        results = pool.submit(play_rounds, house, rounds)
        made = sum(pool.map(lambda churner: come_and_go(house, churner, reconnects // CHURNERS),
                            range(CHURNERS)))
        results = results.result()
    print(f"# {time.monotonic() - begin:.1f} s: {made} connections, {results}")
    ok(silent.receive()[2] == st.CODES["HANDSHAKE_TIMEOUT"] and silent.is_closed(),
       "a connection that says nothing was closed")
    stats = house.stats()
    ok(results == {"PROCESSED": rounds, "FAILED": 0, "REJECTED": 0} and
       stats["processed"] >= rounds, f"{rounds} rounds were PROCESSED", results)
    ok(made == reconnects and stats["accepts"] >= reconnects,
       f"{reconnects} connections came and went", made)
    kinds = {name: stats[name] for name in KINDS}
    print("#", ", ".join(f"{name} {count}" for name, count in kinds.items()))
    if reconnects >= 1000:  # fewer do not come to each of them
        ok(all(kinds.values()), "of every kind", kinds)


def judge(rows, count, house):
    for row in rows:
        print(f"# thread {row[0]}: {row[1]} allocations before the seal, {row[2]} allocations, "
              f"{row[3]} frees, {row[4]} mappings behind it")
    with open(house.log, encoding="utf-8", errors="replace") as file:
        calls = [line for line in file if not line.startswith("ts=")]
    ok(len(rows) == count and all(row[2:] == (0, 0, 0) for row in rows),
       "behind the seal no thread allocated, freed or mapped anything", "".join(calls))


def seal(journal):
    with tempfile.TemporaryDirectory() as directory:
        page = Page(directory)
        with host.Server(SECRETS, {"bond-*": [A, B], "far-*": [FLAPPING]}, config=CONFIG,
                         shards=SHARDS, journal=journal, env=page.env) as house:
            count = THREADS[journal]
            rows = page.wait_rows(house.process.pid, count)
            page.command(SEALED)
            ok(len(rows) == count and rows[0][0] == house.process.pid and rows[0][1] > 100,
               f"journal {journal}: before the seal the main thread, which is shard 0, has "
               "allocated", rows)
            play(house, *LOADS[journal])
            judge(page.live_rows(house.process.pid), count, house)
            plant(house, page)
            ok(house.stop() == 0, "it ends in good order")


def plant(house, page):
    """Every connection makes its shard draw a nonce, and now also allocate."""
    before = page.live_rows(house.process.pid)
    page.command(PLANT)
    for _ in range(PLANTED):
        connection = st.Connection(house.port)
        connection.challenge()
        connection.close()
    page.command(SEALED)
    planted = [row[2] - was[2] for row, was in zip(page.live_rows(house.process.pid), before)]
    ok(sum(count > 0 for count in planted) == SHARDS and sum(planted) == PLANTED,
       f"{PLANTED} allocations planted in the shards' threads are counted, in both", planted)


def story_without_journal():
    seal("none")


def story_journal():
    seal("file")


if __name__ == "__main__":
    sys.exit(tap.run(story_probe, story_without_journal, story_journal))
