// SNS asks whether a subscription is wanted by an address that has to be opened once.
#pragma once

#include <string>
#include <string_view>

namespace mailer::web {

// The address that confirms it, when `body` is such a question and the address is SNS's own: https, host
// sns.REGION.amazonaws.com (also .cn), no port, no user. Empty otherwise.
std::string confirmation_address(std::string_view body);

// Opens it: 10 s, no redirects. False when that fails; SNS asks again.
bool confirm(const std::string& address);

}  // namespace mailer::web
