// Character references of HTML (`&eacute;`, `&#233;`, `&#xE9;`).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailer::core {

inline constexpr std::size_t longest_html_entity = 10;  // its name with the semicolon

// The character in UTF-8 that `&name;` stands for. Empty: the name isn't known here. A blank for one that breaks no line and
// for what is no character; U+007F for those that are there but not seen.
std::string html_character(std::string_view name);

}  // namespace mailer::core
