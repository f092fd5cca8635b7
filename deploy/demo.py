#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A regulator's freeze takes effect on three chains or on none.

    demo.py [BUILD_DIR]

Starts a coordinator (tricastd, two shards) and three chains (tricast-chain) on
127.0.0.1, plays nine scenes between them, and reads what is true in the end
from the chains themselves.  Exits with 0 only if every promise held.  Ends
every process that it started and removes its files, on Ctrl-C too.
"""

import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CHAINS = {"eip155:8453": "Base", "eip155:42161": "Arbitrum", "eip155:10": "Optimism"}
THIRD = "eip155:10"
BURST = 100_000
IN_FLIGHT = 1024
NUMBERED = "bond-999999"  # the named assets come behind the numbered ones
WAIT_S = 10  # for a process to be ready, for a ledger to settle
PR_SET_PDEATHSIG = 1

# What the third chain does wrong, and in which scene: the ids of messages begin with the scene.
MISBEHAVIOUR = [
    "PREPARE:refuse=OPERATOR_REFUSED:id=scene-2",
    "COMMIT:refuse=OPERATOR_REFUSED:id=scene-3",
    "COMMIT:hold=700:id=scene-4",
    "PREPARE:refuse=BUSY:count=1:id=scene-5",
    "PREPARE:refuse=OPERATOR_REFUSED:p=0.01:id=scene-9",
    "COMMIT:refuse=OPERATOR_REFUSED:p=0.01:id=scene-9",
]

CONFIG = """\
shards: 2
dataDir: {directory}/server
rollbackWindowMs: 5000
listen:
  address: 127.0.0.1
  port: 0
chains:
{chains}
clients:
  - name: client
    secret: {secret}
operators:
  - name: operator
    secret: {secret}
locations:
  version: 1
  entries:
    - asset: "bond-*"
      chains: [{ids}]
retries:
  - type: REGULATORY_ACTION
    maxRetries: 2
    initialBackoffMs: 100
    maxBackoffMs: 200
