// The text that stands in for an HTML body.
#include "core/mail/html_text.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

TEST(HtmlText, ReadsAsAPersonWould) {
    EXPECT_EQ(text_of_html("<html><head><title>T</title><style>p{}</style></head><body><h1>Hello  Ada</h1>\n"
                           "<p>Your <b>ticket</b> is\n open.</p><ul><li>one</li><li>two</li></ul>Bye<br>Bob</body>"),
              "Hello Ada\n\nYour ticket is open.\n\n- one\n- two\n\nBye\nBob\n");
    EXPECT_EQ(
        text_of_html(
            "<a href=\"https://example.com/?a=1&amp;b=2\">Open</a> <a href='https://x.example'>https://x.example</a>"),
        "Open <https://example.com/?a=1&b=2> https://x.example\n");
    EXPECT_EQ(text_of_html("<a href=\"mailto:a@example.com\">write</a> <img alt=\"Logo\" src=x>"),
              "write <a@example.com> Logo\n");
    EXPECT_EQ(text_of_html("5 &lt; 6 &amp;&nbsp;7 &#8364; &#x1F600; &unknown; &"), "5 < 6 & 7 € 😀 &unknown; &\n");
    EXPECT_EQ(text_of_html("<pre>a\n  b</pre>"), "a\n  b\n");
    EXPECT_EQ(text_of_html("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"), "a b\nc\n");
}

TEST(HtmlText, NeverFails) {
    for (const char* broken :
         {"", "<", "<a", "<a href", "<a href=", "<!--", "<a href='", "&#xFFFFFFFF;", "&#0;", "</", "<p"})
        EXPECT_LE(text_of_html(broken).size(), 20u) << broken;
    EXPECT_EQ(text_of_html("1 < 2"), "1 < 2\n");
}

}  // namespace
}  // namespace mailer::core
