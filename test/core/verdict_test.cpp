// What every kind of ending means, as a table that reads like core/outcome/verdict.hpp; the numbers cite its rules.
#include "core/outcome/verdict.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace mailer::core {
namespace {

using namespace std::chrono_literals;

const Time now = from_unix_us(1'800'000'000'000'000);

Report tried(Stage stage, Ending ending, int recipients = 1) {
    Report report;
    report.token = 7;
    report.recipient_count = recipients;
    report.stage = stage;
    report.ending = ending;
    report.dot_sent = stage >= Stage::dot;
    return report;
}

Report with_rcpt(Report report, std::vector<Reply> replies) {
    report.recipient_count = static_cast<int>(replies.size());
    for (std::size_t i = 0; i < replies.size(); i++) {
        if (replies[i].code != 0) report.recipients.push_back({static_cast<int>(i), replies[i]});
    }
    return report;
}

Report with_final(Report report, Reply reply) {
    report.final_reply = std::move(reply);
    return report;
}

Report with_session(Report report, Reply reply) {
    report.session_reply = std::move(reply);
    return report;
}

Report dotted(std::vector<Reply> rcpt, Reply final) {
    return with_final(with_rcpt(tried(Stage::done, Ending::answered), std::move(rcpt)), std::move(final));
}

const Reply ok{250, "2.0.0", "ok"};
const Reply no_user{550, "5.1.1", "no such user"};
const Reply later{450, "4.2.1", "later"};
const Reply full{452, "4.5.3", "too many"};
const Reply bye{421, "4.3.2", "bye"};

Verdict judged(const Report& report, History history = {}) {
    if (history.age_from == Time{}) history.age_from = now;
    return judge(report, {}, history, now);
}

std::vector<Fate> fates(const Verdict& verdict) {
    std::vector<Fate> all;
    for (const auto& r : verdict.recipients)
        all.push_back(r.fate);
    return all;
}

// ---- the dot -----------------------------------------------------------------------------------------------------

TEST(Verdict, Any2xxToTheDotIsSent) {
    for (const int code : {200, 250, 251, 252, 299}) {
        const Verdict v = judged(dotted({ok}, {code, "", ""}));
        EXPECT_EQ(v.next, Next::settle_sent) << code;
        EXPECT_EQ(v.reason, "");
        EXPECT_TRUE(v.proves_mailbox);
        EXPECT_EQ(v.trouble, Trouble::none);
    }
}

TEST(Verdict, AcceptedRecipientsAreSentHoweverTheConnectionEnds) {  // rule 1
    Report report = dotted({ok, ok}, ok);
    report.ending = Ending::closed;
    const Verdict v = judged(report);
    EXPECT_EQ(v.next, Next::settle_sent);
    EXPECT_EQ(fates(v), (std::vector{Fate::sent, Fate::sent}));
}

TEST(Verdict, DotWithoutReplyIsUnconfirmedWhateverTheEnding) {  // rule 2
    for (const Ending ending : {Ending::closed, Ending::timed_out, Ending::garbled, Ending::abandoned}) {
        const Verdict v = judged(with_rcpt(tried(Stage::dot, ending), {ok, no_user, later}));
        EXPECT_EQ(v.next, Next::settle_unconfirmed);
        EXPECT_EQ(v.reason, "reply_lost");
        EXPECT_EQ(fates(v), (std::vector{Fate::unconfirmed, Fate::rejected, Fate::waiting}));
        EXPECT_TRUE(v.recipients[1].is_hard_bounce);
        EXPECT_EQ(v.trouble, ending == Ending::abandoned ? Trouble::none : Trouble::unreachable);
        EXPECT_FALSE(v.proves_mailbox);
    }
}

TEST(Verdict, AReplyToTheDotThatIsNeitherYesNorNoIsUnconfirmed) {
    EXPECT_EQ(judged(dotted({ok}, {354, "", "go on"})).next, Next::settle_unconfirmed);
    EXPECT_EQ(judged(dotted({ok}, {0, "", ""})).next, Next::settle_unconfirmed);
}

TEST(Verdict, AReusedConnectionIsNoExcuseAfterTheDot) {
    Report report = with_rcpt(tried(Stage::dot, Ending::closed), {ok});
    report.connection_was_reused = true;
    EXPECT_FALSE(is_stale_connection(report));
    EXPECT_EQ(judged(report).next, Next::settle_unconfirmed);
}

TEST(Verdict, PermanentReplyToTheDotFailsWhoWasAccepted) {
    const Verdict v = judged(dotted({ok, later}, {554, "5.7.1", "spam"}));
    EXPECT_EQ(fates(v), (std::vector{Fate::rejected, Fate::waiting}));
    EXPECT_EQ(v.next, Next::retry);
    EXPECT_EQ(v.reply.code, 554);
}

TEST(Verdict, TemporaryReplyToTheDotIsARetryOfAllButTheRefused) {
    const Verdict v = judged(dotted({ok, no_user}, {451, "4.3.0", "disk"}));
    EXPECT_EQ(fates(v), (std::vector{Fate::waiting, Fate::rejected}));
    EXPECT_EQ(v.next, Next::retry);
    EXPECT_EQ(v.recipients[0].reply.code, 451);
}

TEST(Verdict, FourTwentyOneToTheDotIsABusyServerAndNoAttempt) {
    const Verdict v = judged(dotted({ok}, bye));
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_EQ(v.trouble, Trouble::busy);
    EXPECT_FALSE(v.is_trouble_lasting);
}

TEST(Verdict, ADailyQuotaWaitsAndRestsTheMailbox) {
    const Verdict v = judged(dotted({ok}, {550, "5.4.5", "daily quota exceeded"}));
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_EQ(v.trouble, Trouble::busy);
    EXPECT_TRUE(v.is_trouble_lasting);
}

TEST(Verdict, ARefusalInTheMiddleOfTheBodyIsDefinite) {
    const Verdict v =
        judged(with_final(with_rcpt(tried(Stage::body, Ending::answered), {ok}), {552, "5.3.4", "too big"}));
    EXPECT_EQ(v.next, Next::settle_failed);
    EXPECT_EQ(v.reason, "rejected");
}

// ---- recipients --------------------------------------------------------------------------------------------------

TEST(Verdict, ARetryHoldsOnlyTheRecipientThatWaits) {  // rule 4
    const Verdict v = judged(dotted({ok, later, no_user}, ok));
    EXPECT_EQ(fates(v), (std::vector{Fate::sent, Fate::waiting, Fate::rejected}));
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_GE(v.delay, 10s);
    EXPECT_FALSE(v.consumes_attempt());  // rule 3: somebody got it
}

TEST(Verdict, SentCountsTheRefusedOfAllTries) {
    EXPECT_EQ(judged(dotted({ok, no_user}, ok)).reason, "1 of 2 refused");
    EXPECT_EQ(judged(dotted({ok}, ok), {1, now, 3, 2, 0}).reason, "2 of 6 refused");
}

TEST(Verdict, AMessageIsSentWhenAnEarlierTryReachedSomebody) {
    const Verdict v = judged(dotted({no_user}, ok), {1, now, 1, 0, 0});
    EXPECT_EQ(v.next, Next::settle_sent);
    EXPECT_EQ(v.reason, "1 of 2 refused");
}

TEST(Verdict, AllRefusedIsFailedRejected) {
    const Verdict v = judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {no_user, {554, "5.7.1", "no"}}));
    EXPECT_EQ(v.next, Next::settle_failed);
    EXPECT_EQ(v.reason, "rejected");
    EXPECT_TRUE(v.proves_mailbox);
}

