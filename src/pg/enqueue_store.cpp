// The rows of one mail; see enqueue_store.hpp.
#include "pg/enqueue_store.hpp"

#include "pg/enqueue_attachments.hpp"
#include "pg/wake.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {
namespace {

// $1 … $26, in the order of message_columns.
#define MESSAGE_COLUMNS                                                          \
    "INSERT INTO mailer.message (message_id, created_at, queued_by, lane_id, "   \
    "kind, addresses, roles, address_key,"                                       \
    " header_to, header_cc, reply_to, internet_message_id, subject, body_text, " \
    "body_html, template, variables,"                                            \
    " headers, attachments_of, send_at, expires_at, idempotency_key, "           \
    "content_hash, external_id, thread_key,"                                     \
    " loader, send_if) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "   \
    "$12, $13, $14, $15, $16, $17, $18,"                                         \
    " $19, $20, $21, $22, $23, $24, $25, $26, $27)"

#define MESSAGE_TYPES                                                                                                  \
    {                                                                                                                  \
        INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID, CHAROID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, \
            TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID,  \
            TEXTOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID                                                      \
    }

// False: another mail has the key already.
bool insert_message(std::int64_t id, const Request& request, const core::Envelope& envelope,
                    const Destination& destination, const std::string& content_hash) {
    static Statement insert(MESSAGE_COLUMNS, MESSAGE_TYPES);
    static Statement insert_keyed(MESSAGE_COLUMNS
                                  " ON CONFLICT (idempotency_key) WHERE "
                                  "idempotency_key IS NOT NULL DO NOTHING",
                                  MESSAGE_TYPES);
    const bool is_keyed = bool{request.idempotency_key};
    Statement& statement = is_keyed ? insert_keyed : insert;
    const Rows rows =
        statement.run({p_bigint(id),
                       p_time(request.now),
                       p_text(std::string_view(request.queued_by)),
                       p_bigint(destination.stream_lane),
                       p_char(request.is_warmup ? 'w' : 'n'),
                       p_texts(std::span<const std::string>(envelope.addresses)),
                       p_text(std::string_view(envelope.roles)),
                       p_text(std::string_view(envelope.key)),
                       p_text(std::string_view(envelope.header_to)),
                       p_maybe(envelope.header_cc),
                       p_maybe(request.reply_to),
                       p_text(std::string_view(make_message_id(id, draw_random(random_octets), destination.domain))),
                       request.subject.param(),
                       request.body_text.param(),
                       request.body_html.param(),
                       request.template_name.param(),
                       p_datum(JSONBOID, request.variables.datum, request.variables.is_null),
                       p_datum(JSONBOID, request.headers.datum, request.headers.is_null),
                       request.attachments.empty() ? p_null(INT8OID) : p_bigint(id),
                       p_time(request.send_at),
                       p_time(request.expires_at),
                       request.idempotency_key.param(),
                       is_keyed ? p_bytea(content_hash) : p_null(BYTEAOID),
                       request.external_id.param(),
                       request.thread_key.param(),
                       p_text(request.loader),
                       p_text(request.send_if)});
    return rows.count() == 1;
}

void insert_queue_entry(std::int64_t id, const Request& request, const Destination& destination) {
    static Statement insert(
        "INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, "
        "expires_at, epoch)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        {INT8OID, INT8OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID});
    static Statement count("INSERT INTO mailer.tally_delta (queued) VALUES (1)", {});
    insert.run({p_bigint(id), p_bigint(destination.stream_lane),
                p_datum(INT2OID, Int16GetDatum(static_cast<int16>(request.priority))), p_time(request.due_at),
                p_time(request.expires_at), p_bigint(destination.epoch)});
    count.run({});
}

}  // namespace

std::vector<std::int64_t> next_message_ids(std::size_t count) {
    std::vector<std::int64_t> ids(count);
    call([&] {
        const Oid sequence = get_relname_relid("message_id_seq", get_namespace_oid("mailer", false));
        for (std::size_t i = 0; i < count; ++i)
            ids[i] = nextval_internal(sequence, false);
    });
    return ids;
}

std::string draw_random(std::size_t octets) {
    std::string out(octets, '\0');
    if (!pg_strong_random(out.data(), octets)) refuse("could not draw random bits", {}, {}, "XX000");
    return out;
}

std::string make_message_id(std::int64_t id, std::string_view random, std::string_view domain) {
    std::string out = "<" + std::to_string(id) + ".";
    for (const char c : random) {
        const auto octet = static_cast<unsigned char>(c);
        out += "0123456789abcdef"[octet >> 4];
        out += "0123456789abcdef"[octet & 15];
    }
    out += '@';
    out += domain;
    out += '>';
    return out;
}

Param p_char(char c) { return p_datum(CHAROID, CharGetDatum(c)); }

Param p_maybe(const std::string& text) { return text.empty() ? p_null(TEXTOID) : p_text(std::string_view(text)); }

std::optional<Keyed> find_by_key(const TextValue& key, std::string_view content_hash) {
    static Statement find(
        "SELECT m.message_id, m.batch_id, m.content_hash FROM mailer.message m"
        " WHERE m.idempotency_key OPERATOR(pg_catalog.=) $1 AND "
        "m.idempotency_key IS NOT NULL",
        {TEXTOID});
    const Rows rows = find.run({key.param()});
    if (rows.empty()) return std::nullopt;
    const Keyed found{rows.bigint(0, 1), rows.maybe_bigint(0, 2)};
    if (rows.text(0, 3) != content_hash)
        refuse("idempotency key \"" + std::string(key.view) + "\" stands for another mail",
               found.batch_id ? "Batch " + std::to_string(*found.batch_id) + " has this key and other content."
                              : "Message " + std::to_string(found.message_id) + " has this key and other content.",
               "Repeat a call with exactly the same content, or use a new key for "
               "another mail.",
               "23505");
    return found;
}

std::int64_t store_message(const Request& request, const core::Envelope& envelope, const Destination& destination) {
    std::string content_hash;
    if (request.idempotency_key) content_hash = sha256(canonical_content(request, envelope.header_to));
    const std::int64_t id = next_message_ids(1).front();
    while (!insert_message(id, request, envelope, destination, content_hash)) {
        // The other one has committed (the insert waited for it), unless it was
        // purged in between.
        const std::optional<Keyed> earlier = find_by_key(request.idempotency_key, content_hash);
        if (earlier) return earlier->message_id;
    }
    insert_queue_entry(id, request, destination);
    store_attachments(id, request.attachments);
    mark_wake(destination.stream_lane, request.due_at);
    return id;
}

}  // namespace mailer::pg
