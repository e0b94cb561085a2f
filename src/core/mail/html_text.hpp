// The text part of a mail that was given as HTML only: what a person would read, without markup.
//
// A reader of tags, not of HTML: it never fails, takes one pass over any octets, and its result is at most a few times
// as long as its input. Links keep their address, images their alternative text, list items a hyphen.
#pragma once

#include <string>
#include <string_view>

namespace mailer::core {

std::string text_of_html(std::string_view html);

}  // namespace mailer::core
