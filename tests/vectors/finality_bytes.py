# SPDX-License-Identifier: Apache-2.0
"""The bytes of finality by docs/finality.md alone: leaf, tree, header, record, proof.

Not a program: check_finality.py verifies with it, make_finality.py writes.
Nothing of the C code is used.
"""

import datetime
import hashlib
import json
import re
import struct

import msgpack
import nacl.exceptions
import nacl.signing

RECORD_BYTES_MIN, RECORD_BYTES_MAX = 170, 4 << 20
LEAF_BYTES_MAX, CONTENT_BYTES_MAX = 5632, 81920
MESSAGES_MAX = 4096
CHAINS_MAX = 1024
FORMAT = "tricast-finality-1"
CHAIN = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}")
STREAM = re.compile(r"([1-9][0-9]{0,9})-(0|[1-9][0-9]?)")


class Bad(Exception):
    """A sentence."""


def need(holds, sentence):
    if not holds:
        raise Bad(sentence)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def unpack(data, what):
    """The value, if `data` is its one encoding."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception as error:
        raise Bad(f"{what} is no msgpack value") from error
    need(pack(value) == data, f"{what} is not in its shortest form")
    return value


def signed(key, data, signature):
    try:
        nacl.signing.VerifyKey(key).verify(data, signature)
        return True
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False


def is_uint(value, low, high):
    return type(value) is int and low <= value <= high  # pylint: disable=unidiomatic-typecheck


def is_bin(value, count):
    return isinstance(value, bytes) and len(value) == count


def is_run(value, count_max):
    return isinstance(value, bytes) and 1 <= len(value) <= count_max


def is_array(value, count):
    return isinstance(value, list) and len(value) == count


def is_chain(value):
    return isinstance(value, str) and CHAIN.fullmatch(value) is not None


def is_stream(text):
    match = STREAM.fullmatch(text)
    return match is not None and int(match[1]) < 1 << 32 and int(match[2]) < 64


def stamp(unix_ms):
    """ISO 8601 in UTC; what is later than the year 9999 is shown as the beginning of its last day."""
    seconds, rest = divmod(unix_ms, 1000)
    days, seconds = divmod(seconds, 86400)
    if days > 2932896:
        days, seconds = 2932896, 0
    when = datetime.datetime(1970, 1, 1) + datetime.timedelta(days=days, seconds=seconds)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{rest:03}Z".rjust(24, "0")


# ---- leaf, tree, header ----


def read_leaf(data):
    leaf = unpack(data, "a leaf")
    need(is_array(leaf, 7), "a leaf is no array of 7")
    message, content, attempt, issued, chains, applied, forced = leaf
    need(isinstance(message, str) and 1 <= len(message.encode()) <= 64, "a leaf's id")
    need(is_bin(content, 16), "a leaf's content hash")
    need(is_array(attempt, 2) and all(is_uint(n, 1, (1 << 32) - 1) for n in attempt),
         "a leaf's attempt")
    need(is_uint(issued, 0, (1 << 64) - 1), "a leaf's time")
    need(isinstance(chains, list) and 1 <= len(chains) <= 64 and all(map(is_chain, chains))
         and len(set(chains)) == len(chains), "a leaf's participatingChains")
    if applied is not None:
        need(isinstance(applied, list) and 0 < len(applied) < len(chains)
             and all(isinstance(name, str) for name in applied)
             and applied == [name for name in chains if name in applied],
             "a leaf's appliedChains")
    need(isinstance(forced, bool), "a leaf's mark of the forced path")
    return {"originalMessageId": message, "contentHash": content.hex(),
            "attempt": {"epoch": attempt[0], "n": attempt[1]}, "issuedAt": stamp(issued), "participatingChains": chains,
            "appliedChains": chains if applied is None else applied, "forced": forced}, issued


def leaf_hash(data):
    return sha256(b"\0", data)


def tree_root(hashes):
    """RFC 9162, 2.1.1."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1", tree_root(hashes[:split]), tree_root(hashes[split:]))


def tree_path(hashes, index):
    """RFC 9162, 2.1.3.1."""
    if len(hashes) == 1:
        return []
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if index < split:
        return tree_path(hashes[:split], index) + [tree_root(hashes[split:])]
    return tree_path(hashes[split:], index - split) + [tree_root(hashes[:split])]


