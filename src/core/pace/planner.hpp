// All lanes and mailboxes in timer order: which lane may go now, and how long the sender may sleep.
//
// Decides nothing itself: it asks core/pace/gate, and core/pace/slot changes the values. What it adds is order, so that
// a shut lane is never looked at before its first shut gate may open, and lanes that wait for the same mailboxes are
// not all tried whenever one of those is free: 1,000 campaigns over 200 mailboxes cost microseconds a mail. The worker
// drives it with the clock, the forecast with virtual time; that is why they agree. Invariants:
//   P1  next(now) returns a lane exactly when decide() says go for some lane with waiting_since <= now.
//   P2  tenants take turns: of those with lanes that may go, the one that has been able to longest since it was last
//       served comes first, however many lanes it has. Among its lanes the one that has been able to longest comes
//       first; equal streams take turns.
//   P3  every change of a fact passes through this class.
// Not thread-safe; a copy is independent of its original.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/pace/facts.hpp"
#include "core/pace/gate.hpp"
#include "core/pace/slot.hpp"

namespace mailer::core {

class Planner {
public:
    struct Go {
        std::int64_t lane_id;
        std::int64_t mailbox_id;
    };

    // For a planner that is filled again: what `before` knows and no table does (whose turn it is, what kept lanes
    // from their slots). Call it when the lanes and mailboxes are in.
    void remember(const Planner& before);

    // Keeps its own count of what is in flight over all mailboxes.
    void set_system(const SystemFacts& system);
    const SystemFacts& system() const { return system_; }

    // New or changed settings. The counters (use, in_flight, next_at, slot) are taken over as given: read them after
    // the last commit, or copy them from mailbox()/lane(). upsert_lane places the missing slot of a running campaign
    // and returns true: then next_slot_at has to be stored. A change of a campaign's window, gap, jitter, cap or
    // start must clear next_slot_at (not gap_from), so that it takes effect on the next slot. Pausing keeps it.
    // A lane without waiting_since keeps the one that set_pending() gave it. A lane that shares a pace can go only
    // while the main lane is here too.
    void upsert_mailbox(const MailboxFacts& mailbox);
    bool upsert_lane(const LaneFacts& lane, Time now);
    void remove_mailbox(std::int64_t id);
    void remove_lane(std::int64_t id);

    const MailboxFacts* mailbox(std::int64_t id) const;
    const LaneFacts* lane(std::int64_t id) const;
    // The main lane of the lane's campaign, whose facts are the pace; the lane itself where it shares none. Null while
    // either isn't here.
    const LaneFacts* pace(std::int64_t lane_id) const;
    std::vector<std::int64_t> lanes_of_pace(std::int64_t main_lane_id) const;  // the main lane first
    std::vector<std::int64_t> lane_ids() const;                                // both ascending
    std::vector<std::int64_t> mailbox_ids() const;

    // What waits in a lane: the earliest due_at, or nothing. After an idle time pass the moment it became visible, so
    // that slots of the idle time don't count as missed.
    void set_pending(std::int64_t lane_id, std::optional<Time> earliest_due);

    // The lane to take a message from, and the mailbox to send it with; none: sleep until wake_at() or a change of
    // facts. Asking twice without a change gives the same answer. `now` must not run backwards.
    std::optional<Go> next(Time now);
    // The earliest instant at which next() may give something that it didn't give just now.
    std::optional<Time> wake_at() const;

    // As in core/pace/slot; lane and mailbox must exist (finish and release bear with removed ones).
    Reservation reserve(std::int64_t lane_id, std::int64_t mailbox_id, const MessageFacts& message, Time now);
    void finish(const Reservation& reservation, Time replied_at);
    bool release(const Reservation& reservation, Time now, std::optional<Time> replied_at = std::nullopt);

