// The gates in words. Decides nothing: what is open and when it opens comes from the same walk that decide() takes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <utility>

#include "core/pace/gate.hpp"
#include "core/pace/gate_walk.hpp"
#include "core/pace/slot.hpp"

namespace mailer::core {

namespace {

// "Mon 09:00 Europe/Warsaw"; with the date when that Monday isn't within six days, with seconds when there are any.
std::string wall_clock(Time t, const Zone& zone, Time now) {
    static constexpr std::array kWeekdays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    const LocalTime local = std::chrono::ceil<std::chrono::seconds>(zone.local(t));
    const Date date = std::chrono::floor<std::chrono::days>(local);
    const std::chrono::hh_mm_ss time{
        std::chrono::floor<std::chrono::seconds>(local - LocalTime{date.time_since_epoch()})};
    std::string text = kWeekdays[std::chrono::weekday{date}.c_encoding()];
    std::array<char, 48> digits{};
    if (t < now || t - now > std::chrono::days{6}) {
        const std::chrono::year_month_day ymd{date};
        std::snprintf(digits.data(), digits.size(), " %04d-%02u-%02u", static_cast<int>(ymd.year()),
                      static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()));
        text += digits.data();
    }
    std::snprintf(digits.data(), digits.size(), " %02d:%02d", static_cast<int>(time.hours().count()),
                  static_cast<int>(time.minutes().count()));
    text += digits.data();
    if (time.seconds().count() != 0) {
        std::snprintf(digits.data(), digits.size(), ":%02d", static_cast<int>(time.seconds().count()));
        text += digits.data();
    }
    return text + " " + zone.name();
}

std::string with_reason(const std::string& text, const std::string& reason) {
    return reason.empty() ? text : text + ": " + reason;
}

std::string seconds_text(Duration span) {
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), "%.6f", static_cast<double>(span.count()) / 1e6);
    std::string text = digits.data();
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

// Says for one state when it opens, in the words and zone of its owner.
struct Words {
    const Zone& zone;
    Time now;

    std::string until(const GateState& state) const {
        return state.opens_at ? " until " + wall_clock(*state.opens_at, zone, now) : std::string{};
    }
    std::string at(Time t) const { return wall_clock(t, zone, now); }
};

// Claims beyond the connections are not on one: they wait, claimed ahead.
std::string connection_detail(const GateState& state, const std::string& free, const std::string& busy) {
    const int ahead = std::max(0, state.used.value_or(0) - state.limit.value_or(0));
    if (!state.limit || *state.used < *state.limit) return free;
    std::string text = busy;
    if (ahead > 0)
        text += ", and " + std::to_string(ahead) + (ahead == 1 ? " claimed mail waits" : " claimed mails wait");
    if (state.is_open) text += ahead > 0 ? "; there is room for more" : "; there is room to claim ahead";
    return text;
}

std::string system_detail(const GateState& state, const SystemFacts& system) {
    switch (state.gate) {
        case Gate::sending_enabled:
            return state.is_open ? "sending is enabled" : "sending is switched off by mailer.enabled";
        case Gate::sending_armed:
            if (state.is_open) return "this database may send";
            return with_reason("sending is held until mailer.arm()", system.held_reason);
        case Gate::standbys:
            return system.standbys.words;
        case Gate::lease:
            return system.lease.words;
        case Gate::sender_running:
            return system.sender.words;
        case Gate::sending_not_paused:
            return state.is_open ? "sending is not paused" : with_reason("all sending is paused", *system.pause_reason);
        default:
            return connection_detail(state, "a connection is free",
                                     "all connections of mailer.max_connections are busy");
    }
}

std::string campaign_state_text(const LaneFacts& lane) {
    switch (lane.state) {
        case LaneState::draft:
            return "campaign has not been started";
        case LaneState::running:
            return "campaign is running";
        case LaneState::paused:
            return with_reason("campaign is paused", lane.state_reason);
        case LaneState::completed:
            return "campaign is completed";
        case LaneState::cancelled:
            return with_reason("campaign is cancelled", lane.state_reason);
    }
    return {};
}

std::string window_text(const GateState& state, const LaneFacts& lane, const Words& words) {
    if (!state.is_open) {
        const bool is_skipped = std::binary_search(lane.window.skip_dates.begin(), lane.window.skip_dates.end(),
                                                   lane.window.day_of(words.now));
        const std::string closed = is_skipped ? "window closed (skip_date)" : "window closed";
        return state.opens_at ? closed + words.until(state) : "window has no allowed weekday";
    }
    const auto closes_at = lane.window.closes_at(words.now);
    return closes_at ? "window open until " + words.at(*closes_at) : "window always open";
}

