/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Six wheels of 256 slots divide time ever more coarsely: a slot of wheel 0 is
 * one tick of 2^20 ns, a slot of wheel w is 256^w ticks.  The wheel's hand is
 * the tick up to which everything has been looked at.  A node lies in the
 * finest wheel whose hand is less than one turn behind it, so in each wheel a
 * slot holds nodes of one span of time only, and never the hand's own span.
 *
 * When the hand reaches the beginning of a slot, its nodes move to finer
 * wheels.  Those of the hand's own tick, and those that were armed for the past,
 * go into the due heap, which is ordered by (at_ns, index).  Everything in the
 * wheels lies behind the hand's tick, so the top of the heap is the earliest
 * node of all; and as the heap alone decides the order, it does not matter
 * that slots are unordered lists.
 *
 * The hand moves from one occupied slot to the next, found in the bitmaps, so a
 * jump over hours costs no more than the nodes that it passes.
 *
 * The heap is a pairing heap: arming into it is one comparison, and it needs no
 * memory but three links in the node.  `next` is the right sibling, `prev` the
 * left one, or the parent of a first child.
 */
#include "engine/deadlines.h"

#include <string.h>

#define WHEELS    6U
#define SLOT_BITS 8U
#define SLOTS     (1U << SLOT_BITS)
#define WORDS     (SLOTS / 64U)
#define TICK_BITS 20U

#define PLACE_NONE 0U /* so that a zeroed node is disarmed */
#define PLACE_SLOT 1U /* + wheel * SLOTS + slot */
#define PLACE_DUE  UINT16_MAX

static_assert(WHEELS * SLOT_BITS + TICK_BITS >= 64, "every time must lie on some wheel");
static_assert(PLACE_SLOT + WHEELS * SLOTS < PLACE_DUE, "a place names a slot or the due heap");

struct tri_deadlines {
    unsigned char *nodes;
    size_t stride;
    uint64_t hand; /* ticks */
    uint32_t count;
    uint32_t due; /* top of the heap */
    uint64_t occupied[WHEELS][WORDS];
    uint32_t heads[WHEELS][SLOTS];
};

size_t tri_deadlines_footprint(void)
{
    return sizeof(struct tri_deadlines);
}

struct tri_deadlines *tri_deadlines_init(void *memory, void *nodes_base, size_t stride,
                                         uint64_t start_ns)
{
    struct tri_deadlines *deadlines = memory;

    assert(memory != NULL);
    assert(nodes_base != NULL);
    assert((uintptr_t)memory % _Alignof(struct tri_deadlines) == 0);
    assert((uintptr_t)nodes_base % _Alignof(struct tri_deadline) == 0);
    assert(stride >= sizeof(struct tri_deadline));
    assert(stride % _Alignof(struct tri_deadline) == 0);

    memset(deadlines, 0, sizeof(*deadlines));
    memset(deadlines->heads, 0xff, sizeof(deadlines->heads)); /* TRI_NONE_INDEX */
    deadlines->nodes = nodes_base;
    deadlines->stride = stride;
    deadlines->hand = start_ns >> TICK_BITS;
    deadlines->due = TRI_NONE_INDEX;
    return deadlines;
}

static struct tri_deadline *node_at(const struct tri_deadlines *deadlines, uint32_t index)
{
    assert(index != TRI_NONE_INDEX);
    return (struct tri_deadline *)(void *)(deadlines->nodes + index * deadlines->stride);
}

/* The order of popping: total, so that the shape of the heap cannot be seen from outside. */
static bool is_earlier(const struct tri_deadline *a, uint32_t a_index, const struct tri_deadline *b,
                       uint32_t b_index)
{
    if (a->at_ns != b->at_ns) {
        return a->at_ns < b->at_ns;
    }
    return a_index < b_index;
}

/* Joins two heaps whose tops have no siblings; returns the top. */
static uint32_t heap_join(struct tri_deadlines *deadlines, uint32_t a, uint32_t b)
{
    struct tri_deadline *parent;
    struct tri_deadline *child;

    assert(a != b);
    parent = node_at(deadlines, a);
    child = node_at(deadlines, b);
    if (!is_earlier(parent, a, child, b)) {
        struct tri_deadline *swap_node = parent;
        uint32_t swap_index = a;

        parent = child;
        child = swap_node;
        a = b;
        b = swap_index;
    }
    child->next = parent->child;
    child->prev = a;
    if (parent->child != TRI_NONE_INDEX) {
        node_at(deadlines, parent->child)->prev = b;
    }
    parent->child = b;
    parent->next = TRI_NONE_INDEX;
    parent->prev = TRI_NONE_INDEX;
    return a;
}

/* Makes one heap of the children that begin at `first`, in pairs from left to right and then from
 * right to left, which is what makes the cost of a pop logarithmic in the long run. */
