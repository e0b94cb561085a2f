// The id that a provider gives a mail in its 250 and writes into Message-ID and reports in place of ours.
#pragma once

#include <string>
#include <string_view>

namespace mailer::core::feedback {

// Of the reply to the dot, without its codes; empty: there is none. Short queue ids are none: they come back nowhere.
std::string provider_id(std::string_view reply);

}  // namespace mailer::core::feedback
