/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the readers share and do not need inline: the note of a fault, the way
 * past values of no interest, and the rules for text.
 */
#include "engine/wire_cursor.h"

void tri_cursor_note(struct tri_wire_fault *fault, const uint8_t *body, const uint8_t *at,
                     enum tri_error code, const char *field)
{
    assert(at >= body);
    assert(code != TRI_ERROR_NONE);
    fault->code = code;
    fault->at = (uint32_t)(at - body);
    fault->field = field;
}

enum tri_error tri_cursor_uint_fault(const uint8_t *at, const uint8_t *end)
{
    bool is_whole = tri_cursor_skip(at, end, 1, 1) != NULL;

    if (is_whole && (at[0] >= 0xe0 || (at[0] >= 0xd0 && at[0] <= 0xd3))) {
        return TRI_ERROR_FIELD_OUT_OF_RANGE;
    }
    return TRI_ERROR_MALFORMED_FRAME;
}

/* The head of one value: bytes of the head, bytes of the data behind it, and the elements within.
 */
struct head {
    uint32_t bytes;
    uint64_t data;
    uint64_t elements;
    bool is_container;
};

/* Lengths and counts in 1, 2 or 4 bytes: the value, or false if it would fit into a shorter form.
 * `floor` is the largest value of the shorter form. */
static bool head_size(const uint8_t *at, uint32_t left, uint32_t width, uint32_t floor,
                      uint64_t *value)
{
    uint32_t found;

    if (left < 1 + width) {
        return false;
    }
    found = width == 1 ? at[1] : width == 2 ? tri_load16(at + 1) : tri_load32(at + 1);
    *value = found;
    return width == 1 && floor == 0 ? true : found > floor;
}

