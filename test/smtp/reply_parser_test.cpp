// Replies however they are cut, and everything that isn't one.
#include "smtp/reply_parser.hpp"

#include <gtest/gtest.h>

#include "smtp/capabilities.hpp"

namespace mailer::smtp {
namespace {

using State = ReplyParser::State;

core::Reply parsed(std::string_view bytes) {
    ReplyParser parser;
    EXPECT_EQ(parser.feed(bytes), bytes.size());
    EXPECT_EQ(parser.state(), State::complete) << bytes;
    return parser.state() == State::complete ? parser.take() : core::Reply{};
}

State state_after(std::string_view bytes) {
    ReplyParser parser;
    while (!bytes.empty() && parser.state() == State::incomplete)
        bytes.remove_prefix(parser.feed(bytes));
    return parser.state();
}

TEST(ReplyParser, ReadsCodeEnhancedCodeAndText) {
    EXPECT_EQ(parsed("250 2.1.5 ok, go on\r\n"), (core::Reply{250, "2.1.5", "ok, go on"}));
    EXPECT_EQ(parsed("250 ok\r\n"), (core::Reply{250, "", "ok"}));
    EXPECT_EQ(parsed("250\r\n"), (core::Reply{250, "", ""}));
    EXPECT_EQ(parsed("550 5.1.10\r\n"), (core::Reply{550, "5.1.10", ""}));
    EXPECT_EQ(parsed("354 \r\n"), (core::Reply{354, "", ""}));
}

TEST(ReplyParser, JoinsLinesAndTakesTheEnhancedCodeOutOfEach) {
    EXPECT_EQ(parsed("550-5.7.1 we don't\r\n550-5.7.1 like\r\n550 5.7.1 you\r\n"),
              (core::Reply{550, "5.7.1", "we don't\nlike\nyou"}));
    EXPECT_EQ(parsed("250-\r\n250 \r\n"), (core::Reply{250, "", "\n"}));
}

TEST(ReplyParser, AnEnhancedCodeOfAnotherClassIsText) {
    EXPECT_EQ(parsed("550 4.1.1 odd\r\n"), (core::Reply{550, "", "4.1.1 odd"}));
    for (const char* text : {"5.1", "5.1.1x", "5.1111.1 x", "5..1 x", "5.1. x", "5.1.1234", "5.x.1"}) {
        EXPECT_EQ(parsed(std::string{"550 "} + text + "\r\n"), (core::Reply{550, "", text}));
    }
}

TEST(ReplyParser, DoesNotCareHowPacketsAreCut) {
    const std::string_view bytes = "250-2.0.0 one\r\n250 2.0.0 two\r\n354 go\r\n";
    for (std::size_t step = 1; step <= bytes.size(); step++) {
        ReplyParser parser;
        std::vector<core::Reply> replies;
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            std::string_view piece = bytes.substr(at, step);
            while (!piece.empty()) {
                piece.remove_prefix(parser.feed(piece));
                if (parser.state() == State::complete) replies.push_back(parser.take());
            }
        }
        ASSERT_EQ(replies.size(), 2U) << step;
        EXPECT_EQ(replies[0], (core::Reply{250, "2.0.0", "one\ntwo"}));
        EXPECT_EQ(replies[1], (core::Reply{354, "", "go"}));
        EXPECT_TRUE(parser.is_between_replies());
    }
}

TEST(ReplyParser, StopsAtTheEndOfOneReply) {
    ReplyParser parser;
    EXPECT_EQ(parser.feed("250 a\r\n250 b\r\n"), 7U);
    EXPECT_EQ(parser.feed("250 b\r\n"), 0U);  // until the first was taken
    EXPECT_EQ(parser.take().text, "a");
    EXPECT_EQ(parser.feed("250 b\r\n"), 7U);
    EXPECT_EQ(parser.take().text, "b");
}

TEST(ReplyParser, ABareLineFeedEndsALine) { EXPECT_EQ(parsed("250 ok\n").text, "ok"); }

TEST(ReplyParser, BreaksOnWhatIsNoReply) {
    for (const char* bytes : {"\r\n", "2\r\n", "25\r\n", "2x0 ok\r\n", "150 ok\r\n", "650 ok\r\n", "250_ok\r\n",
                              " 250 ok\r\n", "250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "HTTP/1.1 200 OK\r\n"}) {
        EXPECT_EQ(state_after(bytes), State::broken) << bytes;
    }
}

TEST(ReplyParser, StaysBroken) {
    ReplyParser parser;
    parser.feed("nonsense\r\n");
    EXPECT_STRNE(parser.problem(), "");
    EXPECT_EQ(parser.feed("250 ok\r\n"), 8U);
    EXPECT_EQ(parser.state(), State::broken);
}

TEST(ReplyParser, BreaksOnEndlessLinesAndEndlessReplies) {
    EXPECT_EQ(state_after(std::string(ReplyParser::max_line + 1, '2')), State::broken);
    std::string lines;
    for (std::size_t i = 0; i <= ReplyParser::max_lines; i++)
        lines += "250-x\r\n";
    EXPECT_EQ(state_after(lines), State::broken);
    EXPECT_EQ(state_after(std::string(ReplyParser::max_line, '2')), State::incomplete);
}

TEST(ReplyParser, BoundsTheText) {
    std::string bytes;
    for (int i = 0; i < 100; i++)
        bytes += "250-" + std::string(500, 'x') + "\r\n";
    EXPECT_LE(parsed(bytes + "250 end\r\n").text.size(), core::max_reply_text);
}

TEST(ReplyParser, MakesTextHarmless) {
    EXPECT_EQ(parsed(std::string_view{"250 a\x01\x1b[31m\x7f\tb\0c\r\n", 18}).text, "a??[31m? b?c");
    EXPECT_EQ(parsed("250 \xc5\xbc\xc3\xb3\xc5\x82w \xf0\x9f\x90\xa2\r\n").text, "żółw 🐢");
    // Overlong, surrogate, beyond Unicode, a lone tail, a cut sequence, a C1 control.
    EXPECT_EQ(parsed("250 \xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\x80|\xe2\x82|\xc2\x9b\r\n").text,
              "??|???|????|?|??|??");
}

TEST(ReplyParser, NeverCutsACharacterInTwo) {
    std::string text;
    for (int i = 0; i < 1000; i++)
        append_sanitised(text, "€");
    EXPECT_EQ(text.size(), 999U);
}

TEST(Capabilities, ReadsKeywordsInAnyCase) {
    Capabilities c;
    for (const char* line : {"fault.example", "Pipelining", "SIZE 35882577", "8bitmime", "SMTPUTF8", "STARTTLS",
                             "AUTH PLAIN LOGIN", "AUTH=LOGIN", "X-WHATEVER 1"}) {
        c.add(line);
    }
    EXPECT_TRUE(c.has_pipelining && c.has_size && c.has_8bitmime && c.has_smtputf8 && c.has_starttls);
    EXPECT_EQ(c.size_limit, 35882577U);
    EXPECT_EQ(c.auth, "PLAIN LOGIN");
}

TEST(Capabilities, ASizeWithoutANumberOrWithATooLargeOneIsNoLimit) {
    for (const char* line : {"SIZE", "SIZE ", "SIZE x", "SIZE 0", "SIZE 99999999999999999999999"}) {
        Capabilities c;
        c.add(line);
        EXPECT_TRUE(c.has_size);
        EXPECT_EQ(c.size_limit, 0U) << line;
    }
}

TEST(Capabilities, WordsThatOnlyBeginLikeOneAreNone) {
    Capabilities c;
    c.add("PIPELININGS");
    c.add("");
    c.add("X PIPELINING");
    EXPECT_FALSE(c.has_pipelining);
}

}  // namespace
}  // namespace mailer::smtp
