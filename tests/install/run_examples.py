#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs programs that check themselves, the examples as they stand in this tree: a case for each.

Here they run under whatever sanitizer the build directory has; test_install.py
builds the same files against the installed library.

    proves: P05 P06 A06 A12
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["TRI_SOURCE_DIR"], "tests", "e2e"))
from server import Tap, die_with_parent  # pylint: disable=wrong-import-position

TAP = Tap()


def main():
    for program in sys.argv[1:]:
        result = subprocess.run([program], capture_output=True, encoding="utf-8", errors="replace",
                                check=False, preexec_fn=die_with_parent)
        TAP.ok(result.returncode == 0, os.path.basename(program), f"exit code {result.returncode}",
               result.stdout[-2000:], result.stderr[-4000:])
    return TAP.run()


if __name__ == "__main__":
    sys.exit(main())
