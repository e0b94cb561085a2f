// Keywords are compared without regard to case (RFC 5321 2.4). "AUTH=LOGIN" is what old servers write for "AUTH LOGIN".
#include "smtp/capabilities.hpp"

#include <charconv>

#include "core/octets.hpp"
#include "smtp/reply_parser.hpp"

namespace mailer::smtp {

void Capabilities::add(std::string_view line) {
    const std::size_t end = line.find_first_of(" =");
    const std::string keyword = core::raised(line.substr(0, end));
    const std::string_view rest = end == std::string_view::npos ? std::string_view{} : line.substr(end + 1);
    if (keyword == "PIPELINING") has_pipelining = true;
    if (keyword == "8BITMIME") has_8bitmime = true;
    if (keyword == "SMTPUTF8") has_smtputf8 = true;
    if (keyword == "STARTTLS") has_starttls = true;
    if (keyword == "DSN") has_dsn = true;
    if (keyword == "AUTH" && auth.empty()) append_sanitised(auth, rest);
    if (keyword == "SIZE") {
        has_size = true;
        size_limit = 0;
        const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), size_limit);
        if (result.ec != std::errc{}) size_limit = 0;
    }
}

}  // namespace mailer::smtp
