// Takes secrets out of a text that somebody else wrote, before it is stored, logged or shown.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mailer::oauth {

// The text in one line of at most 500 octets without control characters. Each secret, in clear or percent-encoded, and
// every run of characters that looks like a token is replaced by "[…]": providers quote what they were sent.
std::string without_secrets(std::string_view text, std::span<const std::string_view> secrets);

}  // namespace mailer::oauth
