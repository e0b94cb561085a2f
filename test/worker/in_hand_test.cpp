// Whose mail may be composed while others' are in hand. H1 to H3 are in_hand.hpp's.
#include "worker/in_hand.hpp"

#include <gtest/gtest.h>

namespace mailer::worker {
namespace {

constexpr std::size_t limit = 100;

TEST(InHand, OneMailAlwaysMayWhateverTheLimit) {
    InHand bodies;
    EXPECT_TRUE(bodies.has_room(1, 0));
    bodies.add(1, 300);
    EXPECT_FALSE(bodies.has_room(1, limit));
    EXPECT_FALSE(bodies.has_room_for_any(limit));
    bodies.remove(1, 300);
    EXPECT_TRUE(bodies.has_room(1, 0));
}

TEST(InHand, AMailboxWithNoneHasRoomBesideOneThatFillsTheLimit) {
    InHand bodies;
    bodies.add(1, 60);
    EXPECT_TRUE(bodies.has_room(1, limit));
    bodies.add(1, 60);
    EXPECT_FALSE(bodies.has_room(1, limit));
    EXPECT_TRUE(bodies.has_room(2, limit));
    bodies.add(2, 10);
    EXPECT_FALSE(bodies.has_room(2, limit));
    bodies.remove(2, 10);
    EXPECT_TRUE(bodies.has_room(2, limit));
    bodies.add(3, 80);
    EXPECT_FALSE(bodies.has_room(2, limit));
}

}  // namespace
}  // namespace mailer::worker
