// Any bytes as a ready-made mail: no crash, and what is accepted is CRLF-only, within the line limit, and stays so.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/mail/raw.hpp"

using namespace mailer::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view source{reinterpret_cast<const char*>(data), size};
    const auto facts = inspect_raw(source);
    if (!facts) return facts.error().sqlstate == "22023" ? 0 : (std::abort(), 0);
    const std::string out = finish_raw(source, *facts, "<1@example.com>", {});
    std::size_t start = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i] == '\r' && (i + 1 == out.size() || out[i + 1] != '\n')) std::abort();
        if (out[i] != '\n') continue;
        if (i == 0 || out[i - 1] != '\r' || i - 1 - start > 998) std::abort();
        start = i + 1;
    }
    const auto again = inspect_raw(out);
    if (!again || !again->has_date || again->message_id.empty()) std::abort();
    return 0;
}
