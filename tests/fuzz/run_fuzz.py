#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a libFuzzer target for a bounded number of inputs and reports in TAP.

    run_fuzz.py TARGET RUNS

The corpus is tests/vectors/wire.json, as bodies and as frames with their
length.  The seed is taken from TRI_SEED; TRI_DEEP=1 gives ten times the runs.
What breaks the target is kept as TARGET.crash-... and named, with the command
that replays it.
"""

import json
import os
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("TRI_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", ".."))


def write_corpus(folder):
    path = os.path.join(SOURCE, "tests", "vectors", "wire.json")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for index, vector in enumerate(vectors):
        body = bytes.fromhex(vector["hex"])
        for kind, data in (("body", body), ("frame", len(body).to_bytes(4, "big") + body)):
            with open(os.path.join(folder, f"{kind}{index:04}"), "wb") as file:
                file.write(data)
    return 2 * len(vectors)


def main():
    target = os.path.join(os.environ.get("TRI_BUILD_DIR", ""), sys.argv[1])
    runs = int(sys.argv[2])
    if os.environ.get("TRI_DEEP"):
        runs *= 10
    # 0 would make libFuzzer take a seed from the clock.
    seed = int(os.environ.get("TRI_SEED", "1")[:8] or "1", 16) or 1
    with tempfile.TemporaryDirectory() as folder:
        count = write_corpus(folder)
        command = [target, f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-timeout=10",
                   "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={target}."]
        done = subprocess.run([*command, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              encoding="utf-8", errors="replace", check=False)
    # It also has to say that it did the work.
    executed = [int(line.split()[-1]) for line in done.stdout.splitlines()
                if line.startswith("stat::number_of_executed_units:")]
    is_good = done.returncode == 0 and executed and executed[0] >= runs
    if not is_good:
        print("\n".join("# " + line for line in done.stdout.splitlines()[-60:]))
        print(f"# replay: {target} <the file named above>")
    print(f"{'ok' if is_good else 'not ok'} 1 - {os.path.basename(target)}: {runs} inputs from "
          f"{count} vectors, seed {seed}")
    print("1..1")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
