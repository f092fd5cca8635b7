# SPDX-License-Identifier: Apache-2.0
"""Holds what was announced against journals, ledgers and what the chains say afterwards.

Not a test itself.  Every function returns sentences, each beginning with the
statement of docs/protocol.md that is broken; none is good.
"""

import collections
import random
import time

import coordinator as co
import house as houses
import stranger as wire

ACKS = {wire.PROCESSED: "PROCESSED", wire.FAILED: "FAILED", wire.REJECTED: "REJECTED"}
RECONCILIATION_REQUIRED, ROLLBACK_INCOMPLETE, NO_CHAIN_APPLIED = 7, 56, 68
UNKNOWN_MESSAGE = wire.CODES["UNKNOWN_MESSAGE"]
ATTEMPT_ENDED = wire.CODES["ATTEMPT_ENDED"]
RESTRICTED, FROZEN = 2, 1
ASKED_MAX = 400   # messages about which each chain is asked


class Told:
    """What clients were told, by message."""

    def __init__(self, path):
        self.received = {}     # id: [(epoch, duplicate)]
        self.notices = {}      # id: [(epoch, attempt, chains, record)]
        self.begun = {}        # id: the epoch that has said RECEIVED of it as a new message
        self.results = {}      # id: [(epoch, ackType, code, attempt, rows)]
        self.status = []       # (id, state)
        self.unknown = set()   # ids of which a status was asked for and nothing is known
        self.lines = self.repeats = self.strangers = 0
        self.wrong = []
        with open(path, encoding="utf-8") as file:
            for line in file:
                self.lines += line[0] in "RNAT"
                self.take(line.split())

    def take(self, words):
        kind, ident = words[0], words[-1] if words[0] in "SX" else words[2]
        self.strangers += kind == "X"
        self.repeats += kind == "R" and words[3] == "1" or kind == "A" and words[5] == "1"
        if kind == "R":
            told = self.received.setdefault(ident, [])
            if words[3] == "0" and told:
                self.wrong.append(f"D01: {ident} was RECEIVED by epoch {told[0][0]}, and is new "
                                  f"to epoch {words[1]}")
            told.append((int(words[1]), words[3] == "1"))
            if words[3] == "0":
                self.begun[ident] = int(words[1])
        elif kind == "N":
            self.notices.setdefault(ident, []).append(
                (int(words[1]), words[3], words[4].split(","), words[5]))
        elif kind == "A":
            self.end(ident, int(words[1]), int(words[3]), words[7])
            rows = {} if words[7] == "-" else {
                f"eip155:{row.split(':')[0]}": int(row.split(":")[1])
                for row in words[7].split(",")}
            self.results.setdefault(ident, []).append(
                (int(words[1]), int(words[3]), int(words[4]), words[6], rows))
        elif kind == "T":
            self.status.append((ident, words[3]))
        elif kind == "E" and int(words[3]) == UNKNOWN_MESSAGE:
            self.unknown.add(ident)
        elif kind == "E":
            self.wrong.append(f"R09: {ident} was answered with error {words[3]}")
        elif kind == "V":
            self.wrong.append(f"{' '.join(words[3:])} ({ident})")


    def end(self, ident, epoch, ack, rows):
        """F01: who is told by one start that it is new and that it is done has notice in between.
        A BEST_EFFORT message has no primary record, and some row that is not FINAL or no FINALIZE."""
        is_final = rows != "-" and all(int(row.split(":")[1]) == wire.FINAL
                                       for row in rows.split(","))
        noticed = any(row[0] == epoch for row in self.notices.get(ident, []))
        if (ack == wire.PROCESSED and is_final and self.begun.get(ident) == epoch and
                not ident.startswith("b") and not noticed):
            self.wrong.append(f"F01: epoch {epoch} has said PROCESSED of {ident} before its notice")


