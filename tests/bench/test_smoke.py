#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Benches cannot rot: every benchmark runs with its smoke parameters and writes sound JSON.

Nothing is timed here.  The names come from the program's own usage text, so a
new benchmark is in the suite at once.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile

BENCH = os.path.join(os.environ["TRI_BUILD_DIR"], "tricast-bench")
EXPECTED = {"affinity", "connections", "embed", "engine", "finality", "hostile", "journal", "memory", "recover", "ring", "rounds", "scale", "wire"}
FIELDS = {"name", "value", "unit", "better", "samples", "min", "max", "baseline_name",
          "baseline_value", "ratio"}


def breach_of_figure(row):
    """Returns a sentence on what is wrong with one figure, or None."""
    if set(row) != FIELDS:
        return f"fields {sorted(row)}"
    for field in ("value", "min", "max"):
        if not math.isfinite(row[field]) or row[field] <= 0:
            return f"{field} is {row[field]}"
    if not row["min"] <= row["value"] <= row["max"]:
        return "the value is outside of its samples"
    if row["better"] not in ("higher", "lower") or row["samples"] < 1 or not row["unit"]:
        return f"better {row['better']}, samples {row['samples']}, unit {row['unit']}"
    if row["baseline_name"] is None:
        absent = row["baseline_value"] is None and row["ratio"] is None
        return None if absent else "a ratio without a baseline"
    wanted = row["value"] / row["baseline_value"]
    if row["better"] == "lower":
        wanted = 1 / wanted
    if not math.isclose(row["ratio"], wanted, rel_tol=1e-6):
        return f"ratio {row['ratio']}, the values say {wanted}"
    return None


def breach_of_run(name, path):
    """Runs one benchmark; returns a sentence on what is wrong, or None."""
    run = subprocess.run([BENCH, name, "--smoke", "--json", path], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False)
    if run.returncode != 0:
        return f"exit code {run.returncode}\n{run.stdout}"
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    machines = [row["machine"] for row in rows if set(row) == {"machine"}]
    figures = [row for row in rows if set(row) != {"machine"}]
    if len(machines) != 1 or not machines[0]["pingPongNs"] > 0:
        return f"machine: {machines}"
    if not figures:
        return "no figures"
    for row in figures:
        breach = breach_of_figure(row)
        if breach:
            return f"{row.get('name')}: {breach}"
    return None


def main():
    usage = subprocess.run([BENCH], stderr=subprocess.PIPE, encoding="utf-8", check=False)
    names = re.findall(r"^  (\w+) ", usage.stderr, re.MULTILINE)
    results = [("the usage text names every benchmark", None if EXPECTED <= set(names) else names)]
    refused = subprocess.run([BENCH, "engine", "--bogus"], stderr=subprocess.PIPE, check=False)
    results.append(("an unknown flag is refused with 2",
                    None if refused.returncode == 2 else refused.returncode))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            results.append((f"{name} runs and its JSON is sound",
                            breach_of_run(name, os.path.join(folder, "result.json"))))
    for number, (name, breach) in enumerate(results, 1):
        print(f"{'ok' if breach is None else 'not ok'} {number} - {name}")
        if breach is not None:
            print("\n".join("# " + line for line in str(breach).splitlines()))
    print(f"1..{len(results)}")
    return 1 if any(breach is not None for _, breach in results) else 0


if __name__ == "__main__":
    sys.exit(main())
