// See batch_store.hpp. The first mail carries the idempotency key and is written before everything else: if the key is
// taken, nothing was written.
#include "pg/enqueue/batch_store.hpp"

#include <algorithm>

#include "core/bounds.hpp"
#include "core/key_set.hpp"
#include "core/octets.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/attachments.hpp"
#include "pg/enqueue/bad_recipient.hpp"
#include "pg/enqueue/rows.hpp"
#include "pg/server/wake.hpp"
#include "pg/tenancy/room.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace mailer::pg {
namespace {

// One recipient, read: whom the mail goes to, or why to nobody.
struct ReadRecipient {
    core::Envelope envelope = {};
    std::optional<std::string> error = {};
};

// Reads recipients one after the other, and tells which addresses came before.
class Reader {
public:
    Reader(const Request& request, std::size_t count) : request_(request), seen_(count) {}

    ReadRecipient read(std::string_view text) const {
        const std::string_view recipient = core::trimmed(text, " ");
        core::Result<core::Envelope> envelope = envelope_of(recipient);
        ReadRecipient out = envelope ? ReadRecipient{std::move(envelope).value(), {}}
                                     : ReadRecipient{bad_envelope(recipient), envelope.error().text()};
        seen_.expect(out.envelope.key);
        return out;
    }
    bool is_new(const ReadRecipient& recipient) { return seen_.insert(recipient.envelope.key); }

private:
    core::Result<core::Envelope> envelope_of(std::string_view recipient) const {
        core::Result<core::Address> to = core::parse_address(recipient);
        if (!to) return to.error();
        return core::make_envelope({std::move(to).value()}, request_.cc, request_.bcc);
    }

    const Request& request_;
    core::KeySet seen_;
};

class BatchStore {
public:
    explicit BatchStore(const Batch& batch)
        : batch_(batch),
          request_(batch.request),
          destination_(find_destination(request_, batch.gap.is_null)),
          ids_(batch.items.size()) {}

    std::int64_t run() {
        if (request_.idempotency_key) {
            content_hash_ = sha256(canonical());
            // Most repetitions come long after: found before anything is written.
            if (const auto earlier = find_by_key(request_, content_hash_)) return earlier->batch_id.value_or(0);
        }
        batch_id_ = next_value("batch_entry_batch_id_seq");
        lane_id_ = batch_.gap ? next_value("lane_lane_id_seq") : destination_.stream_lane;
        const auto places = static_cast<std::int64_t>(batch_.items.size());
        take_room(request_.by, places);
        const std::optional<std::int64_t> earlier = add_mails();
        give_back_room(request_.by, places - (earlier ? 0 : queued_));
        if (earlier) return *earlier;
        finish();
        return batch_id_;
    }

private:
    std::string canonical() const {
        std::string recipients = "batch";
        if (batch_.label) recipients += ":" + std::string(batch_.label.view);
        recipients += '\n' + std::to_string(batch_.items.size());
        for (const BatchItem& item : batch_.items) {
            recipients += '\n' + std::to_string(item.recipient.size()) + ':' + std::string(item.recipient);
            if (item.variables) recipients += canonical_jsonb(item.variables);
            if (item.headers) recipients += "headers" + canonical_jsonb(item.headers);
            for (const AttachmentRow& row : item.attachments)
                recipients += "attachment" + row.filename + ':' + sha256(row.content.view);
        }
        return canonical_content(request_, recipients);
    }

    // Gives the batch that has the key already, if one has; nothing was written then.
    std::optional<std::int64_t> add_mails() {
        Reader reader(request_, batch_.items.size());
        MailWriter writer(request_, destination_.epoch, batch_.items.size() > 1);
        ReadRecipient next = batch_.items.empty() ? ReadRecipient{} : reader.read(batch_.items.front().recipient);
        for (std::size_t i = 0; i < batch_.items.size(); ++i) {
            const ReadRecipient recipient = std::move(next);
            if (i + 1 < batch_.items.size()) next = reader.read(batch_.items[i + 1].recipient);  // one ahead: expect()
            if (!reader.is_new(recipient)) continue;
            if (const auto earlier = add_mail(writer, recipient, batch_.items[i])) return earlier;
        }
        writer.add_count({.batch_id = batch_id_}, queued_, failed_);
        writer.finish();
        return std::nullopt;
    }

    std::optional<std::int64_t> add_mail(MailWriter& writer, const ReadRecipient& recipient, const BatchItem& item);
    static RawValue merged(const RawValue& common, const RawValue& own);
    void finish();

