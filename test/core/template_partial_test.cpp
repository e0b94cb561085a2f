// {{>name}} and {{>*name}}: templates inside templates.
#include <gtest/gtest.h>

#include "core/template_cases.hpp"

namespace mailer::core::test {
namespace {

TEST(TemplatePartial, IsRenderedInItsPlace) {
    expect_renders({
        {"The other template's text.", "[{{>p}}]", object({}), "[text]", {{"p", "text"}}},
        {"White space around the name means nothing.", "[{{> p }}]", object({}), "[text]", {{"p", "text"}}},
        {"A name may hold spaces, as stored templates' names may.",
         "{{> my footer }}",
         object({}),
         "bye",
         {{"my footer", "bye"}}},
        {"It sees the contexts of its place.",
         "{{#s}}{{>p}}{{/s}}",
         object({{"s", object({{"a", 1}})}, {"b", 2}}),
         "12",
         {{"p", "{{a}}{{b}}"}}},
        {"It may hold others.", "{{>p}}", object({{"a", 1}}), "(<1>)", {{"p", "({{>q}})"}, {"q", "<{{a}}>"}}},
        {"It may come again and again.",
         "{{#l}}{{>p}}{{/l}}",
         object({{"l", list({1, 2, 3})}}),
         "1,2,3,",
         {{"p", "{{.}},"}}},
        {"It is escaped like its surroundings.", "{{>p}}", object({{"a", "<"}}), "<&lt;", {{"p", "<{{a}}"}}},
        {"A missing one is nothing.", "[{{>nope}}]", object({}), "[]"},
        {"An empty one is nothing.", "[{{>p}}]", object({}), "[]", {{"p", ""}}},
    });
}

TEST(TemplatePartial, MayContainItself) {
    expect_renders(
        {{"A tree.",
          "{{>node}}",
          object({{"n", "a"},
                  {"kids", list({object({{"n", "b"}, {"kids", list({})}}),
                                 object({{"n", "c"}, {"kids", list({object({{"n", "d"}, {"kids", list({})}})})}})})}}),
          "a<b<>c<d<>>>",
          {{"node", "{{n}}<{{#kids}}{{>node}}{{/kids}}>"}}}});
}

TEST(TemplatePartial, HasDelimitersOfItsOwn) {
    expect_renders({
        {"The caller's delimiters don't reach it.", "{{=| |=}}[|>p|]", object({{"a", 1}}), "[.1.]", {{"p", ".{{a}}."}}},
        {"Its delimiters don't reach the caller.",
         "{{>p}}[{{a}}|a|]",
         object({{"a", 1}}),
         "1[1|a|]",
         {{"p", "{{=| |=}}|a|"}}},
    });
}

TEST(TemplatePartial, InsideALineIsNotIndented) {
    expect_renders({
        {"White space around it stays.", "| {{>p}} |", object({}), "| \t|\t |", {{"p", "\t|\t"}}},
        {"Its second line starts at the margin.",
         "  {{a}}  {{>p}}\n",
         object({{"a", "|"}}),
         "  |  >\n>\n",
         {{"p", ">\n>"}}},
    });
}

TEST(TemplatePartial, AloneOnItsLineIndentsEveryLineOfItself) {
    expect_renders({
        {"Each line.", "a\n  {{>p}}\nb\n", object({}), "a\n  1\n  2\nb\n", {{"p", "1\n2\n"}}},
        {"Its own line end is the only one.", "  {{>p}}\n>", object({}), "  >\n  >>", {{"p", ">\n>"}}},
        {"At the end of the text.", ">\n  {{>p}}", object({}), ">\n  >\n  >", {{"p", ">\n>"}}},
        {"With a mail's line ends.", "|\r\n{{>p}}\r\n|", object({}), "|\r\n>|", {{"p", ">"}}},
        {"Tabs are kept as tabs.", "\t {{>p}}\n", object({}), "\t 1\n\t 2\n", {{"p", "1\n2\n"}}},
        {"Lines of a value are not lines of the partial.",
         " {{>p}}\n",
         object({{"v", "<\n->"}}),
         " |\n <\n->\n |\n",
         {{"p", "|\n{{{v}}}\n|\n"}}},
        {"A line that begins with a tag is indented.",
         "  {{>p}}\n",
         object({{"a", 1}, {"b", 2}}),
         "  1\n  2!\n",
         {{"p", "{{a}}\n{{b}}!\n"}}},
        {"Empty lines are lines.", "  {{>p}}\n", object({}), "  1\n  \n  2\n", {{"p", "1\n\n2\n"}}},
        {"A line of a standalone tag is gone, indentation and all.",
         "  {{>p}}\n",
         object({{"l", list({1, 2})}}),
         "  [\n  1\n  2\n  ]\n",
         {{"p", "[\n{{#l}}\n{{.}}\n{{/l}}\n]\n"}}},
        {"A line that begins with a closing tag is indented.",
         "  {{>p}}\n",
         object({{"s", true}}),
         "  1\n  2\n",
         {{"p", "{{#s}}1\n{{/s}}2\n"}}},
        {"A line that begins with a comment is indented once.",
         "  {{>p}}\n",
         object({{"a", 1}}),
         "  1\n",
         {{"p", "{{!x}}{{a}}\n"}}},
        {"Indentations add up.",
         " {{>p}}\n",
         object({}),
         " 1\n   2\n   3\n 4\n",
         {{"p", "1\n  {{>q}}\n4\n"}, {"q", "2\n3\n"}}},
        {"Without white space of its own it keeps what surrounds it.",
         "  {{>p}}\n",
         object({}),
         "  1\n  2\n",
         {{"p", "{{>q}}\n"}, {"q", "1\n2\n"}}},
        {"One inside a line isn't indented, and the line after is indented again.",
         "  {{>p}}\n",
         object({}),
         "  (1\n2)\n  3\n",
         {{"p", "({{>q}})\n3\n"}, {"q", "1\n2"}}},
    });
}

TEST(TemplatePartial, WithADynamicNameIsTheOneThatTheVariableNames) {
    expect_renders({
        {"The variable's text is the name.", "[{{>*which}}]", object({{"which", "p"}}), "[text]", {{"p", "text"}}},
        {"White space means nothing.", "[{{> * which }}]", object({{"which", "p"}}), "[text]", {{"p", "text"}}},
        {"The variable is looked for in the place of the tag.",
         "{{#items}}{{>*kind}} {{/items}}",
         object({{"items", list({object({{"kind", "a"}, {"v", 1}}), object({{"kind", "b"}, {"v", 2}})})}}),
         "A1 B2 ",
         {{"a", "A{{v}}"}, {"b", "B{{v}}"}}},
        {"Its name may be dotted, and opens no context.",
         "{{>*x.which}}",
         object({{"x", object({{"which", "p"}, {"v", "WRONG"}})}, {"v", "v"}}),
         "v",
         {{"p", "{{v}}"}}},
        {"A missing variable is no partial.", "[{{>*which}}]", object({}), "[]", {{"which", "WRONG"}}},
        {"A name that isn't known is no partial.", "[{{>*which}}]", object({{"which", "q"}}), "[]", {{"p", "WRONG"}}},
        {"A name is taken once, not twice.",
         "[{{>**which}}]",
         object({{"which", "a"}, {"a", "p"}}),
         "[]",
         {{"p", "WRONG"}}},
        {"Alone on its line it is indented.",
         "a\n  {{>*which}}\nb",
         object({{"which", "p"}}),
         "a\n  1\n  2\nb",
         {{"p", "1\n2\n"}}},
    });
}

TEST(TemplatePartial, ThatIsMissingIsAnErrorInStrictMode) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("outer", "1\n{{>inner}}"));
    const RenderOptions strict{.is_strict = true, .partials = &partials};

