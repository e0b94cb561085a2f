// What compose() makes: structure, limits, refusals. That independent readers understand it is test/mime's part.
#include "core/mail/mime.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace mailer::core {
namespace {

Mail plain_mail() {
    Mail mail;
    mail.from = {"Ada", "ada", "example.com"};
    mail.to = {{"", "bob", "example.org"}};
    mail.subject = "Hello";
    mail.body_text = "Hi Bob\n";
    mail.message_id_header = "<1.abc@example.com>";
    mail.date = from_unix_us(1'729'927'800'000'000);
    mail.utc_offset_minutes = 120;
    return mail;
}

std::string composed(const Mail& mail) {
    const auto result = compose(mail);
    return result ? result.value().bytes : "error: " + result.error().message;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void expect_lines_are_legal(const std::string& bytes) {
    std::size_t start = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        ASSERT_NE(bytes[i], '\0');
        ASSERT_TRUE(bytes[i] != '\r' || bytes.substr(i, 2) == "\r\n") << "bare CR";
        if (bytes[i] != '\n') continue;
        ASSERT_TRUE(i > 0 && bytes[i - 1] == '\r') << "bare LF";
        ASSERT_LE(i - 1 - start, 998u);
        start = i + 1;
    }
    ASSERT_EQ(start, bytes.size()) << "doesn't end in CRLF";
}

TEST(Mime, PlainMailIsExactlyTheseBytes) {
    EXPECT_EQ(composed(plain_mail()),
              "Date: Sat, 26 Oct 2024 09:30:00 +0200\r\n"
              "From: Ada <ada@example.com>\r\n"
              "To: bob@example.org\r\n"
              "Subject: Hello\r\n"
              "Message-ID: <1.abc@example.com>\r\n"
              "MIME-Version: 1.0\r\n"
              "Content-Type: text/plain; charset=us-ascii\r\n"
              "Content-Transfer-Encoding: 7bit\r\n"
              "\r\n"
              "Hi Bob\r\n");
}

TEST(Mime, ComposingTwiceGivesTheSameBytes) {
    Mail mail = plain_mail();
    mail.body_html = "<p>Größe</p>";
    mail.attachments = {{"a.pdf", "", "", "%PDF"}};
    EXPECT_EQ(composed(mail), composed(mail));
}

TEST(Mime, TreeHoldsOnlyWhatIsNeeded) {
    Mail mail = plain_mail();
    EXPECT_FALSE(has(composed(mail), "multipart"));
    mail.body_html = "<p>Hi</p>";
    EXPECT_TRUE(has(composed(mail), "Content-Type: multipart/alternative;"));
    mail.attachments = {{"logo.png", "", "logo", "PNG"}};
    EXPECT_TRUE(has(composed(mail), "Content-Type: multipart/related; type=\"multipart/alternative\";"));
    EXPECT_FALSE(has(composed(mail), "multipart/mixed"));
    mail.attachments.push_back({"a.pdf", "", "", "PDF"});
    const std::string all = composed(mail);
    const auto mixed = all.find("multipart/mixed"), related = all.find("multipart/related");
    EXPECT_LT(mixed, related);
    EXPECT_LT(related, all.find("multipart/alternative", related + 60));
    mail.body_text.clear();
    EXPECT_TRUE(has(composed(mail), "multipart/related; type=\"text/html\";"));
}

TEST(Mime, BccIsNowhereAndAMailWithoutVisibleRecipientsSaysSo) {
    Mail mail = plain_mail();
    mail.to.clear();
    EXPECT_TRUE(has(composed(mail), "\r\nTo: undisclosed-recipients:;\r\n"));
    mail.cc = {{"", "cy", "example.com"}};
    EXPECT_TRUE(has(composed(mail), "\r\nTo: undisclosed-recipients:;\r\nCc: cy@example.com\r\n"));
}

TEST(Mime, FurtherFormsStandBesideTheBodiesAmpBeforeHtml) {
    Mail mail = plain_mail();
    mail.body_html = "<p>Hi</p>";
    mail.attachments = {{"", "text/calendar; method=REQUEST", "", "BEGIN:VCALENDAR\r\n"},
                        {"", "text/x-amp-html", "", "<html amp4email>"}};
    for (Attachment& attachment : mail.attachments)
        attachment.is_alternative = true;
    const std::string all = composed(mail);
    const auto calendar = all.find("Content-Type: text/calendar; method=REQUEST; charset=utf-8");
    ASSERT_NE(calendar, std::string::npos) << all;
    EXPECT_LT(all.find("text/x-amp-html"), all.find("text/html"));
    EXPECT_LT(all.find("text/html"), calendar);
    EXPECT_FALSE(has(all, "multipart/mixed"));
    EXPECT_FALSE(has(all, "Content-Disposition"));
}

TEST(Mime, AContentIdWithoutAnAtSignIsCompletedInThePartAndInTheHtml) {
    Mail mail = plain_mail();
    mail.message_id_header = "<1@example.com>";
    mail.body_html = "<img src=\"cid:logo\">\n<img src=cid:logo2>\n<img src='cid:logo'>";
    mail.attachments = {{"logo.png", "", "logo", "PNG"}, {"b.png", "", "<b@x>", "PNG"}};
    const std::string all = composed(mail);
    EXPECT_TRUE(has(all, "Content-ID: <logo@example.com>"));
    EXPECT_TRUE(has(all, "Content-ID: <b@x>"));
    EXPECT_TRUE(has(all, "\"cid:logo@example.com\"") && has(all, "cid:logo2>") && has(all, "'cid:logo@example.com'"))
        << all;
    mail.attachments.push_back({"c.png", "", "logo", "PNG"});
    EXPECT_TRUE(has(composed(mail), "is given twice"));
}

TEST(Mime, TextThatIsUtf8SaysSoWhateverTypeWasGiven) {
    Mail mail = plain_mail();
    mail.attachments = {{"b.csv", "text/csv", "", "größe"},
                        {"c.csv", "text/csv; Charset=iso-8859-1", "", "gr\xF6\xDF"},
                        {"d.csv", "text/csv", "", "size"}};
    const std::string all = composed(mail);
    EXPECT_TRUE(has(all, "Content-Type: text/csv; charset=utf-8; name=b.csv")) << all;
    EXPECT_TRUE(has(all, "text/csv; Charset=iso-8859-1; name=c.csv"));
    EXPECT_TRUE(has(all, "text/csv; name=d.csv"));
}

TEST(Mime, LineEndsOfAnyKindBecomeCrlf) {
    Mail mail = plain_mail();
    mail.body_text = "a\nb\rc\r\nd\r\r\n\n.\n..\nend";
    const std::string bytes = composed(mail);
    EXPECT_TRUE(bytes.ends_with("\r\n\r\na\r\nb\r\nc\r\nd\r\n\r\n\r\n.\r\n..\r\nend\r\n"));
    expect_lines_are_legal(bytes);
}

TEST(Mime, LongLinesAndOtherLanguagesStayWithinTheLimits) {
    Mail mail = plain_mail();
    mail.subject = std::string(5000, 'x') + " " + std::string(3000, ' ') + "ü";
    mail.from.name = std::string(2000, 'n');
    for (const char* sample : {"x", "ü", "漢", "😀", "a b", "\x01", "=", ". ", "\t", "From \n"}) {
        mail.body_text.clear();
        for (int i = 0; i < 3000; ++i)
            mail.body_text += sample;
        mail.body_html = mail.body_text;
        mail.headers = {
            {"X-Text", std::string_view("x\t\1F=").find(sample[0]) != std::string_view::npos ? "" : mail.body_text}};
        mail.attachments = {{std::string(60, 'f') + "ü" + std::string(60, 'g') + ".bin", "", "", mail.body_text}};
        const std::string bytes = composed(mail);
        ASSERT_FALSE(bytes.starts_with("error")) << bytes;
        expect_lines_are_legal(bytes);
    }
}

TEST(Mime, NoLineOfContentCanBeTakenForABoundary) {
    Mail mail = plain_mail();
    mail.body_html = "<p>x</p>";
    const std::string first = composed(mail);
    const auto at = first.find("\r\n--=_");
    const std::string line = first.substr(at + 2, first.find("\r\n", at + 2) - at - 2);
    mail.body_text = line + "\n" + line + "--\n";
    mail.body_html = line;
    mail.attachments = {{"", "text/plain", "", mail.body_text}};
    const std::string bytes = composed(mail);
    std::size_t count = 0;
    for (auto i = bytes.find("\r\n" + line); i != std::string::npos; i = bytes.find("\r\n" + line, i + 1))
        ++count;
    EXPECT_EQ(count, 3u);  // two parts and the end of the alternative
}

TEST(Mime, AMailAttachedToItselfKeepsItsBoundariesApart) {
    Mail mail = plain_mail();
    mail.body_html = "<p>x</p>";
    const std::string inner = composed(mail);
    mail.attachments = {{"inner.eml", "", "", inner}};
    const std::string bytes = composed(mail);
    EXPECT_TRUE(has(bytes, "Content-Type: message/rfc822; name=inner.eml\r\nContent-Transfer-Encoding: 7bit\r\n"));
    EXPECT_TRUE(has(bytes, inner));
    const auto mark = bytes.find("boundary=\"=_");
    const std::string outer_stem = bytes.substr(mark + 10, 26);
    EXPECT_FALSE(has(inner, outer_stem));
}

TEST(Mime, AMessageThatNeedsEncodingIsAttachedAsOctets) {
    Mail mail = plain_mail();
    mail.attachments = {{"x.eml", "message/rfc822", "", "Subject: \xC3\xBC\n\nhi"}};
    EXPECT_TRUE(has(composed(mail),
                    "Content-Type: application/octet-stream; name=x.eml\r\n"
                    "Content-Transfer-Encoding: base64\r\n"));
    mail.attachments = {{"x", "multipart/mixed; boundary=x", "", "--x--"}};
    EXPECT_TRUE(has(composed(mail), "Content-Type: application/octet-stream; name=x\r\n"));
}

TEST(Mime, ContentTypeIsGuessedFromTheFileNameWhenAbsent) {
    Mail mail = plain_mail();
    mail.attachments = {{"Rechnung.PDF", "", "", "x"},
                        {"data", "", "", "x"},
                        {"t.csv", "", "", "\xC3\xBC"},
                        {"t.csv", "Text/CSV; header=present; name=\"no\"", "", "x"}};
    const std::string bytes = composed(mail);
    EXPECT_TRUE(has(bytes, "Content-Type: application/pdf; name=Rechnung.PDF\r\n"));
    EXPECT_TRUE(has(bytes, "Content-Type: application/octet-stream; name=data\r\n"));
    EXPECT_TRUE(has(bytes, "Content-Type: text/csv; charset=utf-8; name=t.csv\r\n"));
    EXPECT_TRUE(has(bytes, "Content-Type: text/csv; header=present; name=t.csv\r\n"));
}

TEST(Mime, AttachedAsciiTextIsQuotedAndOtherContentIsBase64) {
    Mail mail = plain_mail();
    mail.attachments = {{"t.csv", "", "", "a;b\n"}, {"u.csv", "", "", "\xFF;b\n"}, {"v.bin", "", "", "a"}};
    const std::string bytes = composed(mail);
    EXPECT_TRUE(has(bytes, "name=t.csv\r\nContent-Transfer-Encoding: quoted-printable\r\n"));
    EXPECT_TRUE(has(bytes, "\r\n\r\na;b=0A\r\n--"));
    EXPECT_TRUE(has(bytes, "Content-Type: text/csv; name=u.csv\r\nContent-Transfer-Encoding: base64\r\n"));
    EXPECT_TRUE(has(bytes, "name=v.bin\r\nContent-Transfer-Encoding: base64\r\n"));
}

TEST(Mime, ForeignFileNamesAreExtendedWithAnAsciiFallback) {
    Mail mail = plain_mail();
    mail.attachments = {{"Größe \"1\".pdf", "", "", "x"}};
    const std::string bytes = composed(mail);
    EXPECT_TRUE(has(bytes, "name=\"Gr__e _1_.pdf\"\r\n"));
    EXPECT_TRUE(has(bytes, "filename*=utf-8''Gr%C3%B6%C3%9Fe%20%221%22.pdf\r\n"));
}

TEST(Mime, ThreadListAndAutomaticFieldsAreWritten) {
    Mail mail = plain_mail();
    mail.in_reply_to = "<2@example.com>";
    mail.references = {"<1@example.com>", "<2@example.com>"};
    mail.auto_submitted = "auto-generated";
    mail.list_id = "News <news.example.com>";
    mail.list_unsubscribe_url = "https://example.com/u?t=1";
    mail.list_unsubscribe_mailto = "mailto:u@example.com";
    mail.list_unsubscribe_one_click = true;
    mail.x_headers = {{"X-Mailer-Campaign", "7"}};
    const std::string bytes = composed(mail);
    EXPECT_TRUE(has(bytes,
                    "In-Reply-To: <2@example.com>\r\nReferences: <1@example.com> <2@example.com>\r\n"
                    "Auto-Submitted: auto-generated\r\nList-Id: News <news.example.com>\r\n"
                    "List-Unsubscribe: <https://example.com/u?t=1>, <mailto:u@example.com>\r\n"
                    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Mailer-Campaign: 7\r\n"))
        << bytes;
}

TEST(Mime, AnApplicationsOwnListFieldsSilenceOurs) {
    Mail mail = plain_mail();
    mail.list_unsubscribe_url = "https://example.com/u";
    mail.list_unsubscribe_one_click = true;
    mail.auto_submitted = "auto-generated";
    mail.headers = {{"list-unsubscribe", "<mailto:me@example.com>"}, {"Auto-Submitted", "no"}};
    const std::string bytes = composed(mail);
    EXPECT_FALSE(has(bytes, "https://example.com/u"));
    EXPECT_FALSE(has(bytes, "One-Click"));
    EXPECT_FALSE(has(bytes, "auto-generated"));
    mail.headers.push_back({"LIST-UNSUBSCRIBE", "<mailto:you@example.com>"});
    EXPECT_TRUE(composed(mail).starts_with("error"));
}

TEST(Mime, ControlCharactersInASubjectBecomeBlanks) {
    Mail mail = plain_mail();
    mail.subject = " Ada wrote:\r\nBcc: eve@example.com\x01\xC2\x85\xE2\x80\xA8 ";
    EXPECT_TRUE(has(composed(mail), "\r\nSubject: Ada wrote: Bcc: eve@example.com\r\n"));
}

TEST(Mime, NothingThatIsGivenCanStartAHeaderLine) {
    const std::string evil = "x\r\nBcc: eve@example.com";
    const auto refused = [](auto change) {
        Mail mail = plain_mail();
        change(mail);
        const std::string bytes = composed(mail);
        return bytes.starts_with("error") && !has(bytes, "\r\n");
    };
    EXPECT_TRUE(refused([&](Mail& m) { m.from.name = evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.from.local = evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.to[0].domain = evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.sender = Address{evil, "a", "example.com"}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.reply_to = {{evil, "a", "example.com"}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.cc = {{"", evil, "example.com"}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.message_id_header = "<" + evil + "@x>"; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.message_id_header = ""; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.in_reply_to = "<" + evil + "@x>"; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.references = {"<" + evil + "@x>"}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.headers = {{"X-A", evil}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.headers = {{evil, "x"}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.headers = {{"Bcc", "eve@example.com"}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.x_headers = {{"X-A", evil}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.list_id = evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.auto_submitted = evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.list_unsubscribe_url = "https://" + evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.list_unsubscribe_mailto = "mailto:" + evil; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.attachments = {{evil, "", "", ""}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.attachments = {{"a", "text/plain;a=" + evil, "", ""}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.attachments = {{"a", "text/plain;a=\"" + evil + "\"", "", ""}}; }));
    EXPECT_TRUE(refused([&](Mail& m) { m.attachments = {{"a", "", evil, ""}}; }));
}

TEST(Mime, TextThatIsNotUtf8IsRefused) {
    Mail mail = plain_mail();
    mail.body_text = "ok \xFF";
    EXPECT_EQ(composed(mail), "error: the text body isn't valid UTF-8");
    mail = plain_mail();
    mail.subject = "\xC3";
    EXPECT_TRUE(composed(mail).starts_with("error: header \"Subject\""));
}

TEST(Mime, MailAboveTheLimitIsRefusedAndAtTheLimitIsNot) {
    Mail mail = plain_mail();
    const std::string content(100'000, 'x');
    mail.attachments = {{"a.bin", "", "", content}};
    const std::size_t size = composed(mail).size();
    EXPECT_TRUE(compose(mail, {size}).ok());
    const auto refused = compose(mail, {size - 1});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().sqlstate, "54000");
    EXPECT_FALSE(compose(mail, {1000}).ok());
}

TEST(Mime, OnlyAHeaderAddressBeyondAsciiNeedsSmtputf8) {
    Mail mail = plain_mail();
    mail.subject = "ü";
    mail.to[0].name = "Jörg";
    auto result = compose(mail);
    EXPECT_FALSE(result.value().needs_smtputf8);
    EXPECT_TRUE(std::all_of(result.value().bytes.begin(), result.value().bytes.end(), [](char c) { return c > 0; }));
    mail.to[0].local = "jörg";
    result = compose(mail);
    EXPECT_TRUE(result.value().needs_smtputf8 && result.value().is_8bit);
    EXPECT_TRUE(has(result.value().bytes, " <jörg@example.org>\r\n"));
}

TEST(Mime, DotsAtLineStartsAreDoubledAndTheEndIsMarked) {
    const auto stuffed = [](std::string_view in) {
        std::string out = "DATA";
        dot_stuff(in, out);
        return out.substr(4);
    };
    EXPECT_EQ(stuffed("a.b\r\n.\r\n..\r\n.x.\r\n"), "a.b\r\n..\r\n...\r\n..x.\r\n.\r\n");
    EXPECT_EQ(stuffed(".\r\n"), "..\r\n.\r\n");
    EXPECT_EQ(stuffed("no end"), "no end\r\n.\r\n");
    EXPECT_EQ(stuffed(""), ".\r\n");
    EXPECT_EQ(stuffed({}), ".\r\n");
}

}  // namespace
}  // namespace mailer::core