def archived(told, coordinator, archive):
    """D04, F08: each primary record of the journal is in exactly one finality record, and that is
    the one that its notice has named; what the journal does not have is in none."""
    wrong = [f"F02: {file}: offset {offset}: {sentence}" for file, offset, sentence in archive.faults]
    recorded = {ident for ident, _ in coordinator.primary}
    wrong += [f"D04: {ident} has a primary record, and the archive lacks it"
              for ident in sorted(recorded - set(archive.ids))[:10]]
    wrong += [f"D04: {ident} is in the archive, and no primary record says so"
              for ident in sorted(set(archive.ids) - recorded)[:10]]
    for ident, rows in told.notices.items():
        for epoch, _, _, record in rows:
            if archive.ids.get(ident) != record:
                wrong.append(f"F08: epoch {epoch} has given notice that {ident} is in {record}, and "
                             f"it is in {archive.ids.get(ident)}")
    return wrong


def announced(told, coordinator):
    """D01: whatever an epoch has said was in the journal by then."""
    wrong = list(told.wrong)
    for ident, rows in told.received.items():
        if coordinator.accepted.get(ident, 1 << 32) > rows[0][0]:
            wrong.append(f"D01: epoch {rows[0][0]} has said RECEIVED of {ident}, and no record "
                         "says so")
    for ident, rows in told.notices.items():
        for epoch, attempt, _, _ in rows:
            if coordinator.primary.get((ident, attempt), 1 << 32) > epoch:
                wrong.append(f"D04: epoch {epoch} has given notice of {ident}, attempt {attempt}, "
                             "and no primary record says so")
    for ident, rows in told.results.items():
        for epoch, ack, code, attempt, targets in rows:
            if ack == wire.REJECTED and not targets and ident not in coordinator.accepted:
                continue  # refused before it was anything
            known = coordinator.outcomes.get((ident, ack, code, attempt), 1 << 32)
            if ack == wire.PROCESSED and code == 0:
                known = min(known, coordinator.primary.get((ident, attempt), 1 << 32))
            if known > epoch:
                wrong.append(f"D01: epoch {epoch} has said {ACKS[ack]} {code} of {ident}, attempt "
                             f"{attempt}, and no record says so")
    return wrong


def constant(told, messages):
    """R01: one end, and it is the same whenever it is asked for."""
    wrong = []
    for ident, rows in told.results.items():
        if len({row[1:4] for row in rows}) > 1:
            wrong.append(f"R01: {ident} ended more than once: {sorted({row[:4] for row in rows})}")
    for ident, state in told.status:
        # Behind a primary record a restart may finalize once more; the result stands (D04).
        ack = told.results[ident][0][1]
        again = ack == wire.PROCESSED and not is_alone(messages[ident]) and state == "FINALIZING"
        if state != ACKS.get(ack) and not again:
            wrong.append(f"R01: {ident} has status {state}, not {told.results[ident][0][1:3]}")
    for ident in told.unknown & set(told.received):
        wrong.append(f"D01: {ident} was RECEIVED and is unknown now")
    asked = told.unknown.union(ident for ident, _ in told.status)
    for ident in messages:
        if ident not in told.results:
            wrong.append(f"R09: {ident} never ended")
        elif len(told.results[ident]) < 2 or ident not in asked:
            wrong.append(f"R01: {ident} was not answered when it was asked for at the end")
    for ident, rows in told.notices.items():
        result = told.results.get(ident, [(0, None, 0, "", {})])[0]
        if result[1] != wire.PROCESSED:
            wrong.append(f"A08: {ident} has a notice and ended as {result[1:3]}")
        if any(set(row[2]) != targets_of(messages[ident]) for row in rows):
            wrong.append(f"F01: the notice of {ident} names other chains than its targets")
    return wrong


def targets_of(frame):
    everywhere = frame[5] == wire.ALL_OR_NOTHING or frame[3] == wire.CRITICAL
    return set(houses.CHAINS) if everywhere else set(frame[10])


