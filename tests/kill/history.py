# SPDX-License-Identifier: Apache-2.0
"""What the journals have ever said, read while they grow and when their writers are dead.

Not a test itself.  Files are read by docs/journal.md (tests/vectors/read_journal.py
has the layouts), payloads by what engine/record.h, engine/participant_record.c
and io/chain_scribe.h say of them; nothing of the C code runs here.

Tail follows one stream, Journal all streams of a directory, from the kill of
one writer to that of the next, so that every record is seen that ever counted.
"""

import collections
import os
import struct

import msgpack
import read_journal as reader

CHUNK = 1 << 18
(ACCEPT, ATTEMPT, DECISION, ROLLBACK, PRIMARY, OUTCOME, CLOSE, IMAGE, REMEMBER,
 CHECKPOINT) = range(10)
UNDECIDED, DECIDED, ROLLING_BACK, RECORDED, ENDED, BACKING_OFF = range(6)
MESSAGE, FORGOTTEN, CHAIN_CHECKPOINT, ASSET = 0, 1, 2, 16
NONE, RESERVING, RESERVED, APPLYING, APPLIED, UNDOING, UNDONE = range(7)
HELD, ALONE, CLOSED, RARE = 1, 2, 4, 8

CONTENT = struct.Struct("<16s16sQI3I8BHBBI")     # key to the length of the canonical bytes
STANDING = struct.Struct("<BQHHBQB")
RESULT = struct.Struct("<IHHB")                  # behind times, hash and masks
IMAGE_OF_ASSET = struct.Struct("<Q16s16s5B")
PARTICIPANT = struct.Struct("<16s16sQQQIBBBB")
TIME_BYTES, RARE_BYTES = 16, 25


class Tail:
    """One stream, from its first record to wherever it ends now."""

    def __init__(self, path, named):
        self.path = path
        self.named = named
        self.epoch = named["epoch"]
        self.segment = 0
        self.offset = 0
        self.largest = self.size = 0
        self.seq = self.lsn = 0
        self.cut = 1 << 62       # the last block that counts
        self.has_gap = False     # its first records were gone when it was read first
        self.data = b""
        self.data_at = 0

    def file(self, number):
        return os.path.join(self.path, f"{self.epoch}-{self.named['stream']}-{number}.seg")

    def begin(self, file):
        """The head of a segment; False if it is not begun."""
        page = os.pread(file, reader.PAGE, 0)
        if len(page) < reader.PAGE or page[:8] != b"TRI-SEG\n":
            return False
        head = reader.SEGMENT.unpack_from(page)
        if (head[1] != reader.hash128(page[24:]) or head[3:5] != (self.epoch, self.named["stream"])
                or head[8] != self.segment):
            return False
        self.largest, self.size = head[9], head[10]
        if self.seq + 1 != head[12]:
            self.has_gap = True
            self.seq, self.lsn = head[12] - 1, head[13] - 1
        self.offset = reader.PAGE
        return True

    def bytes_at(self, file, offset, count):
        """From what was read ahead, else from the file."""
        if not self.data_at <= offset <= offset + count <= self.data_at + len(self.data):
            self.data_at = offset
            self.data = os.pread(file, max(CHUNK, count), offset)
        return self.data[offset - self.data_at:offset - self.data_at + count]

    def block(self, file):
        """The next block's bytes in use, or None."""
        if self.seq >= self.cut:
            return None
        head = self.bytes_at(file, self.offset, reader.BLOCK.size)
        if len(head) < reader.BLOCK.size or head[:8] != b"TRI-BLK\n":
            return None
        (_, digest, count, used, epoch, stream, _, _, seq, _, lsn_last, _, _,
         _) = reader.BLOCK.unpack(head)
        if (epoch, stream, seq) != (self.epoch, self.named["stream"], self.seq + 1):
            return None
        block = self.bytes_at(file, self.offset, count)
        if digest != reader.hash128(block[24:], self.named["seed"]):
            return None
        self.seq, self.lsn = seq, lsn_last
        self.offset += count
        return block[:used]

    def segment_from(self, least):
        """The lowest segment that is there, not below `least`; 0 = none."""
        numbers = [int(name.split("-")[2][:-4]) for name in os.listdir(self.path)
                   if name.startswith(f"{self.epoch}-{self.named['stream']}-")
                   and name.endswith(".seg")]
        return min((number for number in numbers if number >= least), default=0)

    def walk(self):
        """The blocks that have come since the last time."""
        blocks = []
        self.data, self.data_at = b"", 0
        if self.segment == 0:
            self.segment = self.segment_from(1)
            if self.segment == 0:
                return blocks
        while True:
            try:
                file = os.open(self.file(self.segment), os.O_RDONLY)
            except FileNotFoundError:
                # Not made yet, or dropped before it was read.
                above = self.segment_from(self.segment)
                if above == 0:
                    return blocks
                self.segment, self.offset = above, 0
                continue
            try:
                if self.offset == 0 and not self.begin(file):
                    return blocks
                while self.size - self.offset >= self.largest:
                    block = self.block(file)
                    if block is None:
                        return blocks
                    blocks.append(block)
            finally:
                os.close(file)
            self.segment, self.offset, self.data = self.segment + 1, 0, b""


