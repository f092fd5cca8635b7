/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the pending queue share: what is kept of a record (pending_set.c),
 * opening (pending_open.c), notes of records (pending_notes.c), reading records (pending_read.c),
 * driving messages (pending_drive.c), the hold (pending_hold.c) and all else (pending.c).
 */
#ifndef TRI_IO_PENDING_INTERNAL_H
#define TRI_IO_PENDING_INTERNAL_H

#include "io/archive_manifest.h"
#include "io/archive_record.h"
#include "io/pending.h"

/* Messages that are driven at a time.  A record goes in as a whole or not at all. */
#define PENDING_DRIVEN_MAX   16384U
#define PENDING_WORD_BITS    64U
#define PENDING_CHAINS_ROOM  2048U /* a power of two */
#define PENDING_CHAINS_MAX   1536U
#define PENDING_CHAIN_NONE   UINT16_MAX
#define PENDING_BUFFER_BYTES (TRI_ARCHIVE_FRAME_BYTES + TRI_ARCHIVE_RECORD_BYTES_MAX)
#define PENDING_STRIDE       128U /* records from one known place of a file to the next */

static_assert(PENDING_DRIVEN_MAX >= 2U * TRI_FINALITY_MESSAGES_MAX, "a record always finds room");

/* Who walks through the records; each has a place of its own in each stream. */
enum pending_walker {
    PENDING_WALKER_SETTLE,
    PENDING_WALKER_LIST,
    PENDING_WALKER_DRIVE,
    PENDING_WALKER_OLDEST,
    PENDING_WALKER_COUNT,
};

/* Where a record stands. */
struct pending_mark {
    uint64_t oss_epoch; /* 0 = not known */
    uint64_t first;     /* of its file */
    uint64_t offset;
    uint64_t bytes; /* with its length; 0 = not known */
};

/* A file of a stream, and where in it every PENDING_STRIDE-th record behind its first one begins,
 * as far as somebody was there; the last of them may be its end. */
struct pending_index {
    uint64_t first;
    uint32_t count;
    uint32_t room;
    uint64_t *offsets; /* owned */
};

/* 64 records: a bit each. */
struct pending_word {
    uint64_t final;
    uint64_t forced; /* has an entry that was forced; see tri_pending_is_unknown */
    uint64_t driven; /* its messages are driven, or will not be (again) */
};

struct pending_stream {
    uint32_t epoch;
    uint32_t shard;
    uint64_t last;         /* ossEpoch of its last record */
    uint64_t written;      /* those up to it are in their files */
    uint64_t opened;       /* those up to it were there at the opening */
    uint64_t learned;      /* of those, the ones up to it were looked at for what was forced */
    uint64_t cursor;       /* those up to it are secondary-final */
    uint64_t final_beyond; /* how many behind it are */
    uint64_t base;         /* record base + 1 has the first bit; a multiple of 64, at most cursor */
    uint32_t word_count;   /* behind them all bits are 0 */
    uint32_t word_room;
    struct pending_word *words; /* owned */
    uint64_t drive_from;        /* those before are driven, final or held */
    uint64_t drive_of;          /* the record whose issuedAt drive_ms is; 0 = none */
    uint64_t drive_ms;
    uint64_t oldest_of; /* likewise, of the oldest one */
    uint64_t oldest_ms;
    uint32_t file_count;
    uint32_t file_room;
    struct pending_index *files; /* in order, as far as they are known; owned */
    struct pending_mark marks[PENDING_WALKER_COUNT];
};

/* The ids that were handed over of one record: halves of their SHA-256, ascending. */
struct pending_handed {
    uint32_t count;
    uint32_t room;
    struct tri_hash at[];
};

/* What is noted of one record. */
struct pending_note {
    uint64_t stream;               /* epoch, then 32 bits of shard */
    uint64_t oss_epoch;            /* 0 = a free slot */
    struct pending_handed *handed; /* NULL: none; owned */
    bool is_contested;             /* the last report was of another root */
};

/* Open addressing, at most three quarters full; where a record begins to look depends on a random
 * number, so no settlement can choose records that crowd. */
