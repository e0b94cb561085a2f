// The id that a provider gives a mail in its 250 and writes into Message-ID and reports in place of ours.
#pragma once

#include <string>
#include <string_view>

namespace mailer::core::feedback {

// Of the reply to the dot, without its codes; empty: there is none. Short queue ids are none: they come back nowhere.
std::string provider_id(std::string_view reply);

// The Message-ID under which recipients see that mail, without <>: what follow-ups refer to. Empty: the id says nothing
// of it, and ours is to be seen. `host`: the server that replied.
std::string provider_message_id(std::string_view id, std::string_view host);

}  // namespace mailer::core::feedback