TEST(Verdict, ASuccessToTheDotWithNobodyAcceptedSendsToNobody) {
    const Verdict v = judged(dotted({no_user}, ok));
    EXPECT_EQ(fates(v), std::vector{Fate::rejected});
    EXPECT_EQ(v.next, Next::settle_failed);
}

TEST(Verdict, AFullEnvelopeGoesOnAtOnceWithoutAnAttempt) {  // rule 3
    const Verdict v = judged(dotted({ok, full, {452, "", "too many"}, {552, "5.5.3", "too many"}}, ok));
    EXPECT_EQ(fates(v), (std::vector{Fate::sent, Fate::waiting, Fate::waiting, Fate::waiting}));
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_EQ(v.delay, 0s);
    EXPECT_FALSE(v.consumes_attempt());
}

TEST(Verdict, AFullEnvelopeWithNobodyInItIsAnAttempt) {  // rule 5: or it would go round for ever
    EXPECT_EQ(judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {full})).next, Next::retry);
}

TEST(Verdict, AFullEnvelopeNextToAnotherReasonToWaitWaits) {
    EXPECT_GE(judged(dotted({ok, full, later}, ok)).delay, 10s);
    EXPECT_EQ(judged(dotted({ok, full}, ok)).delay, 0s);
}

TEST(Verdict, AFullMailboxOfARecipientIsNoFullEnvelope) {
    EXPECT_GE(judged(dotted({ok, {452, "4.2.2", "mailbox full"}}, ok)).delay, 10s);
    EXPECT_EQ(judged(dotted({{452, "4.2.2", "over quota"}}, ok)).trouble, Trouble::none);
}

