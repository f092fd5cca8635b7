#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Broken configurations and command lines of tricastd: one line of what and where, exit 2."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import server as host

tap = host.Tap()
ok = tap.ok

A, B, ODD = "eip155:8453", "eip155:42161", "solana:odd"
SECRETS = {chain: f"secret-of-chain-{chain}" for chain in (A, B, ODD)}
LOCATIONS = {"bond-*": [A, B], "odd-*": [ODD]}

house = None


def check_config(text):
    path = os.path.join(house.directory, "broken.yaml")
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    done = host.program("tricastd", "--config", path, "--check-config")
    return done.returncode, done.stderr.replace(path, "FILE"), done.stdout


def line_of(text, part):
    return 1 + next(number for number, line in enumerate(text.splitlines()) if part in line)


def story_config():
    text = house.text
    exit_code, trouble, told = check_config(text)
    ok(exit_code == 0 and "OK" in told, "--check-config of a good file: exit 0", trouble)
    changes = [
        ("shards: 2", "shards: 65", "shards: 65", "shards"),
        ("shards: 2", "shards: -1", "shards: -1", "shards"),
        ("shards: 2", "shards: two", "shards: two", "shards"),
        ("drainMs: 500", "drainMs: 600001", "drainMs", "drainMs"),
        ("  port: 0", "  port: 65536", "  port", "listen.port"),
        ("  address: 127.0.0.1", "  address: localhost", "  address", "listen.address"),
        ("  handshakeMs: 500", "  handshakeMs: 99", "  handshakeMs", "limits.handshakeMs"),
        ("journal: none", "journal: paper", "journal", "journal"),
        ("  level: info", "  level: loud", "  level", "log.level"),
        ("  version: 7", "  version: 0", "  version", "locations.version"),
        ("rollbackWindowMs: 5000", "rollbackWindow: 5000", "rollbackWindow:", "rollbackWindow"),
        ("rollbackWindowMs: 5000", "drainMs: 5000", None, "drainMs"),
        (f"  - id: {B}", f"  - id: {A}", None, "chains[1].id"),
        (f"  - id: {B}", "  - id: base", "  - id: base", "chains[1].id"),
        (f"    secret: {SECRETS[B]}", "    secret: short", "    secret: short", "chains[1].secret"),
        (f"    secret: {SECRETS[B]}", "    secrets: sixteen bytes long", "    secrets:", "secrets"),
        ("  - name: other", "  - name: submitter", None, "clients[1].name"),
        ('  - asset: "odd-*"', '  - asset: "bond-*"', None, "locations.entries[1].asset"),
        (f"chains: [{ODD}]", "chains: [eip155:404]", "eip155:404", "locations.entries[1].chains"),
        ("  - type: REGULATORY_ACTION", "  - type: RUMOUR", "RUMOUR", "retries[0].type"),
        ("    maxBackoffMs: 100", "    maxBackoffMs: 10", None, "retries[0]"),
        ("  prepareMs: 3000", "  prepareMs: 3600000", None, "timeouts"),
    ]
    for old, new, part, key in changes:
        assert text.count(old) >= 1, old
        broken = text.replace(old, new, 1)
        exit_code, trouble, told = check_config(broken)
        lines = trouble.splitlines()
        place = f"FILE:{line_of(broken, part)}: " if part else "FILE:"
        ok(exit_code == 2 and len(lines) == 1 and lines[0].startswith(place) and key in lines[0] and
           not told, f"{new.strip()}: exit 2 and file:line:key", exit_code, trouble,
           f"wanted {place}")
    for what, broken in (("an empty file", ""), ("no YAML", "shards: [1, 2"), ("a list", "- 1\n"),
                         ("a tab", "listen:\n\tport: 1\n"),
                         ("two documents", text + "---\n" + text),
                         ("an alias", text.replace("shards: 2", "shards: &a 2", 1) + "x: *a\n"),
                         ("a byte that is not UTF-8", text.encode() + b"# \xff\xfe\n\xff: 1\n"),
                         ("a zero byte", text.encode() + b"\0"), ("no chains", "dataDir: d\n")):
        exit_code, trouble, told = check_config(broken)
        ok(exit_code == 2 and len(trouble.splitlines()) == 1 and trouble.startswith("FILE"),
           f"{what}: exit 2 and one line that names the file", exit_code, trouble)
    done = host.program("tricastd", "--config", os.path.join(house.directory, "none.yaml"))
    ok(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "none.yaml" in done.stderr,
       "a file that is not there: exit 2 and one line", done.stderr)


def story_flags():
    for words, part in (
            ([], "--config"), (["--config"], "config"), (["--no-such-flag"], "no-such-flag"),
            (["--config", house.config, "word"], "'word'"),
            (["--config", house.config, "--listen", "nowhere"], "'nowhere'"),
            (["--config", house.config, "--listen", "127.0.0.1:65536"], "65536"),
            (["--config", house.config, "--listen", ":1"], "':1'"),
            (["--config", house.config, "--check-config=yes"], "check-config")):
        done = host.program("tricastd", *words)
        lines = done.stderr.splitlines()
        ok(done.returncode == 2 and len(lines) == 1 and part in lines[0] and not done.stdout,
           f"tricastd {' '.join(words[-2:]).replace(house.directory, '')}: exit 2 and one line",
           done.returncode, done.stderr, done.stdout)
    done = host.program("tricastd", "--config", house.config)
    ok(done.returncode == 1 and len(done.stderr.splitlines()) >= 1,
       "a second server in the same dataDir does not start: exit 1", done.returncode, done.stderr)
    done = host.program("tricastd", "--version")
    ok(done.returncode == 0 and done.stdout.startswith("tricastd "), "--version")
    ok(house.process.poll() is None and house.stats()["hellos"] > 0,
       "the server that runs was not disturbed")


def main():
    global house
    with host.Server(SECRETS, LOCATIONS) as house:
        return tap.run(story_config, story_flags)


if __name__ == "__main__":
    sys.exit(main())