class Journal:
    """All streams of a directory; `take(tail, kind, block, at, size)` gets every record once."""

    def __init__(self, path):
        self.path = path
        self.grave = f"{path}.dead"
        self.tails = {}
        self.newest = 0
        self.dead = []        # tails whose writer is dead, until it is known where they end
        self.waiting = collections.deque()
        self.records = 0
        os.makedirs(self.grave)

    def bury(self):
        """The writer is dead.  A write that was under way may still arrive, so the files are kept
        under other names until the next start has said what counts of them."""
        self.walk()
        for key, tail in self.tails.items():
            if key[0] == self.newest and tail not in self.dead:
                for name in os.listdir(self.path):
                    if name.startswith(f"{key[0]}-{key[1]}-"):
                        os.link(os.path.join(self.path, name), os.path.join(self.grave, name))
                tail.path = self.grave
                self.dead.append(tail)

    def walk(self):
        """Reads what has come.  Streams of the dead are read to their end, in their order, when
        the manifest of the next start tells it."""
        try:
            streams = reader.read_manifest(self.path)[1]
        except FileNotFoundError:
            return
        for named in streams:
            key = (named["epoch"], named["stream"])
            if key not in self.tails and named["epoch"] >= self.newest:
                self.tails[key] = Tail(self.path, named)
            elif named["cut"] is not None and key in self.tails:
                self.tails[key].cut = named["cut"][0]
            self.newest = max(self.newest, named["epoch"])
        self.settle(self.newest)
        for key, tail in self.tails.items():
            if key[0] == self.newest and tail not in self.dead:
                self.waiting += [(tail, block) for block in tail.walk()]

    def settle(self, epoch=1 << 32):
        """Reads the dead streams of earlier epochs to their end."""
        for tail in [tail for tail in self.dead if tail.epoch < epoch]:
            self.waiting += [(tail, block) for block in tail.walk()]
            self.dead.remove(tail)
            for name in os.listdir(self.grave):
                if name.startswith(f"{tail.epoch}-{tail.named['stream']}-"):
                    os.remove(os.path.join(self.grave, name))

    @property
    def has_gap(self):
        return any(tail.has_gap for tail in self.tails.values())

    def work(self, between, epoch=1 << 32):
        """Takes what walk() has read, up to an epoch.  `between` is called now and then, so that
        others are read in time."""
        unpack, head = reader.RECORD.unpack_from, reader.RECORD.size
        while self.waiting and self.waiting[0][0].epoch <= epoch:
            tail, block = self.waiting.popleft()
            between()
            at, used = reader.BLOCK.size, len(block)
            while at < used:
                _, size, kind, _, _ = unpack(block, at)
                at += head
                self.take(tail, kind, block, at, size)
                at += (size + 7) & ~7
                self.records += 1

    def take(self, tail, kind, block, at, size):
        raise NotImplementedError


