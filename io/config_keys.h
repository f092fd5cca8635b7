/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of the configuration file, once.
 *
 * These tables make the structs of io/config.h, the schema that the file is read
 * with, the defaults, the checks of ranges and the table of docs/config.md (a test
 * compares them).
 *
 * Numbers: member, key, unit, default, lowest, highest, what it is.
 * Texts: path, what is allowed, default ("" = required), what it is.
 */
#ifndef TRI_IO_CONFIG_KEYS_H
#define TRI_IO_CONFIG_KEYS_H

/* clang-format off */
#define TRI_CONFIG_ROOT_NUMBERS(X)                                                                 \
    X(shards, "shards", "threads", 0, 0, 64,                                                       \
      "shard threads; 0 = one for each CPU that the process may use, at most 64")                  \
    X(rollback_window_ms, "rollbackWindowMs", "ms", 60000, 8, 3600000,                             \
      "how long a rollback may take before it is ROLLBACK_INCOMPLETE (A07)")                       \
    X(clock_allowance_ms, "clockAllowanceMs", "ms", 5000, 0, 600000,                               \
      "how far ahead a timestamp may lie, and the margin of the COMMIT fence (R05, L04)")          \
    X(chain_share_permille, "chainSharePermille", "1/1000", 500, 1, 1000,                          \
      "the most of any pool that messages waiting for one chain may hold (R08)")                   \
    X(peer_share_permille, "peerSharePermille", "1/1000", 500, 1, 1000,                            \
      "the most of any pool that one identity may hold: messages open and remembered, "            \
      "connections, memory for frames on their way out (R08)")                                     \
    X(drain_ms, "drainMs", "ms", 10000, 0, 600000,                                                 \
      "how long open messages may go on after SIGTERM")

#define TRI_CONFIG_LISTEN_NUMBERS(X)                                                               \
    X(port, "port", "", 7411, 0, 65535,                                                            \
      "TCP port; 0 = any free one, which is printed")

#define TRI_CONFIG_TIMEOUTS_NUMBERS(X)                                                             \
    X(prepare_ms, "prepareMs", "ms", 5000, 1, 3600000,                                             \
      "PREPARE, for messages that ask for nothing else (P08)")                                     \
    X(commit_ms, "commitMs", "ms", 10000, 1, 3600000, "COMMIT, likewise")                          \
    X(finalize_ms, "finalizeMs", "ms", 5000, 1, 3600000, "FINALIZE, likewise")

#define TRI_CONFIG_MAXIMA_NUMBERS(X)                                                               \
    X(prepare_ms, "prepareMs", "ms", 60000, 1, 3600000,                                            \
      "the longest PREPARE that a message may ask for (H01)")                                      \
    X(commit_ms, "commitMs", "ms", 60000, 1, 3600000, "the longest COMMIT")                        \
    X(finalize_ms, "finalizeMs", "ms", 60000, 1, 3600000, "the longest FINALIZE")

#define TRI_CONFIG_LIMITS_NUMBERS(X)                                                               \
    X(handshake_ms, "handshakeMs", "ms", 5000, 100, 60000,                                         \
      "from a connection's begin to its WELCOME")                                                  \
    X(peer_timeout_ms, "peerTimeoutMs", "ms", 30000, 1000, 600000,                                 \
      "a peer that acknowledges no byte, or leaves a frame unfinished, for so long is closed")     \
    X(accepts_per_s, "acceptsPerSecond", "connections/s", 500, 1, 1000000,                         \
      "connections accepted by each shard; more wait, a second's worth may come at once")          \
    X(fruitless_per_s, "fruitlessPerSecond", "frames/s", 10000, 1, 1000000000,                     \
      "frames of one identity, for each shard, that begin nothing (refused, repeated, questions); " \
      "beyond, it is not read for a while")                                                        \
    X(turn_frames, "turnFrames", "frames", 128, 1, 1000000,                                        \
      "frames taken from one connection in a turn, before the others have theirs")