"""


class Broken(Exception):
    """A promise that did not hold, or a program that did not do its part."""


class Interrupted(Exception):
    """Ctrl-C, or a polite request to end."""


def interrupt(number, _frame):
    for once in (signal.SIGINT, signal.SIGTERM):
        signal.signal(once, signal.SIG_IGN)  # cleaning up is not interrupted
    raise Interrupted(signal.Signals(number).name)


def check(holds, sentence):
    if not holds:
        raise Broken(sentence)


def read_port(path):
    with open(path, encoding="utf-8") as file:
        return int(file.read())


def say(text=""):
    print(text, flush=True)


class Stage:
    """The processes and files of one performance."""

    def __init__(self, build_dir, change=None):
        """change: what is done to the server's configuration before it is written."""
        self.change = change or str
        self.build_dir = os.path.abspath(build_dir)
        self.directory = os.path.join(tempfile.gettempdir(),
                                      f"tricast-demo-{os.getpid()}-{secrets.token_hex(4)}")
        self.secret = secrets.token_hex(16)
        self.secret_file = os.path.join(self.directory, "secret")
        self.processes = []
        self.chains = {}
        self.admin_ports = {}
        self.starts = {chain: 0 for chain in CHAINS}
        self.port = 0

    # Processes -----------------------------------------------------------------------------

    def start(self, program, arguments, **files):
        """Starts a program that cannot outlive this one."""
        signals = {signal.SIGINT, signal.SIGTERM}
        # A signal between the fork and the list would lose the process.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        libc = ctypes.CDLL(None, use_errno=True)

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        try:
            process = subprocess.Popen(
                [os.path.join(self.build_dir, program), *arguments], stdin=subprocess.DEVNULL,
                start_new_session=True, preexec_fn=prepare, **files)
            self.processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return process

    def log_path(self, name):
        return os.path.join(self.directory, name + ".log")

    def daemon(self, name, program, arguments):
        with open(self.log_path(name), "ab") as log:
            return self.start(program, arguments, stdout=log, stderr=log)

    def wait_for(self, what, found):
        """Calls found() until it gives something."""
        end = time.monotonic() + WAIT_S
        while True:
            value = found()
            if value:
                return value
            check(time.monotonic() < end, f"waited {WAIT_S} s in vain: {what}")
            time.sleep(0.01)

    def in_log(self, name, pattern, times=1):
        def found():
            with open(self.log_path(name), encoding="utf-8", errors="replace") as log:
                matches = re.findall(pattern, log.read())
            return matches[times - 1] if len(matches) >= times else None

        return self.wait_for(f"{name} does not log {pattern}", found)

    def start_server(self):
        config = os.path.join(self.directory, "tricastd.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(self.change(CONFIG.format(
                directory=self.directory, secret=self.secret,
                ids=", ".join(f'"{chain}"' for chain in CHAINS),
                chains="\n".join(f'  - id: "{chain}"\n    secret: {self.secret}'
                                 for chain in CHAINS))))
        port_file = os.path.join(self.directory, "tricastd.port")
        self.daemon("tricastd", "tricastd", ["--config", config, "--port-file", port_file])
        self.wait_for("tricastd does not listen", lambda: os.path.exists(port_file))
        self.port = read_port(port_file)

    def start_chain(self, chain):
        name = "chain-" + chain.replace(":", "-")
        port_file = os.path.join(self.directory, name + ".port")
        arguments = ["--connect", f"127.0.0.1:{self.port}", "--chain", chain,
                     "--secret-file", self.secret_file,
                     "--journal", os.path.join(self.directory, name),
                     "--asset-count", str(BURST), "--asset-prefix", "bond-",
                     "--admin", "127.0.0.1:0", "--port-file", port_file]
        for asset in ASSETS:
            arguments += ["--asset", asset]
        if chain == THIRD:
            for rule in MISBEHAVIOUR:
                arguments += ["--misbehave", rule]
        if os.path.exists(port_file):
            os.remove(port_file)
        self.starts[chain] += 1
        self.chains[chain] = self.daemon(name, "tricast-chain", arguments)
        self.in_log(name, r"event=link_open\b", self.starts[chain])
        self.admin_ports[chain] = read_port(port_file)

    def kill_chain(self, chain):
        self.chains[chain].kill()
        self.chains[chain].wait()

    def open(self):
        os.mkdir(self.directory, 0o700)
        with open(self.secret_file, "w", encoding="utf-8") as file:
            file.write(self.secret + "\n")
        self.start_server()
        for chain in CHAINS:
            self.start_chain(chain)

    def close(self):
        """Ends everything and removes everything."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + 2
        for process in self.processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show_logs(self):
        for entry in sorted(os.listdir(self.directory)):
            if entry.endswith(".log"):
                with open(os.path.join(self.directory, entry), encoding="utf-8",
                          errors="replace") as log:
                    for line in log.readlines()[-15:]:
                        say(f"   {entry[:-4]}: {line.rstrip()}")

    # The command line ----------------------------------------------------------------------

    def tricast(self, *arguments, timeout_s=30, is_online=True):
        """Runs a verb; returns its exit code and the JSON objects it printed."""
        proof = ["--secret-file", self.secret_file] if is_online else []
        process = self.start("tricast", [*arguments, *proof], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, encoding="utf-8")
        try:
            output, trouble = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise Broken(f"tricast {arguments[0]} took more than {timeout_s} s") from None
        check(process.returncode in (0, 1),
              f"tricast {arguments[0]} exits with {process.returncode}: {trouble.strip()}")
        return process.returncode, [json.loads(line) for line in output.splitlines()]

    def submit(self, ident, asset, *more, action="FREEZE", reason="court order 4711",
               atomicity="ALL_OR_NOTHING"):
        targets = [word for chain in CHAINS for word in ("--target", chain)]
        code, views = self.tricast(
            "submit", "--server", f"127.0.0.1:{self.port}", "--id", ident, "--asset", asset,
            "--action", action, "--reason", reason, "--atomicity", atomicity, *targets,
            "--prepare-ms", "1000", "--commit-ms", "300", "--finalize-ms", "1000", *more)
        check(views, f"{ident} has no result")
        result = views[-1]
        check((code == 0) == (result.get("ackType") == "PROCESSED"),
              f"{ident}: exit code {code} does not fit {result}")
        return result, views

    def ledger(self, chain, after=""):
        """The chain's own books, from an id on: {asset: state}, counters."""
        _, views = self.tricast("chain", "ledger", f"127.0.0.1:{self.admin_ports[chain]}", "--json",
                                "--after", after)
        check(views[0]["chainId"] == chain, f"{views[0]['chainId']} answers for {chain}")
        return {asset["assetId"]: asset for asset in views[0]["assets"]}, views[0]["counters"]

    def ledgers(self, after=""):
        """The books of all chains, once no reservation is left in them."""
        def settled():
            books = {chain: self.ledger(chain, after)[0] for chain in CHAINS}
            held = [asset for book in books.values() for asset in book.values()
                    if asset["reservedBy"] is not None]
            return None if held else books

        return self.wait_for("a reservation stays in a ledger", settled)