TEST(Verdict, HardBounceIsToldByWordsAndThenByCodes) {
    const auto bounces = [](const Reply& reply) {
        return judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {reply})).recipients[0].is_hard_bounce;
    };
    for (const char* code : {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4"})
        EXPECT_TRUE(bounces({550, code, ""})) << code;
    for (const char* code : {"", "5.7.1", "5.2.2", "5.1.8", "5.1.0", "5.1.11"})
        EXPECT_FALSE(bounces({550, code, ""})) << code;
    EXPECT_FALSE(bounces({450, "4.1.1", ""}));
    EXPECT_TRUE(bounces({550, "", "User unknown"}));
    EXPECT_FALSE(bounces({550, "5.2.1", "The account is disabled"}));
    EXPECT_FALSE(bounces({550, "5.1.1", "blocked using zen.example.org"}));
    EXPECT_FALSE(bounces({450, "4.1.1", "User unknown"}));
}

TEST(Verdict, ADotRefusalIsAHardBounceOnlyOfASingleRecipient) {
    EXPECT_TRUE(judged(dotted({ok}, no_user)).recipients[0].is_hard_bounce);
    EXPECT_TRUE(judged(dotted({ok, later}, no_user)).recipients[0].is_hard_bounce);
    EXPECT_FALSE(judged(dotted({ok, ok}, no_user)).recipients[0].is_hard_bounce);
}

TEST(Verdict, OutOfStepIsNoRefusal) {
    EXPECT_EQ(judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {{503, "5.5.1", "MAIL first"}})).next,
              Next::retry);
}

TEST(Verdict, NonsenseIndexesAreIgnored) {
    Report report = dotted({ok}, ok);
    report.recipients.push_back({5, no_user});
    report.recipients.push_back({-1, no_user});
    EXPECT_EQ(judged(report).next, Next::settle_sent);
}

// ---- the mailbox -------------------------------------------------------------------------------------------------

struct MailboxCase {
    const char* name;
    Stage stage;
    Ending ending;
    std::optional<Reply> reply;
    Trouble trouble;
    bool is_lasting;
};

class MailboxFault : public testing::TestWithParam<MailboxCase> {};

TEST_P(MailboxFault, ConsumesNoAttemptAndLeavesEverybodyWaiting) {  // rule 3
    const MailboxCase& c = GetParam();
    Report report = tried(c.stage, c.ending, 2);
    report.session_reply = c.reply;
    // Even the last attempt of an old message survives: it wasn't its fault.
    const Verdict v = judged(report, {7, now - 1000h, 0, 0, 0});
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_EQ(fates(v), (std::vector{Fate::waiting, Fate::waiting}));
    EXPECT_EQ(v.trouble, c.trouble);
    EXPECT_EQ(v.is_trouble_lasting, c.is_lasting);
    EXPECT_FALSE(v.proves_mailbox);
}

