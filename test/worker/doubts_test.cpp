// One tenant's refusals stop no mailbox that others use.
#include "worker/doubts.hpp"

#include <gtest/gtest.h>

namespace mailer::worker {
namespace {

using Blame = Doubts::Blame;
constexpr std::int64_t mallory = 7, alice = 8, bob = 9;

TEST(Doubts, WhereOneTenantAloneIsServedItsRefusalsAreTheMailboxes) {
    Doubts doubts;
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
    doubts.proved(alice);
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
}

TEST(Doubts, OneTenantsRefusalsAreItsOwnWhileOthersAreServed) {
    Doubts doubts;
    doubts.proved(alice);
    for (int i = 0; i < 100; ++i) {
        for (int j = 0; j < 5; ++j)
            EXPECT_EQ(doubts.refused(mallory), Blame::mail);
        doubts.proved(alice);
    }
}

TEST(Doubts, ItIsTheMailboxWhereTwoTenantsAreRefusedAndNobodyIsServedInBetween) {
    Doubts doubts;
    doubts.proved(alice);
    doubts.proved(bob);
    EXPECT_EQ(doubts.refused(alice), Blame::mail);
    EXPECT_EQ(doubts.refused(bob), Blame::mailbox);
    EXPECT_EQ(doubts.refused(alice), Blame::mailbox);
    doubts.proved(bob);
    EXPECT_EQ(doubts.refused(alice), Blame::mail);
    doubts.proved(alice);
    EXPECT_EQ(doubts.refused(bob), Blame::mail);
}

TEST(Doubts, TenRefusalsInARowSpareTheServerForAMoment) {
    Doubts doubts;
    doubts.proved(alice);
    for (int i = 1; i <= 30; ++i)
        EXPECT_EQ(doubts.refused(mallory), i % 10 == 0 ? Blame::moment : Blame::mail) << i;
}

}  // namespace
}  // namespace mailer::worker