#define TRI_CONFIG_CAPACITIES_NUMBERS(X)                                                           \
    X(rounds, "rounds", "messages", 65536, 64, 16777216,                                           \
      "open messages, of all shards together")                                                     \
    X(dedup_entries, "dedupEntries", "messages", 1048576, 64, 67108864,                            \
      "open and remembered messages; at least `rounds` (R06)")                                     \
    X(envelopes, "envelopes", "envelopes", 1024, 0, 65536,                                         \
      "open and remembered envelopes; their deliveries are messages (F07)")                        \
    X(waiters, "waiters", "clients", 65536, 64, 67108864,                                          \
      "clients that wait for a result, summed over open messages (R01)")                           \
    X(bodies_416, "bodies416", "slots", 65536, 0, 16777216,                                        \
      "stored messages of up to 416 bytes, with 16 and 48 per target added")                       \
    X(bodies_1024, "bodies1024", "slots", 16384, 0, 16777216,                                      \
      "stored messages of up to 1,024 bytes")                                                      \
    X(bodies_4096, "bodies4096", "slots", 4096, 0, 16777216,                                       \
      "stored messages of up to 4,096 bytes")                                                      \
    X(bodies_16384, "bodies16384", "slots", 512, 0, 1048576,                                       \
      "stored messages of up to 16,384 bytes")                                                     \
    X(bodies_86016, "bodies86016", "slots", 128, 0, 1048576,                                       \
      "stored messages of up to 86,016 bytes, the longest")                                        \
    X(segment_bytes, "segmentBytes", "bytes", 67108864, 4194304, 1073741824,                       \
      "the size of a file of the journal, a multiple of 4096")                                     \
    X(checkpoint_bytes, "checkpointBytes", "bytes", 67108864, 1048576, 1099511627776,              \
      "a shard's journal begins a checkpoint when it has grown by so much, and by twice the last") \
    X(connections, "connections", "connections", 1024, 1, 65536,                                   \
      "connections of each shard; more are refused with TOO_MANY_CONNECTIONS")                     \
    X(handshakes, "handshakes", "connections", 128, 1, 16384,                                      \
      "connections of each shard before their WELCOME; a new one takes the place of the oldest; "  \
      "never more than half of recvBuffers")                                                       \
    X(recv_buffers, "recvBuffers", "buffers", 256, 16, 32768,                                      \
      "receive buffers of each shard, a power of two")                                             \
    X(recv_buffer_bytes, "recvBufferBytes", "bytes", 16384, 4096, 1048576,                         \
      "the size of a receive buffer")                                                              \
    X(partial_frame_bytes, "partialFrameBytes", "bytes", 67108864, 1048576, 17179869184,           \
      "memory for frames that have arrived in part, of all shards together")                       \
    X(send_bytes, "sendBytes", "bytes", 268435456, 4194304, 68719476736,                           \
      "memory for frames on their way out, of all shards together")                                \
    X(chain_send_bytes, "chainSendBytes", "bytes", 16777216, 262144, 1073741824,                   \
      "queued for one chain's connection at most; above half of it the chain gets no new frames")  \
    X(peer_send_bytes, "peerSendBytes", "bytes", 4194304, 262144, 1073741824,                      \
      "queued for one client at most; above half of it the client is not read, at the end closed")

