// See batch_store.hpp. The order of the inserts lets an idempotency key that is taken end the call before anything else
// was written: the first mail carries the key.
#include "pg/batch_store.hpp"

#include <unordered_set>

#include "pg/enqueue_attachments.hpp"
#include "pg/jsonb_value.hpp"
#include "pg/wake.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {
namespace {

constexpr std::size_t piece = 20'000;          // mails inserted by one statement
constexpr std::size_t longest_raw_key = 1000;  // octets; as in mailer._invalid_key()

std::int64_t next_of(const char* sequence) {
    return call(
        [&] { return nextval_internal(get_relname_relid(sequence, get_namespace_oid("mailer", false)), false); });
}

// What is shown of text that is no address: one line, not too long.
std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        if (is_control && !out.empty() && out.back() == ' ') continue;
        out += is_control ? ' ' : c;
    }
    if (out.empty()) return "(empty)";
    if (out.size() <= longest_raw_key) return out;
    std::size_t end = longest_raw_key;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80)
        --end;
    out.resize(end);
    return out;
}

std::string hexadecimal(std::string_view octets) {
    std::string out;
    for (const char c : octets) {
        out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
        out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
    }
    return out;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ')
        text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    return text;
}

// The columns that differ from mail to mail, one element a mail, for unnest().
struct Columns {
    std::vector<std::string> addresses = {};  // joined by line ends, which no address holds
    std::vector<std::string> roles = {};
    std::vector<std::string> keys = {};
    std::vector<std::string> headers_to = {};
    std::vector<std::string> headers_cc = {};
    std::vector<std::optional<std::string>> errors = {};  // of a bad address
    std::vector<RawValue> variables = {};

    std::size_t size() const { return keys.size(); }

    void add(core::Envelope envelope, const RawValue& own) {
        std::string joined = std::move(envelope.addresses.front());
        for (std::size_t i = 1; i < envelope.addresses.size(); ++i)
            joined += '\n' + envelope.addresses[i];
        addresses.push_back(std::move(joined));
        roles.push_back(std::move(envelope.roles));
        keys.push_back(std::move(envelope.key));
        headers_to.push_back(std::move(envelope.header_to));
        headers_cc.push_back(std::move(envelope.header_cc));
        errors.emplace_back();
        variables.push_back(own);
    }

    void add_bad(std::string_view recipient, std::string key, const core::Error& error, const RawValue& own) {
        addresses.push_back(printable(recipient));
        roles.emplace_back("t");
        keys.push_back(std::move(key));
        headers_to.push_back(printable(recipient));
        headers_cc.emplace_back();
        errors.emplace_back(error.detail.empty() ? error.message : error.message + ": " + error.detail);
        variables.push_back(own);
    }
};

// Reads recipients one after the other, leaving out addresses that came before.
class Reader {
public:
    explicit Reader(const Request& request) : request_(request) {}

    void read(const BatchItem& item, Columns& columns) {
        const std::string_view recipient = trimmed(item.recipient);
        core::Result<core::Envelope> envelope = envelope_of(recipient);
        if (envelope) {
            if (seen_.insert(envelope->key).second) columns.add(std::move(envelope).value(), item.variables);
            return;
        }
        std::string key = "invalid:";
        key += recipient.size() <= longest_raw_key ? std::string(recipient) : hexadecimal(sha256(recipient));
        if (seen_.insert(key).second) columns.add_bad(recipient, std::move(key), envelope.error(), item.variables);
    }

private:
    core::Result<core::Envelope> envelope_of(std::string_view recipient) {
        core::Result<std::vector<core::Address>> to = core::parse_address_list(recipient);
        if (!to) return to.error();
        return core::make_envelope(*to, request_.cc, request_.bcc);
    }

    const Request& request_;
    std::unordered_set<std::string> seen_;
};

Param p_jsonbs(const std::vector<RawValue>& values) {
    return call([&] {
        const std::size_t n = values.size();
        auto* datums = static_cast<Datum*>(palloc(sizeof(Datum) * (n + 1)));
        auto* nulls = static_cast<bool*>(palloc(n + 1));
        for (std::size_t i = 0; i < n; ++i) {
            datums[i] = values[i].datum;
            nulls[i] = values[i].is_null;
        }
        int dims[1] = {static_cast<int>(n)}, lower[1] = {1};
        return Param{
            JSONBARRAYOID,
            PointerGetDatum(construct_md_array(datums, nulls, 1, dims, lower, JSONBOID, -1, false, TYPALIGN_INT)),
            false};
    });
}

class BatchStore {
public:
    explicit BatchStore(const Batch& batch)
        : batch_(batch), request_(batch.request), destination_(find_destination(request_, batch.gap.is_null)) {}