    // The same gates, for one lane that this planner holds.
    std::optional<Decision> shut_for_lane(std::int64_t lane_id, Time now) const;
    Decision decide(std::int64_t lane_id, Time now) const;
    std::vector<GateLine> explain(std::int64_t lane_id, const MessageFacts* message, Time now) const;

private:
    // Where a lane stands in its queue for mailboxes. Only streams and lanes without a gap need turns.
    struct Key {
        Time ready_at{};
        std::uint64_t turn = 0;
        int rank = 0;  // among the lanes of one pace: what it prefers goes first …
        Time since{};  // … then what has been due longest, from whichever mailbox
        std::int64_t lane_id = 0;
        auto operator<=>(const Key&) const = default;
    };
    struct LaneEntry {
        LaneFacts facts;
        std::uint32_t pool = 0;
        std::uint32_t group = 0;
        Key key;                       // while it waits with its pool
        std::uint64_t turn = 0;        // when it was served last, in turns …
        Time served_at = Time::min();  // … and as an instant
        std::optional<Gate> why_late;  // what kept it from its slot
    };
    // Lanes that the same gates hold back: those of one pace with the same window, of first mails or of follow-ups. All
    // other lanes are groups of one. The gates are asked once for a group, and of those of its lanes that may go only
    // the first waits with its pool. The others stand in line behind it, and are reached when its pool is blocked: a
    // slot sorts one lane into a queue, however many share the pace.
    struct WaitingLane {
        std::int64_t lane_id;
        Time since;
    };
    struct Timer {
        Time at;
        std::int64_t last_lane_id;  // of the group's waiting lanes
        std::uint32_t group;
        auto operator<=>(const Timer&) const = default;
    };
    struct GroupEntry {
        std::int64_t main_lane_id = 0;
        std::vector<std::int64_t> lanes;
        std::vector<WaitingLane> waiting;  // of these, ascending by id
        std::optional<Timer> timer;
        std::vector<std::int64_t> queued;  // the lanes that wait with their pools
        std::vector<Key> line;             // the lanes behind these: a heap, the first on top
    };
    // Lanes of a tenant with the same mailboxes queue together. Blocked: none of them was open when its first lane was
    // tried.
    struct PoolEntry {
        std::int64_t tenant_id = 0;
        std::vector<std::int64_t> ids;
        std::vector<std::uint32_t> members;
        std::set<Key> waiting;
        std::vector<std::uint32_t> led_groups;  // those that have a line behind a lane that waits here
        std::size_t lane_count = 0;
        bool is_blocked = false;
    };
    // Where a tenant stands among those with pools that aren't blocked; the first lane decides between such as were
    // never served.
    struct TurnKey {
        Time ready_at{};
        std::uint64_t turn = 0;
        Key first;
        auto operator<=>(const TurnKey&) const = default;
    };
    struct TenantEntry {
        Time served_at = Time::min();
        std::uint64_t turn = 0;
        std::set<std::pair<Key, std::uint32_t>> ready_pools;  // that aren't blocked, by their first lane
        TurnKey key;                                          // while there are any
    };
    // What the gates said of a mailbox when it was last looked at. By G2 that holds until opens_at or a change of
    // facts, so that a free mailbox is offered to one lane and a shut one is tried by none.
    enum class Outlook : std::uint8_t { changed, open, shut, gone };
    struct MailboxOutlook {
        Outlook state = Outlook::changed;
        std::optional<Time> opens_at = {};  // while shut
        std::optional<Gate> shut_by = {};   // the last gate that shut it …
        Time shut_at = Time::min();         // … and until when it was shut, as far as is known
        bool was_shut = false;              // when it was last looked at
    };

    // Mailboxes at the same server.
    struct ServerEntry {
        int in_flight = 0;
        std::set<std::uint32_t> members;
    };

    const LaneFacts& pace_of(const LaneEntry& entry) const;
    LaneEntry& pace_entry(LaneEntry& entry);
    std::int64_t main_lane_of(const LaneFacts& lane) const { return lane.pace_id != 0 ? lane.pace_id : lane.id; }
    void refresh_pace(std::int64_t main_lane_id);
    void mark_pace_changed(std::int64_t main_lane_id);
    void mark_others_changed(const LaneEntry& served);

