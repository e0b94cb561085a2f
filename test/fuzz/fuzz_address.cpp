// Any bytes as an address list: no crash, and whatever is accepted can't hurt an envelope or a header.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/mail/address.hpp"

using namespace mailer::core;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto list = parse_address_list({reinterpret_cast<const char*>(data), size});
    if (!list) {
        const std::string& sqlstate = list.error().sqlstate;
        require((sqlstate == "22023" || sqlstate == "54000") && !list.error().message.empty());
        return 0;
    }
    for (const Address& address : *list) {
        require(!check_address(address));
        const std::string mailbox = address.mailbox();
        require(mailbox.size() <= 254);
        for (const char c : mailbox + address.name)
            require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
        for (const char c : address.domain)
            require(static_cast<unsigned char>(c) < 0x80);

        const auto back = parse_address(format_address(address));
        require(back.ok() && back.value() == address);

        const std::string key = address_key(address);
        Address folded = address;
        folded.local = key.substr(0, key.rfind('@'));
        require(address_key(folded) == key);
    }
    return 0;
}
