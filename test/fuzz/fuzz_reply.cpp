// Any bytes into the reply parser: it must stay inside its bounds, give only harmless replies, and not care how the
// bytes are cut.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "smtp/capabilities.hpp"
#include "smtp/reply_parser.hpp"

namespace {

using mailer::core::Reply;
using mailer::smtp::ReplyParser;

void require(bool condition) {
    if (!condition) std::abort();
}

std::vector<Reply> parse(std::string_view bytes, std::size_t step, bool& is_broken) {
    ReplyParser parser;
    std::vector<Reply> replies;
    while (!bytes.empty()) {
        std::string_view piece = bytes.substr(0, step);
        bytes.remove_prefix(piece.size());
        while (!piece.empty()) {
            piece.remove_prefix(parser.feed(piece));
            if (parser.state() == ReplyParser::State::complete) replies.push_back(parser.take());
        }
    }
    is_broken = parser.state() == ReplyParser::State::broken;
    return replies;
}

void check(const Reply& reply) {
    require(reply.code >= 200 && reply.code <= 599);
    require(reply.text.size() <= mailer::core::max_reply_text);
    require(reply.enhanced.size() <= 9);
    for (const char c : reply.text) {
        const auto u = static_cast<unsigned char>(c);
        require(u >= 0x20 || c == '\n');
        require(u != 0x7f);
    }
    std::string again;
    mailer::smtp::append_sanitised(again, reply.text);
    for (char& c : again) {
        if (c == '?') c = '\n';
    }
    std::string text = reply.text;
    for (char& c : text) {
        if (c == '?') c = '\n';
    }
    require(again == text);  // it was valid UTF-8 already
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    bool is_broken = false;
    const std::vector<Reply> replies = parse(bytes, size + 1, is_broken);
    for (const Reply& reply : replies)
        check(reply);
    for (const std::size_t step : {1U, 3U}) {
        bool is_broken_too = false;
        require(parse(bytes, step, is_broken_too) == replies);
        require(is_broken_too == is_broken);
    }
    mailer::smtp::Capabilities capabilities;
    capabilities.add(bytes);
    return 0;
}