def tree_holds(leaf, index, count, path, root):
    """RFC 9162, 2.1.3.2."""
    if index >= count:
        return False
    first, last, found = index, count - 1, leaf
    for sister in path:
        if last == 0:
            return False
        if first & 1 or first == last:
            found = sha256(b"\1", sister, found)
            while first and not first & 1:
                first >>= 1
                last >>= 1
        else:
            found = sha256(b"\1", found, sister)
        first >>= 1
        last >>= 1
    return last == 0 and found == root


def read_header(data):
    need(len(data) <= 45056, "the header is longer than 45056 bytes")
    header = unpack(data, "the header")
    need(is_array(header, 11), "the header is no array of 11")
    form, archive, stream, epoch, previous, issued, root, proof, chains, count, key = header
    need(form == FORMAT, "the header's format")
    need(is_bin(archive, 16), "the header's archive")
    need(isinstance(stream, str) and is_stream(stream), "the header's stream")
    need(is_uint(epoch, 1, (1 << 64) - 1), "the header's ossEpoch")
    need(is_bin(previous, 32) and is_bin(root, 32), "the header's hashes")
    need(is_uint(issued, 0, (1 << 64) - 1), "the header's time")
    need(proof is None or is_bin(proof, 32), "the header's gkrProofHash")
    need(isinstance(chains, list) and 1 <= len(chains) <= CHAINS_MAX
         and all(map(is_chain, chains)), "the header's participatingChains")
    need(all(a < b for a, b in zip(chains, chains[1:])), "the header's chains are in no order")
    need(is_uint(count, 1, MESSAGES_MAX), "the header's messageCount")
    need(is_bin(key, 32), "the header's publicKey")
    return {"archive": archive, "stream": stream, "ossEpoch": epoch, "previous": previous,
            "issued": issued, "root": root, "proof": proof, "chains": chains, "count": count,
            "key": key, "hash": sha256(data)}


def header_view(header):
    return {"ossStateRoot": "0x" + header["root"].hex(),
            "gkrProofHash": "0x" + header["proof"].hex() if header["proof"] else None,
            "issuedAt": stamp(header["issued"]), "ossEpoch": header["ossEpoch"],
            "participatingChains": header["chains"], "stream": header["stream"],
            "archiveId": header["archive"].hex(), "previousRecordHash": header["previous"].hex(),
            "recordHash": header["hash"].hex(), "publicKey": header["key"].hex(),
            "messageCount": header["count"]}


# ---- a record ----


def shape(data):
    """How many bytes the record's body takes that `data` begins with; 0: it is cut off; -1: it is
    none."""
    at = 0

    def bin_at(at):
        heads = {0xc4: ">B", 0xc5: ">H", 0xc6: ">I"}
        if at >= len(data):
            return 0
        if data[at] not in heads:
            return -1
        form = heads[data[at]]
        end = at + 1 + struct.calcsize(form)
        if end > len(data):
            return 0
        return end + struct.unpack_from(form, data, at + 1)[0]

    def count_at(at):
        if at >= len(data):
            return 0, 0
        if 0x90 < data[at] <= 0x9f:
            return at + 1, data[at] & 15
        if data[at] != 0xdc:
            return -1, 0
        return (0, 0) if at + 3 > len(data) else (at + 3, struct.unpack_from(">H", data, at + 1)[0])

    if not data:
        return 0
    if data[0] != 0x93:
        return -1
    at = bin_at(1)
    at = bin_at(at) if at > 0 else at
    if at <= 0:
        return at
    at, count = count_at(at)
    for _ in range(count if at > 0 else 0):
        if at >= len(data):
            return 0
        if data[at] != 0x92:
            return -1
        at = bin_at(at + 1)
        if at <= 0:
            return at
        if at < len(data) and data[at] == 0xc0:
            at += 1
        else:
            at = bin_at(at)
            if at <= 0:
                return at
    return 0 if at > len(data) else at


def read_body(body):
    """[header, signature, messages]; the header is taken apart."""
    record = unpack(body, "the record")
    need(is_array(record, 3) and isinstance(record[0], bytes) and is_bin(record[1], 64)
         and isinstance(record[2], list), "the record is no array of header, signature, messages")
    for message in record[2]:
        need(is_array(message, 2) and is_run(message[0], LEAF_BYTES_MAX)
             and (message[1] is None or is_run(message[1], CONTENT_BYTES_MAX)),
             "a message is no array of leaf, content")
    header = read_header(record[0])
    need(header["count"] == len(record[2]), "the header counts other messages than there are")
    return record, header