def is_alone(frame):
    return frame[5] == wire.BEST_EFFORT and frame[3] != wire.CRITICAL


def effect(frame, result, chain):
    """Whether the result says that the chain has the effect; None: it does not say."""
    _, ack, code, _, rows = result
    if chain not in targets_of(frame) or ack == wire.REJECTED:
        return False
    if ack == wire.PROCESSED and not is_alone(frame):
        return True
    tells = (ack == wire.PROCESSED or
             code in (RECONCILIATION_REQUIRED, ROLLBACK_INCOMPLETE, NO_CHAIN_APPLIED))
    if not tells:
        return False
    state = rows.get(chain)
    if state in (wire.APPLIED, wire.FINAL):
        return True if code != ROLLBACK_INCOMPLETE else None
    return False if state in (wire.REFUSED, wire.UNDONE) else None


def applied(told, messages, ledgers, chains):
    """A04 to A06, P10: the ledgers have what the results say, once."""
    wrong = []
    for name, ledger in ledgers.items():
        times = collections.Counter(ident for ident, _ in chains[name].applications)
        net = collections.Counter()
        unsure = set()
        for ident, frame in messages.items():
            asset, is_freeze = frame[15][0], b"FREEZE" in frame[16]
            if ident not in told.results:
                unsure.add(asset)
                continue
            has = effect(frame, told.results[ident][0], name)
            if asset.startswith("shared-"):
                net[asset] += (1 if is_freeze else -1) if has else 0
                unsure |= {asset} if has is None else set()
                continue
            state, secondary, version, _ = ledger.get(asset, (0, 0, 0, ""))
            is_frozen = (state, secondary) == (RESTRICTED, FROZEN)
            if has is not None and has != is_frozen:
                wrong.append(f"A04: {ident} ended as {told.results[ident][0][1:]}, and at {name} "
                             f"{asset} is {'frozen' if is_frozen else 'not frozen'}")
            if version != 2 * times[ident] - is_frozen:
                wrong.append(f"P10: {asset} at {name} has version {version}; {ident} was applied "
                             f"{times[ident]} times")
        for asset, count in net.items():
            is_frozen = ledger.get(asset, (0, 0))[:2] == (RESTRICTED, FROZEN)
            if asset not in unsure and count != is_frozen:
                wrong.append(f"A04: {asset} at {name} is {'' if is_frozen else 'not '}frozen, the "
                             f"results amount to {count}")
    return wrong


def decided(messages, coordinator, chains):
    """D02: nobody has applied what is not decided."""
    wrong = []
    for name, chain in chains.items():
        wrong += chain.wrong
        for ident, attempt in chain.applications:
            attempt = f"{attempt >> 32}.{attempt & 0xffffffff}"
            if (ident, attempt) not in coordinator.decided and ident in messages:
                wrong.append(f"D02: {name} has applied {ident}, attempt {attempt}, and no "
                             "decision record says so")
    return wrong


def reservations(house, end):
    """L06: no reservation is left when its time is over.  Returns the ledgers too."""
    while True:
        ledgers = {name: house.ledger(name) for name in houses.CHAINS}
        held = [(name, asset, row[3]) for name, ledger in ledgers.items()
                for asset, row in ledger.items() if row[3]]
        if not held or time.monotonic() > end:
            return ledgers, [f"L06: {asset} at {name} is still held by {holder}"
                             for name, asset, holder in held]
        time.sleep(0.2)


