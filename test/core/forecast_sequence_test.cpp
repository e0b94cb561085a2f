// The plan ahead with leads and their later steps: what a lead's own gates do to it, and in which lanes follow-ups go.
#include "core/pace/forecast.hpp"

#include <gtest/gtest.h>

#include "core/outlook.hpp"

namespace mailer::core {
namespace {

using namespace test;

Zone expect_zone(const char* name, seconds offset) {
    auto zone = Zone::make(name, offset, {});
    EXPECT_TRUE(zone.ok());
    return std::move(zone).value();
}

// Two campaigns with a lead in common. The second waits for the first one's mail to it, sent before or in this plan.
TEST(Forecast, ACooldownCountsMailThatWasSentAndMailThatWillBe) {
    Outlook outlook;
    LaneFacts other = outlook.lane();
    other.id = other.campaign_id = 8;
    outlook.lanes.push_back(other);
    outlook.queues.push_back({8, leads(201, 3, kMondayMorning - hours{1})});
    outlook.queues[0].waiting.resize(2);
    outlook.message(1).recipient = 5;
    std::vector<MessageFacts>& second = outlook.queues[1].waiting;
    second[0].recipient = 5;
    second[1].recipient = 6;
    second[1].cooled_until = kMondayMorning + hours{3};
    EXPECT_EQ(outlook.text(),
              "101@01-05 10:00, 201@01-05 10:00, 102@01-05 10:01:30, 203@01-05 10:01:30, 202@01-05 13:00");
    outlook.options.cooldowns = {{8, hours{1}}};
    // 201 had its slot before 102 was sent: the first come doesn't wait.
    EXPECT_EQ(outlook.text(),
              "101@01-05 10:00, 201@01-05 10:00, 102@01-05 10:01:30, 203@01-05 10:01:30, 202@01-05 13:00");
    second[0].due_at = kMondayMorning + minutes{30};
    EXPECT_EQ(outlook.text(),
              "101@01-05 10:00, 203@01-05 10:00, 102@01-05 10:01:30, 201@01-05 11:01:30, 202@01-05 13:00");
}

TEST(Forecast, LeadsThatHaveEndedAreHeldOrHaveToWaitTakeNoSlotNow) {
    Outlook outlook;
    outlook.message(0).is_stopped = true;
    outlook.message(1).is_held = true;
    outlook.message(2).not_before = kMondayMorning + hours{1};
    outlook.message(3).cooled_until = kMondayMorning + hours{2};
    EXPECT_EQ(outlook.text(), "105@01-05 10:00, 103@01-05 11:00, 104@01-05 12:00");
}

TEST(Forecast, NothingGoesFromTheEndOfACampaignOn) {
    Outlook outlook;
    outlook.lane().ends_at = kMondayMorning + minutes{3};
    EXPECT_EQ(outlook.text(), "101@01-05 10:00, 102@01-05 10:01:30");
}

TEST(Forecast, NewOnesBeyondTheirCapContinueNextDay) {
    Outlook outlook;
    outlook.lane().max_new_per_day = 3;
    EXPECT_EQ(outlook.text().substr(0, 80),
              "101@01-05 10:00, 102@01-05 10:01:30, 103@01-05 10:03, 104@01-06 08:00, 105@01-06");
    outlook.lane().max_new_per_day = 0;
    EXPECT_EQ(outlook.text(), "");
}

TEST(Forecast, FollowUpsFromAnInboxThatNobodyReadsAreNotForetold) {
    Outlook outlook;
    outlook.lane().max_silence = minutes{10};
    LaneFacts follow_ups = campaign_with(8, {1});
    follow_ups.pace_id = 7;
    follow_ups.is_follow_up = true;
    follow_ups.heard_at = kMondayMorning - minutes{11};
    outlook.lanes.push_back(follow_ups);
    outlook.queues = {{8, leads(201, 1, kMondayMorning - hours{1})}};
    EXPECT_EQ(outlook.text(), "");
    outlook.lanes.back().heard_at = kMondayMorning - minutes{9};
    EXPECT_EQ(outlook.text(), "201@01-05 10:00");
}

// The lanes of steps to come are asked in the order in which the sender will make them.
TEST(Forecast, FollowUpsOfSeveralMailboxesKeepTheOrderOfTheirFirstMails) {
    Outlook outlook;
    outlook.mailboxes.push_back(mailbox_named(2, "b"));
    outlook.lane().pool = {1, 2};
    outlook.queues = {{7, leads(101, 2, kMondayMorning - hours{1})}};
    outlook.options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .days = 1}}}};
    const auto rows = outlook.rows();
    ASSERT_EQ(rows.size(), 4U);
    EXPECT_NE(rows[0].mailbox_id, rows[1].mailbox_id);
    EXPECT_EQ(rows[2].source_id, rows[0].source_id);
    EXPECT_EQ(rows[3].source_id, rows[1].source_id);
}

