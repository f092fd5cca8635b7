#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the simulator's checker can fail: plants bugs and sees each caught.

    run.py [--always] [NAME...]

Every NAME.patch beside this file breaks one promise of the protocol.  It is
applied to a copy of the sources, what depends on the changed file is compiled
again, and the simulator must then report one of the statements that the patch
names after "caught-by:".  A copy without a bug must pass the same seeds.

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
ROOT = os.environ.get("TRI_SOURCE_DIR", os.path.abspath(os.path.join(HERE, "..", "..", "..")))
COMPILER = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", '-DTRI_VERSION="0"', "-O1", "-I."]
SEEDS = ["--from", "1", "--seeds", "20000"]


class Fault(Exception):
    """A patch that does not fit, or a source that does not compile."""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def parse_patch(text):
    """Returns the statements that catch the bug and [(path, old text, new text)]."""
    caught_by = re.search(r"^# caught-by: (.*)$", text, re.MULTILINE).group(1).split()
    edits = []
    path = None
    for line in text.splitlines(keepends=True):
        if line.startswith("+++ b/"):
            path = line[6:].strip()
        elif line.startswith("@@"):
            edits.append([path, "", ""])
        elif line.startswith(("#", "---")) or not edits:
            continue
        else:
            if line[0] in " -":
                edits[-1][1] += line[1:]
            if line[0] in " +":
                edits[-1][2] += line[1:]
    return caught_by, edits


def apply(folder, edits):
    """Applies hunks by their text, so that lines may move.  Returns the changed paths."""
    for path, old, new in edits:
        text = read(os.path.join(folder, path))
        if text.count(old) != 1:
            raise Fault(f"{path}: the lines to change stand there {text.count(old)} times")
        write(os.path.join(folder, path), text.replace(old, new))
    return {path for path, _, _ in edits}


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
        raise Fault(f"{source} does not compile:\n{made.stdout}")


def depends_on(folder, source, changed):
    """Whether the compiler read one of the changed files for this source."""
    listed = read(os.path.join(folder, object_of(source)[:-2] + ".d"))
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


def try_bug(clean, folder, text):
    """Returns (whether it was caught as it must be, what happened)."""
    caught_by, edits = parse_patch(text)
    shutil.copytree(clean, folder, copy_function=shutil.copy2)
    try:
        changed = apply(folder, edits)
        build(folder, [name for name in sources(folder) if depends_on(folder, name, changed)])
    except Fault as fault:
        return False, str(fault)
    run = simulate(folder)
    statement = broken_statement(run.stdout)
    if run.returncode == 0:
        return False, "no seed noticed it"
    if statement not in caught_by or not re.search(r"--seed \d+ --trace$", run.stdout.strip()):
        return False, f"noticed as {statement}, not as one of {caught_by}:\n{run.stdout[-2000:]}"
    return True, f"caught by {statement}"


def main():
    names = [word for word in sys.argv[1:] if word != "--always"]
    if "--always" not in sys.argv and "TRI_DEEP" not in os.environ:
        print("1..0 # SKIP planted bugs: only in ./dev test --deep")
        return 0
    names = names or sorted(name[:-6] for name in os.listdir(HERE) if name.endswith(".patch"))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tricast-planted-") as folder:
        clean = os.path.join(folder, "clean")
        prepare(clean)
        passes = simulate(clean).returncode == 0
        print(f"{'ok' if passes else 'not ok'} 1 - without a bug every promise holds", flush=True)
        failed += not passes
        for number, name in enumerate(names, 2):
            caught, what = try_bug(clean, os.path.join(folder, name),
                                   read(os.path.join(HERE, name + ".patch")))
            failed += not caught
            first, *rest = what.splitlines()
            print(f"{'ok' if caught else 'not ok'} {number} - {name}: {first}")
            for line in rest:
                print("# " + line)
            sys.stdout.flush()
            shutil.rmtree(os.path.join(folder, name))
        print(f"1..{len(names) + 1}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
