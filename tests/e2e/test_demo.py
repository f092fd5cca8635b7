#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration holds, in time, and leaves nothing behind.

Runs deploy/demo.py whole, and again with Ctrl-C in the middle of it.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

BUILD_DIR = os.environ["TRI_BUILD_DIR"]
SOURCE_DIR = os.environ["TRI_SOURCE_DIR"]
TIME_LIMIT_S = 60
SCENES = 9
count = 0
failures = 0


def ok(holds, name):
    global count, failures
    count += 1
    failures += 0 if holds else 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)
    return holds


def processes_in(directory):
    """Processes whose command line names a place in the directory."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if os.fsencode(directory) in file.read():
                        found.append(int(entry))
            except OSError:
                pass
    return found


class Demo:
    """One run with a temporary directory of its own, so that whatever it leaves can be seen."""

    def __init__(self):
        self.place = tempfile.TemporaryDirectory()
        self.lines = []
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(SOURCE_DIR, "deploy", "demo.py"), BUILD_DIR],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", env={**os.environ, "TMPDIR": self.place.name},
            start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for_line(self, pattern):
        end = time.monotonic() + TIME_LIMIT_S
        while time.monotonic() < end and self.process.poll() is None:
            if any(re.match(pattern, line) for line in self.lines):
                return True
            time.sleep(0.005)
        return False

    def end(self):
        """The exit code, and what it left behind."""
        try:
            code = self.process.wait(TIME_LIMIT_S + 20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            code = None
        self.reader.join(5)
        files = os.listdir(self.place.name)
        running = processes_in(self.place.name)
        self.place.cleanup()
        return code, files, running

    def tell(self):
        for line in self.lines:
            print("# " + line)


def story_whole():
    demo = Demo()
    code, files, running = demo.end()
    took_s = time.monotonic() - demo.begin
    text = "\n".join(demo.lines)
    if not ok(code == 0, "the demonstration exits with 0"):
        demo.tell()
    ok(took_s < TIME_LIMIT_S, f"in under {TIME_LIMIT_S} s")
    ok(all(re.search(rf"^{n}\. ", text, re.MULTILINE) for n in range(1, SCENES + 1)),
       f"it plays {SCENES} scenes")
    ok("Every promise held." in text, "it says that every promise held")
    ok(files == [] and running == [], "it leaves no file and no process behind")


def story_interrupted(number, scene):
    demo = Demo()
    name = signal.Signals(number).name
    if not ok(demo.wait_for_line(rf"{scene}\. "), f"{name}: scene {scene} begins"):
        demo.tell()
    demo.process.send_signal(number)
    code, files, running = demo.end()
    ok(code == 130, f"{name}: exit code 130")
    ok(files == [] and running == [], f"{name}: no file and no process is left")


def story_broken():
    """A build without its programs is no demonstration."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            ["/usr/bin/python3", os.path.join(SOURCE_DIR, "deploy", "demo.py"), empty],
            capture_output=True, encoding="utf-8", check=False, timeout=20)
    ok(done.returncode == 2 and len(done.stderr.splitlines()) == 1, "no programs: exit 2, one line")


def main():
    story_whole()
    story_interrupted(signal.SIGINT, 4)
    story_interrupted(signal.SIGTERM, 9)
    story_broken()
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