#define TRI_CONFIG_RETRY_NUMBERS(X)                                                                \
    X(max_retries, "maxRetries", "attempts", 5, 0, 1000,                                           \
      "redeliveries after the first attempt (R03)")                                                \
    X(initial_backoff_ms, "initialBackoffMs", "ms", 1000, 1, 3600000,                              \
      "wait before the first redelivery; at most maxBackoffMs")                                    \
    X(max_backoff_ms, "maxBackoffMs", "ms", 60000, 1, 3600000,                                     \
      "the longest wait")                                                                          \
    X(multiplier_permille, "multiplierPermille", "1/1000", 2000, 1000, 10000,                      \
      "growth of the wait with each redelivery")                                                   \
    X(jitter_permille, "jitterPermille", "1/1000", 200, 0, 1000,                                   \
      "the share of the wait that varies from message to message")                                 \
    X(lock_ttl_ms, "lockTtlMs", "ms", 0, 0, 4294967295,                                            \
      "life of a reservation; 0 = made for each message from its TTL, retries and timeouts (L01)") \
    X(dedup_window_ms, "dedupWindowMs", "ms", 900000, 1000, 4294967295,                            \
      "how long an ended message is remembered; longer if its locks may live longer (R06)")

#define TRI_CONFIG_FINALITY_NUMBERS(X)                                                             \
    X(gap_s, "gapSeconds", "s", 300, 1, 4294967,                                                   \
      "lag of the settlement that flags a gap (F04)")                                              \
    X(redeliveries_per_s, "redeliveriesPerSecond", "messages/s", 10, 1, 10000,                     \
      "messages driven forward again while there is a gap, for each chain")                        \
    X(redeliveries_max, "redeliveries", "times", 5, 1, 20,                                         \
      "how often one message is driven forward again before reconciliation or an alarm")           \
    X(redelivery_pause_s, "redeliveryPauseSeconds", "s", 60, 1, 86400,                             \
      "wait before a message is driven forward again; doubles each time")

#define TRI_CONFIG_LOCATIONS_NUMBERS(X)                                                            \
    X(version, "version", "", 1, 1, 4294967295,                                                    \
      "version of the location map, shown in every status (H02)")

#define TRI_CONFIG_TEXTS(X)                                                                        \
    X("listen.address", "a numeric IPv4 or IPv6 address", "127.0.0.1",                             \
      "where to listen; beyond loopback every identity must have a secret")                        \
    X("dataDir", "a path; its parent must exist", "",                                              \
      "directory of the epoch, the hash secret, the key of finality records and the lock")                                      \
    X("journal", "`file` or `none`", "file",                                                       \
      "`file`: records are kept in dataDir/journal, finality records in dataDir/finality; "        \
      "`none`: a crash forgets open messages")                                                     \
    X("log.level", "`error`, `warn`, `info` or `debug`", "info",                                   \
      "lines above this level are not written")                                                    \
    X("chains[].id", "a CAIP-2 id, unique; 1 to 1,024 chains", "",                                 \
      "a chain of the deployment")                                                                 \
    X("chains[].secret", "16 to 128 bytes", "none",                                                \
      "what the chain's adapter proves itself with")                                               \
    X("clients[].name", "1 to 64 bytes, unique", "",                                               \
      "who may submit messages")                                                                   \
    X("clients[].secret", "16 to 128 bytes", "none",                                               \
      "what the client proves itself with")                                                        \
    X("operators[].name", "1 to 64 bytes, unique", "",                                             \
      "who may submit, watch and read counters")                                                   \
    X("operators[].secret", "16 to 128 bytes", "none",                                             \
      "what the operator proves itself with")                                                      \
    X("settlements[].name", "1 to 64 bytes, unique", "",                                           \
      "who reports secondary finality (F03); without any the pending sync queue is off")           \
    X("settlements[].secret", "16 to 128 bytes", "none",                                           \
      "what the settlement proves itself with")                                                    \
    X("locations.entries[].asset", "1 to 128 bytes, unique; a `*` at its end is any rest", "",     \
      "an asset, or a family of assets")                                                           \
    X("locations.entries[].chains", "1 to 64 of the ids above", "",                                \
      "the chains on which it lives (A04)")                                                        \
    X("retries[].type", "a message type, e.g. `STATE_SYNC`", "",                                   \
      "the messages that this policy is for")                                                      \
    X("retries[].subtype", "`NONE` or `EXECUTE`", "NONE",                                          \
      "likewise; EXECUTE belongs to GOVERNANCE")
/* clang-format on */

#endif
