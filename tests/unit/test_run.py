#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The test runner must not be fooled: each planted defect has to be counted.

Method: a made-up build directory lists one test, a small script or program,
and the runner's totals and exit code are compared with literals.
"""

import json
import os
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "run.py")

# name, suites asked for, tests as (suite, protocol, script, timeout), passed, failed, skipped
STORIES = [
    ("two cases that hold pass",
     ["unit"], [("unit", "tap", "echo 'ok 1 - a'; echo 'ok 2 - b'; echo 1..2", 5)], 2, 0, 0),
    ("a failing case is counted beside a passing one",
     ["unit"], [("unit", "tap", "echo 1..2; echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", 5)],
     1, 1, 0),
    ("a failing case is counted although the exit code is 0",
     ["unit"], [("unit", "tap", "echo 1..1; echo 'not ok 1 - b'", 5)], 0, 1, 0),
    ("a crash before the plan fails for the plan and the signal",
     ["unit"], [("unit", "tap", "echo 'ok 1 - a'; kill -SEGV $$", 5)], 1, 2, 0),
    ("a crash after the plan fails",
     ["unit"], [("unit", "tap", "echo 'ok 1 - a'; echo 1..1; kill -ABRT $$", 5)], 1, 1, 0),
    ("a non-zero exit code without a failing case fails",
     ["unit"], [("unit", "tap", "echo 'ok 1 - a'; echo 1..1; exit 3", 5)], 1, 1, 0),
    ("running out of time fails",
     ["unit"], [("unit", "tap", "echo 1..1; echo 'ok 1 - a'; sleep 30", 0.2)], 1, 1, 0),
    ("a plan of more cases than were reported fails",
     ["unit"], [("unit", "tap", "echo 1..3; echo 'ok 1 - a'", 5)], 1, 1, 0),
    ("a plan of fewer cases than were reported fails",
     ["unit"], [("unit", "tap", "echo 1..1; echo 'ok 1 - a'; echo 'ok 2 - b'", 5)], 2, 1, 0),
    ("a case that is reported twice fails",
     ["unit"], [("unit", "tap", "echo 1..2; echo 'ok 1 - a'; echo 'ok 1 - a'", 5)], 2, 1, 0),
    ("no cases fail",
     ["unit"], [("unit", "tap", "echo 1..0", 5)], 0, 1, 0),
    ("silence fails",
     ["unit"], [("unit", "tap", "true", 5)], 0, 1, 0),
    ("a program that cannot be started fails",
     ["unit"], [("unit", "tap", None, 5)], 0, 1, 0),
    ("a suite without tests fails",
     ["unit", "sim"], [("unit", "tap", "echo 1..1; echo 'ok 1 - a'", 5)], 1, 1, 0),
    ("tests of other suites are left out",
     ["unit"], [("unit", "tap", "echo 1..1; echo 'ok 1 - a'", 5),
                ("e2e", "tap", "exit 1", 5)], 1, 0, 0),
    ("a skipped case is neither passed nor failed",
     ["unit"], [("unit", "tap", "echo 1..2; echo 'ok 1 - a'; echo 'ok 2 - b # SKIP why'", 5)],
     1, 0, 1),
    ("a skipped program is one skipped case",
     ["unit"], [("unit", "tap", "echo '1..0 # SKIP why'", 5)], 0, 0, 1),
    ("exit code 77 skips",
     ["unit"], [("unit", "tap", "exit 77", 5)], 0, 0, 1),
    ("exit code 77 does not hide a failing case",
     ["unit"], [("unit", "tap", "echo 1..1; echo 'not ok 1 - a'; exit 77", 5)], 0, 1, 0),
    ("a Criterion program is believed by its report file, not by its stdout",
     ["unit"], [("unit", "exitcode",
                 "printf '1..1\\nnot ok - s::a\\n' >\"${1#--tap=}\"; echo 'ok 1 - a'; exit 1", 5)],
     0, 1, 0),
    ("a Criterion program's numberless cases are counted",
     ["unit"], [("unit", "exitcode",
                 "printf '1..2\\nok - s::a\\nok - s::b  # SKIP why\\n' >\"${1#--tap=}\"", 5)],
     1, 0, 1),
    ("a Criterion program without a report fails",
     ["unit"], [("unit", "exitcode", "echo 'ok 1 - a'; echo 1..1", 5)], 0, 1, 0),
    ("the environment and the arguments of a test reach it",
     ["unit"], [("unit", "tap", "echo 1..1; test \"$PLANTED\" = yes && echo 'ok 1 - a'", 5)],
     1, 0, 0),
]


def describe(folder, tests):
    """Writes what meson would: the tests, and that nothing is to be built."""
    os.makedirs(os.path.join(folder, "meson-info"))
    listed = []
    for number, (suite, protocol, script, timeout) in enumerate(tests):
        command = ["/nonexistent"] if script is None else ["/bin/sh", "-c", script, "sh"]
        listed.append({"name": f"planted {number}", "suite": [f"tricast:{suite}"], "cmd": command,
                       "env": {"PLANTED": "yes"}, "timeout": timeout, "workdir": None,
                       "is_parallel": number % 2 == 0, "protocol": protocol, "depends": []})
    for name, content in (("intro-tests.json", listed), ("intro-targets.json", [])):
        with open(os.path.join(folder, "meson-info", name), "w", encoding="utf-8") as file:
            json.dump(content, file)


def play(suites, tests):
    """Returns (passed, failed, skipped, exit code) of one run of the runner, and its output."""
    with tempfile.TemporaryDirectory() as folder:
        describe(folder, tests)
        totals = os.path.join(folder, "totals")
        run = subprocess.run([sys.executable, RUNNER, "--totals", totals, folder, *suites],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                             check=False)
        with open(totals, encoding="utf-8") as file:
            counts = tuple(int(word) for word in file.read().split())
    return counts + (run.returncode,), run.stdout


def main():
    failed = False
    print(f"1..{len(STORIES)}")
    for number, (name, suites, tests, *expected) in enumerate(STORIES, 1):
        wanted = (*expected, 1 if expected[1] else 0)
        got, output = play(suites, tests)
        print(f"{'ok' if got == wanted else 'not ok'} {number} - {name}")
        if got != wanted:
            failed = True
            print(f"# wanted (passed, failed, skipped, exit code) {wanted}, got {got}")
            print("".join(f"# {line}\n" for line in output.splitlines()), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
