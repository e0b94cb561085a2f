// What goes over the wire for a body, in pieces of any size.
#include "smtp/dot_stuffer.hpp"

#include <gtest/gtest.h>

namespace mailer::smtp {
namespace {

std::string stuffed(std::string_view body, std::size_t room) {
    DotStuffer stuffer{body};
    std::string out;
    std::size_t dot = 0;
    while (!stuffer.is_done()) {
        const std::size_t before = out.size();
        dot = stuffer.append(out, room, true);
        EXPECT_LE(out.size() - before, 2 * room + 5);
    }
    EXPECT_EQ(dot, 3U);
    EXPECT_EQ(stuffer.append(out, room, true), 0U);
    return out;
}

struct Case {
    const char* body;
    const char* wire;
};

TEST(DotStuffer, DoublesADotAtEachLineStart) {
    const Case cases[] = {
        {"", ".\r\n"},
        {"a\r\n", "a\r\n.\r\n"},
        {".\r\n", "..\r\n.\r\n"},
        {"..\r\n", "...\r\n.\r\n"},
        {"a.b\r\n.c\r\n", "a.b\r\n..c\r\n.\r\n"},
        {"a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
        {"\r\n\r\n.\r\n.\r\n", "\r\n\r\n..\r\n..\r\n.\r\n"},
    };
    for (const Case& c : cases) {
        for (std::size_t room = 1; room < 12; room++)
            EXPECT_EQ(stuffed(c.body, room), c.wire) << c.body << room;
    }
}

TEST(DotStuffer, EndsALineThatHasNoEnd) {
    EXPECT_EQ(stuffed("a", 5), "a\r\n.\r\n");
    EXPECT_EQ(stuffed("a\r", 5), "a\r\r\n.\r\n");
    EXPECT_EQ(stuffed("a\n", 5), "a\n\r\n.\r\n");
}

TEST(DotStuffer, LeavesNoEndOfDataBehindABareLineFeedOrReturn) {  // SMTP smuggling
    for (const char* body :
         {"a\n.\nMAIL", "a\n.\r\nMAIL", "a\r.\rMAIL", "a\r.\r\nMAIL", "a\r\n.\nMAIL", "a\n.\rMAIL"}) {
        const std::string wire = stuffed(body, 3);
        const std::string inside = wire.substr(0, wire.size() - 5);  // without \r\n.\r\n
        for (std::size_t at = inside.find('.'); at != std::string::npos; at = inside.find('.', at + 2)) {
            EXPECT_EQ(inside.substr(at, 2), "..") << body;
        }
    }
}

TEST(DotStuffer, HoldsTheDotBackUntilItMay) {
    DotStuffer stuffer{"abcdef\r\n"};
    std::string out;
    EXPECT_FALSE(stuffer.is_dot_next(7));
    EXPECT_TRUE(stuffer.is_dot_next(8));
    EXPECT_EQ(stuffer.append(out, 100, false), 0U);
    EXPECT_EQ(out, "abcdef\r\n");
    EXPECT_FALSE(stuffer.is_done());
    EXPECT_EQ(stuffer.append(out, 100, false), 0U);
    EXPECT_EQ(stuffer.append(out, 100, true), 3U);
    EXPECT_EQ(out, "abcdef\r\n.\r\n");
}

}  // namespace
}  // namespace mailer::smtp