// The lanes of steps to come are their campaign's tenant's: where all mail is of one tenant, its number changes
// nothing.
TEST(Forecast, FollowUpsTakeTheTurnsOfTheirTenant) {
    const auto order_of = [](std::int64_t tenant) {
        Outlook outlook;
        outlook.mailbox().gap = minutes{1};
        outlook.lane().gap = {};
        outlook.lanes.push_back(stream_with(3, {1}));
        for (LaneFacts& lane : outlook.lanes)
            lane.tenant_id = tenant;
        outlook.queues = {{7, leads(101, 20, kMondayMorning - hours{1})},
                          {3, leads(301, 60, kMondayMorning - hours{1})}};
        outlook.options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .delay = minutes{5}}}}};
        std::string order;
        for (const ForecastRow& row : outlook.rows())
            order += row.lane_id == 3 ? 's' : row.lane_id == 7 ? '1' : '2';
        return order;
    };
    EXPECT_EQ(order_of(0).size(), 100U);
    EXPECT_EQ(order_of(1), order_of(0));
}

TEST(Forecast, FollowUpsOfALeadGoInTheWindowOnItsClock) {
    Outlook outlook;
    LaneFacts abroad = campaign_with(8, {1});
    abroad.pace_id = 7;
    abroad.window.start_minute = 18 * 60;  // as on another clock
    abroad.window.end_minute = 20 * 60;
    abroad.window.zone = expect_zone("Etc/Test", seconds{0});
    outlook.lanes.push_back(abroad);
    outlook.queues = {{8, leads(201, 1, kMondayMorning - hours{1})}};
    outlook.options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .delay = hours{1}}}}};
    const auto rows = outlook.rows();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(text_of(rows[0].slot_at).substr(5, 11), "01-05 18:00");  // spread over the first gap
    EXPECT_LT(rows[0].slot_at, utc("2026-01-05 18:01:30"));
    EXPECT_EQ(rows[1].slot_at, rows[0].slot_at + hours{1});
}

// The sender has a lane for such leads beside that of all others, and asks the older one first.
TEST(Forecast, ALeadWhoseOwnClockIsTheCampaignsKeepsItsLane) {
    Outlook outlook;
    LaneFacts own = campaign_with(8, {1});
    own.pace_id = 7;
    own.has_own_zone = true;
    outlook.lanes.push_back(own);
    outlook.queues[0].waiting.resize(2);
    outlook.message(1).due_at = kMondayMorning + minutes{3};
    outlook.queues.push_back({8, leads(201, 1, kMondayMorning + minutes{1})});
    outlook.options.sequences = {{.main_lane_id = 7, .steps = {{.place = 2, .days = 1}}}};
    std::string order;
    for (const ForecastRow& row : outlook.rows())
        if (row.step == 2) order += std::to_string(row.source_id) + " ";
    EXPECT_EQ(order, "101 102 201 ");
}

}  // namespace
}  // namespace mailer::core
