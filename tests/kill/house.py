# SPDX-License-Identifier: Apache-2.0
"""One tricastd and three tricast-chains that are killed and started again.

Not a test itself.  The programs misbehave as far as chains may: they answer
late, refuse, lose frames and say things twice, so that every stage of a
message lasts long enough to be hit.
"""

import multiprocessing
import os
import random
import signal
import socket
import subprocess

import coordinator as co
import server as host

BUILD_DIR = host.BUILD_DIR
SHARDS_MAX = 3
CHAINS = {"eip155:8453": "secret-of-chain-8453", "eip155:10": "secret-of-chain-0010",
          "eip155:42161": "secret-of-chain-42161"}
A, B, C = CHAINS
CLIENT, OPERATOR = "secret-of-the-load", "secret-of-operator"
ASSETS = 24000
SHARED_ASSETS = 12
LOCK_TTL_S = 3

CONFIG = """\
dataDir: {directory}/data
shards: {shards}
rollbackWindowMs: 1500
clockAllowanceMs: 200
peerSharePermille: 1000
chainSharePermille: 1000
drainMs: 0
listen:
  address: 127.0.0.1
  port: {port}
limits:
  fruitlessPerSecond: 1000000
  acceptsPerSecond: 10000
capacities:
  rounds: 4096
  dedupEntries: 65536
  waiters: 4096
  bodies416: 4096
  bodies1024: 1024
  bodies4096: 64
  bodies16384: 0
  bodies86016: 2
  connections: 64
  handshakes: 32
  recvBuffers: 64
  partialFrameBytes: 1048576
  sendBytes: 33554432
  segmentBytes: 4194304
  checkpointBytes: 1048576
chains:
{chains}
clients:
  - name: load
    secret: {client}
operators:
  - name: operator
    secret: {operator}
locations:
  entries:
    - asset: "*"
      chains: [{names}]
timeouts:
  prepareMs: 500
  commitMs: 600
  finalizeMs: 500
retries:
  - type: REGULATORY_ACTION
    maxRetries: 12
    initialBackoffMs: 10
    maxBackoffMs: 80
    lockTtlMs: {lock_ms}
    dedupWindowMs: 900000
"""

# What a chain does wrong; the first rule that fits a frame decides.  Ids that begin with u- are
# refused by B at COMMIT, so the others roll back; ROLLBACK takes its time.
RULES = {
    A: ("ROLLBACK:delay=90", "PREPARE:delay=50:p=0.6", "COMMIT:delay=70:p=0.6",
        "FINALIZE:delay=70:p=0.6", "COMMIT:drop:p=0.01", "FINALIZE:duplicate:p=0.05"),
    B: ("COMMIT:refuse=OPERATOR_REFUSED:id=u-", "COMMIT:refuse=BUSY:p=0.02",
        "PREPARE:refuse=OPERATOR_REFUSED:p=0.01", "PREPARE:refuse=BUSY:p=0.02",
        "PREPARE:drop:p=0.01", "COMMIT:delay=60:p=0.6", "FINALIZE:delay=50:p=0.6",
        "ROLLBACK:delay=40"),
    C: ("ROLLBACK:drop:p=0.05", "ROLLBACK:delay=60:p=0.7", "COMMIT:hold=60:p=0.4",
        "COMMIT:drop:p=0.01", "PREPARE:reorder:p=0.05", "PREPARE:duplicate:p=0.05",
        "COMMIT:duplicate:p=0.05", "FINALIZE:delay=80:p=0.6", "FINALIZE:drop:p=0.02"),
}
CONNECTIONS = {A: 1, B: 2, C: 3}


