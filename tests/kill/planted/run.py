#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the kills can find something: plants bugs and sees each caught.

    run.py [--always] [NAME...]

Every NAME.patch beside this file breaks one promise.  It is applied to a copy
of the sources, tricastd and tricast-chain are built, and killing them must
then report one of the statements that the patch names after "caught-by:".  A
copy without a bug must pass.

Takes minutes, so without --always it runs only where TRI_DEEP is set.
Prints TAP.
"""

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
KILLS = "150"
TRIES = 10   # what is lost depends on the moment


def run(words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **more)


def build(folder):
    made = run(["ninja", "-C", os.path.join(folder, "build"), "tricast", "tricastd",
                "tricast-chain"])
    if made.returncode != 0:
        raise planted.Fault(f"it does not build:\n{made.stdout[-2000:]}")


def prepare(folder):
    """A copy of the sources, built, without a bug."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", "build*", "__pycache__"))
    made = run(["meson", "setup", os.path.join(folder, "build"), folder, "--buildtype=release",
                "-Dtests=false"], env={**os.environ, "CC": os.environ.get("CC", "gcc")})
    if made.returncode != 0:
        raise planted.Fault(f"it cannot be configured:\n{made.stdout[-2000:]}")
    build(folder)


def kill(folder, seed):
    """Returns whether every promise held, and the output."""
    with tempfile.TemporaryDirectory(dir=folder) as runs:
        done = run(["/usr/bin/python3", "-B", os.path.join(folder, "tests/kill/kill.py"), KILLS,
                    seed], env={**os.environ, "TMPDIR": runs,
                                "TRI_BUILD_DIR": os.path.join(folder, "build")})
    return done.returncode == 0, done.stdout


def try_bug(place, _, text):
    """Returns (whether it was caught as it must be, what happened)."""
    folder = os.path.join(place, "tree")
    caught_by, edits = planted.parse_patch(text)
    whole = {path: planted.read(os.path.join(folder, path)) for path, _, _ in edits}
    try:
        planted.apply(folder, edits)
        build(folder)
        for seed in range(1, TRIES + 1):
            held, output = kill(folder, str(seed))
            if not held:
                break
    except planted.Fault as fault:
        return False, str(fault)
    finally:
        for path, before in whole.items():
            planted.write(os.path.join(folder, path), before)
    said = set(re.findall(r"^([A-Z][0-9]{2}): ", output, re.MULTILINE))
    if held:
        return False, "no kill noticed it"
    if not said & set(caught_by):
        return False, f"noticed as {sorted(said)}, not as one of {caught_by}:\n{output[-2000:]}"
    return True, f"caught by {' '.join(sorted(said & set(caught_by)))} in run {seed}"


def main():
    def begin(place):
        folder = os.path.join(place, "tree")
        prepare(folder)
        held, output = kill(folder, "1")
        return None if held else output

    return planted.play(HERE, begin, try_bug)


if __name__ == "__main__":
    sys.exit(main())
