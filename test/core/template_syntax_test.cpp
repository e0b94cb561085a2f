// Comments, delimiters, and what is no template at all.
#include <gtest/gtest.h>

#include "core/template_cases.hpp"

namespace mailer::core::test {
namespace {

TEST(TemplateComment, NeverShows) {
    expect_renders({
        {"Inside a line.", "12{{! x }}34 {{!}} 56", object({{"!", 1}, {"! x", 2}, {"x", 3}}), "1234  56"},
        {"Over several lines.", "12{{!\n a\n b }}34\n", object({}), "1234\n"},
        {"Tags inside it mean nothing.", "1{{! {{ # ^ > = }}2", object({}), "12"},
        {"Alone on its line it takes the line.", "1\n  {{! x }} \n2\n", object({}), "1\n2\n"},
        {"Alone on several lines it takes them all.", "1\n {{!\n  x\n }}\n2\n", object({}), "1\n2\n"},
        {"With a mail's line ends.", "|\r\n{{! x }}\r\n|", object({}), "|\r\n|"},
        {"At the beginning and at the end.", "  {{!a}}\n!\n {{!b}}", object({}), "!\n"},
        {"With text before it the line stays.", " 1 {{! 2 }}\n", object({}), " 1 \n"},
        {"After the end of a comment of several lines nothing is alone.", "{{!\n}} {{!x}}\n1", object({}), " \n1"},
    });
}

TEST(TemplateDelimiters, ChangeFromTheirTagOn) {
    const Value v = object({{"a", 1}, {"s", true}});
    expect_renders({
        {"Other delimiters.", "{{a}}{{=<% %>=}}<%a%>{{a}}", v, "11{{a}}"},
        {"And back.", "{{=<% %>=}}<%a%><%={{ }}=%>{{a}}", v, "11"},
        {"Single characters, special ones too.", "{{=[ ]=}}[a]|{{a}}", v, "1|{{a}}"},
        {"Twice the same.", "{{=| |=}}(|a|)|#s|x|/s|", v, "(1)x"},
        {"White space between and around them.", "|{{= \t@ \n @  =}}|@a@", v, "||1"},
        {"They last beyond the section.", "{{#s}}{{=| |=}}|a|{{a}}|/s||a|", v, "1{{a}}1"},
        {"Unescaped variables.", "{{=<% %>=}}<%&h%><%{h}%>", object({{"h", "<"}}), "<<"},
        {"A delimiter may begin like a kind of tag.", "{{=< >=}}<a><#s>x</s>", v, "1x"},
        {"A name may contain an opening delimiter of one character.", "{{=[ ]=}}[a[b]", object({{"a[b", 1}}), "1"},
        {"Alone on its line the tag takes the line.", "1\n  {{=@ @=}} \n2\n", v, "1\n2\n"},
        {"With a mail's line ends.", "|\r\n{{= @ @ =}}\r\n|", v, "|\r\n|"},
        {"At the beginning and at the end.", "  {{=@ @=}}\n=\n  @={{ }}=@", v, "=\n"},
        {"Inside a line the white space stays.", " | {{=@ @=}}\n", v, " | \n"},
    });
}

TEST(TemplateSyntax, ErrorsNameTheLineAndSayWhatToDo) {
    const struct {
        const char* source;
        const char* message;
        const char* detail;
    } cases[] = {
        {"a\nb {{name", "tag is never closed", "Line 2 of the template."},
        {"{{", "tag is never closed", "Line 1 of the template."},
        {"{{{a}}", "tag is never closed", "Line 1 of the template."},
        {"{{a {{b}}", "tag is never closed", "Line 1 of the template."},
        {"{{!\n\n", "tag is never closed", "Line 1 of the template."},
        {"{{=<% %>}}", "tag is never closed", "Line 1 of the template."},
        {"\n\n{{}}", "tag without a name", "Line 3 of the template."},
        {"{{# }}", "tag without a name", "Line 1 of the template."},
        {"{{=< >=}}<>p>", "tag without a name", "Line 1 of the template."},
        {"{{>}}", "tag without a name", "Line 1 of the template."},
        {"{{>*}}", "tag without a name", "Line 1 of the template."},
        {"{{#a}}\n{{#b}}\n{{/b}}", "section \"a\" is never closed", "Line 1 of the template."},
        {"{{!\n}}\n{{#a}}\n", "section \"a\" is never closed", "Line 3 of the template."},
        {"{{^a}}", "section \"a\" is never closed", "Line 1 of the template."},
        {"{{#a}}\n{{#b}}\n{{/a}}{{/b}}", "section \"b\" is closed as \"a\"",
         "Line 3 of the template. The section was opened on line 2."},
        {"x\n{{/a}}", "no section is open that \"a\" could close", "Line 2 of the template."},
        {"{{=<%=}}", "malformed delimiters \"<%\"", "Line 1 of the template."},
        {"{{==}}", "malformed delimiters \"\"", "Line 1 of the template."},
        {"{{=a b c=}}", "malformed delimiters \"a b c\"", "Line 1 of the template."},
        {"{{=a= b=}}", "malformed delimiters \"a= b\"", "Line 1 of the template."},
        {"{{=aaaaaaaaaaaaaaaaa b=}}", "malformed delimiters \"aaaaaaaaaaaaaaaaa b\"", "Line 1 of the template."},
        {"{{#if a}}{{/if}}", "white space inside the name \"if a\"", "Line 1 of the template."},
        {"{{a..b}}", "malformed name \"a..b\"", "Line 1 of the template."},
        {"{{.a}}", "malformed name \".a\"", "Line 1 of the template."},
        {"{{a.}}", "malformed name \"a.\"", "Line 1 of the template."},
        {"{{<parent}}{{/parent}}", "template inheritance is not supported", "Line 1 of the template."},
        {"{{$block}}{{/block}}", "template inheritance is not supported", "Line 1 of the template."},
    };
    for (const auto& c : cases) {
        SCOPED_TRACE(c.source);
        const Error e = error_of(c.source);
        EXPECT_EQ(e.sqlstate, "42601");
        EXPECT_EQ(e.message, c.message);
        EXPECT_EQ(e.detail, c.detail);
    }
    EXPECT_EQ(error_of("{{{a}}").hint, "Close it with \"}}}\".");
    EXPECT_EQ(error_of("{{#a}}").hint, "Close it with {{/a}}.");
}

TEST(TemplateSyntax, ErrorsOfANamedTemplateSayItsName) {
    const auto t = Template::parse("{{#a}}", "welcome");
    ASSERT_FALSE(t.ok());
    EXPECT_EQ(t.error().detail, "Line 1 of template \"welcome\".");
}

TEST(TemplateSyntax, LongNamesAreCutInMessagesBetweenCharacters) {
    std::string name;
    for (int i = 0; i < 100; ++i)
        name += "é";
    const Error e = error_of("{{a" + name + " x}}");
    EXPECT_EQ(e.message, "white space inside the name \"a" + name.substr(0, 2 * 29) + "...\"");
}

}  // namespace
}  // namespace mailer::core::test
