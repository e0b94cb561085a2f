// Received text in other character sets: what it becomes, and that an opt-out is understood in each.
#include "core/feedback/charset.hpp"

#include <gtest/gtest.h>

#include "core/feedback/feedback.hpp"
#include "core/feedback/text.hpp"

using namespace mailer::core::feedback;

namespace {

constexpr std::size_t much = 100'000;

std::string octets(std::u16string_view text, bool is_big) {
    std::string out;
    for (const char16_t c : text) {
        const char high = static_cast<char>(c >> 8), low = static_cast<char>(c & 0xFF);
        out.append({is_big ? high : low, is_big ? low : high});
    }
    return out;
}

TEST(Charset, WhatMailProgramsWriteBecomesUtf8) {
    EXPECT_EQ(to_utf8("d\xE9sabonner \x80", "ISO-8859-1", much), "désabonner €");
    EXPECT_EQ(to_utf8("prosz\xEA nie pisa\xE6", "iso-8859-2", much), "proszę nie pisać");
    EXPECT_EQ(to_utf8("usun\xB9\xE6", "Windows-1250", much), "usunąć");
    EXPECT_EQ(to_utf8("\xF3\xD4\xCF\xD0", "koi8-r", much), "Стоп");
    EXPECT_EQ(to_utf8("\xD1\xF2\xEE\xEF", "cp1251", much), "Стоп");
    EXPECT_EQ(to_utf8("\x94\x7A\x90\x4D", "shift_jis", much), "配信");
    EXPECT_EQ(to_utf8("\x1B$BG[?.\x1B(B", "ISO-2022-JP", much), "配信");
    EXPECT_EQ(to_utf8("\xCD\xCB\xB6\xA9", "gb2312", much), "退订");
    EXPECT_EQ(to_utf8(octets(u"d\u00E9j\u00E0 \U0001F600", false), "utf-16le", much), "déjà 😀");
    EXPECT_EQ(to_utf8(octets(u"\uFEFFd\u00E9j\u00E0", true), "UTF-16", much), "déjà");
}

TEST(Charset, Utf8AndAsciiStayAsTheyAre) {
    EXPECT_EQ(to_utf8("d\xC3\xA9j\xC3\xA0", "UTF-8", much), "déjà");
    EXPECT_EQ(to_utf8("d\xE9j\xE0", "us-ascii", much), "d\xE9j\xE0");
    EXPECT_EQ(to_utf8("plain", "windows-1250", much), "plain");
}

TEST(Charset, AStrangersNameReachesNothingElse) {
    for (const char* name :
         {"", "x", "utf-16//TRANSLIT", "iso-2022-cn-ext", "../../tmp/x", "UTF-8//IGNORE", "cp125", "cp1259", "437"})
        EXPECT_EQ(to_utf8("a\xE9", name, much), std::nullopt) << name;
}

TEST(Charset, WhatTheSetDoesNotHaveIsReplacedAndEndsNothing) {
    EXPECT_EQ(to_utf8("a\x81"
                      "b",
                      "windows-1250", much),
              "a\xEF\xBF\xBD"
              "b");
    EXPECT_EQ(to_utf8("\x82", "gbk", much), "\xEF\xBF\xBD");
    EXPECT_EQ(to_utf8(std::string("a\0b", 3), "utf-16le", much), "a\xEF\xBF\xBD");
}

TEST(Charset, TextOfAnotherSetIsLeftAlone) {
    EXPECT_EQ(to_utf8("\xA4\xB3\xA4\xCE\xA5\xE1\xA1\xBC\xA5\xEB", "iso-2022-jp", much), std::nullopt);  // EUC-JP
}

TEST(Charset, TheResultIsBoundedAndItsLastCharacterWhole) {
    const std::string text(20'000, '\xE9');
    for (const std::size_t limit : {0, 1, 2, 3, 4095, 4096, 4097, 9'999, 40'000}) {
        const std::string out = to_utf8(text, "iso-8859-1", limit).value();
        EXPECT_EQ(out.size(), std::min<std::size_t>(limit / 2 * 2, 40'000)) << limit;
    }
}

std::string kinds_of(const std::string& content_type, const std::string& encoding, const std::string& body) {
    const std::string head =
        "From: Ada <ada@example.org>\nTo: sales@example.com\nSubject: Re: Offer\nIn-Reply-To: <1@example.com>\n"
        "Message-ID: <2@example.org>\n";
    std::string kinds;
    for (const Item& item : read_feedback(head + "Content-Type: " + content_type +
                                          "\nContent-Transfer-Encoding: " + encoding + "\n\n" + body)
                                .items)
        kinds += to_text(item.kind);
    return kinds;
}

TEST(Charset, AnOptOutIsUnderstoodInEach) {
    EXPECT_EQ(kinds_of("text/plain; charset=utf-8", "8bit", "Proszę nie pisać\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/plain; charset=\"ISO-8859-2\"", "8bit", "Prosz\xEA nie pisa\xE6\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/plain; charset=windows-1250", "quoted-printable", "Prosz=EA nie pisa=E6\n"),
              "unsubscribe");
    EXPECT_EQ(kinds_of("text/plain; charset=utf-16le", "base64", "VQBuAHMAdQBiAHMAYwByAGkAYgBlAA==\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/html; charset=iso-8859-1", "8bit", "<p>Veuillez me d\xE9sabonner</p>\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/html", "7bit", "<p>Veuillez me d&eacute;sabonner</p>\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/html", "7bit", "<p>Veuillez&#160;me d&#xE9;sabonner</p>\n"), "unsubscribe");
    EXPECT_EQ(kinds_of("text/plain; charset=utf-16le", "base64", "VABoAGEAbgBrAHMA\n"), "reply");
}

TEST(Charset, EncodedWordsToo) {
    EXPECT_EQ(decoded_words("=?iso-8859-2?Q?prosz=EA?= =?koi8-r?B?89TP0A==?="), "proszęСтоп");
    EXPECT_EQ(decoded_words("=?x-unknown?Q?a=E9?="), "=?x-unknown?Q?a=E9?=");
}

}  // namespace
