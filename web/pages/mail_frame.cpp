#include "pages/mail_frame.hpp"

#include "core/mail/address.hpp"

namespace mailer::web {

namespace {

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

}  // namespace

Response mail_frame(const std::string& html) {
    return {.body = html,
            .content_policy =
                "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
                "base-uri 'none'; frame-ancestors 'self'"};
}

std::string octets_of_hex(std::string_view hex) {
    std::string octets;
    octets.reserve(hex.size() / 2);
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        const int high = digit(hex[i]), low = digit(hex[i + 1]);
        if (high < 0 || low < 0) break;
        octets += static_cast<char>(high * 16 + low);
    }
    return octets;
}

Parameter address_key_of(const Parameter& address) {
    if (!address) return std::nullopt;
    const auto parsed = core::parse_address(*address);
    if (!parsed || core::check_address(*parsed)) return std::nullopt;
    return core::address_key(*parsed);
}

core::Value choices(std::initializer_list<const char*> values, const Parameter& chosen) {
    core::Value made = core::Value::array();
    for (const char* value : values)
        (void)made.append(
            object({{"value", text(value)}, {"is_chosen", core::Value::boolean(chosen && *chosen == value)}}));
    return made;
}

}  // namespace mailer::web
