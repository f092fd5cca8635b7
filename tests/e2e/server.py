# SPDX-License-Identifier: Apache-2.0
"""A real tricastd for tests, and TAP on stdout.

Not a test itself.  A server lives in a directory of its own; it, and every
tricast-chain beside it, ends with the test, however the test ends.
"""

import ctypes
import json
import os
import signal
import subprocess
import tempfile
import time

BUILD_DIR = os.environ.get("TRI_BUILD_DIR", "build")
PR_SET_PDEATHSIG = 1

CONFIG = """\
dataDir: {directory}/data
journal: {journal}
shards: {shards}
drainMs: 500
rollbackWindowMs: 5000
log:
  level: info
listen:
  address: 127.0.0.1
  port: 0
limits:
  handshakeMs: 500
  peerTimeoutMs: 1500
chains:
{chains}
clients:
  - name: submitter
    secret: {client}
  - name: other
    secret: {other}
operators:
  - name: operator
    secret: {operator}
locations:
  version: 7
  entries:
{locations}
timeouts:
  prepareMs: 3000
  commitMs: 3000
  finalizeMs: 3000
retries:
  - type: REGULATORY_ACTION
    maxRetries: 3
    initialBackoffMs: 20
    maxBackoffMs: 100
  - type: STATE_SYNC
    lockTtlMs: 600000
"""


class Tap:
    """Counts and prints cases."""

    def __init__(self):
        self.count = 0
        self.failures = 0

    def ok(self, holds, name, *notes):
        self.count += 1
        print(f"{'ok' if holds else 'not ok'} {self.count} - {name}", flush=True)
        if not holds:
            self.failures += 1
            for note in notes:
                print(f"# {note}".replace("\n", "\n# "), flush=True)

    def run(self, *stories):
        """Plays each story; one that breaks off is a failed case.  Returns the exit code."""
        for story in stories:
            try:
                story()
            except Exception as error:  # pylint: disable=broad-except
                what = f"{story.__name__}: {type(error).__name__} {error}"
                self.ok(False, what.replace("\n", " "))
        print(f"1..{self.count}")
        return 1 if self.failures or not self.count else 0


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def program(name, *words, **more):
    return subprocess.run([os.path.join(BUILD_DIR, name), *words], capture_output=True,
                          encoding="utf-8", errors="surrogateescape", check=False, timeout=30,
                          **more)


def wait_port(path, process, timeout_s=20):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return int(file.read())
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise RuntimeError(f"no port in {path}, exit code {process.poll()}")


class Server:
    """`chains`: {id: secret}; `locations`: {asset: [ids]}; `env`: what the server's has beside it."""

    def __init__(self, chains, locations, config=CONFIG, shards=2, journal="none",
                 env=None):
        self.own = tempfile.TemporaryDirectory(prefix="tricast-e2e-")
        self.directory = self.own.name
        self.client = "secret-of-submitter-1"
        self.other = "secret-of-other-12345"
        self.operator = "secret-of-operator-12"
        self.config = os.path.join(self.directory, "tricastd.yaml")
        self.log = os.path.join(self.directory, "log")
        self.env = env
        self.processes = []
        self.process = None
        self.port = 0
        chain_lines = "\n".join(f"  - id: {name}\n    secret: {secret}"
                                for name, secret in chains.items())
        location_lines = "\n".join(f'    - asset: "{asset}"\n      chains: [{", ".join(ids)}]'
                                   for asset, ids in locations.items())
        self.text = config.format(directory=self.directory, journal=journal, shards=shards,
                                  chains=chain_lines, locations=location_lines, client=self.client,
                                  other=self.other, operator=self.operator)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.text)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.own.cleanup()

    def launch(self, *words, log, env=None):
        with open(log, "ab") as file:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=file, preexec_fn=die_with_parent,
                                       env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    def start(self):
        """Starts the server, again too; the port is another one each time."""
        port_file = os.path.join(self.directory, "port")
        if os.path.exists(port_file):
            os.remove(port_file)
        self.process = self.launch(os.path.join(BUILD_DIR, "tricastd"), "--config", self.config,
                                   "--port-file", port_file, log=self.log, env=self.env)
        self.port = wait_port(port_file, self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def chain(self, name, secret, *flags):
        """A real tricast-chain; the port of its ledger."""
        base = os.path.join(self.directory, name.replace(":", "-"))
        process = self.launch(
            os.path.join(BUILD_DIR, "tricast-chain"), "--chain", name, "--connect",
            f"127.0.0.1:{self.port}", "--secret", secret, "--journal", base + ".journal",
            "--journal-segment-bytes", "1048576", "--admin", "127.0.0.1:0", "--port-file",
            base + ".port", *flags, log=base + ".log")
        return wait_port(base + ".port", process)

    def stats(self):
        """{name: total} as `tricast stats --json` shows it."""
        done = program("tricast", "stats", "--json", "--server", f"127.0.0.1:{self.port}", "--name",
                       "operator", "--secret", self.operator)
        if done.returncode != 0:
            raise RuntimeError(f"tricast stats: {done.returncode} {done.stderr}")
        return {row["name"]: row["total"] for row in json.loads(done.stdout)["counters"]}

    def counted(self, before, timeout_s=3, **least):
        """True once every named counter has grown by exactly its number since `before`.

        A shard publishes its counters at the end of a turn, so they are read again for a while.
        """
        end = time.monotonic() + timeout_s
        while True:
            now = self.stats()
            if all(now[name] - before[name] == grown for name, grown in least.items()):
                return True
            if time.monotonic() > end:
                print("# grown:", {name: now[name] - before[name] for name in least})
                return False
            time.sleep(0.02)

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]
