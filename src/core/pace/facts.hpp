// What the gates look at: settings, counters and zones as plain values.
//
// SQL and SPI only fill these in; every decision is made of them by core/pace/gate, and every change to them by
// core/pace/slot. Nothing in here knows what the time is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/pace/connection_limit.hpp"
#include "core/pace/quota.hpp"
#include "core/pace/rate.hpp"
#include "core/pace/time.hpp"
#include "core/pace/window.hpp"
#include "core/pace/zone.hpp"

namespace mailer::core {

// Whether this server may send at all, by something outside the database. Without `is_set` there is no such thing.
struct SenderFence {
    bool is_set = false;
    bool is_open = true;
    std::optional<Time> opens_at = {};
    std::string words = {};  // what is waited for, or that nothing is

    friend bool operator==(const SenderFence&, const SenderFence&) = default;
};

struct SystemFacts {
    bool is_enabled = true;                        // mailer.enabled
    bool is_armed = true;                          // false: restored, cloned or promoted; held until mailer.arm()
    std::string held_reason = {};                  // why it isn't armed
    std::optional<std::string> pause_reason = {};  // set while mailer.pause() holds
    SenderFence standbys = {};                     // what has to be waited for before a mail may leave …
    SenderFence lease = {};                        // … and whether mailer.sender_lease says that this is the sender
    SenderFence sender = {};        // whether anybody sends; set for explain() only: a claim is the sender's
    int max_connections = 0;        // mailer.max_connections over all mailboxes; 0 is unlimited
    int claims_per_connection = 1;  // how many are claimed ahead; see MailboxFacts
    int in_flight = 0;              // kept by the Planner; over all mailboxes

    int claims() const { return max_connections * claims_per_connection; }  // that fit; 0 is unlimited
    int kept_claims() const { return kept_connections(max_connections) * claims_per_connection; }
};

struct MailboxFacts {
    std::int64_t id = 0;
    std::string name = {};
    bool is_enabled = true;
    std::string pause_reason = {};
    std::optional<Time> breaker_open_until = {};
    std::string breaker_reason = {};
    std::string shield_reason = {};  // why its shield is shut; empty: it is open, or off
    DailyLimit daily_limit = {};
    Zone zone = {};
    Usage use = {};
    Duration gap{0};
    std::optional<Time> next_at = {};  // stored: previous final reply + gap
    std::optional<Rate> rate = {};
    std::optional<Time> rate_next_at = {};  // from the last claim
    std::optional<Time> last_used_at = {};  // stored: last claim; the pool takes the least recently used first
    int max_connections = 1;
    std::optional<LoweredConnections> lowered = {};  // stored: its server takes fewer
    int claims_per_connection = 1;  // above 1: claims are made ahead, so that no connection waits for a commit
    int in_flight = 0;              // claims
    std::uint64_t server_key = 0;   // the same for mailboxes at the same server; 0: it is alone at its own
    bool leaves_room = false;       // kept by the Planner: what is free is kept for servers with nothing in flight

    int connections(Time now) const { return most_connections(max_connections, lowered, now); }
};

enum class LaneKind { campaign, batch, stream };
enum class LaneState { draft, running, paused, completed, cancelled };

// Window, cap, gap ± jitter and slot are a campaign's pace; next_at is a batch's; a stream has none of them.
//
// A campaign has a main lane, which carries its pace, and may have others that share it: follow-ups wait in a lane of
// the one mailbox that they go from, leads on a clock of their own in a lane with that window. The others name the main
// lane in pace_id; of the pace they have only their window.
struct LaneFacts {
    std::int64_t id = 0;  // unique among lanes of all kinds
    LaneKind kind = LaneKind::stream;
    std::string name = {};
    LaneState state = LaneState::running;  // looked at for campaigns only
    std::string state_reason = {};         // why it is paused or cancelled
    std::string shield_reason = {};        // why its shield is shut; empty: it is open, or off
    std::vector<std::int64_t> pool = {};   // ids of the mailboxes it may send from
    int in_flight = 0;

    std::int64_t tenant_id = 0;         // whose mail waits in it
    std::int64_t pace_id = 0;           // the main lane whose pace it shares; 0: it carries its own
    bool is_follow_up = false;          // it holds later steps, which go from the mailbox of the first
    std::optional<Time> heard_at = {};  // a follow-up's: when the inbox of its mailbox was last read to the end
    std::string listen_error = {};      // why it is not read, for people

    std::int64_t campaign_id = 0;  // with the ordinal, what the jitter is drawn from
    std::optional<Time> starts_at = {};
    std::optional<Time> ends_at = {};  // no mail goes from then on
    Window window = {};
    bool has_own_zone = false;  // its leads have a zone of their own, which may be the campaign's
    std::optional<int> max_per_day = {};
    Usage use = {};                           // by day of the window
    std::optional<int> max_new_per_day = {};  // of first mails; 0: no new ones
    Usage new_use = {};
    bool prefers_new = false;                  // at a slot first mails go before follow-ups
    std::optional<Duration> max_silence = {};  // follow-ups wait for an inbox that was read within this
    Duration gap{0};
    int jitter_ppm = 0;                     // 0.2 is 200'000; at most 1'000'000
    std::optional<Time> next_slot_at = {};  // stored; none until the campaign has started
    std::optional<Time> gap_from = {};      // stored; what next_slot_at was counted from
    std::int64_t next_ordinal = 1;          // stored; of the slot at next_slot_at

    std::optional<Time> next_at = {};  // a batch's: previous final reply + gap

    // The earliest due_at of what waits in the lane. None: nothing waits, as far as is known.
    std::optional<Time> waiting_since = {};
    // Of a main lane, kept by the Planner: the same of its other lanes, and their windows where they differ from its
    // own.
    std::optional<Time> new_waiting_since = {};
    std::optional<Time> follow_ups_waiting_since = {};
    std::vector<Window> windows = {};  // of the lanes in which something waits; empty: its own alone
};

// The due time of a held lead's mail: lead_release() brings it back. No campaign lasts until then.
inline constexpr Time kHeldUntil{std::chrono::sys_days{std::chrono::year{9000} / 1 / 1}};

struct MessageFacts {
    std::int64_t id = 0;
    Time due_at = {};
    std::optional<Time> expires_at = {};
    int priority = 2;  // 4 goes first
    bool is_warmup = false;
    bool is_suppressed = false;
    std::string suppressed_reason = {};
    bool is_already_mailed = false;  // another message of the same campaign reached this address
    bool is_stopped = false;         // its lead's sequence has ended: a reply, a bounce, somebody stopped it
    std::string stopped_reason = {};
    bool is_held = false;                   // its lead is held until lead_release()
    std::optional<Time> not_before = {};    // its lead's
    std::optional<Time> cooled_until = {};  // another campaign mailed the address; the cooldown ends then
    std::uint64_t recipient = 0;            // in a plan that knows of cooldowns: who gets it; 0: not looked at
    int step = 1;                           // place in its campaign's sequence
    int tries = 0;                          // that were made
};

}  // namespace mailer::core
