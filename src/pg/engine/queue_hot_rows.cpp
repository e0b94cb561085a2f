// What every tick writes: how much of the day is used, and when which mailbox and lane go next; see queue.hpp.
//
// The same few rows again and again. While somebody holds an old snapshot their dead versions stay, thousands after a
// while, and a probe of the index visits each of them: a tenth of the drain of a million mails. So a row is looked for
// where the last write left it, and by its key only when it isn't there any more. A place that is wrong (of a
// transaction that was lost, of a row that another session moved) holds nothing, or a row with another key.
#include "pg/bridge/clock.hpp"
#include "pg/engine/queue.hpp"

extern "C" {
#include "storage/itemptr.h"
}

namespace mailer::pg {

namespace {

using Key = std::pair<std::int64_t, std::int32_t>;  // id, and day where there is one

class Places {
public:
    Param param(const std::vector<Key>& keys) const {
        std::vector<std::optional<ItemPointerData>> places;
        for (const Key& key : keys) {
            auto it = known_.find(key);
            places.push_back(it == known_.end() ? std::nullopt : std::optional(it->second));
        }
        return p_tids(places);
    }

    bool knows_any(const std::vector<Key>& keys) const {
        return std::any_of(keys.begin(), keys.end(), [this](const Key& key) { return known_.contains(key); });
    }

    // Of rows (id, day, place); tells which they are.
    std::set<Key> learn(const Rows& rows) {
        if (known_.size() > most_known) known_.clear();
        std::set<Key> keys;
        for (std::uint64_t i = 0; i < rows.count(); ++i) {
            const Key key{rows.bigint(i, "id"), static_cast<std::int32_t>(rows.bigint(i, "day"))};
            known_[key] = rows.place(i, "place");
            keys.insert(key);
        }
        return keys;
    }

private:
    static constexpr std::size_t most_known = 10000;  // days pass, mailboxes go
    std::map<Key, ItemPointerData> known_;
};

// `update` takes what `upsert` takes, and the places after it. Both return (id, day, ctid) of what they wrote. In an
// update the key has "+ 0", or the planner would go by the index that this is to avoid.
struct HotTable {
    Statement update, upsert;
    Places places = {};