    std::int64_t run() {
        if (request_.idempotency_key) {
            content_hash_ = sha256(canonical());
            // Most repetitions come long after: found before anything is written.
            if (const auto earlier = find_by_key(request_.idempotency_key, content_hash_))
                return earlier->batch_id.value_or(0);
        }
        batch_id_ = next_of("batch_entry_batch_id_seq");
        lane_id_ = batch_.gap ? next_of("lane_lane_id_seq") : destination_.stream_lane;
        Reader reader(request_);
        Columns columns;
        for (const BatchItem& item : batch_.items) {
            reader.read(item, columns);
            // The mail with the key goes first and alone: if another transaction has taken the key, this one stops
            // here.
            const bool is_first_of_keyed = request_.idempotency_key && first_id_ == 0 && columns.size() == 1;
            if (columns.size() < piece && !is_first_of_keyed) continue;
            if (const auto earlier = flush(columns)) return *earlier;
        }
        flush(columns);
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
        }
        return canonical_content(request_, recipients);
    }

    // Writes what was read so far; or gives the batch that has the key already, and has written nothing.
    std::optional<std::int64_t> flush(Columns& columns) {
        if (columns.size() == 0) return std::nullopt;
        const std::vector<std::int64_t> ids = next_message_ids(columns.size());
        const bool is_first = first_id_ == 0;
        if (is_first) first_id_ = ids.front();
        while (!insert_messages(ids, columns, is_first)) {
            // The other one has committed (the insert waited for it), unless it was purged in between.
            const std::optional<Keyed> earlier = find_by_key(request_.idempotency_key, content_hash_);
            if (earlier) return earlier->batch_id.value_or(0);
        }
        insert_fates(ids, columns);
        columns = Columns();
        return std::nullopt;
    }

    bool insert_messages(const std::vector<std::int64_t>& ids, const Columns& columns, bool is_first);
    void insert_fates(const std::vector<std::int64_t>& ids, const Columns& columns);
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
};

// $1 … $8: one element a mail; the others are the same for all. The key belongs to the first mail alone.
#define INSERT_MESSAGES                                                                                              \
    "INSERT INTO mailer.message (message_id, created_at, queued_by, lane_id, batch_id, kind, addresses, roles,"      \
    " address_key, header_to, header_cc, reply_to, internet_message_id, subject, body_text, body_html, template,"    \
    " variables, headers, attachments_of, send_at, expires_at, idempotency_key, content_hash, external_id,"          \
    " thread_key, loader, send_if)"                                                                                  \
    " SELECT u.id, $9, $10, $11, $12, $13, pg_catalog.string_to_array(u.addresses, E'\\n'), u.roles, u.key, "        \
    "u.header_to,"                                                                                                   \
    " NULLIF(u.header_cc, ''), $14, u.message_id, $15, $16, $17, $18,"                                               \
    " CASE WHEN u.variables IS NULL THEN $19 WHEN $19 IS NULL THEN u.variables"                                      \
    "      ELSE $19 OPERATOR(pg_catalog.||) u.variables END,"                                                        \
    " $20, $21, $22, $23, CASE WHEN u.place OPERATOR(pg_catalog.=) 1 THEN $24 END,"                                  \
    " CASE WHEN u.place OPERATOR(pg_catalog.=) 1 THEN $25 END, $26, $27, $28, $29"                                   \
    " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"   \
    "   pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8)) WITH ORDINALITY" \
    "   AS u (id, addresses, roles, key, header_to, header_cc, message_id, variables, place)"

#define MESSAGES_TYPES                                                                                                 \
    {                                                                                                                  \
        INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,              \
            JSONBARRAYOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8OID, CHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,     \
            TEXTOID, JSONBOID, JSONBOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, BYTEAOID, TEXTOID, TEXTOID, \
            TEXTOID, TEXTOID                                                                                           \
    }