// A follow-up may go only while somebody listens for the reply that would stop it.
std::string inbox_text(const GateState& state, const LaneFacts& pace, const LaneFacts& lane, const Words& words) {
    if (!lane.is_follow_up) return "a first mail waits for no inbox";
    if (!pace.max_silence) return "replies are not read from an inbox here";
    if (state.is_open) return "the inbox was read at " + words.at(*lane.heard_at);
    if (!lane.heard_at) return with_reason("the inbox of " + lane.name + " has never been read", lane.listen_error);
    return with_reason("the inbox of " + lane.name + " has not been read since " + words.at(*lane.heard_at),
                       lane.listen_error);
}

std::string lane_detail(const GateState& state, const LaneFacts& pace, const LaneFacts& lane, const Words& words) {
    switch (state.gate) {
        case Gate::campaign_running:
            return campaign_state_text(pace);
        case Gate::campaign_shield:
            return state.is_open ? "shield of the campaign is open"
                                 : with_reason("shield is shut until mailer.campaign_resume()", pace.shield_reason);
        case Gate::campaign_started:
            return state.is_open ? "start has come" : "campaign starts at " + words.at(*state.opens_at);
        case Gate::campaign_ended:
            if (!pace.ends_at) return "campaign has no end";
            return state.is_open ? "campaign ends at " + words.at(*pace.ends_at) : "campaign has ended";
        case Gate::window_open:
            return window_text(state, lane, words);
        case Gate::campaign_new_cap:
            if (!state.limit)
                return lane.is_follow_up ? "a follow-up is no first mail" : "no daily limit of first mails";
            return (state.is_open ? "daily limit of first mails has room" : "daily limit of first mails reached") +
                   words.until(state);
        case Gate::inbox_heard:
            return inbox_text(state, pace, lane, words);
        case Gate::campaign_day_cap:
            if (!state.limit) return "no daily limit";
            return (state.is_open ? "daily limit of the campaign has room" : "daily limit of the campaign reached") +
                   words.until(state);
        case Gate::campaign_gap:
            return state.is_open ? "next slot has come" : "next slot at " + words.at(*state.opens_at);
        default:
            if (state.is_open) return "gap of the batch has passed";
            return state.opens_at ? "gap of the batch" + words.until(state)
                                  : "a mail of the batch is being sent; the gap runs from its reply";
    }
}

std::string connections_text(const GateState& state, const MailboxFacts& mailbox, const Words& words) {
    const std::string name = "mailbox " + mailbox.name;
    if (mailbox.leaves_room)
        return "the last connections of mailer.max_connections are kept for other servers than " + name + "'s";
    std::string text = connection_detail(state, name + " has a free connection", name + " has no free connection");
    const auto more_at = more_connections_at(mailbox.max_connections, mailbox.lowered, words.now);
    if (!more_at) return text;
    return text + "; its server takes fewer than " + std::to_string(mailbox.max_connections) +
           ", one more is tried at " + words.at(*more_at) + ": " + mailbox.lowered->reason;
}

std::string mailbox_detail(const GateState& state, const MailboxFacts& mailbox, const Words& words) {
    const std::string name = "mailbox " + mailbox.name;
    switch (state.gate) {
        case Gate::mailbox_enabled:
            return state.is_open ? name + " is enabled" : with_reason(name + " is paused", mailbox.pause_reason);
        case Gate::mailbox_shield:
            if (state.is_open) return "shield of " + name + " is open";
            return with_reason("shield of " + name + " is shut until mailer.mailbox_resume()", mailbox.shield_reason);
        case Gate::mailbox_breaker:
            if (state.is_open) return name + " is working";
            return with_reason(name + " is held back after failures" + words.until(state), mailbox.breaker_reason);
        case Gate::mailbox_day_cap:
            if (!state.limit) return name + " has no daily limit";
            return name + (state.is_open ? " has room today" : " has reached its daily limit") + words.until(state);
        case Gate::mailbox_gap:
            if (state.is_open) return "gap of " + name + " has passed";
            return state.opens_at ? "gap of " + name + words.until(state)
                                  : name + " is sending; its gap runs from the reply";
        case Gate::mailbox_rate:
            return "rate of " + name + " (" + mailbox.rate->text() + ")" +
                   (state.is_open ? " has room" : words.until(state));
        default:
            return connections_text(state, mailbox, words);
    }
}