    template <class Item, class KeyOf, class ParamsOf>
    void write(std::vector<Item> items, KeyOf key_of, ParamsOf params_of) {
        std::vector<Key> keys(items.size());
        std::transform(items.begin(), items.end(), keys.begin(), key_of);
        if (places.knows_any(keys)) {
            std::vector<Param> params = params_of(items);
            params.push_back(places.param(keys));
            const std::set<Key> written = places.learn(update.run(params));
            std::erase_if(items, [&](const Item& item) { return written.contains(key_of(item)); });
        }
        if (!items.empty()) (void)places.learn(upsert.run(params_of(items)));
    }
};

Key key_of_day(const worker::DayDelta& d) { return {d.id, day_to_pg(d.day)}; }

struct DayArrays {
    std::vector<std::int64_t> id;
    std::vector<std::int32_t> day, used, warmup, first_mails;
    std::vector<std::optional<std::int32_t>> limit;
    explicit DayArrays(std::span<const worker::DayDelta> deltas) {
        for (const auto& d : deltas) {
            id.push_back(d.id);
            day.push_back(day_to_pg(d.day));
            used.push_back(d.used);
            warmup.push_back(d.warmup);
            first_mails.push_back(d.first_mails);
            limit.push_back(d.day_limit);
        }
    }
};

// Those that count up, and then those that give back.
std::pair<std::vector<worker::DayDelta>, std::vector<worker::DayDelta>> split(std::span<const worker::DayDelta> days) {
    std::pair<std::vector<worker::DayDelta>, std::vector<worker::DayDelta>> out;
    for (const worker::DayDelta& d : days)
        (d.used > 0 ? out.first : out.second).push_back(d);
    return out;
}

std::optional<std::int64_t> maybe(const std::optional<core::Time>& t) {
    return t ? std::optional(to_pg(*t)) : std::nullopt;
}

// ── Counters of days ─────────────────────────────────────────────────────────────────────────────────────────────
// Upwards with the limit of now, which the table's CHECK holds the count to; downwards without asking.

#define MAILER_DAY_ZERO "date '2000-01-01'"

void store_mailbox_days(std::span<const worker::DayDelta> days) {
    static HotTable table{
        {"UPDATE mailer.mailbox_day d SET used = d.used + n.used, warmup = d.warmup + n.warmup, day_limit = n.day_limit"
         "  FROM unnest($1, $2, $3, $4, $5, $6) AS n(id, day, used, warmup, day_limit, place)"
         " WHERE d.ctid = n.place AND d.mailbox_id + 0 = n.id AND d.day + 0 = " MAILER_DAY_ZERO " + n.day"
         " RETURNING d.mailbox_id AS id, d.day - " MAILER_DAY_ZERO " AS day, d.ctid AS place",
         {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIDARRAYOID}},
        {"INSERT INTO mailer.mailbox_day AS d (mailbox_id, day, used, warmup, day_limit)"
         " SELECT id, " MAILER_DAY_ZERO " + day, used, warmup, day_limit FROM unnest($1, $2, $3, $4, $5)"
         "   AS n(id, day, used, warmup, day_limit)"
         " ON CONFLICT (mailbox_id, day) DO UPDATE SET used = d.used + excluded.used,"
         "     warmup = d.warmup + excluded.warmup, day_limit = excluded.day_limit"
         " RETURNING d.mailbox_id AS id, d.day - " MAILER_DAY_ZERO " AS day, d.ctid AS place",
         {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}}};
    static Statement give_back(
        "UPDATE mailer.mailbox_day d SET used = greatest(0, d.used + n.used), warmup = greatest(0, d.warmup + n.warmup)"
        "  FROM unnest($1, $2, $3, $4) AS n(id, day, used, warmup)"
        " WHERE d.mailbox_id = n.id AND d.day = " MAILER_DAY_ZERO " + n.day AND (n.used < 0 OR n.warmup <> 0)",
        {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID});
    const auto [up, back] = split(days);
    table.write(up, key_of_day, [](const std::vector<worker::DayDelta>& deltas) {
        DayArrays a(deltas);
        return std::vector<Param>{p_bigints(a.id), p_ints(a.day), p_ints(a.used), p_ints(a.warmup), p_ints(a.limit)};
    });
    if (back.empty()) return;
    DayArrays a(back);
    give_back.run({p_bigints(a.id), p_ints(a.day), p_ints(a.used), p_ints(a.warmup)});
}

void store_campaign_days(std::span<const worker::DayDelta> days) {
    static HotTable table{
        {"UPDATE mailer.campaign_day d SET used = d.used + n.used, new_used = d.new_used + n.new_used,"
         "   day_limit = n.day_limit"
         "  FROM unnest($1, $2, $3, $4, $5, $6) AS n(id, day, used, new_used, day_limit, place)"
         " WHERE d.ctid = n.place AND d.campaign_id + 0 = n.id AND d.day + 0 = " MAILER_DAY_ZERO " + n.day"
         " RETURNING d.campaign_id AS id, d.day - " MAILER_DAY_ZERO " AS day, d.ctid AS place",
         {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIDARRAYOID}},
        {"INSERT INTO mailer.campaign_day AS d (campaign_id, day, used, new_used, day_limit)"
         " SELECT id, " MAILER_DAY_ZERO
         " + day, used, new_used, day_limit FROM unnest($1, $2, $3, $4, $5) AS n(id, day, used, new_used, day_limit)"
         " ON CONFLICT (campaign_id, day) DO UPDATE SET used = d.used + excluded.used,"
         "     new_used = d.new_used + excluded.new_used, day_limit = excluded.day_limit"
         " RETURNING d.campaign_id AS id, d.day - " MAILER_DAY_ZERO " AS day, d.ctid AS place",
         {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}}};
    static Statement give_back(
        "UPDATE mailer.campaign_day d SET used = greatest(0, d.used + n.used),"
        "     new_used = greatest(0, d.new_used + n.new_used)"
        "  FROM unnest($1, $2, $3, $4) AS n(id, day, used, new_used)"
        " WHERE d.campaign_id = n.id AND d.day = " MAILER_DAY_ZERO " + n.day AND (n.used < 0 OR n.new_used <> 0)",
        {INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID});
    const auto [up, back] = split(days);
    table.write(up, key_of_day, [](const std::vector<worker::DayDelta>& deltas) {
        DayArrays a(deltas);
        return std::vector<Param>{p_bigints(a.id), p_ints(a.day), p_ints(a.used), p_ints(a.first_mails),
                                  p_ints(a.limit)};
    });
    if (back.empty()) return;
    DayArrays a(back);
    give_back.run({p_bigints(a.id), p_ints(a.day), p_ints(a.used), p_ints(a.first_mails)});
}

#undef MAILER_DAY_ZERO

}  // namespace

void PgQueue::store_days(std::span<const worker::DayDelta> mailbox_days,
                         std::span<const worker::DayDelta> campaign_days) {
    if (!mailbox_days.empty()) store_mailbox_days(mailbox_days);
    if (!campaign_days.empty()) store_campaign_days(campaign_days);
}

// ── Slots and gaps ───────────────────────────────────────────────────────────────────────────────────────────────

void PgQueue::store_lanes(std::span<const core::LaneFacts* const> lanes) {
    static HotTable table{
        {R"sql(
            UPDATE mailer.lane_state s
            SET next_at = n.next_at, gap_from = n.gap_from, next_ordinal = n.next_ordinal,
                plan_key = n.plan_key
            FROM unnest($1, $2, $3, $4, $5, $6) AS n(lane_id, next_at, gap_from, next_ordinal, plan_key,
                place)
            WHERE s.ctid = n.place AND s.lane_id + 0 = n.lane_id
            RETURNING s.lane_id AS id, 0 AS day, s.ctid AS place)sql",
         {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TIDARRAYOID}},
        {R"sql(
            INSERT INTO mailer.lane_state AS s (lane_id, next_at, gap_from, next_ordinal, plan_key)
            SELECT *
            FROM unnest($1, $2, $3, $4, $5) AS n(lane_id, next_at, gap_from, next_ordinal, plan_key)
            ON CONFLICT (lane_id) DO UPDATE SET next_at = excluded.next_at, gap_from = excluded.gap_from,
                next_ordinal = excluded.next_ordinal, plan_key = excluded.plan_key
            RETURNING s.lane_id AS id, 0 AS day, s.ctid AS place)sql",
         {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT8ARRAYOID}}};
    const auto key_of = [](const core::LaneFacts* lane) { return Key(lane->id, 0); };
    table.write(std::vector(lanes.begin(), lanes.end()), key_of, [](const std::vector<const core::LaneFacts*>& items) {
        std::vector<std::int64_t> ids, ordinals;
        std::vector<std::optional<std::int64_t>> next, from, keys;
        for (const core::LaneFacts* lane : items) {
            const bool is_campaign = lane->kind == core::LaneKind::campaign;
            ids.push_back(lane->id);
            next.push_back(maybe(is_campaign ? lane->next_slot_at : lane->next_at));
            from.push_back(maybe(is_campaign ? lane->gap_from : std::nullopt));
            ordinals.push_back(lane->next_ordinal);
            keys.push_back(is_campaign ? std::optional(plan_key(*lane)) : std::nullopt);
        }
        return std::vector<Param>{p_bigints(ids), p_times(next), p_times(from), p_bigints(ordinals), p_bigints(keys)};
    });
}

