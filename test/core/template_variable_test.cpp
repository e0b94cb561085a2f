// {{name}}, {{{name}}}, {{&name}}: what is found, what is escaped, what a missing one means.
#include <gtest/gtest.h>

#include "core/template_cases.hpp"

namespace mailer::core::test {
namespace {

TEST(TemplateVariable, IsReplacedByItsValue) {
    expect_renders({
        {"Text without tags stays as it is.", "Dear {all},\r\n\n } } {\n", object({}), "Dear {all},\r\n\n } } {\n"},
        {"An empty template gives nothing.", "", object({}), ""},
        {"A tag gives the variable's text.", "Hi {{name}}!", object({{"name", "Ada"}}), "Hi Ada!"},
        {"White space inside the tag means nothing.", "{{ \n name\t}}", object({{"name", "Ada"}}), "Ada"},
        {"White space around the tag stays.", " {{a}} \n", object({{"a", 1}}), " 1 \n"},
        {"A variable alone on its line keeps the line.", "  {{a}}\n", object({{"a", "x"}}), "  x\n"},
        {"What a variable gives is not read as a template.", "{{a}}", object({{"a", "{{b}}"}, {"b", "no"}}), "{{b}}"},
        {"Names may be in any script.", "{{größe}} {{名前}}", object({{"größe", "L"}, {"名前", "花子"}}), "L 花子"},
        {"Tags may touch.", "{{a}}{{b}}{{a}}", object({{"a", 1}, {"b", 2}}), "121"},
    });
}

TEST(TemplateVariable, OfEveryKindHasItsText) {
    expect_renders({
        {"Numbers appear as jsonb writes them.", "{{a}} {{{a}}} {{&a}}", object({{"a", number("12.50")}}),
         "12.50 12.50 12.50"},
        {"Zero is shown.", "{{a}}", object({{"a", 0}}), "0"},
        {"Booleans appear as words.", "{{a}} {{b}}", object({{"a", true}, {"b", false}}), "true false"},
        {"Null appears as nothing.", "({{a}}{{{a}}}{{&a}})", object({{"a", nullptr}}), "()"},
        {"Null inside hides a value outside.", "{{#s}}({{a}}){{/s}}",
         object({{"a", 1}, {"s", object({{"a", nullptr}})}}), "()"},
        {"Arrays and objects appear as JSON, escaped like text.", "{{a}}", object({{"a", list({1, "x"})}}),
         "[1, &quot;x&quot;]"},
    });
}

TEST(TemplateVariable, IsEscapedInHtmlUnlessItSaysOtherwise) {
    expect_renders({
        {"All five dangerous characters are escaped.", "{{a}}", object({{"a", "<b a='1' c=\"2\">&amp;"}}),
         "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;"},
        {"Three braces don't escape.", "{{{ a }}}", object({{"a", "<&>\"'"}}), "<&>\"'"},
        {"An ampersand doesn't escape.", "{{& a }}|{{&a}}", object({{"a", "<&>"}}), "<&>|<&>"},
        {"The template's own text isn't escaped.", "<b>&{{a}}</b>", object({{"a", "<"}}), "<b>&&lt;</b>"},
        {"Other characters stay.", "{{a}}", object({{"a", "é/`=花"}}), "é/`=花"},
    });
}

TEST(TemplateVariable, IsNeverEscapedInPlainText) {
    expect_renders({{"Subjects and text bodies show what was meant.", "{{a}} {{{a}}} {{&a}}",
                     object({{"a", "Q&A <1> \"'"}}), "Q&A <1> \"' Q&A <1> \"' Q&A <1> \"'"}},
                   {.is_html = false});
}

TEST(TemplateVariable, WithADottedNameIsLookedForInsideWhatTheFirstPartNames) {
    const Value deep = object({{"a", object({{"b", object({{"c", "deep"}})}})}});
    expect_renders({
        {"Dots lead inside.", "{{a.b.c}} {{{a.b.c}}} {{&a.b.c}}", deep, "deep deep deep"},
        {"A broken chain gives nothing.", "({{a.x.c}}{{x.b.c}}{{a.b.c.d}})", deep, "()"},
        {"Once the first part is found, outer contexts are not tried.", "{{#a}}({{b.c}}){{/a}}",
         object({{"a", object({{"b", object({})}})}, {"b", object({{"c", "WRONG"}})}}), "()"},
        {"The first part may come from an outer context.", "{{#s}}{{a.b}}{{/s}}",
         object({{"s", object({{"x", 1}})}, {"a", object({{"b", "ok"}})}}), "ok"},
        {"A key that contains a dot is not found by a dotted name.", "({{a.b}})", object({{"a.b", "no"}}), "()"},
        {"Arrays have no members.", "({{a.0}}{{a.length}})", object({{"a", list({1})}}), "()"},
    });
}

TEST(TemplateVariable, WithADotForANameIsTheCurrentContext) {
    expect_renders({
        {"At the top it is all the variables.", "{{.}}", "<x>", "&lt;x&gt;"},
        {"It may be unescaped.", "{{{.}}}{{&.}}", "<x>", "<x><x>"},
        {"It may be a number.", "{{ . }}", 85, "85"},
        {"In a list it is the item.", "{{#a}}({{.}}){{/a}}", object({{"a", list({1, "b", number("2.5")})}}),
         "(1)(b)(2.5)"},
    });
}

TEST(TemplateVariable, ThatIsMissingGivesNothingUnlessStrict) {
    expect_renders({{"Nothing is shown.", "({{a}}{{{a}}}{{&a}}{{a.b}})", object({}), "()"}});

    const RenderOptions strict{.is_strict = true};
    const Error e = error_of("Hi,\n\n{{name}} {{user.email}}", object({{"name", "Ada"}}), strict);
    EXPECT_EQ(e.sqlstate, "22023");
    EXPECT_EQ(e.message, "variable \"user.email\" is missing");
    EXPECT_EQ(e.detail, "Line 3 of the template.");
    EXPECT_EQ(e.hint, "Pass it in the variables, or guard it with {{#user.email}}...{{/user.email}}.");
}

TEST(TemplateVariable, InStrictModeMayBeNullAndSectionsMayAskForWhatIsMissing) {
    expect_renders(
        {
            {"Null is a value.", "({{a}})", object({{"a", nullptr}}), "()"},
            {"A section asks, and its body isn't rendered.", "{{#a}}{{a.b}}{{/a}}{{^a}}none{{/a}}", object({}), "none"},
        },
        {.is_strict = true});
}

TEST(TemplateVariable, NamesAreListedForDiagnostics) {
    const auto t = Template::parse("{{b}}{{#items}}{{.}}{{a.b}}{{b}}{{/items}}{{^c}}{{/c}}{{>p}}{{>*which}}{{!no}}");
    ASSERT_TRUE(t.ok());
    EXPECT_EQ(t->variable_names(), (std::vector<std::string>{"a.b", "b", "c", "items", "which"}));
    EXPECT_EQ(t->partial_names(), std::vector<std::string>{"p"});
    EXPECT_TRUE(t->has_dynamic_partials());
}

}  // namespace
}  // namespace mailer::core::test