class Questions:
    """What one chain is asked about the past (P06, P12), and what it has to say."""

    def __init__(self, name, chain, told, messages, coordinator, draw):
        self.name = name
        self.frames = []
        self.expected = {}   # (id, phase): (what the answer is, sentence)
        ended = [mark for mark in chain.marks.values()
                 if mark.tombstone and mark.ident in messages]
        for mark in draw.sample(ended, min(ASKED_MAX, len(ended))):
            frame = messages[mark.ident]
            attempt = mark.tombstone
            if attempt & 0xffffffff == 0:
                attempt -= (1 << 32) - 1   # [epoch, 0] is no attempt, [epoch - 1, 1] is below it
            if attempt <= 1 << 32 or is_alone(frame):
                continue
            for phase in (co.PREPARE, co.COMMIT):
                self.ask(frame, phase, attempt, [])
                self.expected[mark.ident, phase] = (
                    lambda answer: answer[2] == co.PHASE_REJECT and answer[6] == ATTEMPT_ENDED,
                    "P12: an attempt that has ended is taken up again")
        known = [ident for ident, rows in told.results.items()
                 if rows[0][1] == wire.PROCESSED and ident in messages
                 and not is_alone(messages[ident]) and name in targets_of(messages[ident])
                 and (ident, co.PREPARE) not in self.expected]
        for ident in draw.sample(known, min(ASKED_MAX, len(known))):
            attempt = told.results[ident][0][3]
            tokens = coordinator.decided.get((ident, attempt), {}).get(name)
            if tokens is None:
                continue
            number = int(attempt.split(".")[0]) << 32 | int(attempt.split(".")[1])
            for phase in (co.PREPARE, co.COMMIT, co.FINALIZE):
                self.ask(messages[ident], phase, number, tokens)
            self.expected[ident, co.PREPARE] = (
                lambda answer, tokens=tokens: answer[2] == co.PREPARE_OK and answer[8] == tokens,
                "P06: PREPARE_OK was forgotten, or has another token")
            self.expected[ident, co.COMMIT] = (
                lambda answer: answer[2] == co.COMMIT_OK, "P06: COMMIT_OK was forgotten")
            self.expected[ident, co.FINALIZE] = (
                lambda answer: answer[2] == co.FINALIZE_OK, "P06: FINALIZE_OK was forgotten")

    def ask(self, submit, phase, attempt, tokens):
        self.frames.append(
            [co.PHASE, submit[1], phase, phase, [attempt >> 32, attempt & 0xffffffff],
             submit[5], wire.content_hash(submit), int(time.time() * 1000) + 60000,
             60000 if phase == co.PREPARE else 0, False, *submit[13:19],
             [] if phase == co.PREPARE else tokens])

    def put(self, peer):
        """Asks everything; the answers that are wrong."""
        wrong, answered = [], set()
        for begin in range(0, len(self.frames), 50):
            peer.send(*self.frames[begin:begin + 50])
            for _ in self.frames[begin:begin + 50]:
                answer = peer.receive()
                while answer is not None and answer[0] == co.ASK:
                    answer = peer.receive()
                if answer is None:
                    return wrong + [f"P06: {self.name} does not answer"]
                holds, sentence = self.expected[answer[1], answer[3]]
                answered.add((answer[1], answer[3]))
                if not holds(answer):
                    wrong.append(f"{sentence}: {answer[1]} at {self.name}: {answer[2:]}")
        for key in set(self.expected) - answered:
            wrong.append(f"P06: {self.name} does not answer about {key}")
        return wrong


def remembered(house, told, messages, coordinator, chains):
    """P06, P12: the chains are asked about the past by a coordinator that knows what is right."""
    draw = random.Random(1)
    wrong = []
    before = {name: house.ledger(name) for name in houses.CHAINS}
    asker = houses.Questioner(b"")
    house.connect = asker.port
    asked = 0
    for name, chain in chains.items():
        asker.secret = houses.CHAINS[name].encode()
        asker.epoch = 1 << 20
        house.kill([name])
        house.start(name, behaves=True)
        peer = asker.chain(name)
        questions = Questions(name, chain, told, messages, coordinator, draw)
        asked += len(questions.frames)
        wrong += questions.put(peer)
        if house.ledger(name) != before[name]:
            wrong.append(f"P06: being asked about the past has changed the ledger of {name}")
        house.kill([name])
        peer.close()
    asker.close()
    return wrong, asked
