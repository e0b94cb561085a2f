// The rows of one mail; see pg/enqueue/store.hpp.
#include "pg/enqueue/store.hpp"

#include <algorithm>

#include "core/octets.hpp"
#include "pg/enqueue/attachments.hpp"
#include "pg/enqueue/rows.hpp"
#include "pg/server/wake.hpp"
#include "pg/tenancy/room.hpp"

extern "C" {
#include "commands/sequence.h"
}

namespace mailer::pg {

std::int64_t next_value(const char* sequence) {
    return call([&] { return nextval_internal(oid_of_relation(sequence), false); });
}

std::vector<std::int64_t> next_message_ids(std::size_t count) {
    std::vector<std::int64_t> ids(count);
    call([&] {
        const Oid sequence = oid_of_relation("message_id_seq");
        for (std::size_t i = 0; i < count; ++i)
            ids[i] = nextval_internal(sequence, false);
    });
    return ids;
}

// Drawn for many at a time, for a draw costs more than an index entry; each octet is given once.
std::string draw_random(std::size_t octets) {
    static std::string pool;
    if (pool.size() < octets) {
        pool.assign(std::max(octets, std::size_t{512}), '\0');
        if (!pg_strong_random(pool.data(), pool.size())) {
            pool.clear();
            refuse("could not draw random bits", {}, {}, "XX000");
        }
    }
    std::string out = pool.substr(pool.size() - octets);
    pool.resize(pool.size() - octets);
    return out;
}

std::string make_message_id(std::int64_t id, std::string_view random, std::string_view domain) {
    std::string out = "<" + std::to_string(id) + ".";
    out += core::hexadecimal(random);
    out += '@';
    out += domain;
    out += '>';
    return out;
}

MailIds::Drawn MailIds::next() {
    constexpr std::size_t many = 1000;
    if (ids_.empty()) {
        ids_ = next_message_ids(std::clamp<std::size_t>(left_, 1, many));
        left_ -= std::min(left_, ids_.size());
        std::reverse(ids_.begin(), ids_.end());
        random_ = draw_random(random_octets * ids_.size());
    }
    const std::int64_t id = ids_.back();
    ids_.pop_back();
    return {id, std::string_view(random_).substr(ids_.size() * random_octets, random_octets)};
}

namespace {

// A client's retry must not send what an operator cancelled; but the caller should know that nothing will come.
void tell_cancelled(const Keyed& found) {
    const std::string what =
        found.batch_id ? "batch " + std::to_string(*found.batch_id) : "message " + std::to_string(found.message_id);
    call([&] {
        ereport(NOTICE, (errmsg("nothing is sent: %s, which has this idempotency key, was cancelled", what.c_str()),
                         errhint("Use a new key to send it after all.")));
    });
}

}  // namespace

std::optional<Keyed> find_by_key(const Request& request, std::string_view content_hash) {
    static Statement find(
        R"sql(
            SELECT m.message_id, m.batch_id, m.content_hash
            FROM mailer.message m
            WHERE m.idempotency_key OPERATOR(pg_catalog.=) $1
                AND m.idempotency_key IS NOT NULL
                AND m.tenant_id OPERATOR(pg_catalog.=) $2)sql",
        {TEXTOID, INT8OID});
    const TextValue& key = request.idempotency_key;
    const Rows rows = find.run({key.param(), p_bigint(request.by.tenant_id)});
    if (rows.empty()) return std::nullopt;
    const Keyed found{rows.bigint(0, "message_id"), rows.maybe_bigint(0, "batch_id")};
    if (rows.text(0, "content_hash") != content_hash)
        refuse("idempotency key \"" + std::string(key.view) + "\" stands for another mail",
               found.batch_id ? "Batch " + std::to_string(*found.batch_id) + " has this key and other content."
                              : "Message " + std::to_string(found.message_id) + " has this key and other content.",
               "Repeat a call with exactly the same content, or use a new key for "
               "another mail.",
               "23505");
    static Statement is_cancelled("SELECT FROM mailer.outcome o WHERE o.message_id = $1 AND o.state = 'c'", {INT8OID});
    if (!is_cancelled.run({p_bigint(found.message_id)}).empty()) tell_cancelled(found);
    return found;
}

namespace {

void store_raw(std::int64_t message_id, const RawSource& raw) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.message_attachment (message_id, n, filename, content_type, content)
            VALUES ($1, 0, '', 'message/rfc822', $2))sql",
        {INT8OID, BYTEAOID});
    insert.run({p_bigint(message_id), p_datum(BYTEAOID, raw.octets.datum)});
}

// Gives the id of the mail that has the key already, if one has; nothing was written then.
std::optional<std::int64_t> store_rows(std::int64_t id, const Request& request, const core::Envelope& envelope,
                                       const Destination& destination) {
    const std::string message_id = request.raw.message_id.empty()
                                       ? make_message_id(id, draw_random(random_octets), destination.domain)
                                       : request.raw.message_id;
    std::string content_hash;
    if (request.idempotency_key) content_hash = sha256(canonical_content(request, envelope.header_to));
    MessageRow row;
    row.id = id;
    row.lane_id = destination.stream_lane;
    row.internet_message_id = message_id;
    row.envelope = &envelope;
    row.variables = request.variables;
    if (!request.attachments.empty() || request.raw.octets) row.attachments_of = id;
    row.is_keyed = row.may_exist = bool{request.idempotency_key};
    row.content_hash = content_hash;

    // A repetition needs no room.
    if (row.is_keyed && request.by.max_pending != 0)
        if (const auto earlier = find_by_key(request, content_hash)) return earlier->message_id;
    take_room(request.by, 1);
    MailWriter writer(request, destination.epoch);
    while (!writer.add_message(row)) {
        // The other one has committed (the insert waited for it), unless it was purged in between.
        if (const auto earlier = find_by_key(request, content_hash)) {
            give_back_room(request.by, 1);
            return earlier->message_id;
        }
        row.may_exist = false;  // or is unique by an index that isn't ours: now it says so
    }
    writer.add_to_queue(id, destination.stream_lane);
    writer.add_count({}, 1, 0);
    writer.finish();
    store_attachments(id, request.attachments);
    if (request.raw.octets) store_raw(id, request.raw);
    mark_wake(destination.stream_lane, request.due_at);
    return std::nullopt;
}

}  // namespace

std::int64_t store_message(const Request& request, const core::Envelope& envelope, const Destination& destination) {
    const std::int64_t id = next_message_ids(1).front();
    return store_rows(id, request, envelope, destination).value_or(id);
}

void store_message_as(std::int64_t id, const Request& request, const core::Envelope& envelope,
                      const Destination& destination) {
    store_rows(id, request, envelope, destination);
}

}  // namespace mailer::pg