struct pending_notes {
    uint64_t room; /* a power of two, or 0 */
    uint64_t count;
    uint64_t random;
    struct pending_note *at; /* owned */
};

/* A message that is being driven. */
struct pending_driven {
    struct pending_stream *stream; /* NULL: done with */
    uint64_t oss_epoch;
    uint64_t first; /* of the file */
    uint64_t offset;
    uint64_t due_ms;
    uint64_t issued_at_ms;
    uint32_t bytes; /* of its entry */
    uint16_t index;
    uint16_t blocked; /* the chain that had nothing left for it, or PENDING_CHAIN_NONE */
    uint8_t count;    /* redeliveries that have ended */
    bool is_under_way;
};

/* A bucket: a redelivery takes 1000, and redeliveries_per_s are added in each millisecond. */
struct pending_chain {
    char id[TRI_CHAIN_ID_BYTES_MAX];
    uint8_t id_bytes; /* 0 = a free slot */
    uint64_t level;
    uint64_t at_ms; /* when it had this level */
};

/* A file that is open, for one walker. */
struct pending_file {
    int file; /* -1 = none */
    const struct pending_stream *stream;
    uint64_t first;
};

struct tri_pending {
    struct tri_pending_options options;
    char *path;
    int directory;
    struct tri_secondary *secondary;
    char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
    uint32_t stream_count;
    uint32_t stream_room;
    struct pending_stream **streams; /* by epoch and shard; they never move */
    uint32_t stream_first;           /* those before it have nothing pending */
    struct pending_notes notes;
    struct pending_file files[PENDING_WALKER_COUNT];
    void (*alarm)(void *context, const struct tri_pending_alarm *alarm); /* or NULL */
    void *alarm_context;
    bool is_up;        /* the sequencer */
    uint64_t before;   /* records that are not in the queue */
    uint64_t records;  /* pending */
    uint64_t messages; /* in them; those handed over included */
    uint64_t held;
    uint64_t handed;    /* messages */
    uint64_t contested; /* records */
    uint64_t lag_s;
    uint64_t settled;
    uint64_t differences;
    uint64_t redeliveries;
    uint64_t failures;
    uint64_t alarms;

    uint8_t *buffer; /* the record that was read last */
    uint32_t driven_count;
    uint32_t driven_gone;          /* of them, done with */
    struct pending_driven *driven; /* oldest first */
    uint32_t chain_count;
    struct pending_chain *chains; /* by hash */
};

/* ---- pending_set.c ---- */

/* Where the stream stands in the list, or belongs. */
uint32_t tri_pending_place(const struct tri_pending *pending, uint32_t epoch, uint32_t shard);

/* The stream, or NULL. */
struct pending_stream *tri_pending_find(const struct tri_pending *pending, uint32_t epoch,
                                        uint32_t shard);
/* The same, made if it is not there; NULL: no memory. */
struct pending_stream *tri_pending_stream(struct tri_pending *pending, uint32_t epoch,
                                          uint32_t shard);
/* Has bits up to a record behind the base; false: no memory. */
bool tri_pending_grow(struct pending_stream *stream, uint64_t oss_epoch);
/* Notes that a record is one of forced messages; false: no memory. */
bool tri_pending_note_forced(struct pending_stream *stream, uint64_t oss_epoch);
/* The word of a record and its bit; NULL: all its bits are 0. */
struct pending_word *tri_pending_word(const struct pending_stream *stream, uint64_t oss_epoch,
                                      uint64_t *bit);
bool tri_pending_is_final(const struct pending_stream *stream, uint64_t oss_epoch);
bool tri_pending_is_held(const struct tri_pending *pending, const struct pending_stream *stream,
                         uint64_t oss_epoch);
/* The first record from `from` on that is written, pending and not held, and not driven either if
 * `is_undriven`; 0 = none. */
uint64_t tri_pending_first(const struct tri_pending *pending, const struct pending_stream *stream,
                           uint64_t from, bool is_undriven);
/* Marks a record that has room as final; its word exists. */
void tri_pending_finish(struct tri_pending *pending, struct pending_stream *stream,
                        uint64_t oss_epoch);

