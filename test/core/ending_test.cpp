// How messages end: every cause, with nobody reached and with somebody.
#include "core/outcome/ending.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace mailer::core {
namespace {

const std::vector<Cause> failures{Cause::answered,        Cause::attempts_exhausted, Cause::too_old,    Cause::expired,
                                  Cause::invalid_address, Cause::render_error,       Cause::quarantined};
const std::vector<Cause> cancels{Cause::by_user, Cause::campaign_cancelled, Cause::suppressed,
                                 Cause::send_if, Cause::duplicate,          Cause::replied,
                                 Cause::bounced, Cause::complained,         Cause::unsubscribed,
                                 Cause::stopped, Cause::campaign_ended,     Cause::contact_gone,
                                 Cause::gathered};
const std::vector<Cause> open_ends{Cause::reply_lost, Cause::server_crash, Cause::promoted};

TEST(Ending, AMessageThatReachedNobodyFailsOrIsCancelledForItsCause) {
    for (Cause cause : failures) {
        const Outcome outcome = end_of({0, 1, 1}, cause);
        EXPECT_EQ(outcome.state, MessageState::failed) << to_text(cause);
        EXPECT_EQ(outcome.rest, MessageState::failed) << to_text(cause);
        EXPECT_EQ(outcome.reason, to_text(cause));
    }
    for (Cause cause : cancels) {
        const Outcome outcome = end_of({0, 1, 1}, cause);
        EXPECT_EQ(outcome.state, MessageState::cancelled) << to_text(cause);
        EXPECT_EQ(outcome.rest, MessageState::cancelled) << to_text(cause);
        EXPECT_EQ(outcome.reason, to_text(cause));
    }
}

TEST(Ending, AMessageThatReachedSomebodyIsSentWhateverEndsIt) {  // E1
    for (const auto* causes : {&failures, &cancels}) {
        for (Cause cause : *causes) {
            const Outcome outcome = end_of({1, 0, 1}, cause);
            EXPECT_EQ(outcome.state, MessageState::sent) << to_text(cause);
            EXPECT_TRUE(outcome.reason.starts_with("1 of 2 ")) << outcome.reason;
        }
    }
}

TEST(Ending, TheRecipientsThatWaitNeverWaitOn) {  // E2
    for (const auto* causes : {&failures, &cancels, &open_ends}) {
        for (Cause cause : *causes) {
            for (int accepted : {0, 1}) {
                const MessageState rest = end_of({accepted, 0, 1}, cause).rest;
                EXPECT_TRUE(rest == MessageState::failed || rest == MessageState::cancelled) << to_text(cause);
            }
        }
    }
}

TEST(Ending, WhatWasNotAnsweredIsUnconfirmedThoughOthersWereReachedBefore) {  // E3
    for (Cause cause : open_ends) {
        EXPECT_EQ(end_of({0, 0, 1}, cause).state, MessageState::unconfirmed);
        EXPECT_EQ(end_of({1, 0, 1}, cause).state, MessageState::unconfirmed);
        EXPECT_EQ(end_of({1, 0, 1}, cause).reason, to_text(cause));
    }
}

TEST(Ending, TheReasonOfASentMessageSaysWhoGotNothingAndWhy) {
    EXPECT_EQ(end_of({2, 0, 0}, Cause::answered).reason, "");
    EXPECT_EQ(end_of({1, 2, 0}, Cause::answered).reason, "2 of 3 refused");
    EXPECT_EQ(end_of({1, 0, 1}, Cause::expired).reason, "1 of 2 expired");
    EXPECT_EQ(end_of({1, 1, 2}, Cause::by_user).reason, "1 of 4 refused, 2 of 4 by_user");
    EXPECT_EQ(end_of({1, 1, 1}, Cause::too_old).reason, "2 of 3 refused");
}

TEST(Ending, AnUnconfirmedMessageIsSentWhenAPersonOrEvidenceSaysSo) {
    EXPECT_EQ(end_of({1, 0, 0}, Cause::resolved).state, MessageState::sent);
    EXPECT_EQ(end_of({1, 0, 0}, Cause::resolved).reason, "");
    EXPECT_EQ(end_of({1, 1, 0}, Cause::resolved).reason, "1 of 2 refused");
    EXPECT_EQ(end_of({1, 1, 0}, Cause::confirmed).reason, "confirmed");
}

TEST(Ending, EveryCauseIsKnownByItsWord) {
    for (const auto* causes : {&failures, &cancels, &open_ends}) {
        for (Cause cause : *causes)
            EXPECT_EQ(cause_of(to_text(cause)), cause) << to_text(cause);
    }
    EXPECT_EQ(cause_of("resolved"), Cause::resolved);
    EXPECT_EQ(cause_of("confirmed"), Cause::confirmed);
    EXPECT_EQ(cause_of("lost interest"), std::nullopt);
    EXPECT_EQ(cause_of(""), std::nullopt);
}

}  // namespace
}  // namespace mailer::core