    const Batch& batch_;
    const Request& request_;
    Destination destination_;
    std::string content_hash_;
    std::int64_t batch_id_ = 0;
    std::int64_t lane_id_ = 0;
    std::int64_t first_id_ = 0;
    std::int64_t queued_ = 0;
    std::int64_t failed_ = 0;
    MailIds ids_;
    std::vector<std::pair<std::int64_t, const BatchItem*>> with_attachments_;
};

RawValue BatchStore::merged(const RawValue& common, const RawValue& own) {
    if (!own) return common;
    if (!common) return own;
    return {false, call([&] { return DirectFunctionCall2(jsonb_concat, common.datum, own.datum); })};
}

std::optional<std::int64_t> BatchStore::add_mail(MailWriter& writer, const ReadRecipient& recipient,
                                                 const BatchItem& item) {
    const RawValue& own = item.variables;
    const auto [id, random] = ids_.next();
    const bool is_first = first_id_ == 0;
    if (is_first) first_id_ = id;
    const std::string message_id = make_message_id(id, random, destination_.domain);
    MessageRow row;
    row.id = id;
    row.lane_id = lane_id_;
    row.batch_id = batch_id_;
    row.internet_message_id = message_id;
    row.envelope = &recipient.envelope;
    row.variables = merged(request_.variables, own);
    row.headers = merged(request_.headers, item.headers);
    if (!request_.attachments.empty())
        row.attachments_of = first_id_;
    else if (!item.attachments.empty())
        row.attachments_of = id;
    if (!item.attachments.empty()) with_attachments_.emplace_back(id, &item);
    row.is_keyed = row.may_exist = is_first && request_.idempotency_key;
    row.content_hash = content_hash_;
    while (!writer.add_message(row)) {
        // The other one has committed (the insert waited for it), unless it was purged in between.
        if (const auto earlier = find_by_key(request_, content_hash_)) return earlier->batch_id.value_or(0);
        row.may_exist = false;  // or is unique by an index that isn't ours: now it says so
    }
    const bool is_own_copy = row.variables.datum != own.datum && row.variables.datum != request_.variables.datum;
    if (is_own_copy) pfree(DatumGetPointer(row.variables.datum));
    if (recipient.error) {
        writer.add_failure(id, *recipient.error);
        ++failed_;
    } else {
        writer.add_to_queue(id, lane_id_);
        ++queued_;
    }
    return std::nullopt;
}

void BatchStore::finish() {
    static Statement add_lane(
        R"sql(
            INSERT INTO mailer.lane (lane_id, kind, batch_id, pool, gap, tenant_id) OVERRIDING SYSTEM VALUE
            VALUES ($1, 'b', $2, $3, $4, $5))sql",
        {INT8OID, INT8OID, INT8ARRAYOID, INTERVALOID, INT8OID});
    static Statement add_batch(
        R"sql(
            INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, created_at, tenant_id,
                principal_id) OVERRIDING SYSTEM VALUE
            VALUES ($1, $2, $3, COALESCE($4, '0'), $5, $6, $7))sql",
        {INT8OID, INT8OID, TEXTOID, INTERVALOID, TIMESTAMPTZOID, INT8OID, INT8OID});
    const Param p_gap = p_datum(INTERVALOID, batch_.gap.datum, batch_.gap.is_null);
    if (batch_.gap)
        add_lane.run({p_bigint(lane_id_), p_bigint(batch_id_),
                      destination_.pool.empty() ? p_null(INT8ARRAYOID)
                                                : p_bigints(std::span<const std::int64_t>(destination_.pool)),
                      p_gap, p_bigint(request_.by.tenant_id)});
    add_batch.run({p_bigint(batch_id_), p_bigint(lane_id_), batch_.label.param(), p_gap, p_time(request_.now),
                   p_bigint(request_.by.tenant_id), p_bigint(request_.by.principal_id)});
    if (first_id_ != 0) store_attachments(first_id_, request_.attachments);
    for (const auto& [id, item] : with_attachments_)
        store_attachments(id, item->attachments, first_own_attachment);
    if (queued_ > 0) mark_wake(lane_id_, request_.due_at);
}

}  // namespace

// What extract(epoch FROM …) takes for a month is a twelfth of 365.25 days.
static bool is_span(const Interval& span) {
    const std::int64_t days = std::int64_t{span.month} * 36525 / 1200 + span.day;
    constexpr std::int64_t most_days = 36525;
    if (days < -most_days || days > most_days) return false;
    constexpr std::int64_t most_us = core::longest_span.count();
    if (span.time < -most_us || span.time > most_us) return false;
    const std::int64_t us = days * std::int64_t{86'400'000'000} + span.time;
    return us >= 0 && us <= most_us;
}

RawValue checked_gap(const RawValue& gap) {
    if (!gap) return gap;
    Interval zero;
    memset(&zero, 0, sizeof zero);
    const int order =
        call([&] { return DatumGetInt32(DirectFunctionCall2(interval_cmp, gap.datum, IntervalPGetDatum(&zero))); });
    if (order < 0) refuse("gap must not be negative");
    if (const Interval span = *DatumGetIntervalP(gap.datum); !is_span(span))
        refuse("gap must not be longer than 100 years");
    return order == 0 ? RawValue{} : gap;
}

void check_items(const std::vector<BatchItem>& items) {
    std::size_t place = 0;
    for (const BatchItem& item : items) {
        ++place;
        if (!item.variables) continue;
        const std::string name = "variables of recipient " + std::to_string(place);
        const JsonbFacts facts = inspect_jsonb(item.variables.datum);
        if (facts.shape != JsonbShape::object)
            refuse(name + " must be a JSON object", {}, "Write '{\"name\": \"Ada\"}', or NULL for none.");
        if (facts.size > core::most_variables)
            refuse(name + " are too large",
                   "They have " + std::to_string(facts.size) + " octets; " + std::to_string(core::most_variables) +
                       " are allowed.",
                   {}, "54000");
        if (facts.depth > core::Value::max_depth)
            refuse(name + " are nested too deeply",
                   "Arrays and objects may be nested " + std::to_string(core::Value::max_depth) + " levels deep.", {},
                   "54000");
    }
}

std::int64_t store_batch(const Batch& batch) { return BatchStore(batch).run(); }

}  // namespace mailer::pg
