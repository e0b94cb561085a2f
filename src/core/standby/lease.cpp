// Reads mailer.sender_lease; see lease.hpp.
#include "core/standby/lease.hpp"

#include <charconv>

namespace mailer::core {

namespace {

constexpr Duration good_after_200 = std::chrono::seconds{5};
constexpr std::size_t longest = 1000;

std::optional<Duration> parse_age(std::string_view text) {
    long n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || n <= 0 || n > 86400) return std::nullopt;
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (unit == "ms") return std::chrono::milliseconds{n};
    if (unit == "s") return std::chrono::seconds{n};
    if (unit == "min") return std::chrono::minutes{n};
    return std::nullopt;
}

Error refusal(std::string message) { return Error{.message = std::move(message)}; }

}  // namespace

Result<LeaseSource> parse_lease(std::string_view text) {
    if (text.empty()) return LeaseSource{};
    if (text.size() > longest) return refusal("the lease is longer than 1000 characters");
    for (char c : text) {
        if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
            return refusal("the lease holds a blank or a control character");
    }
    if (text.starts_with("http://") || text.starts_with("https://")) {
        const auto host = text.find("//") + 2;
        if (host == text.size() || text[host] == '/' || text[host] == ':')
            return refusal("the lease's address has no host");
        return LeaseSource{LeaseSource::Kind::http, std::string(text), good_after_200};
    }
    if (!text.starts_with("file:/")) return refusal("the lease begins with http:// or file:/");
    const auto colon = text.rfind(':');
    const auto age = parse_age(text.substr(colon + 1));
    if (colon <= 5 || !age)
        return refusal("the file of the lease is followed by its greatest age, as in file:/run/leader:10s");
    return LeaseSource{LeaseSource::Kind::file, std::string(text.substr(5, colon - 5)), *age};
}

}  // namespace mailer::core
