// The facts that the gates look at, read from the tables: for the engine, explain, forecast and what-if alike.
#pragma once

#include "core/pace/forecast.hpp"
#include "core/pace/planner.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/server/clone_guard.hpp"
#include "worker/ports.hpp"

namespace mailer::pg {

// How many claims per connection the engine holds ready, so that a connection never waits for a commit. Mailboxes with
// one connection or a gap have no use for it: there a claim is made when its mail may really go.
constexpr int claims_ahead = 5;

// What was stored as the next mail of a mailbox, campaign or batch, and was further ahead than a gap (slot.hpp, S5).
struct HeldGap {
    std::int64_t id = 0;  // of the mailbox, or of the lane
    core::Time was = {};
};

struct WorldOptions {
    int prefetch = 1;                             // claims a connection
    const worker::InFlight* in_flight = nullptr;  // null: counted from the claimed rows of the queue
    std::vector<HeldGap>* held = nullptr;         // null, or receives the gaps that were brought back
};

// All of these require a transaction and an Spi, and throw PgError or Refusal.
core::SystemFacts read_system(const Settings& settings, const ArmingState& arming, int prefetch);
// How long a mailbox without an OAuth2 token is held at a time.
constexpr core::Duration token_hold = std::chrono::minutes(1);

std::vector<core::MailboxFacts> read_mailboxes(const Settings& settings, const WorldOptions& options, core::Time now);
// Of those that exist among `lane_ids`.
std::vector<core::LaneFacts> read_lanes(std::span<const std::int64_t> lane_ids, const WorldOptions& options,
                                        core::Time now);
std::vector<std::int64_t> running_campaign_lanes();
worker::InFlight read_in_flight();  // as the claimed rows of the queue say

// Stands for the settings that a campaign's stored slot was placed by: with others the slot is placed again.
std::int64_t plan_key(const core::LaneFacts& lane);

// Mailboxes that serve a tenant's lanes without a pool of their own: the default ones that it may use.
std::vector<std::int64_t> default_pool(std::int64_t tenant_id);

// The earliest due row of every lane that has a pending one, by one index descent per lane and priority, whatever the
// queue's depth; and the earliest expiry of all when asked for.
std::vector<worker::Signals::Hint> earliest_by_lane(std::optional<core::Time>* expiry);

// Whether a row of queue_entry may be sent by this database (SQL text): the clone guard's rule for who only reads.
#define MAILER_IS_ADOPTED                                                                                      \
    "(epoch = ANY (ARRAY(SELECT unnest(a.adopted) FROM mailer.arming a))"                                      \
    " OR EXISTS (SELECT FROM mailer.promotion p WHERE p.is_held AND epoch = ANY (p.held_epochs) AND due_at > " \
    "p.promoted_at))"

// When the cooldown of a campaign's message m ends, NULL where it has none or nobody else mailed the address (SQL text);
// one rule, used by the claim and by the plan. It counts from the other mail's slot, which a plan can tell, and a day
// is 24 hours, whatever the session's time zone.
#define MAILER_COOLED_UNTIL                                                                                      \
    "CASE WHEN m.campaign_id IS NOT NULL THEN (SELECT max(l.last_slot_at)"                                       \
    "  + greatest(0, least(extract(epoch FROM c.cooldown), 3155760000)) * interval '1 s' FROM mailer.campaign c" \
    "  JOIN mailer.lead l ON l.address_key = m.address_key AND l.campaign_id <> m.campaign_id"                   \
    "  WHERE c.campaign_id = m.campaign_id AND c.cooldown IS NOT NULL GROUP BY c.cooldown LIMIT 1) END"

// The keys under which an address may be suppressed (SQL text): its own, and the one of its whole domain.
#define MAILER_SUPPRESSED_KEYS(key) "ARRAY[" key ", '*' || right(" key ", strpos(reverse(" key "), '@'))]"

// Where a suppression applies to a message m (SQL text over aliases s and m, `$now` the moment); one rule, used by the
// claim and by the mail room. Tenant 0 is everybody. Bulk is campaigns and notifications; a mail of a required category
// has none.
#define MAILER_SUPPRESSION_APPLIES(now)                                                                  \
    "s.tenant_id IN (0, m.tenant_id) AND (s.expires_at IS NULL OR s.expires_at > " now                   \
    ") AND (s.scope = 'all'"                                                                             \
    " OR s.scope = 'bulk' AND (m.campaign_id IS NOT NULL OR m.category IS NOT NULL)"                     \
    " OR s.scope = 'category:' || m.category"                                                            \
    " OR m.campaign_id IS NOT NULL AND (s.scope = 'campaigns' OR s.scope = 'campaign:' || m.campaign_id" \
    "   OR s.scope = (SELECT 'list:' || c.list FROM mailer.campaign c WHERE c.campaign_id = m.campaign_id)))"

}  // namespace mailer::pg