const MailboxCase mailbox_cases[] = {
    {"name", Stage::connect, Ending::failed, {}, Trouble::unreachable, false},
    {"connect_timeout", Stage::connect, Ending::timed_out, {}, Trouble::unreachable, false},
    {"greeting_closed", Stage::greeting, Ending::closed, {}, Trouble::unreachable, false},
    {"greeting_garbled", Stage::greeting, Ending::garbled, {}, Trouble::unreachable, false},
    {"greeting_421", Stage::greeting, Ending::failed, bye, Trouble::busy, false},
    {"greeting_450", Stage::greeting, Ending::failed, Reply{450, "", ""}, Trouble::busy, false},
    {"greeting_554", Stage::greeting, Ending::failed, Reply{554, "", ""}, Trouble::unreachable, true},
    {"ehlo_502", Stage::ehlo, Ending::failed, Reply{502, "", ""}, Trouble::unreachable, true},
    {"certificate", Stage::tls, Ending::failed, {}, Trouble::insecure, true},
    {"starttls_454", Stage::tls, Ending::failed, Reply{454, "4.7.0", ""}, Trouble::insecure, false},
    {"handshake_closed", Stage::tls, Ending::closed, {}, Trouble::unreachable, false},
    {"handshake_timeout", Stage::tls, Ending::timed_out, {}, Trouble::unreachable, false},
    {"login_535", Stage::auth, Ending::failed, Reply{535, "5.7.8", ""}, Trouble::login, true},
    {"login_454", Stage::auth, Ending::failed, Reply{454, "4.7.0", ""}, Trouble::login, false},
    {"login_421", Stage::auth, Ending::failed, bye, Trouble::busy, false},
    {"login_absent", Stage::auth, Ending::failed, {}, Trouble::login, true},
    {"login_closed", Stage::auth, Ending::closed, {}, Trouble::unreachable, false},
    {"mail_421", Stage::mail, Ending::answered, bye, Trouble::busy, false},
    {"mail_451", Stage::mail, Ending::answered, Reply{451, "4.3.0", ""}, Trouble::sender_refused, false},
    {"mail_530", Stage::mail, Ending::answered, Reply{530, "5.7.0", ""}, Trouble::login, true},
    {"mail_535", Stage::mail, Ending::answered, Reply{535, "5.7.8", ""}, Trouble::login, true},
    {"mail_550", Stage::mail, Ending::answered, Reply{550, "5.7.1", ""}, Trouble::sender_refused, true},
    {"mail_quota", Stage::mail, Ending::answered, Reply{550, "5.4.5", ""}, Trouble::busy, true},
    {"mail_closed", Stage::mail, Ending::closed, {}, Trouble::unreachable, false},
    {"mail_timeout", Stage::mail, Ending::timed_out, {}, Trouble::unreachable, false},
    {"mail_garbled", Stage::mail, Ending::garbled, {}, Trouble::unreachable, false},
};
INSTANTIATE_TEST_SUITE_P(Verdict, MailboxFault, testing::ValuesIn(mailbox_cases),
                         [](const auto& one) { return one.param.name; });

TEST(Verdict, ALoginWantedLaterIsTheMailboxesToo) {
    for (const Report& report : {with_rcpt(tried(Stage::rcpt, Ending::answered), {{530, "5.7.0", ""}}),
                                 with_session(with_rcpt(tried(Stage::data, Ending::answered), {ok}), {530, "", ""}),
                                 dotted({ok}, {535, "5.7.8", ""})}) {
        const Verdict v = judged(report, {7, now, 0, 0, 0});
        EXPECT_EQ(v.next, Next::requeue);
        EXPECT_EQ(v.trouble, Trouble::login);
        EXPECT_EQ(fates(v), std::vector{Fate::waiting});
    }
}