uint64_t tri_pending_key(const struct pending_stream *stream);
/* Whether it is not known if a pending record has an entry that was forced. */
bool tri_pending_is_unknown(const struct pending_stream *stream, uint64_t oss_epoch);
/* How many records from `from` to `to` are final. */
uint64_t tri_pending_final_count(const struct pending_stream *stream, uint64_t from, uint64_t to);

/* ---- pending_notes.c ---- */

/* What is noted of a record, NULL: nothing; valid until the next _make or _tidy. */
struct pending_note *tri_pending_notes_find(const struct pending_notes *notes, uint64_t stream,
                                            uint64_t oss_epoch);
/* The same, made if it is not there; NULL: no memory. */
struct pending_note *tri_pending_notes_make(struct pending_notes *notes, uint64_t stream,
                                            uint64_t oss_epoch);
/* Forgets the note if it says nothing. */
void tri_pending_notes_tidy(struct pending_notes *notes, struct pending_note *note);
void tri_pending_notes_free(struct pending_notes *notes);
struct tri_hash tri_pending_id_hash(struct tri_text id);
bool tri_pending_note_has(const struct pending_note *note, const struct tri_hash *id);
/* Has room for one more id; false: no memory. */
bool tri_pending_note_grow(struct pending_note *note);
/* There is room, and the id is not there. */
void tri_pending_note_hand(struct pending_note *note, const struct tri_hash *id);
uint32_t tri_pending_note_handed(const struct pending_note *note);
/* Forgets what is noted of a record that is settled: it is contested no more, nor is a message of
 * it in reconciliation.  Accepts NULL. */
void tri_pending_notes_settled(struct tri_pending *pending, struct pending_note *note);

/* ---- pending.c ---- */

/* Notes a fact; returns 0 or -errno. */
int tri_pending_note(struct tri_pending *pending, const struct tri_secondary_fact *fact);
/* issuedAt of the oldest record that is pending and not held, 0 = none; returns 0 or -errno. */
int tri_pending_oldest(struct tri_pending *pending, uint64_t *oldest_ms);
/* Whether a gap is flagged, with the oldest known; *again_ms, if it is not: when it will be. */
bool tri_pending_is_gap(const struct tri_pending *pending, uint64_t oldest_ms, uint64_t now_ms,
                        uint64_t *again_ms);

/* Says that there is no memory; returns -ENOMEM. */
int tri_pending_memory(struct tri_pending *pending);

/* ---- pending_hold.c ---- */

/* Counts what is held now. */
void tri_pending_hold(struct tri_pending *pending);

/* ---- pending_read.c ---- */

/* Notes that a record begins there, or would; false: no memory. */
bool tri_pending_index(struct pending_stream *stream, uint64_t first, uint64_t oss_epoch,
                       uint64_t offset);

/* ---- pending_read.c: all return 0 or -errno with the trouble said ---- */

/* Writes "PATH/FILE: offset N: ..." into the trouble; returns `failed`. */
int tri_pending_say(struct tri_pending *pending, const struct pending_stream *stream,
                    uint64_t first, uint64_t offset, int failed, const char *what);
/* Reads the header and the signature of a record that is in its file; borrowed until the next
 * read. */
int tri_pending_peek(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     enum pending_walker walker, struct tri_archive_record *record);
/* Reads all of it; stream->marks[walker] tells where it stands. */
int tri_pending_read(struct tri_pending *pending, struct pending_stream *stream, uint64_t oss_epoch,
                     enum pending_walker walker, struct tri_archive_record *record);
/* Reads one entry by its place. */
int tri_pending_entry(struct tri_pending *pending, const struct pending_driven *driven,
                      struct tri_archive_entry *entry);
/* Finds the last record of a stream that is not closed: stream->last; torn tails do not count. */
int tri_pending_find_last(struct tri_pending *pending, struct pending_stream *stream);
/* Counts the messages of the pending records from the cursor on. */
int tri_pending_count(struct tri_pending *pending, struct pending_stream *stream,
                      uint64_t *messages);

#endif
