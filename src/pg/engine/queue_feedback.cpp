// What replies say beyond their message: dead addresses, and the ids that providers give our mail.
#include "core/feedback/provider_id.hpp"
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

void PgQueue::store_provider_ids(std::span<const Settlement> settlements, const std::set<std::int64_t>& written) {
    static Statement statement(
        R"sql(
        INSERT INTO mailer.provider_message (provider_id, message_id)
        SELECT p.provider_id, p.message_id FROM unnest($1, $2) AS p(provider_id, message_id)
        ON CONFLICT (provider_id) DO NOTHING
        )sql",
        {TEXTARRAYOID, INT8ARRAYOID});
    std::vector<std::string> provider_ids;
    std::vector<std::int64_t> ids;
    for (const Settlement& s : settlements) {
        if (!s.is_sent || !s.reply.is_positive() || !written.contains(s.row.facts.id)) continue;
        if (std::string id = core::feedback::provider_id(s.reply.text); !id.empty()) {
            provider_ids.push_back(std::move(id));
            ids.push_back(s.row.facts.id);
        }
    }
    if (!ids.empty()) statement.run({p_texts(provider_ids), p_bigints(ids)});
}

}  // namespace mailer::pg
