// SPDX-License-Identifier: Apache-2.0
//
// A node in a C++ program: two submitters, each with a handle and an event loop
// of its own over poll(2), and two chains.  One of them refuses every tenth
// message, so that both ends of a message are seen.
#include <poll.h>
#include <tricast.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace
{

constexpr uint32_t each = 20000;

tri_text text(std::string_view words)
{
    return {words.data(), static_cast<uint32_t>(words.size())};
}

using Node = std::unique_ptr<tri_node, void (*)(tri_node *)>;
using Handle = std::unique_ptr<tri_handle, decltype(&tri_handle_close)>;

Node open_node(const tri_node_options &options)
{
    char trouble[TRI_TROUBLE_BYTES];
    tri_node *node = nullptr;

    if (tri_node_open(&options, &node, trouble) != 0) { throw std::runtime_error(trouble); }
    return {node, [](tri_node *it) { (void)tri_node_close(it, 1000); }};
}

Handle open_handle(tri_node *node)
{
    tri_handle *handle = nullptr;

    if (tri_handle_open(node, &handle) != TRI_OK) { throw std::runtime_error("no handle is free"); }
    return {handle, &tri_handle_close};
}

// C code calls this, so no exception may leave it.
tri_reply picky(void *, const tri_order *order, tri_answer *answer) noexcept
{
    if (order->ticket.kind == TRI_SEND_PREPARE &&
        order->ticket.id[order->ticket.id_bytes - 1] == '7') {
        return tri_answer_refuse(&order->ticket, TRI_ERROR_OPERATOR_REFUSED, answer);
    }
    return tri_answer_accept(&order->ticket, answer);
}

tri_reply agreeable(void *, const tri_order *order, tri_answer *answer) noexcept
{
    return tri_answer_accept(&order->ticket, answer);
}

struct Ends {
    uint32_t processed = 0;
    uint32_t refused = 0;
    uint32_t other = 0;
    uint32_t count() const
    {
        return processed + refused + other;
    }
};

// Reads all the news there is: the descriptor is then quiet until the next.
void read_news(tri_handle *handle, Ends &ends)
{
    tri_news news[64];

    while (const uint32_t count = tri_handle_poll(handle, news, 64)) {
        for (const tri_news *it = news; it != news + count; ++it) {
            if (it->kind != TRI_NEWS_ENDED) { continue; }
            if (it->ack_type == TRI_ACK_PROCESSED) {
                ++ends.processed;
            } else if (it->code == TRI_ERROR_OPERATOR_REFUSED) {
                ++ends.refused;
            } else {
                ++ends.other;
            }
        }
    }
}

void submit_all(tri_handle *handle, const std::string &name, Ends &ends)
{
    tri_message message{};
    uint32_t submitted = 0;

    message.atomicity = TRI_GUARANTEED;
    message.ttl_s = 600;
    message.timestamp_ms =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count());
    message.source_chain = text("eip155:1");
    message.source_node = text(name);
    message.targets[message.target_count++] = text("eip155:1");
    message.targets[message.target_count++] = text("eip155:10");
    message.assets[message.asset_count++] = text("bond-1");
    for (;;) {
        pollfd wanted{tri_handle_fd(handle), POLLIN, 0};

        read_news(handle, ends);
        if (ends.count() == each) { return; }
        for (; submitted < each; ++submitted) {
            const std::string id = name + "-" + std::to_string(submitted);

            message.id = text(id);
            if (tri_handle_submit(handle, &message, submitted) != TRI_OK) {
                break; // full: there will be news
            }
        }
        tri_handle_flush(handle);
        if (poll(&wanted, 1, 10000) != 1) {
            return; // ten seconds without news: run() sees what is missing
        }
    }
}

int run()
{
    const tri_engine_chain chains[] = {{text("eip155:1")}, {text("eip155:10")}};
    const tri_chain_port ports[] = {{agreeable, nullptr}, {picky, nullptr}};
    tri_node_options options;
    Ends ends[2];

    tri_node_defaults(&options);
    options.engine.chains = chains;
    options.engine.chain_count = 2;
    options.ports = ports;
    {
        const Node node = open_node(options);
        const Handle handles[] = {open_handle(node.get()), open_handle(node.get())};
        std::thread first(submit_all, handles[0].get(), "first", std::ref(ends[0]));
        std::thread second(submit_all, handles[1].get(), "second", std::ref(ends[1]));

        first.join();
        second.join();
    }
    std::printf("%u processed, %u refused, %u otherwise\n", ends[0].processed + ends[1].processed,
                ends[0].refused + ends[1].refused, ends[0].other + ends[1].other);
    for (const Ends &it : ends) {
        if (it.processed != each / 10 * 9 || it.refused != each / 10) { return 1; }
    }
    return 0;
}

} // namespace

int main()
{
    try {
        return run();
    } catch (const std::exception &trouble) {
        std::fprintf(stderr, "%s\n", trouble.what());
        return 1;
    }
}
