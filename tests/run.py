#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a meson build directory and counts cases.

    run.py [--jobs N] [--timeout-factor N] [--totals FILE] BUILD_DIR SUITE...

meson knows the tests: command, environment, timeout, suite.  A test with
protocol 'tap' prints TAP on stdout; every other test is a Criterion program,
which writes TAP into a file of its own, so that nothing the code under test
prints can pass for a result.

A case is a TAP line.  These are failed cases too, one each: a program that
crashes, runs out of time, exits with non-zero although no case failed, has no
plan or another number of cases than its plan, or has no case at all; a
program that cannot be built; and a suite without tests.  Exit code 77 or the
plan "1..0 # SKIP reason" skips a whole program as one case.

--totals appends "passed failed skipped" to a file, for a caller that adds
several runs.  The exit code is 0 if nothing failed, else 1.
"""

import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys

EXIT_SKIPPED = 77
CASE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*(skip)\b.*)?$", re.IGNORECASE)
DIRECTIVE = re.compile(r"#\s*skip\b", re.IGNORECASE)
OUTPUT_LINES_MAX = 200
RUNNING = set()  # process groups of the tests that run now


class Outcome:
    """What one program's run amounts to: counts, and a sentence per failure."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.skipped = 0
        self.failures = []
        self.output = ""

    def fail(self, sentence):
        self.failures.append(sentence)


def parse_tap(text, outcome):
    """Counts the cases of a TAP text and checks them against its plan."""
    plan = None
    plan_skips = False
    cases = 0
    for line in text.splitlines():
        found = PLAN.match(line)
        if found:
            if plan is not None:
                outcome.fail("two plans")
            plan = int(found.group(1))
            plan_skips = found.group(2) is not None
            continue
        if line.startswith("Bail out!"):
            outcome.fail(line)
            continue
        found = CASE.match(line)
        if not found:
            continue
        cases += 1
        number, name = found.group(2), found.group(3)
        if number is not None and int(number) != cases:
            outcome.fail(f"case {cases} is numbered {number}")
        if found.group(1):
            outcome.fail(name or f"case {cases}")
        elif DIRECTIVE.search(name):
            outcome.skipped += 1
        else:
            outcome.passed += 1
    if plan is None:
        outcome.fail("no plan: it ended early or prints no TAP")
    elif plan != cases:
        outcome.fail(f"the plan says {plan} cases, {cases} were reported")
    elif cases == 0 and plan_skips:
        outcome.skipped += 1
    elif cases == 0:
        outcome.fail("no cases")


def stop_group(pid):
    """Ends what a test left running in its own process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all(*_):
    """Ends every running test and then this runner: a test is not in the terminal's group."""
    for pid in list(RUNNING):
        stop_group(pid)
    os._exit(130)


def run_test(test, log_dir, timeout_factor):
    """Runs one meson test to its end and returns its Outcome."""
    outcome = Outcome(test["name"])
    base = os.path.join(log_dir, re.sub(r"[^A-Za-z0-9_.-]+", "_", test["name"]))
    command = list(test["cmd"])
    is_tap = test["protocol"] == "tap"
    tap_path = base + (".out" if is_tap else ".tap")
    if not is_tap:
        command += [f"--tap={tap_path}", "--color=never"]
        if os.path.exists(tap_path):
            os.remove(tap_path)
    timeout_s = test["timeout"] * timeout_factor if test["timeout"] > 0 else None

    with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err:
        try:
            process = subprocess.Popen(
                command, env={**os.environ, **test["env"]}, cwd=test["workdir"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        except OSError as error:
            outcome.fail(f"cannot be started: {error}")
            return outcome
        RUNNING.add(process.pid)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        stop_group(process.pid)
        process.wait()
        RUNNING.discard(process.pid)

    texts = []
    for path in (base + ".out", base + ".err"):
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    outcome.output = texts[0] + texts[1]
    if is_tap and code == EXIT_SKIPPED and not re.search(r"^not ok\b", texts[0], re.MULTILINE):
        outcome.skipped += 1
        return outcome
    if code is None:
        outcome.fail(f"ran out of time after {timeout_s} s")
    if os.path.exists(tap_path):
        with open(tap_path, encoding="utf-8", errors="replace") as file:
            parse_tap(file.read(), outcome)
    elif code is not None:
        outcome.fail("wrote no TAP")
    if code is not None and code < 0:
        outcome.fail(f"killed by {signal.Signals(-code).name}")
    elif code is not None and code != 0 and not outcome.failures:
        outcome.fail(f"exit code {code}")
    return outcome


def load(build_dir, name):
    with open(os.path.join(build_dir, "meson-info", name), encoding="utf-8") as file:
        return json.load(file)


def suites_of(test):
    """meson writes a suite as project:suite."""
    return {suite.rpartition(":")[2] for suite in test["suite"]}


def build(build_dir, tests):
    """Builds the programs that the tests name.  Returns the build's output if it failed."""
    targets = {target["id"]: target["filename"] for target in load(build_dir, "intro-targets.json")}
    files = {name for test in tests for ident in test["depends"] for name in targets.get(ident, [])}
    files |= {word for test in tests for word in test["cmd"]
              if any(word in names for names in targets.values())}
    if not files:
        return ""
    relative = sorted(os.path.relpath(name, build_dir) for name in files)
    made = subprocess.run(["ninja", "--quiet", "-C", build_dir, *relative], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False)
    return made.stdout if made.returncode != 0 else ""


def report(outcome):
    for failure in outcome.failures:
        print(f"FAILED {outcome.name}: {failure}")
    lines = outcome.output.splitlines()
    if len(lines) > OUTPUT_LINES_MAX:
        lines = [f"[{len(lines) - OUTPUT_LINES_MAX} lines left out]"] + lines[-OUTPUT_LINES_MAX:]
    for line in lines:
        print("    " + line)
    sys.stdout.flush()


def run_all(tests, log_dir, jobs, timeout_factor):
    """Runs tests, at most `jobs` at once; those that must be alone run last, one by one."""
    os.makedirs(log_dir, exist_ok=True)
    together = [test for test in tests if test["is_parallel"]]
    alone = [test for test in tests if not test["is_parallel"]]
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(lambda test: run_test(test, log_dir, timeout_factor), together):
            outcomes.append(outcome)
    for test in alone:
        outcomes.append(run_test(test, log_dir, timeout_factor))
    return outcomes


def main():
    parser = argparse.ArgumentParser(description="Runs meson tests and counts their cases.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout-factor", type=float, default=1.0)
    parser.add_argument("--totals")
    parser.add_argument("build_dir")
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    build_dir = os.path.abspath(options.build_dir)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_all)

    known = load(build_dir, "intro-tests.json")
    tests = [test for test in known if suites_of(test) & set(options.suites)]
    for test in tests:  # as meson does: programs among the arguments are named from there
        test["workdir"] = test["workdir"] or build_dir
    outcomes = []
    for suite in options.suites:
        if not any(suite in suites_of(test) for test in tests):
            outcomes.append(Outcome(f"suite {suite}"))
            outcomes[-1].fail("no tests")
    build_output = build(build_dir, tests)
    if build_output:
        outcomes.append(Outcome("build"))
        outcomes[-1].fail("the tests cannot be built")
        outcomes[-1].output = build_output
    else:
        outcomes += run_all(tests, os.path.join(build_dir, "test-logs"), options.jobs,
                            options.timeout_factor)

    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(len(outcome.failures) for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    for outcome in outcomes:
        if outcome.failures:
            report(outcome)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if options.totals:
        with open(options.totals, "a", encoding="utf-8") as file:
            file.write(f"{passed} {failed} {skipped}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