def state_of(asset):
    """An asset's state in one word."""
    if asset["secondaryState"] != "NONE":
        return asset["secondaryState"]
    return asset["primaryLockState"]


def show_asset(books, asset):
    say("   The chains themselves say of " + asset + ": "
        + ", ".join(f"{CHAINS[chain]} {state_of(books[chain][asset])}" for chain in CHAINS))


def show_result(result):
    text = result["ackType"]
    if result["errorCode"]:
        text += f" ({result['errorCode']}: {result['errorMeaning']})"
    if result["attempt"]:
        text += f", attempt {result['attempt']['n']}"
    say(f"   Answer: {text}")


def expect(result, ack_type, code):
    check(result.get("ackType") == ack_type and result.get("errorCode") == code,
          f"expected {ack_type} {code}, got {json.dumps(result)}")


def expect_states(stage, asset, states):
    books = stage.ledgers(NUMBERED)
    show_asset(books, asset)
    found = [state_of(books[chain][asset]) for chain in CHAINS]
    check(found == states, f"{asset} is {found}, expected {states}")


ALL_FROZEN = ["FROZEN"] * 3
NONE_FROZEN = ["AVAILABLE"] * 3


def scene_all(stage):
    result, views = stage.submit("scene-1-freeze", "bond-alpha", "--timestamp-ms", stage.time_ms)
    kinds = [view.get("ackType") or view["view"] for view in views]
    say("   What the submitter was told: " + ", then ".join(kinds))
    show_result(result)
    expect(result, "PROCESSED", None)
    check(kinds == ["RECEIVED", "NOTICE", "PROCESSED"], f"the submitter was told {kinds}")
    expect_states(stage, "bond-alpha", ALL_FROZEN)


def scene_prepare(stage):
    result, _ = stage.submit("scene-2-freeze", "bond-bravo")
    show_result(result)
    expect(result, "REJECTED", "OPERATOR_REFUSED")
    expect_states(stage, "bond-bravo", NONE_FROZEN)


def scene_commit(stage):
    result, _ = stage.submit("scene-3-freeze", "bond-charlie")
    show_result(result)
    expect(result, "FAILED", "ROLLED_BACK")
    expect_states(stage, "bond-charlie", NONE_FROZEN)
    books = stage.ledgers(NUMBERED)
    versions = [books[chain]["bond-charlie"]["version"] for chain in CHAINS]
    say(f"   Their versions {versions} show it: two chains applied it and undid it, one never did.")
    check(versions == [2, 2, 0], f"versions {versions}, expected [2, 2, 0]")


def scene_unknown(stage):
    result, _ = stage.submit("scene-4-freeze", "bond-delta")
    show_result(result)
    expect(result, "FAILED", "MAX_RETRIES_EXCEEDED")
    attempts = result["attempt"]["n"]

    def refused():
        counters = stage.ledger(THIRD, NUMBERED)[1]
        return counters["refused_by_tombstone"] if counters["refused_by_tombstone"] >= attempts \
            else None

    count = stage.wait_for("the late COMMITs are not refused by the tombstone", refused)
    say(f"   {CHAINS[THIRD]} took up {count} COMMITs too late: each met the tombstone of its "
        "rollback and was refused.")
    expect_states(stage, "bond-delta", NONE_FROZEN)


def scene_retry(stage):
    result, _ = stage.submit("scene-5-freeze", "bond-echo")
    show_result(result)
    expect(result, "PROCESSED", None)
    check(result["attempt"]["n"] == 2, "it did not take two attempts")
    expect_states(stage, "bond-echo", ALL_FROZEN)


