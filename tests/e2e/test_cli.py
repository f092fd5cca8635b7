#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The program tricast against a server that says what a test tells it to say.

Proves what the command line adds to the wire: the SUBMIT that the flags make,
the JSON views, the exit codes, and that wrong flags are one line and exit 2.
"""

import json
import os
import subprocess
import sys
import threading
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coordinator as co
import msgpack

BUILD_DIR = os.environ["TRI_BUILD_DIR"]
SECRET = "a secret of the client"
SUBMIT, ACK, NOTICE, STATUS_GET, STATUS, WATCH, EVENT, STATS_GET, STATS = range(16, 25)
RECEIVED = 0
CLIENT, OPERATOR = 0, 2
count = 0
failures = 0


def ok(holds, name):
    global count, failures
    count += 1
    failures += 0 if holds else 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


def run(*words, script=None, secret=SECRET):
    """Runs tricast against a server that plays `script`; exit code, views, stderr, HELLO."""
    server = co.Coordinator(SECRET.encode())

    def serve():
        peer = server.accept()
        if peer is not None:
            script(peer)
            peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    if script is not None:
        thread.start()
    done = subprocess.run(
        [os.path.join(BUILD_DIR, "tricast"), *words, "--server", f"127.0.0.1:{server.port}",
         "--secret", secret, "--timeout-ms", "1500"], capture_output=True, encoding="utf-8",
        check=False, timeout=30)
    if script is not None:
        thread.join(5)
    server.close()
    return done.returncode, done.stdout, done.stderr, server.hello


def views(text):
    return [json.loads(line) for line in text.splitlines()]


SUBMIT_FLAGS = ["submit", "--id", "m1", "--target", "eip155:10", "--target", "eip155:1", "--asset",
                "gold", "--action", "FREEZE", "--reason", "order"]
TARGETS = [["eip155:10", 3, 0], ["eip155:1", 4, 69]]


def story_submit():
    seen = []

    def script(peer):
        seen.append(peer.receive())
        peer.send([ACK, "m1", RECEIVED, 0, False, [1, 1], []],
                  [NOTICE, "m1", [1, 1], 1700000000123, ["eip155:10"], "1-0", 7],
                  [ACK, "m1", co.PROCESSED, 0, False, [1, 1], TARGETS])

    code, out, _, hello = run(*SUBMIT_FLAGS, "--priority", "HIGH", "--ttl", "7", "--prepare-ms",
                              "11", "--commit-ms", "12", "--finalize-ms", "13", "--timestamp-ms",
                              "1700000000000", script=script)
    frame = seen[0]
    ok(hello[2:4] == [CLIENT, "client"], "it connects in the role CLIENT")
    ok(frame[:13] == [SUBMIT, "m1", "0.5.0", 2, 0, 2, 7, 1700000000000, "eip155:10", "tricast",
                      ["eip155:10", "eip155:1"], [11, 12, 13], False],
       "H01: the flags stand in the frame")
    ok(frame[13:16] == [co.REGULATORY_ACTION, 0, ["gold"]] and msgpack.unpackb(frame[16]) ==
       {"assetId": "gold", "action": "FREEZE", "reason": "order"}, "so does the payload")
    told = views(out)
    ok(code == 0 and [view.get("ackType", view["view"]) for view in told] ==
       ["RECEIVED", "NOTICE", "PROCESSED"], "R09: RECEIVED, NOTICE, PROCESSED, exit 0")
    ok(told[1]["issuedAt"] == "2023-11-14T22:13:20.123Z" and told[1]["gkrProofHash"] is None,
       "F01: the notice has its time in ISO 8601 and no proof")
    ok((told[1]["stream"], told[1]["ossEpoch"]) == ("1-0", 7),
       "F08: and names the record that proves it")
    ok(told[2]["targets"] == [{"chainId": "eip155:10", "state": "FINAL", "errorCode": None},
                              {"chainId": "eip155:1", "state": "REFUSED",
                               "errorCode": "OPERATOR_REFUSED"}],
       "the result names every target")


def story_exit_codes():
    for ack_type, error, expected in ((co.FAILED, 57, "ROLLED_BACK"), (co.REJECTED, 34, "BUSY")):
        code, out, _, _ = run(*SUBMIT_FLAGS, script=lambda peer, a=ack_type, e=error: (
            peer.receive(), peer.send([ACK, "m1", a, e, False, [1, 1], []])))
        view = views(out)[-1]
        ok(code == 1 and view["errorCode"] == expected, f"{expected}: exit 1")
    code, out, _, _ = run(*SUBMIT_FLAGS, script=lambda peer: (
        peer.receive(), peer.send([co.ERROR, "m1", 45, "ttlSeconds"])))
    ok(code == 1 and views(out)[0]["errorCode"] == "FIELD_OUT_OF_RANGE" and
       views(out)[0]["detail"] == "ttlSeconds", "an ERROR frame: exit 1")
    code, _, trouble, _ = run(*SUBMIT_FLAGS, script=lambda peer: peer.receive())
    ok(code == 3 and len(trouble.splitlines()) == 1, "the server closes: exit 3 and one line")
    code, _, trouble, _ = run(*SUBMIT_FLAGS, script=lambda peer: (peer.receive(), peer.receive()))
    ok(code == 3 and "no answer" in trouble, "no answer in time: exit 3")
    code, _, trouble, _ = run(*SUBMIT_FLAGS, script=lambda peer: None,
                              secret="quite another secret")
    ok(code == 3 and "AUTHENTICATION_FAILED" in trouble, "a wrong secret: exit 3 and why")
    code, _, trouble, _ = run(*SUBMIT_FLAGS)
    ok(code == 3, "a server that does not greet: exit 3")


def story_generated_id():
    seen = []
    run("submit", "--target", "eip155:1", "--asset", "a", "--action", "SEIZE", script=lambda peer:
        (seen.append(peer.receive()),
         peer.send([ACK, seen[0][1], co.PROCESSED, 0, False, [1, 1], []])))
    ok(uuid.UUID(seen[0][1]).version == 4, "H01: without --id it is a UUID v4")


def story_look():
    code, out, _, _ = run("status", "m1", script=lambda peer: (
        peer.receive(),
        peer.send([STATUS, "m1", "PREPARING", 0, [2, 3], 1, 0, 1, 1, 2, 9,
                   [["eip155:10", 1, 0, ["token"]]], True])))
    view = views(out)[0]
    ok(code == 0 and view["state"] == "PREPARING" and view["attempt"] == {"epoch": 2, "n": 3} and
       view["declaredScope"] == "TARGETS" and view["targetScope"] == "ALL_CHAINS" and
       view["declaredAtomicity"] == "GUARANTEED" and view["atomicity"] == "ALL_OR_NOTHING" and
       view["targets"][0]["reservedResources"] == ["token"] and view["forced"] is True,
       "A04 P05: status shows declared, effective and tokens")
    code, out, _, _ = run("status", "m2", script=lambda peer: (
        peer.receive(), peer.send([co.ERROR, "m2", 66, ""])))
    ok(code == 1 and views(out)[0]["errorCode"] == "UNKNOWN_MESSAGE", "an unknown id: exit 1")
    code, out, _, hello = run("watch", "--count", "1", script=lambda peer: (
        peer.receive(), peer.send([EVENT, "m1", 0, "COMMIT", [1, 1], ["eip155:10"], 0, 4])))
    view = views(out)[0]
    ok(code == 0 and hello[2] == OPERATOR and view["what"] == "COMMIT" and view["missed"] == 4 and
       view["at"] == "1970-01-01T00:00:00.000Z", "watch prints events")
    stats = [STATS, [["accepted", "messages", "messages accepted", [3, 4]]]]
    code, out, _, _ = run("stats", "--json", script=lambda peer: (peer.receive(), peer.send(stats)))
    ok(code == 0 and views(out)[0]["counters"] ==
       [{"name": "accepted", "unit": "messages", "help": "messages accepted", "total": 7,
         "perShard": [3, 4]}], "stats --json adds the shards up")
    code, out, _, _ = run("stats", script=lambda peer: (peer.receive(), peer.send(stats)))
    ok(code == 0 and out.split() == ["accepted", "7", "messages", "messages", "accepted"],
       "stats prints name, total, unit and help")
    code, _, _, _ = run("stats", script=lambda peer: (peer.receive(), peer.send([STATS, [[1]]])))
    ok(code == 3, "an answer that is no STATS: exit 3")


def story_burst():
    seen = []

    def script(peer):
        answered = 0
        while answered < 50:
            frame = peer.receive()
            if frame is None:
                return
            seen.append((frame[1], frame[15][0]))
            n = int(frame[1].rpartition("-")[2])
            result = (co.REJECTED, 34) if n % 10 == 0 else (co.PROCESSED, 0)
            peer.send([ACK, frame[1], RECEIVED, 0, False, [1, 1], []],
                      [ACK, frame[1], *result, False, [1, 1], []])
            answered += 1

    code, out, _, _ = run("submit", "--id", "b", "--target", "eip155:1", "--asset", "bond-",
                          "--action", "FREEZE", "--burst", "50", "--in-flight", "8", script=script)
    view = views(out)[0]
    ok(code == 0 and view["messages"] == 50 and view["unanswered"] == 0 and view["results"] ==
       {"PROCESSED": 45, "FAILED": 0, "REJECTED": 5} and view["errorCodes"] == {"BUSY": 5},
       "a burst counts its results")
    ok(seen == [(f"b-{n}", f"bond-{n:06d}") for n in range(50)], "and numbers ids and assets")
    code, out, _, _ = run("submit", "--id", "b", "--target", "eip155:1", "--asset", "bond-",
                          "--action", "FREEZE", "--burst", "5", script=lambda peer: peer.receive())
    ok(code == 3 and views(out)[0]["unanswered"] == 5, "a burst that is cut: exit 3, and how much")


def story_flags():
    cases = [
        ([], "verb"), (["dance"], "'dance'"), (["chain"], "'chain'"),
        (["submit", "--target", "eip155:1", "--no-such-flag"], "no-such-flag"),
        (["submit"], "--target"), (["submit", "--target", "Base"], "target 'Base'"),
        ([*SUBMIT_FLAGS, "--ttl", "0"], "ttl '0'"), ([*SUBMIT_FLAGS, "--ttl", "+5"], "ttl '+5'"),
        ([*SUBMIT_FLAGS, "--type", "RUMOUR"], "type 'RUMOUR'"),
        ([*SUBMIT_FLAGS, "--id", "x" * 65], "1 to 64 bytes"),
        ([*SUBMIT_FLAGS, "--id", "\udcff"], "UTF-8"),
        ([*SUBMIT_FLAGS, "--payload-file", "/nonexistent/payload"], "/nonexistent/payload"),
        ([*SUBMIT_FLAGS, "--secret", "short"], "16 to 128"),
        ([*SUBMIT_FLAGS, *(["--asset", "a"] * 16)], "16 assets"),
        (["status"], "argument"), (["status", "a", "b"], "'b'"), (["watch", "--count", "0"], "count"),
        (["stats", "word"], "'word'"), (["chain", "ledger", "nowhere"], "'nowhere'"),
        (["stats", "--server", "1.2.3.4:99999"], "1.2.3.4:99999"),
    ]
    for words, part in cases:
        done = subprocess.run([os.path.join(BUILD_DIR, "tricast"), *words], capture_output=True,
                              encoding="utf-8", errors="surrogateescape", check=False, timeout=10)
        lines = done.stderr.splitlines()
        ok(done.returncode == 2 and len(lines) == 1 and part in lines[0] and not done.stdout,
           f"exit 2 and one line that names {part}")
    done = subprocess.run([os.path.join(BUILD_DIR, "tricast"), "--version"], capture_output=True,
                          encoding="utf-8", check=False)
    ok(done.returncode == 0 and done.stdout.startswith("tricast "), "--version")


def main():
    for story in (story_submit, story_exit_codes, story_generated_id, story_look, story_burst,
                  story_flags):
        try:
            story()
        except (AssertionError, IndexError, KeyError, OSError, TypeError, ValueError,
                subprocess.TimeoutExpired) as error:
            ok(False, f"{story.__name__}: {type(error).__name__} {error}".replace("\n", " "))
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
