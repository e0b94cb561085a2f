// What replies say beyond their message: dead addresses, and the ids that providers give our mail.
#include "core/feedback/provider_id.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/queue.hpp"

namespace mailer::pg {

using worker::Settlement;

// An address is suppressed by the same rule as after a bounce that comes later.
void PgQueue::suppress_bounced(std::span<const Settlement> settlements) {
    static Statement statement(
        R"sql(
        SELECT count(mailer._suppress_bounced(m.message_id, m.addresses[b.n]))
        FROM unnest($1, $2) AS b(message_id, n) JOIN mailer.message m ON m.message_id = b.message_id
        )sql",
        {INT8ARRAYOID, INT4ARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::int32_t> numbers;
    for (const Settlement& s : settlements) {
        for (const worker::RecipientRow& r : s.recipients) {
            if (!r.is_hard_bounce) continue;
            ids.push_back(s.row.facts.id);
            numbers.push_back(r.n);
        }
    }
    if (!ids.empty()) statement.run({p_bigints(ids), p_ints(numbers)});
}

// What a server took, and what it refused permanently; anything else says nothing about our mail.
void PgQueue::count_for_shields(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
        SELECT s.lane_id, s.mailbox_id, s.reason
        FROM mailer._shields_settled($1, $2, $3, $4) s
        WHERE EXISTS (SELECT FROM unnest($2) c WHERE c IS NOT NULL) OR EXISTS (SELECT FROM mailer.mailbox WHERE shield IS NOT NULL)
        )sql",
        {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID});
    std::vector<std::int64_t> ids;
    std::vector<std::optional<std::int64_t>> campaigns, mailboxes;
    std::vector<std::optional<std::string>> codes;
    for (const Settlement& s : settlements) {
        const bool is_refused = s.is_final && s.state == 'f' && s.reply.is_permanent() && s.attempt.has_value();
        const bool is_accepted = s.is_final && s.state == 'S' && s.is_sent;
        if ((!is_refused && !is_accepted) || !written.contains(s.row.facts.id)) continue;
        ids.push_back(s.row.facts.id);
        campaigns.push_back(s.row.campaign_id);
        mailboxes.push_back(s.reservation ? std::optional(s.reservation->mailbox_id) : std::nullopt);
        codes.push_back(is_refused ? std::optional(std::to_string(s.reply.code) +
                                                   (s.reply.enhanced.empty() ? "" : " " + s.reply.enhanced))
                                   : std::nullopt);
    }
    if (ids.empty()) return;
    Rows rows = statement.run({p_bigints(ids), p_bigints(campaigns), p_bigints(mailboxes), p_texts(codes)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        shut_shields_.push_back(
            {rows.maybe_bigint(i, "lane_id"), rows.maybe_bigint(i, "mailbox_id"), rows.text(i, "reason")});
}

std::vector<worker::Queue::ShutShield> PgQueue::take_shut_shields() { return std::exchange(shut_shields_, {}); }

void PgQueue::store_provider_ids(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
        INSERT INTO mailer.provider_message (provider_id, message_id, learned_at)
        SELECT p.provider_id, p.message_id, $3 FROM unnest($1, $2) AS p(provider_id, message_id)
        ON CONFLICT (provider_id) DO NOTHING
        )sql",
        {TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID});
    std::vector<std::string> provider_ids;
    std::vector<std::int64_t> ids;
    for (const Settlement& s : settlements) {
        if (!s.is_sent || !s.reply.is_positive() || !written.contains(s.row.facts.id)) continue;
        if (std::string id = core::feedback::provider_id(s.reply.text); !id.empty()) {
            const Account* account = s.reservation ? accounts_.find(s.reservation->mailbox_id) : nullptr;
            std::string seen =
                core::feedback::provider_message_id(id, account != nullptr ? account->endpoint->host : std::string());
            if (!seen.empty() && seen != id) {
                provider_ids.push_back(std::move(seen));
                ids.push_back(s.row.facts.id);
            }
            provider_ids.push_back(std::move(id));
            ids.push_back(s.row.facts.id);
        }
    }
    if (!ids.empty()) statement.run({p_texts(provider_ids), p_bigints(ids), p_at(now_)});
}

}  // namespace mailer::pg
