// Any bytes as HTML: no crash, and a text that is not much longer and begins and ends where text does.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/mail/html_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text = mailer::core::text_of_html({reinterpret_cast<const char*>(data), size});
    if (text.size() > 3 * size + 16) std::abort();
    if (!text.empty() && text.back() != '\n') std::abort();
    return 0;
}
