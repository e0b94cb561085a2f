// {{#name}}…{{/name}} and {{^name}}…{{/name}}: conditions and loops.
#include <gtest/gtest.h>

#include "core/template_cases.hpp"

namespace mailer::core::test {
namespace {

TEST(TemplateSection, IsRenderedWhenItsValueIsTruthy) {
    expect_renders({
        {"True.", "{{#a}}yes{{/a}}", object({{"a", true}}), "yes"},
        {"An object, even an empty one.", "{{#a}}yes{{/a}}", object({{"a", object({})}}), "yes"},
        {"Text.", "{{#a}}yes{{/a}}", object({{"a", "0"}}), "yes"},
        {"False.", "({{#a}}no{{/a}})", object({{"a", false}}), "()"},
        {"Null.", "({{#a}}no{{/a}})", object({{"a", nullptr}}), "()"},
        {"Missing.", "({{#a}}no{{/a}})", object({}), "()"},
        {"Zero.", "({{#a}}no{{/a}})", object({{"a", 0}}), "()"},
        {"Empty text.", "({{#a}}no{{/a}})", object({{"a", ""}}), "()"},
        {"An empty list.", "({{#a}}no{{/a}})", object({{"a", list({})}}), "()"},
        {"A dotted name.", "{{#a.b}}yes{{/a.b}}", object({{"a", object({{"b", 1}})}}), "yes"},
        {"A broken chain.", "({{#a.b.c}}no{{/a.b.c}})", object({{"a", object({})}}), "()"},
        {"White space around names means nothing.", "{{# a }}yes{{/ a }}", object({{"a", true}}), "yes"},
        {"An empty body is fine.", "({{#a}}{{/a}})", object({{"a", true}}), "()"},
    });
}

TEST(TemplateSection, InvertedIsRenderedExactlyWhenTheOtherIsNot) {
    const Literal falsey[] = {nullptr, false, 0, "", list({})};
    for (const Literal& v : falsey) {
        expect_renders({{"Falsey.", "{{#a}}1{{/a}}{{^a}}2{{/a}}", object({{"a", v}}), "2"}});
    }
    const Literal truthy[] = {true, 1, "x", list({0}), object({})};
    for (const Literal& v : truthy) {
        expect_renders({{"Truthy.", "{{#a}}1{{/a}}{{^a}}2{{/a}}", object({{"a", v}}), "1"}});
    }
    expect_renders({
        {"Missing.", "{{^a}}none{{/a}}", object({}), "none"},
        {"A broken chain.", "{{^a.b}}none{{/a.b}}", object({{"a", 1}}), "none"},
        {"It opens no context.", "{{#s}}{{^a}}{{b}}{{/a}}{{/s}}", object({{"s", object({{"b", "in"}})}, {"b", "out"}}),
         "in"},
        {"Nested ones.", "{{^a}}1{{^b}}2{{/b}}3{{/a}}", object({}), "123"},
        {"White space around names means nothing.", "{{^ a }}none{{/ a }}", object({}), "none"},
    });
}

TEST(TemplateSection, RepeatsForEveryItemOfAList) {
    expect_renders({
        {"Each item is the context.", "{{#a}}{{n}};{{/a}}",
         object({{"a", list({object({{"n", 1}}), object({{"n", 2}})})}}), "1;2;"},
        {"Items may be falsey.", "{{#a}}({{.}}){{/a}}", object({{"a", list({0, false, nullptr, ""})}}),
         "(0)(false)()()"},
        {"Lists of lists.", "{{#a}}({{#.}}{{.}}{{/.}}){{/a}}",
         object({{"a", list({list({1, 2}), list({}), list({3})})}}), "(12)()(3)"},
        {"A list at the top.", "{{#.}}{{n}}{{/.}}", list({object({{"n", "a"}}), object({{"n", "b"}})}), "ab"},
        {"Items are escaped.", "{{#a}}{{.}}{{/a}}", object({{"a", list({"<", ">"})}}), "&lt;&gt;"},
        {"The last item's context ends with the section.", "{{#a}}{{n}}{{/a}}{{n}}",
         object({{"a", list({object({{"n", 1}})})}, {"n", "out"}}), "1out"},
        {"Loops in loops.", "{{#a}}{{#b}}{{x}}{{y}} {{/b}}{{/a}}",
         object({{"a", list({object({{"x", 1}, {"b", list({object({{"y", 2}}), object({{"y", 3}})})}}),
                             object({{"x", 4}, {"b", list({object({{"y", 5}})})}})})}}),
         "12 13 45 "},
        {"The same section twice in a row.", "{{#a}}1{{/a}}-{{#a}}2{{/a}}", object({{"a", true}}), "1-2"},
        {"The same section in itself.", "{{#a}}1{{#a}}2{{/a}}3{{/a}}", object({{"a", true}}), "123"},
    });
}

TEST(TemplateSection, OpensAContextThatSeesTheOuterOnes) {
    expect_renders({
        {"Inner members win, outer ones remain in sight.", "{{#s}}{{a}} {{b}} {{c.d}}{{/s}}",
         object({{"a", "outer"}, {"b", "WRONG"}, {"s", object({{"b", "inner"}})}, {"c", object({{"d", "far"}})}}),
         "outer inner far"},
        {"A text is a context too.", "{{#a}}{{.}}={{a}}{{/a}}", object({{"a", "x"}}), "x=x"},
        {"Contexts pile up.", "{{#a}}{{#b}}{{#c}}{{x}}{{y}}{{z}}{{/c}}{{/b}}{{/a}}",
         object({{"a", object({{"x", 1}, {"b", object({{"y", 2}, {"c", object({{"z", 3}})}})}})}}), "123"},
        {"A dotted section's context is what the last part names.", "{{#a.b}}{{n}}{{/a.b}}",
         object({{"a", object({{"n", "WRONG"}, {"b", object({{"n", "right"}})}})}}), "right"},
    });
}

TEST(TemplateSection, AloneOnItsLineTakesTheLineWithIt) {
    const Value yes = object({{"a", true}});
    expect_renders({
        {"Both tags go.", "1\n{{#a}}\n2\n{{/a}}\n3\n", yes, "1\n2\n3\n"},
        {"Indented ones too.", "1\n \t{{#a}}\t\n2\n  {{/a}} \n3\n", yes, "1\n2\n3\n"},
        {"Inverted ones too.", "1\n{{^b}}\n2\n{{/b}}\n3\n", yes, "1\n2\n3\n"},
        {"Line ends of mail count.", "|\r\n{{#a}}\r\n{{/a}}\r\n|", yes, "|\r\n|"},
        {"At the very beginning.", "  {{#a}}\n#{{/a}}\n/", yes, "#\n/"},
        {"At the very end without a line end.", "#{{#a}}\n/\n  {{/a}}", yes, "#\n/\n"},
        {"Two tags on a line are not alone.", " {{#a}}{{/a}}\n", yes, " \n"},
        {"Text on the line keeps all of it.", " {{#a}}YES{{/a}}\n {{#a}} GOOD {{/a}} \n", yes, " YES\n  GOOD  \n"},
        {"White space inside stays.", " | {{#a}} {{! x }}\n {{/a}} | \n", yes, " |  \n  | \n"},
        {"A lone carriage return is no line end.", "{{#a}}\r{{/a}}", yes, "\r"},
    });
}

}  // namespace
}  // namespace mailer::core::test