    bool pass_same_gates(const LaneFacts& a, const LaneFacts& b) const;
    void join_group(LaneEntry& entry);
    void leave_group(LaneEntry& entry);
    void regroup(std::int64_t main_lane_id);
    void list_waiting(const LaneEntry& entry);
    void take_out(std::uint32_t group);
    void wait_until(std::uint32_t group, Time t);
    void put_in_order(std::uint32_t group, Time now);
    void mark_changed(std::uint32_t group, std::int64_t but_for = 0);
    Key key_of(const WaitingLane& waiting, const LaneEntry& member, const LaneFacts& pace) const;
    void queue_next(std::uint32_t group);

    void join_server(std::uint32_t mailbox);
    void leave_server(std::uint32_t mailbox);
    void count_claims(std::uint32_t mailbox, int change);
    void look_at_room();
    void tell_members(const ServerEntry& server);

    void mailbox_changed(std::uint32_t mailbox);
    void look_at_mailboxes(Time now);
    void look_at(std::uint32_t mailbox, Time now);
    std::optional<std::uint32_t> open_mailbox_of(const PoolEntry& pool, Time now);

    // Between detach and attach the pool's lanes and is_blocked may be changed.
    void detach_pool(std::uint32_t pool);
    void attach_pool(std::uint32_t pool);
    void take_turn(std::int64_t tenant_id, Time now);
    void leave_order(std::int64_t tenant_id);
    void enter_order(std::int64_t tenant_id);
    std::uint32_t join_pool(std::int64_t tenant_id, std::vector<std::int64_t> ids);
    void leave_pool(std::uint32_t pool);
    void list_members(std::uint32_t pool);
    void list_all_members();

    std::optional<Gate> why_late(const LaneEntry& entry, std::uint32_t mailbox) const;
    PoolView view(const PoolEntry& pool) const { return {mailboxes_, pool.members}; }

    SystemFacts system_;
    std::vector<MailboxFacts> mailboxes_;
    std::vector<MailboxOutlook> outlooks_;  // of mailboxes_
    std::vector<std::vector<std::uint32_t>> pools_of_mailbox_;
    std::unordered_map<std::int64_t, std::uint32_t> mailbox_index_;
    std::vector<std::uint32_t> unused_mailboxes_;
    std::vector<std::uint32_t> changed_mailboxes_;
    std::size_t open_mailbox_count_ = 0;
    std::unordered_map<std::uint64_t, ServerEntry> servers_;
    bool is_crowded_ = false;  // what is free over all mailboxes is kept for servers with nothing in flight
    std::set<std::pair<Time, std::uint32_t>> mailbox_timers_;  // the shut ones, by opens_at
    std::unordered_map<std::int64_t, LaneEntry> lanes_;
    std::unordered_map<std::int64_t, std::set<std::int64_t>> sharers_;  // by main lane: the others of its pace
    std::vector<GroupEntry> groups_;
    std::unordered_map<std::int64_t, std::vector<std::uint32_t>> groups_of_pace_;  // by main lane
    std::vector<std::uint32_t> unused_groups_;
    std::set<Timer> timers_;  // at Time::min() those of changed groups
    std::vector<PoolEntry> pools_;
    std::map<std::pair<std::int64_t, std::vector<std::int64_t>>, std::uint32_t> pool_index_;
    std::vector<std::uint32_t> unused_pools_;
    std::unordered_map<std::int64_t, TenantEntry> tenants_;
    std::set<std::pair<TurnKey, std::int64_t>> ready_tenants_;  // that have ready pools
    std::size_t waiting_count_ = 0;                             // lanes in the queues of all pools
    std::vector<std::uint32_t> open_members_;                   // scratch of open_mailbox_of()
    std::uint64_t turn_ = 0;
    bool is_system_shut_ = false;         // when next() looked last
    std::optional<Gate> system_shut_by_;  // the last gate that shut everything …
    Time system_shut_at_ = Time::min();   // … and when it was still seen shut
};

}  // namespace mailer::core