std::string message_detail(const GateState& state, const MessageFacts& message, const Words& words) {
    switch (state.gate) {
        case Gate::not_suppressed:
            return state.is_open ? "recipient is not suppressed"
                                 : with_reason("recipient is suppressed", message.suppressed_reason);
        case Gate::not_yet_mailed:
            return state.is_open ? "recipient has not been mailed in this campaign"
                                 : "recipient has been mailed in this campaign already";
        case Gate::lead_active:
            return state.is_open ? "the lead's sequence goes on"
                                 : with_reason("the lead's sequence has ended", message.stopped_reason);
        case Gate::lead_held:
            return state.is_open ? "the lead is not held" : "the lead is held until mailer.lead_release()";
        case Gate::lead_not_before:
            return state.is_open ? "the lead's earliest time has come"
                                 : "the lead is not to be mailed before " + words.at(*state.opens_at);
        case Gate::cooldown:
            return state.is_open
                       ? "no other campaign has mailed the address lately"
                       : "another campaign has mailed the address; the cooldown ends at " + words.at(*state.opens_at);
        case Gate::not_expired:
            return state.is_open ? "message has not expired" : "message has expired";
        default:
            if (state.is_open) return "message is due";
            return (message.tries == 0 ? "message is due at "
                                       : "try " + std::to_string(message.tries + 1) + " of the message is due at ") +
                   words.at(*state.opens_at);
    }
}

GateLine line_of(const GateState& state, std::string detail) {
    GateLine line{.gate = state.gate, .is_open = state.is_open};
    if (state.limit) line.limit = std::to_string(*state.limit);
    const bool counts_connections = state.gate == Gate::connections_free || state.gate == Gate::mailbox_connection;
    if (state.used) line.used = std::to_string(counts_connections ? std::min(*state.used, *state.limit) : *state.used);
    line.opens_at = state.opens_at;
    line.detail = std::move(detail);
    return line;
}

GateLine lane_line(const GateState& state, const LaneFacts& pace, const LaneFacts& lane, Time now) {
    GateLine line = line_of(state, lane_detail(state, pace, lane, {lane.window.zone, now}));
    if (state.gate == Gate::campaign_gap || state.gate == Gate::batch_gap) line.limit = seconds_text(pace.gap);
    return line;
}

GateLine mailbox_line(const GateState& state, const MailboxFacts& mailbox, Time now) {
    GateLine line = line_of(state, mailbox_detail(state, mailbox, {mailbox.zone, now}));
    if (state.gate == Gate::mailbox_gap) line.limit = seconds_text(mailbox.gap);
    if (state.gate == Gate::mailbox_day_cap && state.limit) {
        for (const DayUse& use : mailbox.use.days) {
            if (use.warmup > 0 && use.day == mailbox.zone.date(now)) {
                line.detail += ", " + std::to_string(use.warmup) + " warm-up included";
            }
        }
    }
    return line;
}

// One gate over the mailboxes that have passed the gates before it; those that fail it leave `candidates`, unless all
// do: then the pool is shut here, and the gates behind it are shown for the same mailboxes.
GateLine pool_line(const std::vector<GateLine>& of_each, std::vector<std::size_t>& candidates) {
    std::vector<std::size_t> passing;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(passing),
                 [&](std::size_t i) { return of_each[i].is_open; });
    const GateLine* soonest = &of_each[candidates.front()];
    for (const std::size_t i : candidates) {
        const auto at = of_each[i].opens_at;
        if (at && (!soonest->opens_at || *at < *soonest->opens_at)) soonest = &of_each[i];
    }
    GateLine line{.gate = soonest->gate, .is_open = !passing.empty()};
    const std::string count =
        std::to_string(passing.size()) + " of " + std::to_string(candidates.size()) + " mailboxes";
    if (passing.empty()) {
        line.opens_at = soonest->opens_at;
        line.detail = soonest->detail + " (" + count + ")";
    } else {
        line.detail = count;
        candidates = std::move(passing);
    }
    return line;
}

