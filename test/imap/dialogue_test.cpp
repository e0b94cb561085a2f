// Conversations with an IMAP server, as exact lines: what is said, what comes of it, and that nothing is changed.
#include "imap/dialogue.hpp"

#include <gtest/gtest.h>

namespace mailer::imap {
namespace {

using namespace std::chrono_literals;

const core::Time start{std::chrono::hours{1}};

struct Talk {
    explicit Talk(Plan plan) : dialogue(std::move(plan), start) {}
    // What was said since the last call; line ends are left out of the last line.
    std::string said() {
        std::string out(dialogue.output());
        dialogue.sent(out.size());
        while (out.ends_with("\r\n"))
            out.resize(out.size() - 2);
        return out;
    }
    void hear(std::string_view lines) { dialogue.receive(lines, now); }
    Event& event(Event::Kind kind) {
        EXPECT_NE(dialogue.event(), nullptr);
        static Event none;
        if (dialogue.event() == nullptr) return none;
        EXPECT_EQ(static_cast<int>(dialogue.event()->kind), static_cast<int>(kind)) << dialogue.event()->text;
        return *dialogue.event();
    }
    void wait(core::Duration span) {
        now += span;
        dialogue.expire(now);
    }
    core::Time now = start;
    Dialogue dialogue;
};

Plan inbox() {
    Plan plan;
    plan.wished = {"INBOX"};
    plan.since = "31-Oct-2026";
    return plan;
}

// The same, read up to 11.
Plan read_inbox() {
    Plan plan = inbox();
    plan.cursors["INBOX"] = {7, 11};
    return plan;
}

// The answer to EXAMINE.
std::string examined(int tag, int uid_validity, int uid_next) {
    return "* OK [UIDVALIDITY " + std::to_string(uid_validity) + "] ok\r\n* OK [UIDNEXT " + std::to_string(uid_next) +
           "] next\r\nm" + std::to_string(tag) + " OK done\r\n";
}

// Up to the end of LIST.
void begin(Talk& talk, std::string_view capabilities = "IDLE") {
    EXPECT_EQ(talk.said(), "m1 CAPABILITY");
    talk.hear("* CAPABILITY IMAP4rev1 " + std::string(capabilities) + "\r\nm1 OK done\r\n");
    EXPECT_EQ(talk.said(), "m2 LIST \"\" \"*\"");
    talk.hear(
        "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasNoChildren) \"/\" \"Junk Email\"\r\n* LIST () \"/\" "
        "{4}\r\nSent\r\nm2 OK done\r\n");
    talk.event(Event::Kind::folders);
    talk.dialogue.take_up(talk.now);
}

// With read_inbox(), up to IDLE: there is nothing new.
void idle(Talk& talk) {
    begin(talk);
    talk.said();
    talk.hear(examined(3, 7, 12));
    EXPECT_EQ(talk.said(), "m4 IDLE");
    talk.hear("+ idling\r\n");
    talk.event(Event::Kind::listening);
    talk.dialogue.take_up(talk.now);
}

TEST(Dialogue, AFirstLookGoesBackByDateAndEndsListening) {
    Talk talk(inbox());
    begin(talk);
    EXPECT_EQ(talk.said(), "m3 EXAMINE \"INBOX\"");
    talk.hear("* 2 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 12] next\r\nm3 OK [READ-ONLY] done\r\n");
    EXPECT_EQ(talk.said(), "m4 UID SEARCH SINCE 31-Oct-2026");
    talk.hear("* SEARCH 11 10\r\nm4 OK done\r\n");
    EXPECT_EQ(talk.said().substr(0, 46), "m5 UID FETCH 10,11 (UID BODYSTRUCTURE BODY.PEE");
    talk.hear(
        "* 1 FETCH (UID 10 BODYSTRUCTURE (\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1) BODY[HEADER.FIELDS (FROM TO)] "
        "{25}\r\nFrom: ada@example.com\r\n\r\n)\r\n"
        "* 9 EXPUNGE\r\n* 2 FETCH (FLAGS (\\Seen))\r\n"
        "* 2 FETCH (UID 11 BODYSTRUCTURE ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1)(\"message\" "
        "\"delivery-status\" NIL NIL NIL \"7bit\" 5 1)"
        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 9 (\"d\" \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" "
        "\"plain\" NIL NIL NIL \"7bit\" 1 1) 3)"
        " \"report\" (\"report-type\" \"delivery-status\") NIL NIL) BODY[HEADER.FIELDS (FROM TO)] "
        "{30}\r\nContent-Type: x;\r\n y\r\nA: b\r\n\r\n)\r\nm5 OK done\r\n");
    Event& headers = talk.event(Event::Kind::headers);
    ASSERT_EQ(headers.mails.size(), 2U);
    EXPECT_FALSE(headers.mails[0].may_be_report);
    EXPECT_TRUE(headers.mails[1].may_be_report);
    headers.mails[1].is_wanted = true;
    talk.dialogue.take_up(talk.now);
    EXPECT_EQ(talk.said(),
              "m6 UID FETCH 11 (UID BODY.PEEK[1.MIME] BODY.PEEK[1]<0.262144> BODY.PEEK[2.MIME] BODY.PEEK[2]<0.262144> "
              "BODY.PEEK[3.MIME] BODY.PEEK[3.HEADER])");
    talk.hear(
        "* 2 FETCH (UID 11 BODY[1.MIME] \"\" BODY[1]<0> \"hello\" BODY[2.MIME] {32}\r\nContent-Type: "
        "message/delivery\r\n BODY[2]<0> \"Action: failed\" BODY[3.MIME] NIL "
        "BODY[3.HEADER] \"Message-ID: <1@x>\")\r\nm6 OK done\r\n");
    Event& mails = talk.event(Event::Kind::mails);
    EXPECT_EQ(mails.cursor.uid_validity, 7U);
    EXPECT_EQ(mails.cursor.last_uid, 11U);
    EXPECT_EQ(
        mails.mails[1].raw,
        "A: b\r\nContent-Type: multipart/report; report-type=\"delivery-status\"; boundary=\"=_mailer_part\"\r\n\r\n"
        "--=_mailer_part\r\n\r\nhello\r\n--=_mailer_part\r\nContent-Type: message/delivery\r\n\r\nAction: failed\r\n"
        "--=_mailer_part\r\n\r\nMessage-ID: <1@x>\r\n--=_mailer_part--\r\n");
    talk.dialogue.take_up(talk.now);
    EXPECT_EQ(talk.said(), "m7 IDLE");
    talk.hear("+ idling\r\n");
    talk.event(Event::Kind::listening);
    talk.dialogue.take_up(talk.now);

    talk.hear("* 3 EXISTS\r\n");
    EXPECT_EQ(talk.said(), "DONE");
    talk.hear("m7 OK done\r\n");
    EXPECT_EQ(talk.said(), "m8 EXAMINE \"INBOX\"");
    talk.hear("* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 13] next\r\nm8 OK done\r\n");
    EXPECT_EQ(talk.said(), "m9 UID SEARCH UID 12:*");
}

TEST(Dialogue, GoesOnBehindItsCursorAndStartsOverWithANewUidValidity) {
    Talk talk(read_inbox());
    begin(talk);
    EXPECT_EQ(talk.said(), "m3 EXAMINE \"INBOX\"");
    talk.hear("* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 12] next\r\nm3 OK done\r\n");
    EXPECT_EQ(talk.said(), "m4 IDLE");  // nothing new

    Talk other(read_inbox());
    begin(other);
    other.said();
    other.hear("* OK [UIDVALIDITY 8] ok\r\n* OK [UIDNEXT 5] next\r\nm3 OK done\r\n");
    EXPECT_EQ(other.said(), "m4 UID SEARCH SINCE 31-Oct-2026");
    other.hear("* SEARCH\r\nm4 OK done\r\n");
    EXPECT_EQ(other.event(Event::Kind::mails).cursor.last_uid, 4U);  // what is older is not looked at again
    EXPECT_EQ(other.dialogue.event()->cursor.uid_validity, 8U);
}

TEST(Dialogue, LooksAtTheOtherFoldersByBreakingIdle) {
    Plan plan;
    plan.cursors = {{"INBOX", {7, 11}}, {"Junk Email", {3, 4}}, {"Sent", {9, 1}}};
    Talk talk(plan);
    begin(talk);
    for (const char* line :
         {"m3 EXAMINE \"INBOX\"", "m4 EXAMINE \"Junk Email\"", "m5 EXAMINE \"Sent\"", "m6 EXAMINE \"INBOX\""}) {
        EXPECT_EQ(talk.said(), line);
        const std::string_view folder = std::string_view(line).substr(11);
        talk.hear(folder == "\"INBOX\""  ? "* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 12] x\r\n"
                  : folder == "\"Sent\"" ? "* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT 2] x\r\n"
                                         : "* OK [UIDVALIDITY 3] x\r\n* OK [UIDNEXT 5] x\r\n");
        talk.hear(std::string(line).substr(0, 2) + " OK done\r\n");
    }
    EXPECT_EQ(talk.said(), "m7 IDLE");
    talk.hear("+ \r\n");
    talk.dialogue.take_up(talk.now);
    talk.now += 5s;
    talk.dialogue.expire(talk.now);
    EXPECT_EQ(talk.said(), "DONE");
    talk.hear("m7 OK done\r\n");
    EXPECT_EQ(talk.said(), "m8 STATUS \"Junk Email\" (UIDNEXT UIDVALIDITY)");
    talk.hear("* STATUS \"Junk Email\" (UIDNEXT 6 UIDVALIDITY 3)\r\nm8 OK done\r\n");
    EXPECT_EQ(talk.said(), "m9 STATUS \"Sent\" (UIDNEXT UIDVALIDITY)");
    talk.hear("* STATUS Sent (UIDNEXT 2 UIDVALIDITY 9)\r\nm9 OK done\r\n");
    EXPECT_EQ(talk.said(), "m10 EXAMINE \"Junk Email\"");
}

// Up to IDLE with three folders of which nothing is new, at a server with NOTIFY.
void be_notified(Talk& talk, const std::string& answer) {
    begin(talk, "IDLE NOTIFY");
    talk.hear(examined(3, 7, 12) + examined(4, 3, 5) + examined(5, 9, 2) + examined(6, 7, 12));
    const std::string said = talk.said();
    EXPECT_EQ(said.substr(said.find("m7")),
              "m7 NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (mailboxes (\"Junk Email\" \"Sent\") "
              "(MessageNew MessageExpunge))");
    talk.hear(answer);
}

Plan three_folders() {
    Plan plan;
    plan.cursors = {{"INBOX", {7, 11}}, {"Junk Email", {3, 4}}, {"Sent", {9, 1}}};
    return plan;
}

// RFC 5465: IDLE tells of all folders, and isn't broken every few seconds.
TEST(Dialogue, WithNotifyTheServerTellsOfTheOtherFolders) {
    Talk talk(three_folders());
    be_notified(talk, "* STATUS \"Junk Email\" (MESSAGES 1 UIDNEXT 5 UIDVALIDITY 3)\r\nm7 OK done\r\n");
    EXPECT_EQ(talk.said(), "m8 IDLE");
    talk.hear("+ idling\r\n");
    talk.event(Event::Kind::listening);
    talk.dialogue.take_up(talk.now);
    talk.wait(3min);
    EXPECT_EQ(talk.said(), "");
    talk.hear("* STATUS Sent (MESSAGES 1 UIDNEXT 2)\r\n");  // nothing new
    EXPECT_EQ(talk.said(), "");
    talk.hear("* STATUS \"Junk Email\" (MESSAGES 2 UIDNEXT 6)\r\n");
    EXPECT_EQ(talk.said(), "DONE");
    talk.hear("m8 OK done\r\n");
    EXPECT_EQ(talk.said(), "m9 STATUS \"Junk Email\" (UIDNEXT UIDVALIDITY)");
    talk.hear(
        "* STATUS \"Junk Email\" (UIDNEXT 6 UIDVALIDITY 3)\r\nm9 OK done\r\n* STATUS Sent (UIDNEXT 2 UIDVALIDITY "
        "9)\r\nm10 OK done\r\n");
    EXPECT_NE(talk.said().find("m11 EXAMINE \"Junk Email\""), std::string::npos);
}

TEST(Dialogue, WhatCameInBeforeNotifyWasSetIsLookedForAtOnce) {
    Talk talk(three_folders());
    be_notified(talk, "* STATUS \"Junk Email\" (MESSAGES 2 UIDNEXT 6 UIDVALIDITY 3)\r\nm7 OK done\r\n");
    EXPECT_EQ(talk.said(), "m8 EXAMINE \"Junk Email\"");
}

TEST(Dialogue, AServerThatRefusesNotifyOrStopsTellingIsPolled) {
    Talk refused(three_folders());
    be_notified(refused, "m7 NO [NOTIFICATIONOVERFLOW] too much\r\n");
    EXPECT_EQ(refused.said(), "m8 IDLE");
    refused.hear("+ idling\r\n");
    refused.dialogue.take_up(refused.now);
    refused.wait(5s);
    EXPECT_EQ(refused.said(), "DONE");

    Talk stops(three_folders());
    be_notified(stops, "m7 OK done\r\n");
    stops.said();
    stops.hear("+ idling\r\n");
    stops.dialogue.take_up(stops.now);
    stops.hear("* OK [NOTIFICATIONOVERFLOW] too much\r\n");
    EXPECT_EQ(stops.said(), "DONE");
    stops.hear("m8 OK done\r\n");
    EXPECT_EQ(stops.said(), "m9 STATUS \"Junk Email\" (UIDNEXT UIDVALIDITY)");
}

// A server tells of a new mail once, with whatever command it comes to it.
TEST(Dialogue, NewMailThatIsToldWithAnyCommandIsLookedFor) {
    Talk between(read_inbox());  // the end of IDLE and its answer
    idle(between);
    between.wait(4min);
    EXPECT_EQ(between.said(), "DONE");
    between.hear("* 3 EXISTS\r\nm4 OK done\r\n");
    EXPECT_EQ(between.said(), "m5 EXAMINE \"INBOX\"");

    Talk searching(read_inbox());
    begin(searching);
    searching.said();
    searching.hear(examined(3, 7, 13));
    EXPECT_EQ(searching.said(), "m4 UID SEARCH UID 12:*");
    searching.hear("* SEARCH\r\n* 4 EXISTS\r\nm4 OK done\r\n");
    EXPECT_EQ(searching.said(), "m5 EXAMINE \"INBOX\"");
    searching.hear("* 4 EXISTS\r\n" + examined(5, 7, 12));
    EXPECT_EQ(searching.said(), "m6 IDLE");

    Plan plan = read_inbox();
    plan.wished = {"INBOX", "Junk Email"};
    plan.cursors["Junk Email"] = {3, 4};
    Talk polling(plan);  // of another folder
    begin(polling);
    polling.said();
    polling.hear(examined(3, 7, 12) + examined(4, 3, 5) + examined(5, 7, 12) + "+ idling\r\n");
    polling.dialogue.take_up(polling.now);
    polling.wait(5s);
    polling.hear("m6 OK done\r\n");
    polling.said();
    polling.hear("* 3 EXISTS\r\n* STATUS \"Junk Email\" (UIDNEXT 5 UIDVALIDITY 3)\r\nm7 OK done\r\n");
    EXPECT_EQ(polling.said(), "m8 EXAMINE \"INBOX\"");
}

// A server that never tells: the inbox is searched again in any case.
TEST(Dialogue, TheInboxIsSearchedAfterAWhileWithoutBeingTold) {
    Talk talk(read_inbox());
    idle(talk);
    talk.wait(4min);
    talk.said();
    talk.hear("m4 OK done\r\n");
    EXPECT_EQ(talk.said(), "m5 EXAMINE \"INBOX\"");
}

TEST(Dialogue, WithoutIdleItPolls) {
    Talk talk(read_inbox());
    begin(talk, "UIDPLUS");
    talk.said();
    talk.hear("* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 12] next\r\nm3 OK done\r\n");
    talk.event(Event::Kind::listening);
    talk.dialogue.take_up(talk.now);
    talk.now += 5s;
    talk.dialogue.expire(talk.now);
    EXPECT_EQ(talk.said(), "m4 NOOP");
    talk.hear("m4 OK done\r\n");
    EXPECT_EQ(talk.said(), "m5 EXAMINE \"INBOX\"");
}

TEST(Dialogue, EndsWithTheServersWords) {
    Talk limit(inbox());
    begin(limit);
    limit.hear("* BYE [UNAVAILABLE] come back later\r\n");
    EXPECT_EQ(limit.event(Event::Kind::over).text, "the server said goodbye: come back later");
    EXPECT_TRUE(limit.dialogue.event()->is_told_to_wait);
    Talk refused(inbox());
    begin(refused);
    refused.hear("m3 BAD User is authenticated but not connected.\r\n");
    EXPECT_EQ(refused.event(Event::Kind::over).text, "BAD User is authenticated but not connected.");
    Talk silent(inbox());
    silent.dialogue.expire(start + 61s);
    silent.event(Event::Kind::over);
    Talk nonsense(inbox());
    nonsense.hear("* LIST ((((\r\n");
    nonsense.event(Event::Kind::over);
}

TEST(Response, PiecesOfAnySizeGiveTheSame) {
    const std::string all =
        "* 1 FETCH (UID 3 BODY[TEXT]<0> {5}\r\na\r\nb) X \"q\\\"\" NIL (A B))\r\nm1 OK [UIDNEXT 4] done\r\n";
    for (std::size_t size = 1; size < all.size(); ++size) {
        ResponseParser parser;
        std::vector<Response> got;
        for (std::size_t i = 0; i < all.size(); i += size) {
            parser.feed(std::string_view(all).substr(i, size));
            while (auto one = parser.next())
                got.push_back(std::move(*one));
        }
        ASSERT_EQ(got.size(), 2U) << size;
        EXPECT_EQ(got[0].values[2].items[3].text, "a\r\nb)");
        EXPECT_EQ(got[0].values[2].items[5].text, "q\"");
        EXPECT_EQ(got[1].code, "UIDNEXT 4");
        EXPECT_EQ(got[1].text, "done");
    }
}

TEST(Response, IsBounded) {
    ResponseParser deep;
    deep.feed("* X " + std::string(40, '(') + std::string(40, ')') + "\r\n");
    EXPECT_FALSE(deep.next());
    EXPECT_TRUE(deep.is_broken());
    ResponseParser large;
    large.feed("* X {999999999}\r\n");
    EXPECT_FALSE(large.next());
    EXPECT_TRUE(large.is_broken());
    ResponseParser endless;
    endless.feed(std::string(70000, 'a'));
    EXPECT_FALSE(endless.next());
    EXPECT_TRUE(endless.is_broken());
}

TEST(Folder, IsFoundByUseByNameAndInItsOwnLanguage) {
    const auto choice = choose_folders(
        {{"INBOX", {}}, {"Spam", {}}, {"Werbung", {"\\Junk"}}, {"INBOX.&AMk-l&AOk-ments envoy&AOk-s", {}}}, {});
    EXPECT_EQ(choice.folders, (std::vector<std::string>{"INBOX", "Werbung", "INBOX.&AMk-l&AOk-ments envoy&AOk-s"}));
    EXPECT_TRUE(choice.missing.empty());
    const auto wished = choose_folders({{"INBOX", {}}, {"R&AOk-ponses", {}}}, {"Réponses", "Elsewhere"});
    EXPECT_EQ(wished.folders, (std::vector<std::string>{"R&AOk-ponses"}));
    EXPECT_EQ(wished.missing, (std::vector<std::string>{"Elsewhere"}));
    EXPECT_EQ(modified_utf7("a&b 台北"), "a&-b &U,BTFw-");
}

}  // namespace
}  // namespace mailer::imap