def scene_best_effort(stage):
    stage.kill_chain(THIRD)
    say(f"   {CHAINS[THIRD]} is dead (kill -9).")
    result, _ = stage.submit("scene-6-notice", "bond-foxtrot", action="RESTRICT",
                             atomicity="BEST_EFFORT", reason="notice to all who can hear")
    show_result(result)
    expect(result, "PROCESSED", None)
    states = {target["chainId"]: target["state"] for target in result["targets"]}
    say("   Per chain: " + ", ".join(f"{CHAINS[chain]} {states[chain]}" for chain in CHAINS))
    check(states[THIRD] == "UNKNOWN", "the dead chain is not listed as UNKNOWN")
    stage.start_chain(THIRD)
    say(f"   {CHAINS[THIRD]} is back; its ledger outlived it.")
    expect_states(stage, "bond-foxtrot", ["RESTRICTED", "RESTRICTED", "AVAILABLE"])


def scene_duplicate(stage):
    result, _ = stage.submit("scene-1-freeze", "bond-alpha", "--timestamp-ms", stage.time_ms)
    show_result(result)
    expect(result, "PROCESSED", None)
    check(result["duplicate"], "the answer does not say that it is the stored one")
    books = stage.ledgers(NUMBERED)
    versions = [books[chain]["bond-alpha"]["version"] for chain in CHAINS]
    say(f"   It is the stored answer.  bond-alpha was changed {versions} times: nobody froze twice.")
    check(versions == [1, 1, 1], f"versions {versions}, expected [1, 1, 1]")


def scene_mismatch(stage):
    result, _ = stage.submit("scene-1-freeze", "bond-golf", "--timestamp-ms", stage.time_ms)
    say(f"   Answer: {result.get('ackType', result['view'])} ({result['errorCode']}: "
        f"{result['errorMeaning']})")
    check(result["errorCode"] == "DUPLICATE_ID_MISMATCH", f"got {json.dumps(result)}")
    expect_states(stage, "bond-golf", NONE_FROZEN)


def scene_burst(stage):
    targets = [word for chain in CHAINS for word in ("--target", chain)]
    _, views = stage.tricast(
        "submit", "--server", f"127.0.0.1:{stage.port}", "--id", "scene-9", "--asset", "bond-",
        "--action", "FREEZE", "--reason", "sanctions list", *targets, "--burst", str(BURST),
        "--in-flight", str(IN_FLIGHT), "--ttl", "30", timeout_s=45)
    summary = views[0]
    results = summary["results"]
    say(f"   {summary['messages']:,} messages in {summary['seconds']:.2f} s, "
        f"{summary['messagesPerSecond']:,.0f} per second, half of them within "
        f"{summary['latencyMs']['p50']:.1f} ms.")
    say("   Answers: " + ", ".join(f"{count:,} {name}" for name, count in results.items())
        + "; reasons: "
        + ", ".join(f"{count:,} {name}" for name, count in summary["errorCodes"].items()))
    check(summary["unanswered"] == 0, f"{summary['unanswered']} messages have no answer")
    check(sum(results.values()) == BURST, f"{sum(results.values())} answers")
    check(results["REJECTED"] > 0 and results["FAILED"] > 0,
          "the third chain refused nothing: the burst proves too little")
    books = stage.ledgers()
    names = [f"bond-{n:06d}" for n in range(BURST)]
    for chain, book in books.items():
        frozen = sum(state_of(book[name]) == "FROZEN" for name in names)
        say(f"   {CHAINS[chain]} holds {frozen:,} of them frozen.")
        check(frozen == results["PROCESSED"],
              f"{CHAINS[chain]} froze {frozen}, the answers say {results['PROCESSED']}")