static uint32_t heap_join_children(struct tri_deadlines *deadlines, uint32_t first)
{
    uint32_t pairs = TRI_NONE_INDEX; /* a stack through next */
    uint32_t top;

    while (first != TRI_NONE_INDEX) {
        uint32_t a = first;
        uint32_t b = node_at(deadlines, a)->next;

        first = TRI_NONE_INDEX;
        if (b != TRI_NONE_INDEX) {
            first = node_at(deadlines, b)->next;
            a = heap_join(deadlines, a, b);
        }
        node_at(deadlines, a)->next = pairs;
        pairs = a;
    }
    top = pairs;
    if (top == TRI_NONE_INDEX) {
        return TRI_NONE_INDEX;
    }
    pairs = node_at(deadlines, top)->next;
    while (pairs != TRI_NONE_INDEX) {
        uint32_t after = node_at(deadlines, pairs)->next;

        top = heap_join(deadlines, top, pairs);
        pairs = after;
    }
    node_at(deadlines, top)->next = TRI_NONE_INDEX;
    node_at(deadlines, top)->prev = TRI_NONE_INDEX;
    return top;
}

static void heap_insert(struct tri_deadlines *deadlines, struct tri_deadline *node, uint32_t index)
{
    node->place = PLACE_DUE;
    node->next = TRI_NONE_INDEX;
    node->prev = TRI_NONE_INDEX;
    node->child = TRI_NONE_INDEX;
    if (deadlines->due == TRI_NONE_INDEX) {
        deadlines->due = index;
        return;
    }
    deadlines->due = heap_join(deadlines, deadlines->due, index);
}

static void heap_remove(struct tri_deadlines *deadlines, struct tri_deadline *node, uint32_t index)
{
    uint32_t rest = heap_join_children(deadlines, node->child);

    assert(deadlines->due != TRI_NONE_INDEX);
    if (deadlines->due == index) {
        deadlines->due = rest;
        return;
    }
    if (node_at(deadlines, node->prev)->child == index) {
        node_at(deadlines, node->prev)->child = node->next;
    } else {
        node_at(deadlines, node->prev)->next = node->next;
    }
    if (node->next != TRI_NONE_INDEX) {
        node_at(deadlines, node->next)->prev = node->prev;
    }
    if (rest != TRI_NONE_INDEX) {
        deadlines->due = heap_join(deadlines, deadlines->due, rest);
    }
}

/* Puts a node where its at_ns belongs. */
static void node_insert(struct tri_deadlines *deadlines, struct tri_deadline *node, uint32_t index)
{
    uint64_t tick = node->at_ns >> TICK_BITS;
    uint64_t hand = deadlines->hand;
    uint32_t wheel = 0;
    uint32_t slot;
    uint32_t head;

    if (tick <= hand) {
        heap_insert(deadlines, node, index);
        return;
    }
    while (tick - hand >= SLOTS) {
        tick >>= SLOT_BITS;
        hand >>= SLOT_BITS;
        wheel++;
    }
    assert(wheel < WHEELS);
    assert(tick > hand);

    slot = (uint32_t)tick % SLOTS;
    head = deadlines->heads[wheel][slot];
    node->place = (uint16_t)(PLACE_SLOT + wheel * SLOTS + slot);
    node->prev = TRI_NONE_INDEX;
    node->next = head;
    if (head != TRI_NONE_INDEX) {
        node_at(deadlines, head)->prev = index;
    } else {
        deadlines->occupied[wheel][slot / 64U] |= UINT64_C(1) << (slot % 64U);
    }
    deadlines->heads[wheel][slot] = index;
}

static void node_remove(struct tri_deadlines *deadlines, struct tri_deadline *node, uint32_t index)
{
    if (node->place == PLACE_DUE) {
        heap_remove(deadlines, node, index);
    } else {
        uint32_t wheel = (node->place - PLACE_SLOT) / SLOTS;
        uint32_t slot = (node->place - PLACE_SLOT) % SLOTS;

        assert(wheel < WHEELS);
        if (node->next != TRI_NONE_INDEX) {
            node_at(deadlines, node->next)->prev = node->prev;
        }
        if (node->prev != TRI_NONE_INDEX) {
            node_at(deadlines, node->prev)->next = node->next;
        } else {
            assert(deadlines->heads[wheel][slot] == index);
            deadlines->heads[wheel][slot] = node->next;
            if (node->next == TRI_NONE_INDEX) {
                deadlines->occupied[wheel][slot / 64U] &= ~(UINT64_C(1) << (slot % 64U));
            }
        }
    }
    node->place = PLACE_NONE;
}

void tri_deadlines_arm(struct tri_deadlines *deadlines, uint32_t index, uint64_t at_ns)
{
    struct tri_deadline *node = node_at(deadlines, index);

    if (at_ns == TRI_NEVER) {
        tri_deadlines_disarm(deadlines, index);
        return;
    }
    if (node->place == PLACE_NONE) {
        assert(deadlines->count < UINT32_MAX);
        deadlines->count++;
    } else {
        node_remove(deadlines, node, index);
    }
    node->at_ns = at_ns;
    node_insert(deadlines, node, index);
    assert(node->place != PLACE_NONE);
}

