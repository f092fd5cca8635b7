#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A node with nothing to do sleeps: eight shards with idle chains, clients and a watcher, with
messages that they remember and one that waits for its chain, use less than 10 ms of CPU time in
10 s, with a journal and without.

CPU time is the process's own, so this runs beside other tests.
"""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host
import stranger as st

A, B, AWAY = "eip155:8453", "eip155:42161", "eip155:10"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, AWAY)}
SHARDS = 8
IDLE_S = 10
CPU_MS_MAX = 10
MESSAGES = 1000
ENTERS_OF_STATS = 20  # `tricast stats` itself makes the server enter the kernel so often at most
# Small segments: the spare ones of a new journal are soon filled with zeros.
CONFIG = host.CONFIG.replace("handshakeMs: 500", "handshakeMs: 10000").replace(
    "limits:", "capacities:\n  segmentBytes: 4194304\nlimits:")
tap = host.Tap()
ok = tap.ok


def cpu_ns(pid):
    """All threads of a process together: the clock of clock_getcpuclockid()."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def greet_all(house):
    """A connection of every chain and client to every shard, and a watcher."""
    peers = []
    for shard in range(1, SHARDS + 1):
        for name in (A, B):
            peers.append(st.Connection(house.port).greet(st.CHAIN, name, SECRETS[name].encode(), 1,
                                                         shard))
        peers.append(st.Connection(house.port).greet(st.CLIENT, "other", house.other.encode(),
                                                     shard=shard))
    watcher = st.Connection(house.port).greet(st.OPERATOR, "operator", house.operator.encode())
    watcher.send([st.WATCH])
    return peers + [watcher]


def leave_traces(house):
    """Ended messages, which are remembered, and one that stays open."""
    client = st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode())
    client.send(st.submit_frame("open", [AWAY], ["far-1"], atomicity=st.GUARANTEED,
                                timeouts=[60000] * 3))
    for number in range(MESSAGES):
        client.send(st.submit_frame(f"refused-{number}", [AWAY], [f"far-{number}"], ttl=1,
                                    atomicity=st.BEST_EFFORT, timeouts=[1, 1, 1]))
    ended = 0
    while ended < MESSAGES:
        frame = client.receive()
        ended += frame[0] == st.ACK and frame[2] != st.RECEIVED
    return client


class Idler:
    """A node that has had its work."""

    def __init__(self, house):
        self.house = house
        self.client = leave_traces(house)
        self.peers = greet_all(house)
        self.before = None
        self.begin_ns = 0

    def rest(self, timeout_s=20):
        """Waits until what was begun has come to its end: writes of the journal, closed peers."""
        end = time.monotonic() + timeout_s
        last = {"kernel_enters": 0}
        self.before = self.house.stats()
        while self.before["kernel_enters"] - last["kernel_enters"] > ENTERS_OF_STATS and \
                time.monotonic() < end:
            time.sleep(0.3)
            last, self.before = self.before, self.house.stats()

    def begin(self):
        self.begin_ns = cpu_ns(self.house.process.pid)

    def judge(self, journal):
        used_ms = (cpu_ns(self.house.process.pid) - self.begin_ns) / 1e6
        after = self.house.stats()
        print(f"# journal {journal}: {used_ms:.2f} ms of CPU time in {IDLE_S} s, {SHARDS} shards, "
              f"{after['connections']} connections, {after['open_messages']} open message, "
              f"{after['sleeps'] - self.before['sleeps']} sleeps", flush=True)
        ok(after["connections"] > len(self.peers) and after["open_messages"] == 1 and
           after["failed"] == MESSAGES,
           f"journal {journal}: all are connected, messages have ended and one is open", after)
        ok(used_ms < CPU_MS_MAX,
           f"journal {journal}: {used_ms:.2f} ms of CPU time are less than {CPU_MS_MAX}")
        begin = time.monotonic()
        self.client.send([st.STATUS_GET, "open"])
        ok(self.client.receive()[:2] == [st.STATUS, "open"],
           f"it answers when it is asked ({(time.monotonic() - begin) * 1000:.1f} ms)")


def story_idle():
    with contextlib.ExitStack() as stack:
        idlers = {journal: Idler(stack.enter_context(
            host.Server(SECRETS, {"far-*": [AWAY]}, config=CONFIG, shards=SHARDS, journal=journal)))
                  for journal in ("none", "file")}
        for idler in idlers.values():
            idler.rest()
        time.sleep(0.5)
        for idler in idlers.values():
            idler.begin()
        time.sleep(IDLE_S)
        for journal, idler in idlers.items():
            idler.judge(journal)


if __name__ == "__main__":
    sys.exit(tap.run(story_idle))