def free_port(draw):
    """Below the ports that the system gives to those who connect: nobody may take it meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first = int(file.read().split()[0])
    while True:
        port = draw.randrange(max(2048, first // 2), first) if first > 4096 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue


class Died(Exception):
    """A program ended by itself."""


def keep_busy(path):
    """A neighbour who writes to the same disk, so that a record takes a while to be durable."""
    host.die_with_parent()
    block = os.urandom(1 << 20)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        for turn in range(8):
            os.pwrite(file, block, turn << 20)
        os.fdatasync(file)


class House:
    """The four programs; killed by -9 only."""

    def __init__(self, directory, seed):
        self.directory = directory
        self.draw = random.Random(seed)
        self.port = free_port(self.draw)
        self.processes = {}   # by chain's name, or "tricastd"
        self.starts = 0
        self.connect = self.port
        self.neighbour = None
        if random.Random(f"{seed}/disk").random() < 0.5:
            self.neighbour = multiprocessing.get_context("fork").Process(
                target=keep_busy, args=(self.path("neighbour"),))
            self.neighbour.start()
        for shards in range(1, SHARDS_MAX + 1):
            with open(self.path(f"tricastd-{shards}.yaml"), "w", encoding="utf-8") as file:
                file.write(CONFIG.format(
                    directory=directory, shards=shards, port=self.port, client=CLIENT,
                    operator=OPERATOR, names=", ".join(CHAINS), lock_ms=LOCK_TTL_S * 1000,
                    chains="\n".join(f"  - id: {name}\n    secret: {secret}"
                                     for name, secret in CHAINS.items())))

    def path(self, name):
        return os.path.join(self.directory, name)

    def journal(self, name):
        return self.path("data/journal" if name == "tricastd" else self.base(name) + ".journal")

    def finality(self):
        return self.path("data/finality")

    @staticmethod
    def base(name):
        return name.replace(":", "-")

    def launch(self, name, words, log):
        with open(self.path(log), "ab") as file:
            self.processes[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                preexec_fn=host.die_with_parent)

    def start(self, name, shards=1, behaves=False):
        self.starts += 1
        if name == "tricastd":
            self.launch(name, [os.path.join(BUILD_DIR, "tricastd"), "--config",
                               self.path(f"tricastd-{shards}.yaml")], "tricastd.log")
            return
        base = self.path(self.base(name))
        words = [os.path.join(BUILD_DIR, "tricast-chain"), "--chain", name, "--secret",
                 CHAINS[name], "--connect", f"127.0.0.1:{self.connect}", "--journal",
                 base + ".journal", "--journal-segment-bytes", "2097152", "--asset-count",
                 str(ASSETS), "--asset-prefix", "own-", "--entries", "65536", "--dedup-window-ms",
                 "900000", "--connections", str(CONNECTIONS[name]), "--seed", str(self.starts),
                 "--admin", "127.0.0.1:0", "--port-file", base + ".port"]
        for asset in range(SHARED_ASSETS):
            words += ["--asset", f"shared-{asset:02d}"]
        for rule in () if behaves else RULES[name]:
            words += ["--misbehave", rule]
        if os.path.exists(base + ".port"):
            os.remove(base + ".port")
        self.launch(name, words, self.base(name) + ".log")

    def kill(self, names):
        """All at one moment.  Raises Died if one of them was dead before."""
        for name in names:
            code = self.processes[name].poll()
            if code is not None:
                raise Died(f"{name} ended by itself, exit code {code}")
        for name in names:
            os.kill(self.processes[name].pid, signal.SIGKILL)
        for name in names:
            self.processes.pop(name).wait()

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes = {}
        if self.neighbour is not None:
            self.neighbour.kill()
            self.neighbour.join()
            self.neighbour = None

    # ---- what a chain's ledger says ----

    def ledger(self, name):
        """{asset: (state, secondary, version, reservedBy)}, of those that are not as new."""
        port = host.wait_port(self.path(self.base(name) + ".port"), self.processes[name])
        return read_ledger(port, CHAINS[name].encode())


def read_ledger(port, secret):
    import stranger as wire  # pylint: disable=import-outside-toplevel
    connection = wire.Connection(port).greet(wire.OPERATOR, "operator", secret)
    assets, after, more = {}, "", True
    while more:
        connection.send([25, after, 256])
        frame = connection.receive()
        if frame is None or frame[0] != 26:
            raise RuntimeError(f"no LEDGER: {frame}")
        more = frame[2]
        for asset, state, secondary, version, holder in frame[3]:
            after = asset
            if version or holder:
                assets[asset] = (state, secondary, version, holder)
    connection.close()
    return assets


class Questioner(co.Coordinator):
    """A coordinator that asks chains about the past."""

    def chain(self, name):
        """The connection of a chain; who has come and died since is passed over."""
        while True:
            try:
                peer = self.accept()
                if peer is not None and self.hello[3] == name:
                    return peer
            except (AssertionError, TypeError, ConnectionError):
                pass
