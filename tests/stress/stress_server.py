#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the real server's threads may be ended at any time: in the middle of rounds, handshakes,
hand-overs between shards, statistics and resends they drain, or stop at once, without a race.

Method: tricastd as this build directory made it, under the thread sanitizer in the suite that
this belongs to, with real chains and submitters; connections come and go meanwhile.  Then
SIGTERM, once or twice.  What the sanitizer sees makes the exit code 66.
"""

import concurrent.futures
import itertools
import os
import random
import signal
import sys
import threading
import time

SOURCE_DIR = os.environ["TRI_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE_DIR, "tests", "e2e"))
import server as host
import stranger as st

A, B, FLAPPING = "eip155:8453", "eip155:42161", "solana:flapping"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, FLAPPING)}
CHURNERS = 3
LOAD_S = 1.5
tap = host.Tap()
ok = tap.ok
seed = os.environ.get("TRI_SEED", "0")
instances = itertools.count(1)
CONFIG = host.CONFIG.replace("handshakeMs: 500", "handshakeMs: 5000").replace(
    "limits:", "capacities:\n  segmentBytes: 4194304\nlimits:")
SUPPRESSIONS = f"suppressions={os.path.join(SOURCE_DIR, 'tests', 'tsan.supp')}"


def come_and_go(house, shards, name, is_over):
    """Connections of every role, until the server is gone; returns how many there were."""
    draw = random.Random(f"{seed} {name}")
    made = 0
    while not is_over.is_set():
        role = draw.choice([st.CLIENT, st.CLIENT, st.CHAIN, st.OPERATOR])
        identity, secret = {st.CLIENT: ("other", house.other), st.OPERATOR: ("operator",
                            house.operator), st.CHAIN: (FLAPPING, SECRETS[FLAPPING])}[role]
        try:
            peer = st.Connection(house.port).greet(
                role, identity, secret.encode(), shard=draw.randrange(shards + 1),
                instance=next(instances) if role == st.CHAIN else 0)
            if role == st.CLIENT:
                peer.send(st.submit_frame(f"{name}-{made}", [FLAPPING, A], [f"far-{name}-{made}"],
                                          draw.randbytes(draw.choice([1, 9000, 60000])),
                                          draw.randrange(3), timeouts=[100] * 3),
                          [st.STATUS_GET, f"{name}-{made}"])
            elif role == st.OPERATOR:
                peer.send([st.WATCH], [st.STATS_GET])
            for _ in range(draw.randrange(5)):
                peer.receive(0.02)
            peer.close()
        except (st.Closed, st.Refused):
            pass
        except OSError:
            time.sleep(0.01)
            continue
        made += 1
    return made


def start_bursts(house):
    """Two submitters with more than can be done in time; one names assets that no ledger knows."""
    for number in range(2):
        house.launch(os.path.join(host.BUILD_DIR, "tricast"), "submit", "--burst", "1000000", "--id",
                     f"burst-{number}", "--target", A, "--target", B, "--asset", f"bond-{number}",
                     "--action", "FREEZE", "--atomicity", "GUARANTEED", "--in-flight", "256",
                     "--server", f"127.0.0.1:{house.port}", "--name", "submitter", "--secret",
                     house.client, log=os.path.join(house.directory, "burst.log"))


def end_under_load(shards, connections, journal, signals):
    options = " ".join(filter(None, [os.environ.get("TSAN_OPTIONS"), SUPPRESSIONS, "exitcode=66"]))
    with host.Server(SECRETS, {"bond-*": [A, B], "far-*": [FLAPPING, A]}, config=CONFIG,
                     shards=shards, journal=journal, env={"TSAN_OPTIONS": options}) as house:
        for chain in (A, B):
            house.chain(chain, SECRETS[chain], "--asset-count", "200000", "--asset-prefix", "bond-0",
                        "--connections", str(connections), "--journal", "none")
        start_bursts(house)
        is_over = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(CHURNERS) as pool:
            churners = [pool.submit(come_and_go, house, shards, f"churner-{n}", is_over)
                        for n in range(CHURNERS)]
            time.sleep(LOAD_S)
            counted = house.stats()
            for _ in range(signals):
                house.process.send_signal(signal.SIGTERM)
                time.sleep(0.02)
            code = house.process.wait(60)
            is_over.set()
            made = sum(churner.result() for churner in churners)
        with open(house.log, encoding="utf-8", errors="replace") as file:
            said = file.read()
    name = f"{shards} shards, {connections} connection(s) a chain, journal {journal}, " \
        f"{signals} signal(s)"
    print(f"# {name}: {counted['submits']} submits, {counted['processed']} processed, {made} "
          f"connections, {counted['handovers']} handovers, {counted['resends']} resends")
    ok(counted["processed"] > 100 and counted["rejected"] > 100 and made > 5,
       f"{name}: it is under load", counted)
    ok(code == 0 and "ThreadSanitizer" not in said, f"{name}: it ends in good order", code,
       "\n".join(line for line in said.splitlines() if not line.startswith("ts="))[:5000],
       said[-1000:])


def story_drain():
    end_under_load(2, 1, "file", 1)


def story_drain_many():
    end_under_load(4, 4, "none", 1)


def story_stop():
    end_under_load(3, 2, "file", 2)


if __name__ == "__main__":
    sys.exit(tap.run(story_drain, story_drain_many, story_stop))
