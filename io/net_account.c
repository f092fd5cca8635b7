/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts: what one identity may take from the others.
 *
 * Memory for frames in pieces is for everybody until it is used up.  Then the
 * account that holds most slots of the size that is asked for loses its
 * oldest: a peer that finishes its frames holds one for a moment only, and who
 * holds less than the greediest never loses any.
 *
 * Connections and send memory have a share, because what is taken of them
 * cannot be taken back at once: the kernel may still read from it.
 *
 * A charge costs an account the time that the rate gives to one frame.  An
 * account that is ahead of the clock by more than a burst is in debt and is not
 * read until the clock has come after it.  What has been received is handed
 * out all the same, so no receive buffer waits for a debt to end.  Since the kernel fills many
 * buffers before anybody can look at one of them, an account that was in debt receives one buffer
 * at a time for a while.
 */
#include "io/net_internal.h"

#include "io/clock.h"

/* Lists. */

static bool list_has(const struct net_connection *connection, enum net_link which)
{
    return (connection->links >> which & 1U) != 0;
}

void net_list_add(struct tri_net *net, struct net_list *list, enum net_link which,
                  struct net_connection *connection)
{
    uint32_t slot = net_slot(net, connection);

    assert(!list_has(connection, which));
    connection->links |= 1U << which;
    connection->link[which].older = list->newest;
    connection->link[which].newer = NET_NONE;
    if (list->count == 0) {
        list->oldest = slot;
    } else {
        net->connections[list->newest].link[which].newer = slot;
    }
    list->newest = slot;
    list->count++;
}

void net_list_drop(struct tri_net *net, struct net_list *list, enum net_link which,
                   struct net_connection *connection)
{
    uint32_t older = connection->link[which].older;
    uint32_t newer = connection->link[which].newer;

    if (!list_has(connection, which)) {
        return;
    }
    assert(list->count > 0);
    connection->links &= ~(1U << which);
    list->count--;
    if (older == NET_NONE) {
        list->oldest = newer;
    } else {
        net->connections[older].link[which].newer = newer;
    }
    if (newer == NET_NONE) {
        list->newest = older;
    } else {
        net->connections[newer].link[which].older = older;
    }
}

struct net_connection *net_list_oldest(const struct tri_net *net, const struct net_list *list)
{
    return list->count == 0 ? NULL : &net->connections[list->oldest];
}

/* Life. */

static const struct net_list list_empty = {NET_NONE, NET_NONE, 0};

void net_accounts_init(struct tri_net *net)
{
    for (uint32_t account = 0; account <= net->options.accounts; account++) {
        net->accounts[account] = (struct net_account){.unread = list_empty};
        for (uint32_t class_index = 0; class_index < NET_PARTIAL_CLASSES; class_index++) {
            net->accounts[account].partials[class_index] = list_empty;
        }
    }
    net->handshakes = list_empty;
    net->in_debt_first = NET_NONE;
    net->debt_due_ns = TRI_NEVER;
}

static struct net_account *account_of(const struct tri_net *net,
                                      const struct net_connection *connection)
{
    assert(connection->account <= net->options.accounts);
    return &net->accounts[connection->account];
}

static struct net_list *account_partials(const struct tri_net *net,
                                         const struct net_connection *connection)
{
    return &account_of(net, connection)->partials[tri_arena_class(connection->lent)];
}

void net_account_move(struct tri_net *net, struct net_connection *connection, uint32_t account)
{
    bool has_partial = connection->lent != NET_NONE;

    assert(account <= net->options.accounts);
    if (has_partial) {
        net_list_drop(net, account_partials(net, connection), NET_LINK_PARTIAL, connection);
    }
    net_account_leave(net, connection);
    account_of(net, connection)->send_bytes -= connection->chunk_bytes;
    connection->account = account;
    account_of(net, connection)->send_bytes += connection->chunk_bytes;
    account_of(net, connection)->connections++;
    if (has_partial) {
        net_list_add(net, account_partials(net, connection), NET_LINK_PARTIAL, connection);
    }
}

void net_account_leave(struct tri_net *net, struct net_connection *connection)
{
    struct net_account *account = account_of(net, connection);

    assert(!list_has(connection, NET_LINK_PARTIAL));
    assert(account->connections > 0);
    net_list_drop(net, &account->unread, NET_LINK_UNREAD, connection);
    account->connections--;
}

/* Connections. */

bool tri_net_admits(const struct tri_net *net, uint32_t account)
{
    uint64_t share =
        (uint64_t)net->options.connections_max * net->options.account_share_permille / 1000;

    assert(account < net->options.accounts);
    return net->accounts[account + 1].connections < (share == 0 ? 1 : share);
}

/* Memory for frames in pieces. */

/* The account that holds most slots of a class; the connection that has held one longest. */
static struct net_connection *partial_victim(const struct tri_net *net, uint32_t class_index)
{
    const struct net_list *most = &net->accounts[0].partials[class_index];

    for (uint32_t account = 1; account <= net->options.accounts; account++) {
        const struct net_list *list = &net->accounts[account].partials[class_index];

        most = list->count > most->count ? list : most;
    }
    return net_list_oldest(net, most);
}

