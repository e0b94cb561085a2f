// What an operator can do about the words of a provider or of a mail server that refuses a token. A table, one sign a
// line.
#pragma once

#include <string>
#include <string_view>

#include "oauth/grant.hpp"

namespace mailer::oauth {

// Empty when nothing is known about these words.
std::string hint_for(std::string_view words, Flow flow);

// A refusal whose words name a cause that no new token mends: SMTP is switched off for the mailbox, say.
bool names_another_cause(std::string_view words);

}  // namespace mailer::oauth