bool BatchStore::insert_messages(const std::vector<std::int64_t>& ids, const Columns& columns, bool is_first) {
    static Statement insert(INSERT_MESSAGES, MESSAGES_TYPES);
    static Statement insert_keyed(
        INSERT_MESSAGES " ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING", MESSAGES_TYPES);
    std::vector<std::string> message_ids;
    const std::string random = draw_random(random_octets * ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
        message_ids.push_back(make_message_id(ids[i], std::string_view(random).substr(i * random_octets, random_octets),
                                              destination_.domain));
    using Texts = std::span<const std::string>;
    const bool is_keyed = is_first && request_.idempotency_key;
    const Rows rows = (is_keyed ? insert_keyed : insert)
                          .run({p_bigints(std::span<const std::int64_t>(ids)),
                                p_texts(Texts(columns.addresses)),
                                p_texts(Texts(columns.roles)),
                                p_texts(Texts(columns.keys)),
                                p_texts(Texts(columns.headers_to)),
                                p_texts(Texts(columns.headers_cc)),
                                p_texts(Texts(message_ids)),
                                p_jsonbs(columns.variables),
                                p_time(request_.now),
                                p_text(std::string_view(request_.queued_by)),
                                p_bigint(lane_id_),
                                p_bigint(batch_id_),
                                p_char(request_.is_warmup ? 'w' : 'n'),
                                p_maybe(request_.reply_to),
                                request_.subject.param(),
                                request_.body_text.param(),
                                request_.body_html.param(),
                                request_.template_name.param(),
                                p_datum(JSONBOID, request_.variables.datum, request_.variables.is_null),
                                p_datum(JSONBOID, request_.headers.datum, request_.headers.is_null),
                                request_.attachments.empty() ? p_null(INT8OID) : p_bigint(first_id_),
                                p_time(request_.send_at),
                                p_time(request_.expires_at),
                                is_keyed ? request_.idempotency_key.param() : p_null(TEXTOID),
                                is_keyed ? p_bytea(content_hash_) : p_null(BYTEAOID),
                                request_.external_id.param(),
                                request_.thread_key.param(),
                                p_text(request_.loader),
                                p_text(request_.send_if)});
    return rows.count() == ids.size();
}

void BatchStore::insert_fates(const std::vector<std::int64_t>& ids, const Columns& columns) {
    static Statement queue(
        "INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, expires_at, epoch)"
        " SELECT u.id, $2, $3, $4, $5, $6 FROM pg_catalog.unnest($1) AS u (id)",
        {INT8ARRAYOID, INT8OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID});
    static Statement fail(
        "INSERT INTO mailer.outcome (message_id, state, reason, settled_at, reply)"
        " SELECT u.id, 'f', 'invalid_address', $3, u.error"
        " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (id, error)",
        {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID});
    std::vector<std::int64_t> good, bad;
    std::vector<std::string> errors;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        (columns.errors[i] ? bad : good).push_back(ids[i]);
        if (columns.errors[i]) errors.push_back(*columns.errors[i]);
    }
    if (!good.empty())
        queue.run({p_bigints(std::span<const std::int64_t>(good)), p_bigint(lane_id_),
                   p_datum(INT2OID, Int16GetDatum(static_cast<int16>(request_.priority))), p_time(request_.due_at),
                   p_time(request_.expires_at), p_bigint(destination_.epoch)});
    if (!bad.empty())
        fail.run({p_bigints(std::span<const std::int64_t>(bad)), p_texts(std::span<const std::string>(errors)),
                  p_time(request_.now)});
    queued_ += static_cast<std::int64_t>(good.size());
    failed_ += static_cast<std::int64_t>(bad.size());
}

void BatchStore::finish() {
    static Statement add_lane(
        "INSERT INTO mailer.lane (lane_id, kind, batch_id, pool, gap) OVERRIDING SYSTEM VALUE VALUES ($1, 'b', $2, $3, "
        "$4)",
        {INT8OID, INT8OID, INT8ARRAYOID, INTERVALOID});
    static Statement add_batch(
        "INSERT INTO mailer.batch_entry (batch_id, lane_id, label, gap, created_at, created_by) OVERRIDING SYSTEM VALUE"
        " VALUES ($1, $2, $3, COALESCE($4, '0'), $5, $6)",
        {INT8OID, INT8OID, TEXTOID, INTERVALOID, TIMESTAMPTZOID, TEXTOID});
    static Statement count("INSERT INTO mailer.tally_delta (batch_id, queued, failed) VALUES ($1, $2, $3)",
                           {INT8OID, INT8OID, INT8OID});
    const Param p_gap = p_datum(INTERVALOID, batch_.gap.datum, batch_.gap.is_null);
    if (batch_.gap)
        add_lane.run({p_bigint(lane_id_), p_bigint(batch_id_),
                      destination_.pool.empty() ? p_null(INT8ARRAYOID)
                                                : p_bigints(std::span<const std::int64_t>(destination_.pool)),
                      p_gap});
    add_batch.run({p_bigint(batch_id_), p_bigint(lane_id_), batch_.label.param(), p_gap, p_time(request_.now),
                   p_text(std::string_view(request_.queued_by))});
    count.run({p_bigint(batch_id_), p_bigint(queued_), p_bigint(failed_)});
    if (first_id_ != 0) store_attachments(first_id_, request_.attachments);
    if (queued_ > 0) mark_wake(lane_id_, request_.due_at);
}

}  // namespace

RawValue checked_gap(const RawValue& gap) {
    if (!gap) return gap;
    Interval zero;
    memset(&zero, 0, sizeof zero);
    const int order =
        call([&] { return DatumGetInt32(DirectFunctionCall2(interval_cmp, gap.datum, IntervalPGetDatum(&zero))); });
    if (order < 0) refuse("gap must not be negative");
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
        if (facts.depth > core::Value::max_depth)
            refuse(name + " are nested too deeply",
                   "Arrays and objects may be nested " + std::to_string(core::Value::max_depth) + " levels deep.", {},
                   "54000");
    }
}

std::int64_t store_batch(const Batch& batch) { return BatchStore(batch).run(); }

}  // namespace mailer::pg
