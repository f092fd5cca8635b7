#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a coordinator and its chains under load, again and again, and looks at what is left.

    kill.py [--tap] KILLS [SEED]

Goal: nothing that was announced is missing after kill -9, nothing was applied
twice, an ALL_OR_NOTHING message is everywhere or nowhere, no lock outlives its
time, every message ends, and the archive has each message that is final, once,
in the record that its notice has named (D01 to D06, F01, F02, F08, P06, P10,
P12, A04 to A08, R01, L06).

Method: real programs over real sockets.  Clients (load.py) keep some hundreds
of messages open and write down what they are told.  At moments of chance one
or more of the four programs (house.py) are killed and started again at once,
the coordinator with another number of shards at times; a restart is killed
too.  Before each restart the journals are read (history.py).  From time to time
the killing stops until every message has ended; then everything that was told,
recorded and applied is compared (verdict.py), and all begins anew.

What is drawn from the seed is the same in every run, the moments are not.  A
run that fails keeps its directory and says where it is.
"""

import collections
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../e2e", "../vectors"):
    sys.path.insert(0, os.path.join(HERE, folder))

import check_finality  # noqa: E402  pylint: disable=wrong-import-position
import history  # noqa: E402  pylint: disable=wrong-import-position
import house as houses  # noqa: E402  pylint: disable=wrong-import-position
import load  # noqa: E402  pylint: disable=wrong-import-position
import read_journal  # noqa: E402  pylint: disable=wrong-import-position
import server as host  # noqa: E402  pylint: disable=wrong-import-position
import verdict  # noqa: E402  pylint: disable=wrong-import-position

EPISODE_KILLS = 150
OPEN_MIN = 100
WINDOW = 180
WALK_S = 0.015
ASSETS_SPARE = 4000
LINE_KILLS = 100
BLIND_MAX = 3
END_S = 60
# A chain that has lost so many coordinators waits long before it connects again.
LOST_MAX = 4
VICTIMS = {"coordinator": 45, "chain": 25, "chains": 5, "coordinator and chain": 15, "all": 10}


class Failed(Exception):
    """The run cannot go on: a sentence."""


class Sums:
    """What an episode, or all of them, amount to."""

    def __init__(self):
        self.counts = collections.Counter()
        self.open_min = 1 << 30
        self.open_max = 0
        self.stages = collections.Counter()   # messages
        self.hit = collections.Counter()      # kills
        self.results = collections.Counter()
        self.wrong = []
        self.is_blind = False   # the journals were not seen in full

    def count_kill(self, victims, open_count, stages):
        self.counts.update(kills=1, coordinators="tricastd" in victims,
                           chains=len(victims) - ("tricastd" in victims), open=open_count)
        self.open_min = min(self.open_min, open_count)
        self.open_max = max(self.open_max, open_count)
        self.stages.update(stages)
        self.hit.update(stage for stage, count in stages.items() if count > 0)

    def add(self, other):
        for mine, others in ((self.counts, other.counts), (self.stages, other.stages),
                             (self.hit, other.hit), (self.results, other.results)):
            mine.update(others)
        self.open_min = min(self.open_min, other.open_min)
        self.open_max = max(self.open_max, other.open_max)
        self.wrong += other.wrong

    def line(self, elapsed_s):
        return (f"{self.counts['kills']:5} kills {elapsed_s:6.1f} s {self.counts['messages']:7} "
                f"messages, open {self.open_min}..{self.open_max}; " +
                ", ".join(f"{stage} {self.stages[stage]}" for stage in history.STAGES) +
                f"; broken promises {len(self.wrong)}")


class Episode:
    """One directory, from its first start to the verdict."""

    def __init__(self, number, seed):
        self.sums = Sums()
        self.seed = f"{seed}/{number}"
        self.draw = random.Random(self.seed)
        self.directory = tempfile.mkdtemp(prefix=f"tricast-kill-{number}-")
        self.house = houses.House(self.directory, self.seed)
        self.coordinator = history.Coordinator(self.house.journal("tricastd"))
        self.chains = {name: history.Chain(self.house.journal(name), name)
                       for name in houses.CHAINS}
        self.walked = 0.0
        self.ended = 0.0   # when no message was open any more
        self.lost = dict.fromkeys(houses.CHAINS, 0)
        self.shards = self.draw.randint(1, houses.SHARDS_MAX)
        self.shared = load.counters()
        self.log = self.house.path("announced")
        self.client = multiprocessing.get_context("fork").Process(target=load.main, args=({
            "seed": self.seed, "episode": number, "address": ("127.0.0.1", self.house.port),
            "secret": houses.CLIENT.encode(), "log": self.log, "window": WINDOW,
            "messages": self.house.path("messages"), "chains": list(houses.CHAINS)}, self.shared))

    # ---- killing ----

    def wait(self, condition, timeout_s, sentence):
        end = time.monotonic() + timeout_s
        while not condition():
            if not self.client.is_alive():
                raise Failed("the clients have ended by themselves")
            if time.monotonic() > end:
                raise Failed(sentence)
            time.sleep(0.001)

    def journals(self):
        return {"tricastd": self.coordinator, **self.chains}

    def walk(self):
        """A segment is dropped some time after it was written: whoever comes late has missed it."""
        now = time.monotonic()
        if now - self.walked >= WALK_S:
            self.walked = now
            for journal in self.journals().values():
                journal.walk()

    def work(self):
        for journal in self.journals().values():
            journal.work(self.walk)

    def victims(self):
        kind = self.draw.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        some = self.draw.sample(list(houses.CHAINS), 2)
        names = {"coordinator": ["tricastd"], "chain": some[:1], "chains": some,
                 "coordinator and chain": ["tricastd", some[0]],
                 "all": ["tricastd", *houses.CHAINS]}[kind]
        return names + [name for name, lost in self.lost.items()
                        if lost >= LOST_MAX and name not in names]

    def restart(self, victims):
        for name in victims:
            if name == "tricastd":
                for chain in self.lost:
                    self.lost[chain] += 1
                if self.draw.random() < 0.15:
                    before, self.shards = self.shards, self.draw.randint(1, houses.SHARDS_MAX)
                    self.sums.counts["reshards"] += before != self.shards
        for name in self.draw.sample(victims, len(victims)):
            self.house.start(name, self.shards)
            if name in self.lost:
                self.lost[name] = 0

    def kill(self):
        """One kill, and what the journals say of the moment."""
        victims = self.victims()
        self.wait(lambda: self.shared[load.OPEN] >= OPEN_MIN, END_S,
                  f"only {self.shared[load.OPEN]} messages are open")
        open_count = self.shared[load.OPEN]
        self.house.kill(victims)
        for name, journal in self.journals().items():
            if name in victims:
                journal.bury()
            else:
                journal.walk()
        self.restart(victims)
        return victims, open_count

    def look(self, until, victims, open_count):
        """As soon as the next starts have said what counts of the dead journals."""
        journals = [(journal, journal.newest) for journal in self.journals().values()]
        for journal, epoch in journals:
            journal.work(self.walk, epoch)
        while any(journal.dead for journal, _ in journals) and time.monotonic() < until:
            time.sleep(0.003)
            for journal, _ in journals:
                journal.walk()
        for journal, epoch in journals:
            journal.work(self.walk, epoch)
        applied = set().union(*(chain.applied for chain in self.chains.values()))
        self.sums.count_kill(victims, open_count, self.coordinator.stages(applied))

    def moment(self):
        """How long until the next kill: seldom so short that it hits a recovery."""
        if self.draw.random() < 0.1:
            self.sums.counts["early"] += 1
            return self.draw.uniform(0.0, 0.03)
        return self.draw.uniform(0.04, 0.13)

    def kills(self, count):
        self.house.start("tricastd", self.shards)
        for name in houses.CHAINS:
            self.house.start(name)
        self.client.start()
        self.wait(lambda: self.shared[load.OPEN] >= OPEN_MIN, END_S, "the load does not begin")
        for _ in range(count):
            if self.shared[load.SUBMITTED] > houses.ASSETS - ASSETS_SPARE:
                return  # a slow machine: the next episode goes on
            killed = self.kill()
            until = time.monotonic() + self.moment()
            self.look(until, *killed)
            while time.monotonic() < until:
                time.sleep(max(0.0, min(WALK_S, until - time.monotonic())))
                self.walk()
                self.work()

    # ---- the end ----

    def settle(self):
        """Until every message has ended; a long life, so the journals are read on the way."""
        self.shared[load.COMMAND] = load.DRAIN
        end = time.monotonic() + END_S
        while self.shared[load.PENDING] > 0:
            self.walk()
            self.work()
            if time.monotonic() > end:
                self.sums.wrong.append(f"R09: {self.shared[load.PENDING]} messages have not ended "
                                       f"after {END_S} s without a kill")
                break
            time.sleep(WALK_S)
        self.ended = time.monotonic()

    def ask(self):
        """Everything is killed once more, and then asked for."""
        everybody = ["tricastd", *houses.CHAINS]
        self.house.kill(everybody)
        for journal in self.journals().values():
            journal.bury()
        self.restart(everybody)
        self.wait(lambda: self.shared[load.CONNECTED] == load.CONNECTIONS, END_S,
                  "the server does not come back")
        self.shared[load.COMMAND] = load.VERIFY
        self.wait(lambda: self.shared[load.DONE], END_S, "the last questions are not answered")
        ledgers, wrong = verdict.reservations(self.house, self.ended + houses.LOCK_TTL_S + 1)
        self.sums.wrong += wrong
        self.shared[load.COMMAND] = load.EXIT
        self.client.join(20)
        self.house.kill(["tricastd"])
        for journal in self.journals().values():
            journal.walk()
            journal.settle()
        self.work()
        return ledgers

    def judge(self, ledgers):
        sums = self.sums
        told = verdict.Told(self.log)
        with open(self.house.path("messages"), "rb") as file:
            messages = pickle.load(file)
        sums.wrong += verdict.announced(told, self.coordinator)
        sums.wrong += verdict.constant(told, messages)
        sums.wrong += verdict.decided(messages, self.coordinator, self.chains)
        sums.wrong += verdict.applied(told, messages, ledgers, self.chains)
        wrong, asked = verdict.remembered(self.house, told, messages, self.coordinator,
                                          self.chains)
        sums.wrong += wrong
        archive = check_finality.Archive(self.house.finality())
        sums.wrong += verdict.archived(told, self.coordinator, archive)
        sums.counts["finality"] += archive.records
        for journal in self.journals().values():
            sums.counts["records"] += journal.records
            sums.is_blind |= journal.has_gap
            self.check(journal.path)
        sums.counts.update(checkpoints=self.coordinator.checkpoints, questions=asked,
                           messages=len(messages), announcements=told.lines,
                           repeats=told.repeats, strangers=told.strangers)
        sums.results.update((rows[0][1], rows[0][2]) for rows in told.results.values())

    def check(self, path):
        """Both readers find the journal sound."""
        done = subprocess.run([os.path.join(host.BUILD_DIR, "tricast"), "journal", "check", path],
                              capture_output=True, encoding="utf-8", check=False, timeout=30)
        if done.returncode != 0:
            self.sums.wrong.append(f"D03: tricast journal check {path}: {done.stderr.strip()}")
        if read_journal.read_journal(path)[2] != 0:
            self.sums.wrong.append(f"D03: {path} is damaged")

    def run(self, count):
        """The directory is kept if a promise was broken."""
        try:
            self.kills(count)
            self.settle()
            self.judge(self.ask())
        except (Failed, houses.Died) as error:
            self.sums.wrong.append(str(error))
        finally:
            self.shared[load.COMMAND] = load.EXIT
            self.house.end()
            if self.client.is_alive():
                self.client.join(5)
            if self.client.is_alive():
                self.client.kill()
        if not self.sums.wrong or self.sums.is_blind:
            shutil.rmtree(self.directory)


def summary(sums, elapsed_s):
    """Lines for people, and for docs/reliability.md."""
    names = {1: "PROCESSED", 2: "FAILED", 3: "REJECTED"}
    count = sums.counts
    yield (f"{count['kills']} kills in {elapsed_s:.0f} s: the coordinator {count['coordinators']} "
           f"times, chains {count['chains']} times; {count['early']} soon after a start, "
           f"{count['reshards']} times another number of shards")
    yield (f"open at a kill: at least {sums.open_min}, on average "
           f"{count['open'] // max(1, count['kills'])}")
    yield (f"{count['messages']} messages, {count['announcements']} announcements, "
           f"{count['repeats']} of them to a repeated submit, {count['strangers']} submits of a "
           "known id with other content refused")
    yield (f"{count['records']} records read, {count['checkpoints']} checkpoints of the "
           f"coordinator, {count['finality']} finality records, {count['questions']} questions "
           "about the past")
    yield "results: " + ", ".join(f"{names[ack]} {code}: {times}"
                                  for (ack, code), times in sorted(sums.results.items()))
    yield f"{'stage at a kill':18} {'kills':>8} {'messages':>10}"
    for stage in history.STAGES:
        yield f"{stage:18} {sums.hit[stage]:8} {sums.stages[stage]:10}"
    yield f"broken promises: {len(sums.wrong)}"


def complain(episode, prefix):
    """What to look at."""
    for sentence in episode.sums.wrong[:20]:
        print(prefix + sentence)
    print(f"{prefix}kept: {episode.directory}: announced (what clients were told), *.log, the "
          "journals; `tricast journal show DIR`", flush=True)


def play(kills, seed, is_tap):
    """All episodes; the first broken promise ends them."""
    prefix = "# " if is_tap else ""
    sums = Sums()
    began = time.monotonic()
    number = blind = said = 0
    print(f"{prefix}seed {seed}", flush=True)
    while sums.counts["kills"] < kills and not sums.wrong:
        number += 1
        episode = Episode(number, seed)
        episode.run(min(EPISODE_KILLS, kills - sums.counts["kills"]))
        if episode.sums.is_blind:
            blind += 1
            print(f"{prefix}episode {number} does not count: the machine was too busy to read "
                  "every record before it was dropped", flush=True)
            if blind == BLIND_MAX:
                sums.wrong.append("too many episodes do not count")
            continue
        sums.add(episode.sums)
        if sums.counts["kills"] // LINE_KILLS > said:
            said = sums.counts["kills"] // LINE_KILLS
            print(prefix + sums.line(time.monotonic() - began), flush=True)
        if episode.sums.wrong:
            complain(episode, prefix)
    for line in summary(sums, time.monotonic() - began):
        print(prefix + line)
    return sums


def main():
    words = [word for word in sys.argv[1:] if word != "--tap"]
    if not 1 <= len(words) <= 2 or not words[0].isdigit() or int(words[0]) == 0:
        print("usage: kill.py [--tap] KILLS [SEED]", file=sys.stderr)
        return 2
    is_tap = "--tap" in sys.argv
    kills = int(words[0])
    seed = words[1] if len(words) > 1 else os.environ.get("TRI_SEED", str(time.time_ns()))
    sums = play(kills, seed, is_tap)
    cases = [(not sums.wrong, "D01: whatever was announced holds, over every kill"),
             (sums.counts["kills"] == kills and sums.open_min >= OPEN_MIN,
              f"at least {OPEN_MIN} messages are open at each of {kills} kills")]
    cases += [(sums.stages[stage] > 0, f"killed with messages {stage}")
              for stage in history.STAGES]
    if is_tap:
        for count, (holds, name) in enumerate(cases, 1):
            print(f"{'ok' if holds else 'not ok'} {count} - {name}")
        print(f"1..{len(cases)}")
    return 0 if all(holds for holds, _ in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
