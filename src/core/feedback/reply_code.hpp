// SMTP codes in a text, as servers quote them: `550 5.1.1 …`, `550-5.7.26`, `(#5.1.1)`, `smtp; 552 …`.
#pragma once

#include <string>
#include <string_view>

namespace mailer::core::feedback {

int find_code(std::string_view text) noexcept;     // 4xx or 5xx, or 2xx at the start; 0: none
std::string find_enhanced(std::string_view text);  // x.y.z of RFC 3463, never a part of an address; empty: none

}  // namespace mailer::core::feedback
