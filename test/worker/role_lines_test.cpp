// Lines of late-bound messages: short, one for each role, and what one role does is charged to it alone.
#include "worker/role_lines.hpp"

#include <gtest/gtest.h>

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;
using End = RoleLines::End;

const core::Time start = core::from_unix_us(1'800'000'000'000'000);
constexpr RoleLines::Role alice = 10, mallory = 20;

// A role whose one process answers in `took`.
void teach(RoleLines& lines, RoleLines::Role role, core::Duration took, core::Time at = start) {
    lines.processes_of(role, 1);
    lines.began(role);
    lines.ended(role, End::answered, took, at);
}

TEST(RoleLines, AnUnknownRoleWaitsForItsProcessAndThenIsServedInOrder) {
    RoleLines lines;
    EXPECT_FALSE(lines.join(alice, 1, start));
    EXPECT_FALSE(lines.join(alice, 2, start));
    EXPECT_TRUE(lines.could_use_another(alice));
    lines.processes_of(alice, 1);
    EXPECT_EQ(lines.next(alice, start), 1u);
    EXPECT_EQ(lines.next(alice, start), 2u);
    EXPECT_EQ(lines.next(alice, start), std::nullopt);
}

TEST(RoleLines, WhatWouldWaitForLongGoesBackAndComesAtThePaceOfTheLine) {
    RoleLines lines;
    teach(lines, mallory, 1s);
    EXPECT_FALSE(lines.join(mallory, 1, start)) << "a free process takes one at once";
    const auto second = lines.join(mallory, 2, start), third = lines.join(mallory, 3, start);
    ASSERT_TRUE(second && third);
    EXPECT_GE(*second, start + RoleLines::patience);
    EXPECT_GE(*third, *second + 1s);
}

TEST(RoleLines, AMillionThatCantBeServedComeBackSpreadOutAndNotTooLate) {
    RoleLines lines;
    teach(lines, mallory, 1s);
    EXPECT_FALSE(lines.join(mallory, 1, start));
    core::Time last = start;
    for (RoleLines::Token token = 2; token < 1'000'000; ++token)
        last = *lines.join(mallory, token, start);
    EXPECT_LE(last, start + RoleLines::longest_pause + 1s);
}

TEST(RoleLines, PromptFunctionsQueueUpWithoutGoingBack) {
    RoleLines lines;
    teach(lines, alice, 100us);
    for (RoleLines::Token token = 1; token <= 250; ++token)
        EXPECT_FALSE(lines.join(alice, token, start)) << token;
}

TEST(RoleLines, WhoHasWaitedTooLongIsSentBack) {
    RoleLines lines;
    EXPECT_FALSE(lines.join(alice, 1, start));
    EXPECT_EQ(lines.next_tired(), start + RoleLines::patience);
    EXPECT_TRUE(lines.tired(start + RoleLines::patience - 1ms).empty());
    const auto tired = lines.tired(start + RoleLines::patience);
    ASSERT_EQ(tired.size(), 1u);
    EXPECT_EQ(tired[0].token, 1u);
    EXPECT_FALSE(lines.is_waiting(alice));
    EXPECT_FALSE(lines.join(alice, 1, start + 1s)) << "L1: it may come again";
}

TEST(RoleLines, ALineOfPromptFunctionsThatMovesKeepsThoseInIt) {
    RoleLines lines;
    teach(lines, alice, 100us);
    EXPECT_FALSE(lines.join(alice, 1, start));
    EXPECT_FALSE(lines.join(alice, 2, start));
    EXPECT_EQ(lines.next(alice, start), 1u);
    lines.began(alice);
    lines.ended(alice, End::answered, 100us, start + 90ms);
    EXPECT_TRUE(lines.tired(start + 150ms).empty());
    EXPECT_EQ(lines.next_tired(), start + 190ms);
    EXPECT_EQ(lines.tired(start + 190ms).size(), 1u);
}

TEST(RoleLines, ARoleThatTakesTooLongIsLeftAloneForLongerEachTime) {
    RoleLines lines;
    core::Time at = start;
    core::Duration before{0};
    for (int n = 0; n < 4; ++n) {
        EXPECT_FALSE(lines.join(mallory, 1, at));
        EXPECT_EQ(lines.next(mallory, at), 1u);
        lines.began(mallory);
        lines.ended(mallory, n % 2 == 0 ? End::overtime : End::died, 5s, at);
        const auto again = lines.join(mallory, 2, at);
        ASSERT_TRUE(again) << "L2";
        EXPECT_GT(*again - at, before);
        before = *again - at;
        at = *again + 1min;
    }
    EXPECT_GE(before, 40s);
}

TEST(RoleLines, WaitingMessagesOfARoleThatIsLeftAloneGoBackAtOnce) {
    RoleLines lines;
    EXPECT_FALSE(lines.join(mallory, 1, start));
    EXPECT_FALSE(lines.join(mallory, 2, start));
    EXPECT_EQ(lines.next(mallory, start), 1u);
    lines.began(mallory);
    lines.ended(mallory, End::died, 1ms, start);
    EXPECT_EQ(lines.next(mallory, start), std::nullopt) << "L2";
    EXPECT_EQ(lines.tired(start).size(), 1u);
}

TEST(RoleLines, WhatOneRoleDoesChangesNothingForAnother) {
    RoleLines lines;
    teach(lines, alice, 100us);
    lines.began(mallory);
    lines.ended(mallory, End::overtime, 5s, start);
    EXPECT_TRUE(lines.join(mallory, 1, start));
    EXPECT_FALSE(lines.join(alice, 2, start)) << "L3";
    EXPECT_EQ(lines.next(alice, start), 2u);
    EXPECT_TRUE(lines.is_troubled(mallory));
    EXPECT_FALSE(lines.is_troubled(alice));
}

TEST(RoleLines, OnePromptAnswerDoesNotForgiveTwoTroubles) {
    RoleLines lines;
    core::Time at = start;
    for (int n = 0; n < 2; ++n, at += 1h) {
        lines.began(mallory);
        lines.ended(mallory, End::overtime, 5s, at);
    }
    lines.began(mallory);
    lines.ended(mallory, End::answered, 1ms, at);
    EXPECT_TRUE(lines.is_troubled(mallory));
}

TEST(RoleLines, WhatIsCalledOffIsNobodysTrouble) {
    RoleLines lines;
    lines.began(alice);
    lines.ended(alice, End::called_off, 5s, start);
    EXPECT_FALSE(lines.is_troubled(alice));
    EXPECT_FALSE(lines.join(alice, 1, start));
    lines.leave(1);
    EXPECT_FALSE(lines.is_waiting(alice));
    EXPECT_EQ(lines.next(alice, start), std::nullopt);
}

TEST(RoleLines, MoreProcessesAreWantedOnlyWhereTheyShortenALine) {
    RoleLines lines;
    teach(lines, alice, 100us);
    EXPECT_FALSE(lines.join(alice, 1, start));
    EXPECT_FALSE(lines.could_use_another(alice));
    teach(lines, mallory, 50ms);
    EXPECT_FALSE(lines.join(mallory, 2, start));
    EXPECT_TRUE(lines.could_use_another(mallory));
    EXPECT_EQ(lines.waiting_roles(), (std::vector<RoleLines::Role>{alice, mallory}));
}

TEST(RoleLines, AnIdleRoleIsForgottenInTheEnd) {
    RoleLines lines;
    lines.began(mallory);
    lines.ended(mallory, End::died, 1ms, start);
    lines.forget_idle(start + 1min);
    EXPECT_TRUE(lines.is_troubled(mallory));
    lines.forget_idle(start + 1h);
    EXPECT_FALSE(lines.is_troubled(mallory));
}

}  // namespace
}  // namespace mailer::worker
