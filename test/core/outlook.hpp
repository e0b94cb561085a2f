// A forecast as text, of a scene that a test changes.
#pragma once

#include <string>
#include <vector>

#include "core/pace/forecast.hpp"
#include "core/scene.hpp"

namespace mailer::core::test {

// A campaign of five leads over one mailbox, as far as a test doesn't change it.
struct Outlook {
    SystemFacts system;
    std::vector<MailboxFacts> mailboxes{mailbox_named(1, "a")};
    std::vector<LaneFacts> lanes{campaign_with(7, {1})};
    std::vector<LaneQueue> queues{{7, leads(101, 5, kMondayMorning - hours{1})}};
    ForecastOptions options;

    LaneFacts& lane() { return lanes.front(); }
    MailboxFacts& mailbox() { return mailboxes.front(); }
    MessageFacts& message(std::size_t i) { return queues.front().waiting.at(i); }

    std::vector<ForecastRow> rows() const { return whole().rows; }
    Forecast whole() const {
        Planner planner;
        planner.set_system(system);
        for (const auto& m : mailboxes)
            planner.upsert_mailbox(m);
        for (const auto& l : lanes)
            planner.upsert_lane(l, kMondayMorning);
        return forecast(planner, queues, kMondayMorning, options);
    }
    // "7:101@01-05 10:00" per row: lane, message, instant; the mailbox behind it where there are several.
    std::string text() const {
        std::string all;
        for (const ForecastRow& row : rows()) {
            if (!all.empty()) all += ", ";
            all += std::to_string(row.message_id) + "@" + text_of(row.slot_at).substr(5);
            if (mailboxes.size() > 1) all += "/" + std::to_string(row.mailbox_id);
        }
        return all;
    }
};

}  // namespace mailer::core::test
