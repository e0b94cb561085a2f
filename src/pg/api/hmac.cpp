// mailer._hmac_sha256: HMAC (RFC 2104) on the server's own SHA-256, for unsubscribe tokens. In C because a campaign
// asks for one with each mail, and 64 bytes of padding cost SQL more than the hash.
#include <array>

#include "pg/bridge/arguments.hpp"
#include "pg/enqueue/request.hpp"

namespace mailer::pg {
namespace {

constexpr std::size_t block_size = 64;  // octets of a SHA-256 block

std::string hmac_sha256(std::string_view key, std::string_view message) {
    std::array<char, block_size> block{};
    const std::string short_key = key.size() > block_size ? sha256(key) : std::string(key);
    std::copy(short_key.begin(), short_key.end(), block.begin());
    const auto padded = [&](char pad) {
        std::string out(block.begin(), block.end());
        for (char& byte : out)
            byte = static_cast<char>(byte ^ pad);
        return out;
    };
    return sha256(padded(0x5c) + sha256(padded(0x36).append(message)));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_hmac_sha256) {
    using namespace mailer::pg;
    return entry([&] {
        Arguments arguments(fcinfo);
        const TextValue key = arguments.text();
        const TextValue message = arguments.text();
        return p_bytea(hmac_sha256(key.view, message.view)).value;
    });
}