void net_partial_take(struct tri_net *net, struct net_connection *connection, uint32_t bytes)
{
    uint32_t class_index = 0;

    assert(connection->lent == NET_NONE);
    while (tri_arena_take(net->partials, bytes, &connection->lent) != TRI_OK) {
        struct net_connection *victim = NULL;

        while (victim == NULL) {
            assert(class_index < NET_PARTIAL_CLASSES);
            if (tri_arena_class_bytes(net->partials, class_index) >= bytes) {
                victim = partial_victim(net, class_index);
            }
            class_index += victim == NULL ? 1 : 0;
        }
        assert(victim != connection);
        net_add(&net->counters.partials_evicted, 1);
        net_refuse(net, victim, TRI_ERROR_BUSY);
        net_recv_drop(net, victim);
    }
    net_list_add(net, account_partials(net, connection), NET_LINK_PARTIAL, connection);
    net_add(&net->counters.partial_bytes,
            tri_arena_class_bytes(net->partials, tri_arena_class(connection->lent)));
}

void net_partial_give(struct tri_net *net, struct net_connection *connection)
{
    uint64_t bytes = tri_arena_class_bytes(net->partials, tri_arena_class(connection->lent));

    assert(connection->lent != NET_NONE);
    net_list_drop(net, account_partials(net, connection), NET_LINK_PARTIAL, connection);
    net_add(&net->counters.partial_bytes, (uint64_t)0 - bytes);
    tri_arena_give(net->partials, connection->lent);
    connection->lent = NET_NONE;
}

/* Send memory. */

bool net_account_has_send(const struct tri_net *net, const struct net_connection *connection,
                          uint32_t bytes)
{
    uint64_t share = net->options.send_bytes / 1000 * net->options.account_share_permille;

    return account_of(net, connection)->send_bytes + bytes <=
           (share < NET_SEND_SHARE_MIN ? NET_SEND_SHARE_MIN : share);
}

void net_account_add_send(struct tri_net *net, struct net_connection *connection, int64_t bytes)
{
    connection->chunk_bytes += (uint32_t)bytes;
    account_of(net, connection)->send_bytes += (uint64_t)bytes;
}

/* Frames that begin nothing. */

/* When an account in debt may be read again. */
static uint64_t account_due_ns(const struct net_account *account)
{
    return account->charged_ns - NET_CHARGE_BURST_NS;
}

/* Its connections receive one buffer at a time from now on. */
static void account_watch(struct tri_net *net, uint32_t account)
{
    bool was_watched = net->accounts[account].watched_ns > net->now_ns;

    net->accounts[account].watched_ns = net->now_ns + NET_WATCH_NS;
    for (uint32_t slot = 0; slot < net->slots_used && !was_watched; slot++) {
        struct net_connection *connection = &net->connections[slot];

        if (connection->state == NET_OPEN && connection->account == account &&
            connection->is_receiving_on) {
            net_recv_cancel(net, connection);
        }
    }
}

void tri_net_charge(struct tri_net *net, tri_port port, uint32_t frames)
{
    const struct net_connection *connection = net_find(net, port);
    uint64_t price_ns = TRI_NS_PER_S / net->options.charges_per_s * frames;
    struct net_account *account = NULL;

    if (connection == NULL || connection->account == NET_ACCOUNT_STRANGERS) {
        return;
    }
    account = account_of(net, connection);
    net_add(&net->counters.charges, frames);
    if (account->charged_ns < net->now_ns) {
        account->charged_ns = net->now_ns;
    }
    if (account->charged_ns < net->now_ns + NET_CHARGE_BURST_NS + NET_DEBT_MAX_NS) {
        account->charged_ns += price_ns;
    }
    if (account->is_in_debt || account_due_ns(account) <= net->now_ns) {
        return;
    }
    account->is_in_debt = true;
    account->next_in_debt = net->in_debt_first;
    net->in_debt_first = connection->account;
    net->debt_due_ns = net->now_ns; /* net_accounts_settle looks when it is */
    net_add(&net->counters.throttles, 1);
    account_watch(net, connection->account);
}

bool net_account_is_unread(struct tri_net *net, struct net_connection *connection)
{
    struct net_account *account = account_of(net, connection);

    if (!account->is_in_debt) {
        return false;
    }
    if (!list_has(connection, NET_LINK_UNREAD)) {
        net_list_add(net, &account->unread, NET_LINK_UNREAD, connection);
    }
    return true;
}

bool net_account_is_in_debt(const struct tri_net *net, const struct net_connection *connection)
{
    return account_of(net, connection)->is_in_debt;
}

bool net_account_is_watched(const struct tri_net *net, const struct net_connection *connection)
{
    return account_of(net, connection)->watched_ns > net->now_ns;
}

/* Marks everybody who wanted to be read. */
static void account_settle(struct tri_net *net, struct net_account *account)
{
    struct net_connection *connection = NULL;

    account->is_in_debt = false;
    while ((connection = net_list_oldest(net, &account->unread)) != NULL) {
        net_list_drop(net, &account->unread, NET_LINK_UNREAD, connection);
        net_mark(net, connection);
    }
}

void net_accounts_settle(struct tri_net *net)
{
    uint32_t *at = &net->in_debt_first;

    if (net->debt_due_ns > net->now_ns) {
        return;
    }
    net->debt_due_ns = TRI_NEVER;
    while (*at != NET_NONE) {
        struct net_account *account = &net->accounts[*at];
        uint64_t due_ns = account_due_ns(account);

        if (due_ns <= net->now_ns) {
            *at = account->next_in_debt;
            account_settle(net, account);
        } else {
            net->debt_due_ns = due_ns < net->debt_due_ns ? due_ns : net->debt_due_ns;
            at = &account->next_in_debt;
        }
    }
}