void tri_deadlines_disarm(struct tri_deadlines *deadlines, uint32_t index)
{
    struct tri_deadline *node = node_at(deadlines, index);

    if (node->place == PLACE_NONE) {
        return;
    }
    assert(deadlines->count > 0);
    node_remove(deadlines, node, index);
    deadlines->count--;
}

bool tri_deadlines_is_armed(const struct tri_deadlines *deadlines, uint32_t index)
{
    return node_at(deadlines, index)->place != PLACE_NONE;
}

uint64_t tri_deadlines_at_ns(const struct tri_deadlines *deadlines, uint32_t index)
{
    const struct tri_deadline *node = node_at(deadlines, index);

    return node->place != PLACE_NONE ? node->at_ns : TRI_NEVER;
}

/* The distance in slots, 1..255, from the hand of a wheel to its next occupied slot; 0 if it is
 * empty. */
static uint32_t wheel_distance(const struct tri_deadlines *deadlines, uint32_t wheel)
{
    const uint64_t *words = deadlines->occupied[wheel];
    uint32_t start = (uint32_t)((deadlines->hand >> (wheel * SLOT_BITS)) + 1) % SLOTS;
    uint32_t i;

    /* One turn from `start`: its word is looked at twice, above start first and below it last. */
    for (i = 0; i <= WORDS; i++) {
        uint32_t word = (start / 64U + i) % WORDS;
        uint64_t bits = words[word];

        if (i == 0) {
            bits &= UINT64_MAX << (start % 64U);
        } else if (i == WORDS) {
            bits &= ~(UINT64_MAX << (start % 64U));
        }
        if (bits != 0) {
            uint32_t slot = word * 64U + (uint32_t)__builtin_ctzll(bits);

            return (slot - start) % SLOTS + 1;
        }
    }
    return 0;
}

/* The first tick of the earliest occupied slot of all wheels; UINT64_MAX if all are empty. */
static uint64_t slot_next_tick(const struct tri_deadlines *deadlines)
{
    uint64_t earliest = UINT64_MAX;
    uint32_t wheel;

    for (wheel = 0; wheel < WHEELS; wheel++) {
        uint32_t shift = wheel * SLOT_BITS;
        uint32_t distance = wheel_distance(deadlines, wheel);
        uint64_t tick;

        if (distance == 0) {
            continue;
        }
        tick = ((deadlines->hand >> shift) + distance) << shift;
        assert(tick > deadlines->hand);
        if (tick < earliest) {
            earliest = tick;
        }
    }
    return earliest;
}

uint64_t tri_deadlines_next_ns(const struct tri_deadlines *deadlines)
{
    if (deadlines->count == 0) {
        return TRI_NEVER;
    }
    if (deadlines->due != TRI_NONE_INDEX) {
        return node_at(deadlines, deadlines->due)->at_ns;
    }
    return slot_next_tick(deadlines) << TICK_BITS;
}

/* Sets the hand to `tick`, the beginning of the earliest occupied slot, and moves the nodes of
 * every slot that begins there.  From the coarsest wheel down: a slot may receive nodes only before
 * its turn. */
static void hand_move(struct tri_deadlines *deadlines, uint64_t tick)
{
    uint32_t wheel = WHEELS;

    assert(tick > deadlines->hand);
    deadlines->hand = tick;
    while (wheel-- > 0) {
        uint32_t slot = (uint32_t)(tick >> (wheel * SLOT_BITS)) % SLOTS;
        uint32_t index = deadlines->heads[wheel][slot];

        deadlines->heads[wheel][slot] = TRI_NONE_INDEX;
        deadlines->occupied[wheel][slot / 64U] &= ~(UINT64_C(1) << (slot % 64U));
        while (index != TRI_NONE_INDEX) {
            struct tri_deadline *node = node_at(deadlines, index);
            uint32_t next = node->next;

            node_insert(deadlines, node, index);
            index = next;
        }
    }
}

bool tri_deadlines_pop(struct tri_deadlines *deadlines, uint64_t now_ns, uint32_t *index)
{
    uint64_t now = now_ns >> TICK_BITS;
    struct tri_deadline *top;

    assert(index != NULL);
    while (deadlines->due == TRI_NONE_INDEX) {
        uint64_t tick = deadlines->count > 0 ? slot_next_tick(deadlines) : UINT64_MAX;

        if (tick > now) {
            /* No slot begins in between, so the hand may follow the clock. */
            if (now > deadlines->hand) {
                deadlines->hand = now;
            }
            return false;
        }
        hand_move(deadlines, tick);
    }
    top = node_at(deadlines, deadlines->due);
    if (top->at_ns > now_ns) {
        return false;
    }
    *index = deadlines->due;
    heap_remove(deadlines, top, *index);
    top->place = PLACE_NONE;
    deadlines->count--;
    return true;
}