TEST(Verdict, ASizeRefusedAtMailIsTheMessages) {
    const Verdict v = judged(with_session(tried(Stage::mail, Ending::answered, 2), {552, "5.3.4", "too big"}));
    EXPECT_EQ(v.next, Next::settle_failed);
    EXPECT_EQ(v.trouble, Trouble::none);
    EXPECT_EQ(judged(with_session(tried(Stage::mail, Ending::answered), {452, "4.3.1", ""})).next, Next::retry);
    EXPECT_EQ(judged(with_session(tried(Stage::mail, Ending::answered), {550, "5.6.7", ""})).next, Next::settle_failed);
}

TEST(Verdict, AMessageThatDoesNotFitTheServerFailsWithTheReason) {
    const Verdict v = judged(with_session(tried(Stage::mail, Ending::unfit, 2), {552, "5.3.4", "not sent: too big"}));
    EXPECT_EQ(v.next, Next::settle_failed);
    EXPECT_EQ(v.reason, "rejected");
    EXPECT_EQ(v.detail, "552 5.3.4 not sent: too big");
}

TEST(Verdict, ABreakBetweenMailAndDotIsAnAttempt) {  // rule 5: a message that breaks its server must end
    for (const Stage stage : {Stage::rcpt, Stage::data, Stage::body}) {
        for (const Ending ending : {Ending::closed, Ending::timed_out, Ending::garbled}) {
            const Verdict v = judged(with_rcpt(tried(stage, ending), {ok, no_user, {}}));
            EXPECT_EQ(v.next, Next::retry);
            EXPECT_EQ(fates(v), (std::vector{Fate::waiting, Fate::rejected, Fate::waiting}));
            EXPECT_EQ(v.trouble, Trouble::unreachable);
        }
    }
}

TEST(Verdict, OurOwnShutdownBlamesNobody) {
    for (const Stage stage : {Stage::connect, Stage::mail, Stage::rcpt, Stage::body}) {
        const Verdict v = judged(with_rcpt(tried(stage, Ending::abandoned), {ok}), {7, now - 1000h, 0, 0, 0});
        EXPECT_EQ(v.next, Next::requeue);
        EXPECT_EQ(v.trouble, Trouble::none);
    }
}

TEST(Verdict, AJournalThatCannotBeWrittenIsWaitedForWithoutAnAttempt) {
    const Verdict v = judged(with_rcpt(tried(Stage::body, Ending::unrecorded), {ok}), {7, now - 1000h, 0, 0, 0});
    EXPECT_EQ(v.next, Next::requeue);
    EXPECT_GE(v.delay, 10s);
    EXPECT_EQ(v.trouble, Trouble::none);
}

TEST(Verdict, AStaleConnectionConsumesNothing) {
    Report report = tried(Stage::mail, Ending::closed);
    EXPECT_FALSE(is_stale_connection(report));
    report.connection_was_reused = true;
    EXPECT_TRUE(is_stale_connection(report));
    EXPECT_EQ(judged(report).next, Next::requeue);
    EXPECT_EQ(judged(report).trouble, Trouble::none);

    EXPECT_FALSE(is_stale_connection(with_rcpt(report, {ok})));  // it had accepted somebody
    EXPECT_TRUE(is_stale_connection(with_rcpt(report, {no_user})));
    report.ending = Ending::timed_out;
    EXPECT_FALSE(is_stale_connection(report));
    report.ending = Ending::answered;
    EXPECT_TRUE(is_stale_connection(with_session(report, bye)));
    EXPECT_FALSE(is_stale_connection(with_session(report, {550, "", ""})));
}

// ---- how long ----------------------------------------------------------------------------------------------------