void PgQueue::store_mailboxes(std::span<const core::MailboxFacts* const> mailboxes) {
    static HotTable table{{R"sql(
            UPDATE mailer.mailbox_state s
            SET next_at = n.next_at, last_used_at = n.last_used_at
            FROM unnest($1, $2, $3, $4) AS n(mailbox_id, next_at, last_used_at, place)
            WHERE s.ctid = n.place AND s.mailbox_id + 0 = n.mailbox_id
            RETURNING s.mailbox_id AS id, 0 AS day, s.ctid AS place)sql",
                           {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIDARRAYOID}},
                          {R"sql(
            INSERT INTO mailer.mailbox_state AS s (mailbox_id, next_at, last_used_at)
            SELECT *
            FROM unnest($1, $2, $3) AS n(mailbox_id, next_at, last_used_at)
            ON CONFLICT (mailbox_id) DO UPDATE SET next_at = excluded.next_at,
                last_used_at = excluded.last_used_at
            RETURNING s.mailbox_id AS id, 0 AS day, s.ctid AS place)sql",
                           {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}}};
    const auto key_of = [](const core::MailboxFacts* m) { return Key(m->id, 0); };
    table.write(std::vector(mailboxes.begin(), mailboxes.end()), key_of,
                [](const std::vector<const core::MailboxFacts*>& items) {
                    std::vector<std::int64_t> ids;
                    std::vector<std::optional<std::int64_t>> next, used;
                    for (const core::MailboxFacts* m : items) {
                        ids.push_back(m->id);
                        next.push_back(maybe(m->next_at));
                        used.push_back(maybe(m->last_used_at));
                    }
                    return std::vector<Param>{p_bigints(ids), p_times(next), p_times(used)};
                });
}

}  // namespace mailer::pg
