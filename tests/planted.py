# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: patches that each break one promise, and must be caught by a statement that they
name after "caught-by:".

Not a test itself: tests/sim/planted and tests/kill/planted use it.
"""

import os
import re
import sys
import tempfile


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


def play(here, begin, try_bug):
    """Tries the bugs of a folder, or those that the command line names; prints TAP.

    begin(place) makes what try_bug needs and returns None, or what a copy without a bug got wrong;
    try_bug(place, name, text) returns whether the bug was caught as it must be, and what happened.
    Takes minutes, so without --always it runs only where TRI_DEEP is set.
    """
    names = [word for word in sys.argv[1:] if word != "--always"]
    if "--always" not in sys.argv and "TRI_DEEP" not in os.environ:
        print("1..0 # SKIP planted bugs: only in ./dev test --deep")
        return 0
    names = names or sorted(name[:-6] for name in os.listdir(here) if name.endswith(".patch"))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tricast-planted-") as place:
        wrong = begin(place)
        print(f"{'ok' if wrong is None else 'not ok'} 1 - without a bug every promise holds",
              flush=True)
        if wrong is not None:
            failed += 1
            print("# " + wrong.replace("\n", "\n# "))
        for number, name in enumerate(names, 2):
            caught, what = try_bug(place, name, read(os.path.join(here, name + ".patch")))
            failed += not caught
            first, *rest = what.splitlines()
            print(f"{'ok' if caught else 'not ok'} {number} - {name}: {first}")
            for line in rest:
                print("# " + line)
            sys.stdout.flush()
        print(f"1..{len(names) + 1}")
    return 1 if failed else 0