TEST(Verdict, RetriesGrowAndEndWithAttempts) {  // rule 5
    const Report report = dotted({ok}, {451, "", ""});
    Duration before{};
    for (int attempts = 0; attempts < 7; attempts++) {
        const Verdict v = judged(report, {attempts, now, 0, 0, 42});
        EXPECT_EQ(v.next, Next::retry);
        EXPECT_GT(v.delay, before * 2);
        before = v.delay;
    }
    EXPECT_EQ(judged(report, {70, now, 0, 0, 42}).next, Next::retry);  // no limit by default
    RetryPolicy eight;
    eight.max_attempts = 8;
    const Verdict last = judge(report, eight, {7, now, 0, 0, 42}, now);
    EXPECT_EQ(last.next, Next::settle_failed);
    EXPECT_EQ(last.reason, "attempts_exhausted");
    EXPECT_EQ(fates(last), std::vector{Fate::rejected});
    EXPECT_EQ(last.recipients[0].reply.code, 451);
    EXPECT_FALSE(last.recipients[0].is_hard_bounce);
}

TEST(Verdict, ARetryBeyondTheMaximumAgeIsNotWaitedFor) {
    const Report report = dotted({ok}, {451, "", ""});
    EXPECT_EQ(judged(report, {0, now - 120h + 13s, 0, 0, 0}).next, Next::retry);
    const Verdict v = judged(report, {0, now - 120h + 9s, 0, 0, 0});
    EXPECT_EQ(v.next, Next::settle_failed);
    EXPECT_EQ(v.reason, "too_old");
}

TEST(Verdict, GivingUpOnOneKeepsTheOthersSent) {
    const Verdict v = judged(dotted({ok, later}, ok), {7, now - 120h, 0, 0, 0});
    EXPECT_EQ(v.next, Next::settle_sent);
    EXPECT_EQ(v.reason, "1 of 2 refused");
    EXPECT_EQ(fates(v), (std::vector{Fate::sent, Fate::rejected}));
}

// ---- whose fault it is -------------------------------------------------------------------------------------------

TEST(Verdict, WhatIsTheMailboxsWaitsWhereverItIsSaid) {
    const std::vector<std::pair<Reply, Trouble>> replies{
        {{504, "5.5.2", "<localhost>: Helo command rejected: need fully-qualified hostname"}, Trouble::sender_refused},
        {{554, "5.7.1", "<ada@x.example>: Relay access denied"}, Trouble::sender_refused},
        {{553, "5.7.1", "<a@x.example>: Sender address rejected: not owned by user ada"}, Trouble::sender_refused},
        {{554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using x"}, Trouble::sender_refused},
        {{550, "5.7.60", "SMTP; Client does not have permissions to send as this sender"}, Trouble::sender_refused},
        {{554, "5.2.252", "SendAsDenied; a not allowed to send as b"}, Trouble::sender_refused},
        {{554, "", "Message rejected: Email address is not verified."}, Trouble::sender_refused},
        {{454, "4.7.0", "Throttling failure: Maximum sending rate exceeded."}, Trouble::busy},
        {{421, "4.7.0", "try later"}, Trouble::busy},
        {{432, "4.3.2", "Concurrent connections limit exceeded"}, Trouble::busy},
        {{550, "5.4.5", "Daily user sending quota exceeded"}, Trouble::busy},
        {{450, "4.7.1", "Error: too much mail from 192.0.2.1"}, Trouble::busy},
        {{451, "4.3.0", "quota exceeded"}, Trouble::busy},
        {{530, "5.7.0", "Authentication required"}, Trouble::login},
    };
    for (const auto& [reply, trouble] : replies) {
        for (const Report& report : {with_rcpt(tried(Stage::rcpt, Ending::answered), {reply}), dotted({ok}, reply)}) {
            const Verdict v = judged(report);
            EXPECT_EQ(v.next, Next::requeue) << reply.text;
            EXPECT_EQ(v.trouble, trouble) << reply.text;
            EXPECT_EQ(fates(v), std::vector{Fate::waiting}) << reply.text;
        }
    }
}

TEST(Verdict, WhatIsTheRecipientsStaysTheRecipients) {
    for (const Reply& reply : {Reply{450, "4.7.1", "Greylisted"}, Reply{452, "4.2.2", "over quota"},
                               Reply{450, "4.2.1", "receiving mail at a rate that prevents additional messages"},
                               Reply{451, "4.3.0", "try again"}}) {
        const Verdict v = judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {reply}));
        EXPECT_EQ(v.next, Next::retry) << reply.text;
        EXPECT_EQ(v.trouble, Trouble::none) << reply.text;
    }
    EXPECT_EQ(judged(dotted({ok}, {550, "5.7.1", "looks like spam"})).next, Next::settle_failed);
    EXPECT_EQ(judged(with_rcpt(tried(Stage::rcpt, Ending::answered), {{550, "5.1.1", "no such user"}})).next,
              Next::settle_failed);
}

