#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tricastd at its begin: a shard that cannot run, and old records that cannot be removed.

Both need a moment that cannot be met from outside; a preloaded library makes it.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import stranger as st  # noqa: E402
from server import Server, Tap  # noqa: E402
from test_server import CONFIG, PROGRAM  # noqa: E402

RING_REFUSED = sys.argv[1]
SHARDS = 4
RINGS = SHARDS + 1   # one is the archive's
TAP = Tap()


def refused_rings():
    with tempfile.TemporaryDirectory(prefix="tricast-begin-") as directory:
        path = os.path.join(directory, "x.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(directory=directory).replace("shards: 2", f"shards: {SHARDS}"))
        for ring in range(1, RINGS + 1):
            process = subprocess.Popen([PROGRAM, "--config", path], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, encoding="utf-8",
                                       env={**os.environ, "LD_PRELOAD": RING_REFUSED,
                                            "RING_REFUSED": str(ring)})
            try:
                _, said = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
            TAP.ok(process.returncode == 1 and "io_uring cannot be enabled: Cannot allocate" in said,
                   f"ring {ring} of {RINGS} cannot be enabled: it is said, and the server ends",
                   process.returncode, said)


def lasting_sets():
    """The manifest cannot be replaced when a checkpoint has made the old sets needless."""
    chain = "eip155:8453"
    with Server({chain: "secret-of-chain-1"}, {"bond-*": [chain]}, shards=1, journal="file",
                env={"LD_PRELOAD": RING_REFUSED}) as house:
        client = st.Connection(house.port).greet(st.CLIENT, "submitter", house.client.encode())
        client.send(st.submit_frame("m", [chain], ["m"], atomicity=st.GUARANTEED))
        TAP.ok(client.receive()[:3] == [st.ACK, "m", st.RECEIVED], "a journal with a record")
        house.kill()
        gate = os.path.join(house.directory, "gate")
        house.env["RING_GATE"] = gate
        house.start()  # its manifest is written, and no turn taken
        os.mkdir(os.path.join(house.directory, "data", "journal", "manifest.new"))
        with open(gate, "wb"):
            pass
        end = time.monotonic() + 10
        while not house.stats()["journal_old_failed"] and time.monotonic() < end:
            time.sleep(0.05)
        TAP.ok(house.stats()["journal_old_failed"] == 1, "D06 old sets that stay are counted")
        TAP.ok(re.search(r"level=warn event=journal-old-sets shard=0 reason=\".*/manifest: the old "
                         r"sets stay: Is a directory\"", house.log_tail()),
               "D06 and said", house.log_tail())
        TAP.ok(house.stats()["journal_failed"] == 0 and house.stop() == 0, "and nothing else is")


sys.exit(TAP.run(refused_rings, lasting_sets))