def attempt_of(value):
    return f"{value >> 32}.{value & 0xffffffff}"


class Coordinator(Journal):
    """Every fact is kept with the epoch of the first stream that says it."""

    def __init__(self, path):
        super().__init__(path)
        self.chains = {}      # by epoch and stream: names by index
        self.ids = {}         # key: id
        self.short = {}       # what REMEMBER has of a key: id
        self.closed = set()   # ids
        self.accepted = {}    # id: epoch
        self.decided = {}     # (id, attempt): tokens by chain
        self.primary = {}     # (id, attempt): epoch
        self.outcomes = {}    # (id, ackType, code, attempt): epoch
        self.open = {}        # key: (stage, id), without those that have ended
        self.checkpoints = 0

    def take(self, tail, kind, block, at, size):
        if kind == REMEMBER:
            self.remember(tail, block, at)
            return
        if kind == reader.CHAINS:
            self.take_chains(tail, block[at:at + size])
            return
        if kind == CHECKPOINT:
            self.checkpoints += 1
            return
        if kind >= reader.OWN:
            return
        key = bytes(block[at:at + 16])
        if kind in (ACCEPT, IMAGE):
            fields = CONTENT.unpack_from(block, at)
            begin, bytes_, canonical = fields[-3], fields[-2], fields[-1]
            begin += at + CONTENT.size
            ident = block[begin:begin + bytes_].decode()
            self.ids[key] = ident
            self.short[key[:4] + key[8:]] = ident
            self.accepted.setdefault(ident, tail.epoch)
            self.stand(tail, kind, key, block, at + CONTENT.size + canonical)
        elif kind == CLOSE:
            self.end(key)
        elif key in self.ids:
            self.stand(tail, kind, key, block, at + 16)

    def end(self, key):
        self.open.pop(key, None)
        self.closed.add(self.ids.get(key))

    def remember(self, tail, block, at):
        """Of a write that was under way when its writer died, and became known by the restart."""
        ident = self.short.get(block[at:at + 4] + block[at + 8:at + 16])
        if ident is None or ident in self.closed:
            return
        epoch, number, code, summary = RESULT.unpack_from(block, at + 16 + 44)
        self.closed.add(ident)
        self.outcomes.setdefault((ident, summary & 3, code, f"{epoch}.{number}"), tail.epoch)

    def take_chains(self, tail, table):
        names, at = [], 2
        while at < len(table):
            names.append(table[at + 1:at + 1 + table[at]].decode())
            at += 1 + table[at]
        self.chains[tail] = names

    def stand(self, tail, kind, key, block, at):
        stage, attempt, _, cause, ack, _, count = STANDING.unpack_from(block, at)
        ident, attempt = self.ids[key], attempt_of(attempt)
        if stage == ENDED:
            self.outcomes.setdefault((ident, ack, cause, attempt), tail.epoch)
            self.end(key)
            return
        self.open[key] = (stage, ident)
        if kind == PRIMARY or stage == RECORDED:
            self.primary.setdefault((ident, attempt), tail.epoch)
        if stage in (DECIDED, RECORDED) and (ident, attempt) not in self.decided:
            at += STANDING.size + 6 * ((count + 7) // 8)
            # PRIMARY leaves the targets to the decision before it.
            self.decided[ident, attempt] = (
                {} if kind == PRIMARY else self.tokens(tail, block, at, count))

    def tokens(self, tail, block, at, count):
        tokens = {}
        for _ in range(count):
            chain, _, size = struct.unpack_from("<HBB", block, at)
            at += 4
            if size:
                tokens[self.chains[tail][chain]] = msgpack.unpackb(block[at:at + size])
            at += size
        return tokens

    def stages(self, applied):
        """How many open messages stand where; `applied`: ids that some chain has applied."""
        count = dict.fromkeys(STAGES, 0)
        for stage, ident in self.open.values():
            if stage == DECIDED:
                count["committed" if ident in applied else "decided"] += 1
            else:
                count[NAMES[stage]] += 1
        return count


STAGES = ("before decision", "decided", "committed", "recorded", "rolling back")
NAMES = {UNDECIDED: "before decision", BACKING_OFF: "before decision", RECORDED: "recorded",
         ROLLING_BACK: "rolling back"}


class Mark:
    """What a chain's journal has said of one message."""

    __slots__ = ("ident", "state", "attempt", "tombstone", "trail")

    def __init__(self, ident):
        self.ident = ident
        self.state = NONE
        self.attempt = 0
        self.tombstone = 0
        self.trail = []       # of what to look at when something is wrong


class Chain(Journal):
    """A chain's messages and assets, and what must never be between two records of them."""

    def __init__(self, path, name):
        super().__init__(path)
        self.name = name
        self.marks = {}       # key: Mark
        self.versions = {}    # asset: the last version
        self.applied = set()  # ids that are applied now
        self.applications = []  # (id, attempt), one for each time that COMMIT was carried out
        self.undone = 0
        self.wrong = []

    def take(self, tail, kind, block, at, size):
        if kind == MESSAGE:
            self.take_message(tail.epoch, block, at, at + size)
        elif kind == ASSET:
            count = block[at]
            version = IMAGE_OF_ASSET.unpack_from(block, at + 1 + count)[0]
            self.see_version(block[at + 1:at + 1 + count], version)
        elif kind == FORGOTTEN:
            self.marks.pop(bytes(block[at:at + 16]), None)

    def see_version(self, asset, version):
        """The version before; it only grows, over restarts too."""
        last = self.versions.get(asset, 0)
        if version < last:
            self.wrong.append(f"D05: {self.name}: {asset.decode()} went back from version {last} "
                              f"to {version}")
        self.versions[asset] = version
        return last

    def take_message(self, epoch, block, at, end):
        flags = block[at]
        version = last = can_undo = 0
        changer = None
        at += 3
        if flags & 2:
            count = block[at]
            image = IMAGE_OF_ASSET.unpack_from(block, at + 1 + count)
            version, changer, can_undo = image[0], image[2], image[7] & 2
            last = self.see_version(block[at + 1:at + 1 + count], version)
            at += 1 + count + IMAGE_OF_ASSET.size
        key, _, attempt, tombstone, _, _, state, kept, _, _ = PARTICIPANT.unpack_from(block, at)
        mark = self.marks.get(key)
        if mark is None:
            at += PARTICIPANT.size + TIME_BYTES
            at += TIME_BYTES if kept & HELD or state == RESERVING else 0
            at += RARE_BYTES if kept & RARE else 0
            mark = self.marks[key] = Mark(block[at + 1:at + 1 + block[at]].decode())
        if tombstone < mark.tombstone:
            self.wrong.append(f"P12: {self.name}: {mark.ident} had tombstone "
                              f"{attempt_of(mark.tombstone)}, then {attempt_of(tombstone)}")
        is_own = changer == key and version > last
        mark.trail.append((epoch, state, kept, attempt_of(attempt), attempt_of(tombstone), last,
                           version, changer == key, can_undo))
        self.move(mark, state, attempt, bool(is_own and can_undo))
        mark.state, mark.attempt, mark.tombstone = state, attempt, tombstone

    def move(self, mark, state, attempt, has_changed):
        if state == APPLIED and mark.state != APPLIED and mark.state != UNDOING:
            self.applications.append((mark.ident, attempt))
            self.applied.add(mark.ident)
            if not has_changed:
                self.wrong.append(f"D05: {self.name}: {mark.ident} is marked applied, but its "
                                  f"asset has not changed: {mark.trail}")
        elif has_changed:
            self.wrong.append(f"P10: {self.name}: {mark.ident} was applied twice: {mark.trail}")
        if state not in (APPLIED, UNDOING) and mark.state in (APPLIED, UNDOING):
            self.applied.discard(mark.ident)
            self.undone += 1
            if state != UNDONE:
                self.wrong.append(f"P10: {self.name}: {mark.ident} was applied, and is not any "
                                  "more")
