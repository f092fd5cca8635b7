#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tricastd, tricast-chain and tricast together: what an operator sees, and what the demonstration
itself would say if a promise broke.

Uses the stage of deploy/demo.py: the same processes and configuration.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

SOURCE_DIR = os.environ["TRI_SOURCE_DIR"]
BUILD_DIR = os.environ["TRI_BUILD_DIR"]
sys.path.insert(0, os.path.join(SOURCE_DIR, "deploy"))
import demo

BURST = 2000
BURSTS = 40
DISK_BYTES = 32 << 20

count = 0
failures = 0


def ok(holds, name):
    global count, failures
    count += 1
    failures += 0 if holds else 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)
    return holds


def story_operator(stage):
    server = ["--server", f"127.0.0.1:{stage.port}"]
    seen = os.path.join(stage.directory, "watch.log")
    with open(seen, "wb") as log:
        watch = stage.start("tricast", ["watch", *server, "--secret-file", stage.secret_file],
                            stdout=log, stderr=log)
    time.sleep(0.3)
    result, _ = stage.submit("scene-5-live", "bond-alpha")
    ok(result["ackType"] == "PROCESSED" and result["attempt"]["n"] == 2,
       "R03: a message that met BUSY once is processed in its second attempt")

    code, views = stage.tricast("status", "scene-5-live", *server)
    ok(code == 0 and views[0]["state"] == "PROCESSED" and views[0]["attempt"]["n"] == 2 and
       {target["state"] for target in views[0]["targets"]} == {"FINAL"},
       "status shows the result and every target FINAL")
    code, views = stage.tricast("status", "never-seen", *server)
    ok(code == 1 and views[0]["errorCode"] == "UNKNOWN_MESSAGE", "status of an unknown id: exit 1")

    code, views = stage.tricast("stats", "--json", *server)
    counters = {counter["name"]: counter for counter in views[0]["counters"]}
    ok(code == 0 and counters["processed"]["total"] == 1 and
       counters["redeliveries"]["total"] == 1 and len(counters["processed"]["perShard"]) == 2,
       "stats counts it, per shard")
    ok(len(counters) == len(views[0]["counters"]) and
       all(counter["help"] and "unit" in counter for counter in counters.values()),
       "every counter has a name of its own, a help text and a unit")

    time.sleep(0.3)
    watch.terminate()
    watch.wait()
    with open(seen, encoding="utf-8") as log:
        events = [json.loads(line) for line in log]
    whats = [event["what"] for event in events if event["originalMessageId"] == "scene-5-live"]
    told = [what for what in whats
            if what in ("PREPARE", "ABORT", "COMMIT", "FINALIZE", "PROCESSED")]
    # A PREPARE_OK that comes after the refusal is answered with an ABORT of its own (P14).
    ok([what for n, what in enumerate(told) if n == 0 or what != told[n - 1]] ==
       ["PREPARE", "ABORT", "PREPARE", "COMMIT", "FINALIZE", "PROCESSED"],
       f"watch tells the story in order ({' '.join(whats)})")


def story_restarts(stage):
    stage.submit("m-before", "bond-bravo")
    for chain in demo.CHAINS:
        stage.kill_chain(chain)
        stage.start_chain(chain)
    result, _ = stage.submit("m-after", "bond-bravo", action="RELEASE", reason="appeal")
    books = stage.ledgers(demo.NUMBERED)
    ok(result["ackType"] == "PROCESSED" and
       all((book["bond-bravo"]["primaryLockState"], book["bond-bravo"]["version"]) ==
           ("AVAILABLE", 2) for book in books.values()),
       "P15: chains that were killed and started again go on from their ledgers")


SMALL = """
shards: 1
rollbackWindowMs: 500
clockAllowanceMs: 500
timeouts: {prepareMs: 500, commitMs: 500, finalizeMs: 500}
capacities: {segmentBytes: 4194304, checkpointBytes: 1048576}
"""


def small(config):
    """The stage's configuration with a small journal and a short memory."""
    for line in ("shards: 2\n", "rollbackWindowMs: 5000\n"):
        config = config.replace(line, "")
    for old, new in (("maxRetries: 2", "maxRetries: 0"), ("BackoffMs: 100", "BackoffMs: 1"),
                     ("BackoffMs: 200\n", "BackoffMs: 1\n    dedupWindowMs: 3500\n")):
        config = config.replace(old, new)
    return config + SMALL


def story_disk(stage):
    """A steady load, many times what the journal may hold."""
    folder = os.path.join(stage.directory, "server", "journal")
    server = ["--server", f"127.0.0.1:{stage.port}"]
    targets = [word for chain in demo.CHAINS for word in ("--target", chain)]
    processed = most = 0
    for burst in range(BURSTS):
        _, views = stage.tricast("submit", *server, *targets, "--burst", str(BURST), "--id",
                                 f"b{burst}-", "--asset", "bond-", "--ttl", "1", "--reason", "load",
                                 "--atomicity", "GUARANTEED", "--in-flight", "256",
                                 "--action", "RELEASE" if burst % 2 else "FREEZE")
        processed += views[-1]["results"]["PROCESSED"]
        most = max(most, sum(entry.stat().st_size for entry in os.scandir(folder)))
    _, views = stage.tricast("stats", "--json", *server)
    counters = {counter["name"]: counter["total"] for counter in views[0]["counters"]}
    ok(processed == BURSTS * BURST, f"{processed} of {BURSTS * BURST} messages were PROCESSED")
    ok(counters["journal_bytes"] > 2 * most and most < DISK_BYTES,
       f"D06: {counters['journal_bytes'] >> 20} MiB were written, and the journal never took more "
       f"than {most >> 20} MiB")


def with_stage(story, change=None):
    stage = demo.Stage(BUILD_DIR, change)
    try:
        stage.open()
        story(stage)
    except (demo.Broken, KeyError, IndexError, OSError, TypeError, ValueError) as error:
        ok(False, f"{story.__name__}: {type(error).__name__} {error}".replace("\n", " "))
    finally:
        stage.close()


def story_demo_notices(name, old, new):
    """A demonstration that is changed so that a promise breaks has to say so and exit with 1."""
    with open(os.path.join(SOURCE_DIR, "deploy", "demo.py"), encoding="utf-8") as file:
        text = file.read()
    if old not in text:
        ok(False, f"{name}: the demonstration has no line to change")
        return
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "changed.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
        done = subprocess.run(["/usr/bin/python3", "-B", path, BUILD_DIR], capture_output=True,
                              encoding="utf-8", env={**os.environ, "TMPDIR": place}, check=False,
                              timeout=90)
        left = [entry for entry in os.listdir(place) if entry != "changed.py"]
    ok(done.returncode == 1 and "BROKEN: " in done.stdout and not left,
       f"the demonstration notices {name}, exits with 1 and cleans up")


def main():
    with_stage(story_operator)
    with_stage(story_restarts)
    with_stage(story_disk, small)
    story_demo_notices("a chain that refuses to roll back", "        if chain == THIRD:\n",
                       '        if chain != THIRD:\n'
                       '            arguments += ["--misbehave", "ROLLBACK:refuse=ROLLBACK_FENCED"]\n'
                       '        if chain == THIRD:\n')
    story_demo_notices("a chain whose ledger forgets", '"--admin", "127.0.0.1:0",',
                       '"--journal", "none", "--admin", "127.0.0.1:0",')
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
