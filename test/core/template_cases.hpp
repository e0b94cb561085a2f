// A table of templates and what they must give, each row with the sentence that it proves.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/mail/template_partials.hpp"
#include "core/value_literals.hpp"

namespace mailer::core::test {

struct TemplateCase {
    const char* sentence;
    std::string source;
    Literal variables;
    std::string expected;
    std::vector<std::pair<const char*, const char*>> partials = {};
};

inline void expect_renders(const std::vector<TemplateCase>& cases, RenderOptions options = {.is_html = true}) {
    for (const TemplateCase& c : cases) {
        SCOPED_TRACE(c.sentence);
        PartialTable partials;
        for (const auto& [name, source] : c.partials) {
            const Status failed = partials.add(name, source);
            ASSERT_FALSE(failed) << failed->message;
        }
        options.partials = &partials;
        const auto rendered = render(c.source, c.variables.value, options);
        ASSERT_TRUE(rendered.ok()) << rendered.error().message << " / " << rendered.error().detail;
        EXPECT_EQ(*rendered, c.expected);
    }
}

// What parsing or rendering `source` fails with; sqlstate 00000 when it doesn't.
inline Error error_of(std::string_view source, const Literal& variables = nullptr, const RenderOptions& options = {}) {
    const auto rendered = render(source, variables.value, options);
    return rendered.ok() ? Error{.sqlstate = "00000", .message = ""} : rendered.error();
}

}  // namespace mailer::core::test