/* Numbers: 0xca..0xd3.  A float has one form per width; integers take the shortest. */
static bool head_number(const uint8_t *at, uint32_t left, struct head *head)
{
    static const uint8_t widths[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* ca .. d3 */
    uint32_t width = widths[at[0] - 0xca];

    if (left < 1 + width) {
        return false;
    }
    head->bytes = 1 + width;
    switch (at[0]) {
    case 0xcc:
        return at[1] >= 0x80;
    case 0xcd:
        return tri_load16(at + 1) > UINT8_MAX;
    case 0xce:
        return tri_load32(at + 1) > UINT16_MAX;
    case 0xcf:
        return tri_load64(at + 1) > UINT32_MAX;
    case 0xd0:
        return (int8_t)at[1] < -32;
    case 0xd1:
        return (int16_t)tri_load16(at + 1) < INT8_MIN;
    case 0xd2:
        return (int32_t)tri_load32(at + 1) < INT16_MIN;
    case 0xd3:
        return (int64_t)tri_load64(at + 1) < INT32_MIN;
    default: /* float 32 and 64 */
        return true;
    }
}

/* Strings, binaries, extensions, arrays and maps with their length behind the type byte. */
static bool head_sized(const uint8_t *at, uint32_t left, struct head *head)
{
    static const struct {
        uint8_t width;
        uint8_t tag; /* bytes of an extension's type */
        uint16_t floor;
        uint8_t elements; /* values per element of a container */
    } forms[] = {
        [0xc4 - 0xc4] = {1, 0, 0, 0},          [0xc5 - 0xc4] = {2, 0, UINT8_MAX, 0},
        [0xc6 - 0xc4] = {4, 0, UINT16_MAX, 0}, [0xc7 - 0xc4] = {1, 1, 0, 0},
        [0xc8 - 0xc4] = {2, 1, UINT8_MAX, 0},  [0xc9 - 0xc4] = {4, 1, UINT16_MAX, 0},
        [0xd9 - 0xc4] = {1, 0, 31, 0},         [0xda - 0xc4] = {2, 0, UINT8_MAX, 0},
        [0xdb - 0xc4] = {4, 0, UINT16_MAX, 0}, [0xdc - 0xc4] = {2, 0, 15, 1},
        [0xdd - 0xc4] = {4, 0, UINT16_MAX, 1}, [0xde - 0xc4] = {2, 0, 15, 2},
        [0xdf - 0xc4] = {4, 0, UINT16_MAX, 2},
    };
    uint32_t form = at[0] - 0xc4U;
    uint64_t value;

    if (!head_size(at, left, forms[form].width, forms[form].floor, &value)) {
        return false;
    }
    head->bytes = 1U + forms[form].width + forms[form].tag;
    head->is_container = forms[form].elements != 0;
    head->elements = value * forms[form].elements;
    head->data = head->is_container ? 0 : value;
    /* 1, 2, 4, 8 and 16 bytes of extension have forms of their own. */
    return at[0] != 0xc7 || !(value == 1 || value == 2 || value == 4 || value == 8 || value == 16);
}

/* Reads one head; false if it is cut off, longer than needed, or 0xc1, which nothing uses. */
static bool head_read(const uint8_t *at, uint32_t left, struct head *head)
{
    uint8_t first = at[0];

    *head = (struct head){.bytes = 1};
    if (first < 0x80 || first >= 0xe0 || first == 0xc0 || first == 0xc2 || first == 0xc3) {
        return true;
    }
    if (first < 0xa0) { /* fixmap, fixarray */
        head->is_container = true;
        head->elements = (uint64_t)(first & 0x0f) << (first < 0x90 ? 1 : 0);
        return true;
    }
    if (first < 0xc0) {
        head->data = first & 0x1f;
        return true;
    }
    if (first == 0xc1) {
        return false;
    }
    if (first >= 0xca && first <= 0xd3) {
        return head_number(at, left, head);
    }
    if (first >= 0xd4 && first <= 0xd8) { /* fixext: type and 1, 2, 4, 8 or 16 bytes */
        head->data = 1 + (UINT64_C(1) << (first - 0xd4));
        return true;
    }
    return head_sized(at, left, head);
}

const uint8_t *tri_cursor_skip(const uint8_t *at, const uint8_t *end, uint32_t count,
                               uint32_t depth)
{
    uint32_t pending[TRI_WIRE_DEPTH_MAX];
    uint32_t level = depth;
    struct head head;

    assert(at <= end);
    assert(depth >= 1 && depth <= TRI_WIRE_DEPTH_MAX);
    for (;;) {
        while (count == 0) {
            if (level == depth) {
                return at;
            }
            level--;
            count = pending[level];
        }
        if (at == end || !head_read(at, (uint32_t)(end - at), &head) ||
            head.bytes + head.data + head.elements > (uint64_t)(end - at)) {
            return NULL;
        }
        at += head.bytes + head.data;
        count--;
        if (head.is_container) {
            if (level == TRI_WIRE_DEPTH_MAX) {
                return NULL;
            }
            pending[level] = count;
            level++;
            count = (uint32_t)head.elements;
        }
    }
}

/* Bytes of the sequence that begins at `at`, 0 if it is not well-formed. */
static uint32_t utf8_sequence(const uint8_t *at, uint32_t left)
{
    uint32_t bytes = at[0] < 0x80   ? 1
                     : at[0] < 0xc2 ? 0
                     : at[0] < 0xe0 ? 2
                     : at[0] < 0xf0 ? 3
                     : at[0] < 0xf5 ? 4
                                    : 0;
    uint32_t i;

    if (bytes == 0 || bytes > left) {
        return 0;
    }
    for (i = 1; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates, and beyond U+10FFFF show in the second byte. */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return bytes;
}

bool tri_utf8_check(const uint8_t *at, uint32_t bytes)
{
    uint32_t i = 0;

    while (i < bytes) {
        uint32_t sequence = utf8_sequence(at + i, bytes - i);

        if (sequence == 0) {
            return false;
        }
        i += sequence;
    }
    return true;
}

bool tri_text_is_utf8(struct tri_text text)
{
    return tri_utf8_check((const uint8_t *)text.at, text.bytes);
}

/* CAIP-2 characters: bit 0 in a namespace, bit 1 in a reference. */
#define DIGITS(n) [(n)] = 3, [(n) + 1] = 3, [(n) + 2] = 3, [(n) + 3] = 3, [(n) + 4] = 3
#define LETTERS(n, v)                                                                    \
    [(n)] = (v), [(n) + 1] = (v), [(n) + 2] = (v), [(n) + 3] = (v), [(n) + 4] = (v),     \
    [(n) + 5] = (v), [(n) + 6] = (v), [(n) + 7] = (v), [(n) + 8] = (v), [(n) + 9] = (v), \
    [(n) + 10] = (v), [(n) + 11] = (v), [(n) + 12] = (v)
static const uint8_t caip2[256] = {
    DIGITS('0'),     DIGITS('5'),     LETTERS('a', 3), LETTERS('n', 3),
    LETTERS('A', 2), LETTERS('N', 2), ['-'] = 3,       ['_'] = 2,
};
#undef DIGITS
#undef LETTERS

bool tri_chain_id_check(const uint8_t *at, uint32_t bytes)
{
    uint8_t classes = 2;
    uint32_t colon = 0;
    uint32_t i;

    while (colon < bytes && colon <= 8 && (caip2[at[colon]] & 1) != 0) {
        colon++;
    }
    if (colon < 3 || colon > 8 || colon + 2 > bytes || bytes - colon - 1 > 32 || at[colon] != ':') {
        return false;
    }
    for (i = colon + 1; i < bytes; i++) {
        classes &= caip2[at[i]];
    }
    return classes != 0;
}

bool tri_text_is_chain_id(struct tri_text text)
{
    return tri_chain_id_check((const uint8_t *)text.at, text.bytes);
}

uint32_t tri_tokens_get(struct tri_bytes encoded, struct tri_text tokens[TRI_TOKENS_MAX])
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor;
    uint32_t count;
    uint32_t i;

    if (encoded.bytes == 0) { /* no list at all, often without an address */
        return 0;
    }
    cursor = (struct tri_cursor){encoded.at, encoded.at, encoded.at + encoded.bytes, &fault};
    if (!tri_get_array(&cursor, 0, TRI_TOKENS_MAX, &count, "reservedResources")) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        if (!tri_get_text(&cursor, 1, TRI_TOKENS_BYTES_MAX, &tokens[i], "reservedResources")) {
            return 0;
        }
    }
    return count;
}