void add_pool(std::vector<GateLine>& lines, PoolView pool, Time now) {
    GateLine any{.gate = Gate::pool_not_empty, .is_open = !pool.members.empty()};
    any.limit = {};
    any.used = std::to_string(pool.members.size());
    any.detail =
        any.is_open ? any.used + (pool.members.size() == 1 ? " mailbox" : " mailboxes") : "no mailbox to send from";
    lines.push_back(any);
    if (pool.members.empty()) return;

    std::vector<std::vector<GateLine>> by_gate;  // the lines of all mailboxes, gate by gate
    std::vector<std::size_t> candidates;
    for (const std::uint32_t member : pool.members) {
        const MailboxFacts& mailbox = pool.mailboxes[member];
        std::size_t gate = 0;
        walk_mailbox(mailbox, now, [&](const GateState& state) {
            if (gate == by_gate.size()) by_gate.emplace_back();
            by_gate[gate++].push_back(mailbox_line(state, mailbox, now));
        });
        candidates.push_back(candidates.size());
    }
    for (auto& of_each : by_gate) {
        if (of_each.size() == 1) {
            lines.push_back(of_each.front());
            continue;
        }
        lines.push_back(pool_line(of_each, candidates));
        for (std::size_t i = 0; i < of_each.size(); ++i) {
            of_each[i].mailbox = pool.mailboxes[pool.members[i]].name;
            lines.push_back(of_each[i]);
        }
    }
}

}  // namespace

std::string_view gate_name(Gate gate) {
    switch (gate) {
        case Gate::sending_enabled:
            return "sending_enabled";
        case Gate::sending_armed:
            return "sending_armed";
        case Gate::sending_not_paused:
            return "sending_not_paused";
        case Gate::standbys:
            return "standbys";
        case Gate::lease:
            return "lease";
        case Gate::connections_free:
            return "connections_free";
        case Gate::campaign_running:
            return "campaign_running";
        case Gate::campaign_shield:
            return "campaign_shield";
        case Gate::campaign_started:
            return "campaign_started";
        case Gate::campaign_ended:
            return "campaign_ended";
        case Gate::window_open:
            return "window_open";
        case Gate::campaign_day_cap:
            return "campaign_day_cap";
        case Gate::campaign_new_cap:
            return "campaign_new_cap";
        case Gate::inbox_heard:
            return "inbox_heard";
        case Gate::campaign_gap:
            return "campaign_gap";
        case Gate::batch_gap:
            return "batch_gap";
        case Gate::pool_not_empty:
            return "pool_not_empty";
        case Gate::mailbox_enabled:
            return "mailbox_enabled";
        case Gate::mailbox_shield:
            return "mailbox_shield";
        case Gate::mailbox_breaker:
            return "mailbox_breaker";
        case Gate::mailbox_day_cap:
            return "mailbox_day_cap";
        case Gate::mailbox_gap:
            return "mailbox_gap";
        case Gate::mailbox_rate:
            return "mailbox_rate";
        case Gate::mailbox_connection:
            return "mailbox_connection";
        case Gate::sender_running:
            return "sender_running";
        case Gate::not_suppressed:
            return "not_suppressed";
        case Gate::not_yet_mailed:
            return "not_yet_mailed";
        case Gate::lead_active:
            return "lead_active";
        case Gate::lead_held:
            return "lead_held";
        case Gate::lead_not_before:
            return "lead_not_before";
        case Gate::cooldown:
            return "cooldown";
        case Gate::due:
            return "due";
        case Gate::not_expired:
            return "not_expired";
    }
    return "unknown";
}

std::vector<GateLine> explain(const SystemFacts& system, const LaneFacts& pace, const LaneFacts& lane, PoolView pool,
                              const MessageFacts* message, Time now) {
    std::vector<GateLine> lines;
    walk_system(system, [&](const GateState& state) { lines.push_back(line_of(state, system_detail(state, system))); });
    walk_lane(pace, lane, now, [&](const GateState& state) { lines.push_back(lane_line(state, pace, lane, now)); });
    add_pool(lines, pool, now);
    // Behind the gates that a sender tries: where sessions send now and then, those tell more.
    if (system.sender.is_set) {
        const GateState state = sender_running_gate(system);
        lines.push_back(line_of(state, system_detail(state, system)));
    }
    if (message != nullptr) {
        const Words words{lane.window.zone, now};
        walk_message(*message, now, [&](const GateState& state) {
            lines.push_back(line_of(state, message_detail(state, *message, words)));
        });
    }
    return lines;
}

std::string blocked_by(const std::vector<GateLine>& lines) {
    for (const GateLine& line : lines) {
        if (!line.is_open && line.mailbox.empty()) return line.detail;
    }
    return {};
}

}  // namespace mailer::core