    const Error missing = error_of("{{>outer}}", object({}), strict);
    EXPECT_EQ(missing.sqlstate, "22023");
    EXPECT_EQ(missing.message, "partial \"inner\" is missing");
    EXPECT_EQ(missing.detail, "Line 2 of template \"outer\".");
    EXPECT_EQ(error_of("{{>*which}}", object({}), strict).message, "variable \"which\" names no partial");
    EXPECT_EQ(error_of("{{>*which}}", object({{"which", "x"}}), strict).message, "partial \"x\" is missing");
    EXPECT_EQ(error_of("{{>x}}", object({}), {.is_strict = true}).message, "partial \"x\" is missing");
}

TEST(TemplatePartial, ThatIsMissingIsNamedAmongWhatIsMissing) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("outer", "{{>inner}}"));
    std::vector<std::string> missing;
    ASSERT_TRUE(render("{{>outer}} {{name}} {{#no}}{{>unseen}}{{/no}}", object({}),
                       {.partials = &partials, .missing = &missing}));
    EXPECT_EQ(missing, (std::vector<std::string>{"> inner", "name"}));
}

TEST(TemplatePartial, ThatTheSourceRefusesEndsTheRenderingWithItsError) {
    struct Refusing : PartialSource {
        Result<const Template*> find(std::string_view) override {
            return Error{.sqlstate = "42501", .message = "permission denied"};
        }
    } refusing;
    const Error e = error_of("{{>p}}", object({}), {.partials = &refusing});
    EXPECT_EQ(e.sqlstate, "42501");
    EXPECT_EQ(e.message, "permission denied");
}

TEST(PartialTable, TellsWhichPartialsItStillLacks) {
    PartialTable table;
    ASSERT_FALSE(table.add("a", "{{>b}}{{>c}}{{>a}}"));
    EXPECT_EQ(table.missing_names(), (std::vector<std::string>{"b", "c"}));
    ASSERT_FALSE(table.add("b", "{{>d}}"));
    ASSERT_FALSE(table.add("c", ""));
    EXPECT_EQ(table.missing_names(), std::vector<std::string>{"d"});
    table.remove("c");
    EXPECT_EQ(table.missing_names(), (std::vector<std::string>{"c", "d"}));
}

TEST(PartialTable, KeepsTheOldTemplateWhenTheNewOneDoesNotParse) {
    PartialTable table;
    ASSERT_FALSE(table.add("a", "old"));
    const Status failed = table.add("a", "{{#x}}");
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->detail, "Line 1 of template \"a\".");
    const auto found = table.find("a");
    ASSERT_TRUE(found.ok());
    EXPECT_EQ((*found)->source(), "old");
    ASSERT_FALSE(table.add("a", "new"));
    EXPECT_EQ((*table.find("a"))->source(), "new");
}

}  // namespace
}  // namespace mailer::core::test
