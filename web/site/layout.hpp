// From variables to HTML: the templates that are compiled in, in the layout that they share.
//
// Escaping is the default: only {{{x}}} and {{&x}} aren't escaped, and no template has them.
#pragma once

#include <string>

#include "core/mail/template_partials.hpp"
#include "core/mail/value.hpp"
#include "http/message.hpp"

namespace mailer::web {

class Layout {
public:
    Layout();  // throws std::runtime_error when a template doesn't parse

    // `variables` is an object; content (a template's name) and title are set here.
    std::string render(const std::string& title, const std::string& template_name, core::Value variables);

private:
    core::PartialTable templates_;
    core::Value versions_;
};

Layout& layout();

// Style, script and icon by the name in /static/NAME; 404 otherwise.
Response static_file(const std::string& name);

// A page that says what is wrong. It needs neither database nor session.
Response error_page(int status, const std::string& message, const std::string& detail = {},
                    const std::string& hint = {});

}  // namespace mailer::web
