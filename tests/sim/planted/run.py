#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the simulator's checker can fail: plants bugs and sees each caught.

    run.py [--always] [NAME...]

Every NAME.patch beside this file breaks one promise of the protocol.  It is
applied to a copy of the sources, what depends on the changed file is compiled
again, and the simulator must then report one of the statements that the patch
names after "caught-by:"; "assertion" is one of the engine's own.  A copy
without a bug must pass the same seeds.

Takes minutes, so without --always it runs only where TRI_DEEP is set.
Prints TAP.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", ".."))
import planted  # noqa: E402  pylint: disable=wrong-import-position

ROOT = os.environ.get("TRI_SOURCE_DIR", os.path.abspath(os.path.join(HERE, "..", "..", "..")))
COMPILER = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", '-DTRI_VERSION="0"', "-O1", "-I.",
            "-Iengine/include"]
SEEDS = ["--from", "1", "--seeds", "20000"]


def sources(folder):
    return sorted(
        os.path.join(part, name)
        for part in ("engine", "tests/sim")
        for name in os.listdir(os.path.join(folder, part))
        if name.endswith(".c"))


def object_of(source):
    return source.replace("/", "_") + ".o"


def compile_one(folder, source):
    made = subprocess.run([*COMPILER, "-MD", "-c", source, "-o", object_of(source)], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode != 0:
        raise planted.Fault(f"{source} does not compile:\n{made.stdout}")


def depends_on(folder, source, changed):
    """Whether the compiler read one of the changed files for this source."""
    listed = planted.read(os.path.join(folder, object_of(source)[:-2] + ".d"))
    return bool(changed & {os.path.normpath(word) for word in listed.split()})


def build(folder, which):
    """Compiles `which` and links all."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda source: compile_one(folder, source), which))
    objects = [object_of(source) for source in sources(folder)]
    subprocess.run([*COMPILER, *objects, "-o", "tricast-sim"], cwd=folder, check=True)


def simulate(folder):
    return subprocess.run(["./tricast-sim", *SEEDS], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)


def broken_statement(output):
    found = re.search(r"^# broken at [0-9.]+ ms: ([^:]*):", output, re.MULTILINE)
    if found is None and re.search(r"^# seed \d+: an assertion failed$", output, re.MULTILINE):
        return "assertion"
    return found.group(1) if found else None


def prepare(folder):
    """A copy of the sources, built, without a bug."""
    os.makedirs(os.path.join(folder, "tests"))
    shutil.copytree(os.path.join(ROOT, "engine"), os.path.join(folder, "engine"))
    shutil.copytree(os.path.join(ROOT, "tests/sim"), os.path.join(folder, "tests/sim"))
    shutil.copy(os.path.join(ROOT, "tests/tap.h"), os.path.join(folder, "tests/tap.h"))
    for name in os.listdir(ROOT):
        if name.endswith(".h"):
            shutil.copy(os.path.join(ROOT, name), os.path.join(folder, name))
    build(folder, sources(folder))


def try_bug(place, name, text):
    """Returns (whether it was caught as it must be, what happened)."""
    caught_by, edits = planted.parse_patch(text)
    with tempfile.TemporaryDirectory(dir=place, prefix=name) as folder:
        shutil.copytree(os.path.join(place, "clean"), folder, copy_function=shutil.copy2,
                        dirs_exist_ok=True)
        return judge(folder, caught_by, edits)


def judge(folder, caught_by, edits):
    try:
        changed = planted.apply(folder, edits)
        build(folder, [name for name in sources(folder) if depends_on(folder, name, changed)])
    except planted.Fault as fault:
        return False, str(fault)
    run = simulate(folder)
    statement = broken_statement(run.stdout)
    if run.returncode == 0:
        return False, "no seed noticed it"
    if statement not in caught_by or not re.search(r"--seed \d+ --trace$", run.stdout.strip()):
        return False, f"noticed as {statement}, not as one of {caught_by}:\n{run.stdout[-2000:]}"
    return True, f"caught by {statement}"


def main():
    def begin(place):
        clean = os.path.join(place, "clean")
        prepare(clean)
        run = simulate(clean)
        return None if run.returncode == 0 else run.stdout[-2000:]

    return planted.play(HERE, begin, try_bug)


if __name__ == "__main__":
    sys.exit(main())
