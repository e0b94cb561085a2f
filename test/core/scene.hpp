// A Monday morning in Warsaw on which everything may go: each test shuts what it is about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/pace/facts.hpp"
#include "core/pace/gate.hpp"
#include "core/zones.hpp"

namespace mailer::core::test {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

inline const Time kMondayMorning = utc("2026-01-05 10:00");  // 11:00 in Warsaw

inline MailboxFacts mailbox_named(std::int64_t id, const std::string& name) {
    MailboxFacts mailbox;
    mailbox.id = id;
    mailbox.name = name;
    mailbox.zone = warsaw();
    return mailbox;
}

// 09:00 to 17:00 Monday to Friday, a mail every 90 s, no jitter unless a test wants it.
inline LaneFacts campaign_with(std::int64_t id, std::vector<std::int64_t> pool) {
    LaneFacts lane;
    lane.id = id;
    lane.kind = LaneKind::campaign;
    lane.name = "spring";
    lane.campaign_id = id;
    lane.pool = std::move(pool);
    lane.window = {9 * 60, 17 * 60, kMondayToFriday, warsaw()};
    lane.gap = seconds{90};
    lane.next_slot_at = kMondayMorning;
    lane.waiting_since = kMondayMorning - hours{1};
    return lane;
}

inline LaneFacts batch_with(std::int64_t id, std::vector<std::int64_t> pool, Duration gap) {
    LaneFacts lane;
    lane.id = id;
    lane.kind = LaneKind::batch;
    lane.pool = std::move(pool);
    lane.window.zone = warsaw();
    lane.gap = gap;
    lane.waiting_since = kMondayMorning - hours{1};
    return lane;
}

inline LaneFacts stream_with(std::int64_t id, std::vector<std::int64_t> pool) {
    LaneFacts lane = batch_with(id, std::move(pool), Duration{0});
    lane.kind = LaneKind::stream;
    return lane;
}

inline std::vector<MessageFacts> leads(std::int64_t first_id, std::size_t count, Time due_at) {
    std::vector<MessageFacts> messages(count);
    for (std::size_t i = 0; i < count; ++i) {
        messages[i].id = first_id + static_cast<std::int64_t>(i);
        messages[i].due_at = due_at;
    }
    return messages;
}

struct Scene {
    SystemFacts system;
    LaneFacts lane = campaign_with(7, {1});
    std::vector<MailboxFacts> mailboxes{mailbox_named(1, "sales")};
    MessageFacts message{.id = 100, .due_at = kMondayMorning - hours{1}};
    Time now = kMondayMorning;

    std::vector<std::uint32_t> members() const {
        std::vector<std::uint32_t> all(mailboxes.size());
        for (std::uint32_t i = 0; i < all.size(); ++i)
            all[i] = i;
        return all;
    }
    Decision decide() const {
        const auto all = members();
        return core::decide(system, lane, {mailboxes, all}, now);
    }
    std::vector<GateLine> explain() const {
        const auto all = members();
        return core::explain(system, lane, {mailboxes, all}, &message, now);
    }
    MailboxFacts& mailbox() { return mailboxes.front(); }
};

inline std::string text_of(const std::optional<Time>& t) { return t ? text_of(*t) : "never"; }

}  // namespace mailer::core::test