TEST(Verdict, TheSameTemporaryRefusalOfTwoRecipientsInARowIsTheMailboxs) {
    const Report refused = with_rcpt(tried(Stage::rcpt, Ending::answered), {{451, "4.3.0", "try again"}});
    History first;
    first.age_from = now;
    first.recipient_keys = {1};
    const Verdict one = judge(refused, {}, first, now);
    EXPECT_EQ(one.next, Next::retry);
    ASSERT_TRUE(one.refusal.has_value());
    History second = first;
    second.last_refusal = one.refusal;
    EXPECT_EQ(judge(refused, {}, second, now).next, Next::retry);  // the same recipient again
    second.recipient_keys = {2};
    const Verdict two = judge(refused, {}, second, now);
    EXPECT_EQ(two.next, Next::requeue);
    EXPECT_EQ(two.trouble, Trouble::busy);
    const Report greylisted = with_rcpt(tried(Stage::rcpt, Ending::answered), {{451, "4.3.0", "Greylisted"}});
    EXPECT_EQ(judge(greylisted, {}, second, now).next, Next::retry);
    EXPECT_TRUE(judge(dotted({ok}, ok), {}, second, now).accepts_somebody);
}

TEST(Verdict, TooManyRecipientsAtTheDotAreHalvedNextTime) {
    for (const Reply& reply : {Reply{554, "", "Transaction failed: Recipient count exceeds 50"},
                               Reply{451, "4.5.3", "too many recipients"}, Reply{550, "5.5.3", "too many"}}) {
        const Verdict v = judged(dotted({ok, ok, ok, ok}, reply));
        EXPECT_EQ(v.next, Next::requeue) << reply.text;
        EXPECT_EQ(v.most_recipients, 2) << reply.text;
        EXPECT_EQ(v.trouble, Trouble::none) << reply.text;
    }
    EXPECT_EQ(fates(judged(dotted({ok, {550, "5.5.3", "too many"}}, ok))), (std::vector{Fate::sent, Fate::waiting}));
}

TEST(Verdict, WhoFoundNoRoomInTheEnvelopeIsNext) {
    History history;
    history.age_from = now;
    history.untried = 3;
    EXPECT_EQ(judge(dotted({ok}, ok), {}, history, now).next, Next::requeue);
    EXPECT_EQ(judge(dotted({no_user}, ok), {}, history, now).next, Next::requeue);
    history.untried = 0;
    EXPECT_EQ(judge(dotted({ok}, ok), {}, history, now).next, Next::settle_sent);
}

TEST(Verdict, TheSameTryIsJudgedTheSameEveryTime) {
    const Report report = dotted({ok}, {451, "", ""});
    EXPECT_EQ(judged(report, {2, now, 0, 0, 9}).delay, judged(report, {2, now, 0, 0, 9}).delay);
    EXPECT_NE(judged(report, {2, now, 0, 0, 9}).delay, judged(report, {2, now, 0, 0, 10}).delay);
}

TEST(Verdict, DetailNamesTheReplyOrWhatFailed) {
    EXPECT_EQ(judged(dotted({ok}, {554, "5.7.1", "no\nway"})).detail, "554 5.7.1 no way");
    Report report = tried(Stage::connect, Ending::failed);
    report.error_text = "Could not resolve host";
    EXPECT_EQ(judged(report).detail, "failed at connect: Could not resolve host");
}

}  // namespace
}  // namespace mailer::core
