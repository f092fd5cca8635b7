#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that are started with stdin, stdout or stderr closed: no file takes their place."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host

A = "eip155:8453"
SECRET = "secret-of-chain-1234"
WAYS = ((0,), (1,), (2,), (0, 1, 2))
tap = host.Tap()
ok = tap.ok


def start(words, closed):
    def close():
        host.die_with_parent()
        for number in closed:
            os.close(number)

    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, preexec_fn=close)


def links(process):
    return [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]


def story_servers():
    with host.Server({A: SECRET}, {"bond-*": [A]}, journal="file") as house:
        for closed in WAYS:
            base = os.path.join(house.directory, "closed-" + "".join(map(str, closed)))
            with open(base + ".yaml", "w", encoding="utf-8") as file:
                file.write(house.text.replace("/data\n", f"/{os.path.basename(base)}\n", 1))
            for words in ([os.path.join(host.BUILD_DIR, "tricastd"), "--config", base + ".yaml"],
                          [os.path.join(host.BUILD_DIR, "tricast-chain"), "--chain", A,
                           "--connect", f"127.0.0.1:{house.port}", "--secret", SECRET, "--journal",
                           base + ".journal", "--journal-segment-bytes", "1048576", "--asset",
                           "gold", "--admin", "127.0.0.1:0"]):
                name = os.path.basename(words[0])
                process = start([*words, "--port-file", f"{base}.{name}"], closed)
                host.wait_port(f"{base}.{name}", process)
                found = links(process)
                process.terminate()
                ok(found == ["/dev/null"] * 3 and process.wait(20) == 0,
                   f"{name} without {closed}: nothing takes their numbers", found,
                   process.returncode)


def story_tool():
    with host.Server({A: SECRET}, {"bond-*": [A]}) as house:
        for closed in WAYS:
            before = house.stats()["hellos"]
            process = start([os.path.join(host.BUILD_DIR, "tricast"), "watch", "--server",
                             f"127.0.0.1:{house.port}", "--name", "operator", "--secret",
                             house.operator], closed)
            end = time.monotonic() + 10
            while house.stats()["hellos"] - before < 2 and time.monotonic() < end:
                before += 1  # that of the question itself
                time.sleep(0.02)
            found = links(process)
            process.kill()
            process.wait()
            ok(found == ["/dev/null"] * 3, f"tricast without {closed}: likewise", found)


sys.exit(tap.run(story_servers, story_tool))