def record_faults(record, header):
    """What is wrong with the record alone, and its leaves' views."""
    leaves, issued, chains, faults = [], 0, set(), []
    if not signed(header["key"], record[0], record[1]):
        faults.append("the signature is not the key's")
    for data, content in record[2]:
        try:
            leaf, at = read_leaf(data)
        except Bad as bad:
            faults.append(str(bad))
            continue
        leaves.append(leaf)
        issued = max(issued, at)
        chains.update(leaf["participatingChains"])
        if content is not None and sha256(content)[:16].hex() != leaf["contentHash"]:
            faults.append(f"the content of {leaf['originalMessageId']} is another")
    if tree_root([leaf_hash(message[0]) for message in record[2]]) != header["root"]:
        faults.append("the messages do not give the ossStateRoot")
    if len(leaves) == len(record[2]):
        if issued != header["issued"]:
            faults.append("issuedAt is not that of its latest message")
        if sorted(chains, key=str.encode) != header["chains"]:
            faults.append("participatingChains are not those of its messages")
    return faults, leaves


def record_view(record, header, leaves, place=lambda ident: "PENDING"):
    """As `tricast finality show` prints it; place(id) says where a message is, place(None) the
    record."""
    view = header_view(header)
    del view["messageCount"]
    return {**view, "appliedMessageIds": [leaf["originalMessageId"] for leaf in leaves],
            "signature": record[1].hex(),
            "messages": [{**leaf, "place": place(leaf["originalMessageId"])} for leaf in leaves],
            "place": place(None)}


# ---- proofs ----

PROOF_KEYS = {"format", "originalMessageId", "leaf", "leafIndex", "auditPath", "header",
              "signature", "content", "record"}


def unhex(value, what):
    need(isinstance(value, str) and re.fullmatch("([0-9a-f]{2})*", value), f"{what} is no hex")
    return bytes.fromhex(value)


def proof_of(record, header, leaves, index):
    hashes = [leaf_hash(message[0]) for message in record[2]]
    leaf, content = record[2][index]
    return {"format": "tricast-proof-1", "originalMessageId": leaves[index]["originalMessageId"],
            "leaf": leaf.hex(), "leafIndex": index,
            "auditPath": [digest.hex() for digest in tree_path(hashes, index)],
            "header": record[0].hex(), "signature": record[1].hex(),
            "content": None if content is None else content.hex(), "record": header_view(header)}


def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "a name stands twice")
    return dict(pairs)


def read_proof(text, trusted=()):
    """Returns the header, or raises Bad."""
    try:
        proof = json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise Bad("it is no JSON") from error
    need(isinstance(proof, dict) and set(proof) == PROOF_KEYS, "it has other names than a proof")
    need(proof["format"] == "tricast-proof-1", "its format is another")
    data = unhex(proof["leaf"], "leaf")
    head = unhex(proof["header"], "header")
    signature = unhex(proof["signature"], "signature")
    leaf, issued = read_leaf(data)
    header = read_header(head)
    index, path = proof["leafIndex"], proof["auditPath"]
    need(is_uint(index, 0, header["count"] - 1), "leafIndex is not below the message count")
    need(isinstance(path, list) and len(path) <= 12, "auditPath is no list of at most 12")
    path = [unhex(digest, "auditPath") for digest in path]
    need(all(len(digest) == 32 for digest in path), "auditPath has other hashes than SHA-256")
    need(len(signature) == 64 and signed(header["key"], head, signature),
         "the signature is not the key's")
    need(tree_holds(leaf_hash(data), index, header["count"], path, header["root"]),
         "the path does not lead to the ossStateRoot")
    need(issued <= header["issued"] and set(leaf["participatingChains"]) <= set(header["chains"]),
         "leaf and header contradict each other")
    need(header["ossEpoch"] < 1 << 63, "ossEpoch is beyond what a view can hold")
    if proof["content"] is not None:
        need(sha256(unhex(proof["content"], "content"))[:16].hex() == leaf["contentHash"],
             "the content is another")
    need(proof["originalMessageId"] == leaf["originalMessageId"], "originalMessageId is another")
    need(json.dumps(proof["record"], sort_keys=True)
         == json.dumps(header_view(header), sort_keys=True), "the record's fields are others")
    need(not trusted or header["key"].hex() in trusted, "its key is not trusted")
    return header
