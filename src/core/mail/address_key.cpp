// The identity of a lead (DESIGN.md, "Address key"): the same person isn't mailed twice because somebody typed Ada@ and
// ada@. Domains are case-insensitive by RFC; local parts are so in practice on every server that matters.
//
// The key is stored in unique indexes: it must never depend on locale or collation. Folding follows the Unicode tables
// of libunistring; a new Unicode version may fold newly assigned letters, which no stored address can hold yet.
#include <unicase.h>
#include <uninorm.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <new>

#include "core/mail/address.hpp"
#include "core/mail/header_text.hpp"

namespace mailer::core {
namespace {

using Octets = std::unique_ptr<std::uint8_t, decltype(&std::free)>;

// Canonical caseless matching (Unicode 3.13, D145) decomposes first: U+0345 must reach the folding as itself.
std::string fold(const std::string& local) {
    std::size_t length = 0;
    const Octets decomposed(
        u8_normalize(UNINORM_NFD, reinterpret_cast<const std::uint8_t*>(local.data()), local.size(), nullptr, &length),
        &std::free);
    if (!decomposed) {
        if (errno == ENOMEM) throw std::bad_alloc();
        return local;  // not UTF-8: check_address() has refused it
    }
    std::size_t folded_length = 0;
    const Octets folded(u8_casefold(decomposed.get(), length, nullptr, UNINORM_NFC, nullptr, &folded_length),
                        &std::free);
    if (!folded) {
        if (errno == ENOMEM) throw std::bad_alloc();
        return local;
    }
    return {reinterpret_cast<const char*>(folded.get()), folded_length};
}

}  // namespace

std::string address_key(const Address& address) {
    std::string key;
    if (is_ascii(address.local)) {
        key = lowered(address.local);
    } else {
        key = fold(address.local);
    }
    // No domain holds an "@", so the last one always parts the two, whatever a quoted local part contains.
    key += '@';
    key += address.domain;
    return key;
}

}  // namespace mailer::core