SCENES = [
    ("A freeze that reaches all three chains.",
     "PREPARE asks every chain, COMMIT makes it so, FINALIZE closes it.", scene_all),
    ("A freeze that the third chain refuses when it is asked (PREPARE).",
     "Then nobody may freeze: the two that agreed are told to forget it.", scene_prepare),
    ("A freeze that the third chain refuses at the last moment (COMMIT).",
     "The other two have frozen already, so they are rolled back.", scene_commit),
    ("A freeze whose COMMIT the third chain does not answer in time.",
     "Nobody knows whether it froze.  So it is rolled back everywhere, three attempts long.",
     scene_unknown),
    ("A freeze that is refused once because the third chain is busy.",
     "Being busy passes: the same message is tried again.", scene_retry),
    ("A notice to whoever can hear it (BEST_EFFORT) while the third chain is dead.",
     "This one is not all-or-none, and its answer says chain by chain what happened.",
     scene_best_effort),
    ("The first freeze is submitted once more, byte for byte.",
     "Whoever lost an answer may ask again.", scene_duplicate),
    ("The first freeze's id with other content.",
     "An id names one message for ever.", scene_mismatch),
    (f"A burst of {BURST:,} freezes, {IN_FLIGHT:,} at a time.",
     "The third chain refuses one in a hundred when asked, and one in a hundred at COMMIT.",
     scene_burst),
]
ASSETS = ["bond-alpha", "bond-bravo", "bond-charlie", "bond-delta", "bond-echo", "bond-foxtrot",
          "bond-golf"]
NOT_ATOMIC = {"bond-foxtrot"}  # its message asked for BEST_EFFORT


def check_all(stage):
    """All-or-none, over every asset of every chain, from the chains' own books."""
    books = stage.ledgers()
    assets = set().union(*books.values())
    check(len(assets) == BURST + len(ASSETS), f"the books list {len(assets)} assets")
    torn = [asset for asset in sorted(assets - NOT_ATOMIC)
            if len({state_of(book[asset]) for book in books.values()}) != 1]
    check(not torn, f"{len(torn)} assets differ between the chains, such as {torn[:3]}")
    frozen = sum(state_of(books[THIRD][asset]) == "FROZEN" for asset in assets)
    say(f"All {len(assets):,} assets were compared on all three chains: {frozen:,} are frozen on "
        "all three,")
    say(f"{len(assets) - frozen - len(NOT_ATOMIC):,} on none, none on one or two.  "
        "(bond-foxtrot asked for no such promise.)")
    return frozen


def check_archive(stage, frozen):
    """What is final is in a record that anyone can verify, without the server."""
    path = os.path.join(stage.directory, "server", "finality")
    end = time.monotonic() + 5
    while True:  # the newest records reach the files within a quarter of a second
        code, views = stage.tricast("finality", "verify", path, is_online=False)
        total = views[-1]
        if total["messages"] >= frozen or time.monotonic() > end:
            break
        time.sleep(0.1)
    check(code == 0 and total["faults"] == 0, f"the archive of finality records: {views}")
    check(total["messages"] == frozen, f"it has {total['messages']} messages, {frozen} are final")
    say(f"tricast finality verify: {total['messages']:,} messages in {total['records']:,} finality "
        "records,")
    say("every hash, chain and signature holds.")


def play(stage):
    begin = time.monotonic()
    stage.time_ms = str(time.time_ns() // 1_000_000)
    stage.open()
    say(f"A coordinator with two shards and three chains are running: {', '.join(CHAINS.values())}.")
    for number, (title, meaning, scene) in enumerate(SCENES, 1):
        say()
        say(f"{number}. {title}")
        say(f"   {meaning}")
        scene(stage)
    say()
    check_archive(stage, check_all(stage))
    say(f"Every promise held.  {time.monotonic() - begin:.1f} s.")


def main():
    if len(sys.argv) > 2:
        print("usage: demo.py [BUILD_DIR]", file=sys.stderr)
        return 2
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    stage = Stage(sys.argv[1] if len(sys.argv) == 2 else os.path.join(root, "build"))
    for program in ("tricastd", "tricast", "tricast-chain"):
        if not os.access(os.path.join(stage.build_dir, program), os.X_OK):
            print(f"demo.py: {stage.build_dir} holds no {program}; build first", file=sys.stderr)
            return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        play(stage)
        return 0
    except Interrupted as interrupted:
        say(f"\nInterrupted by {interrupted}: cleaning up.")
        return 130
    except Broken as broken:
        say(f"\nBROKEN: {broken}")
        stage.show_logs()
        return 1
    finally:
        stage.close()


if __name__ == "__main__":
    sys.exit(main())
