// See pg/enqueue/rows.hpp.
#include "pg/enqueue/rows.hpp"

namespace mailer::pg {
namespace {

Param p_char(char c) { return p_datum(CHAROID, CharGetDatum(c)); }
Param p_small(int v) { return p_datum(INT2OID, Int16GetDatum(static_cast<std::int16_t>(v))); }
Param p_maybe(const std::string& text) { return text.empty() ? p_null(TEXTOID) : p_text(std::string_view(text)); }

// ── message ──────────────────────────────────────────────────────────────────────────────────────────────────────

constexpr std::size_t message_columns = 34;
using MessageValues = std::array<Param, message_columns>;

TableShape& message_shape() {
    static TableShape shape(
        shipped::message,
        {"message_id",   "created_at", "principal_id", "lane_id",    "batch_id",  "campaign_id", "kind",
         "addresses",    "roles",      "address_key",  "header_to",  "header_cc", "reply_to",    "internet_message_id",
         "subject",      "body_text",  "body_html",    "template",   "variables", "headers",     "attachments_of",
         "send_at",      "expires_at", "external_id",  "thread_key", "loader",    "send_if",     "idempotency_key",
         "content_hash", "category",   "tenant_id",    "options",    "is_raw",    "step_id"});
    return shape;
}

MessageValues values_of(const MessageRow& row, const Request& request) {
    const core::Envelope& envelope = *row.envelope;
    return {p_bigint(row.id),
            p_time(request.now),
            p_bigint(request.by.principal_id),
            p_bigint(row.lane_id),
            p_bigint(row.batch_id),
            p_bigint(row.campaign_id),
            p_char(request.is_warmup ? 'w' : 'n'),
            p_texts(std::span<const std::string>(envelope.addresses)),
            p_text(std::string_view(envelope.roles)),
            p_text(std::string_view(envelope.key)),
            p_text(std::string_view(envelope.header_to)),
            p_maybe(envelope.header_cc),
            p_maybe(request.reply_to),
            p_text(row.internet_message_id),
            request.raw.octets ? p_text(std::string_view(request.raw.subject)) : request.subject.param(),
            request.body_text.param(),
            request.body_html.param(),
            request.template_name.param(),
            p_jsonb(row.variables),
            p_jsonb(row.headers ? row.headers : request.headers),
            p_bigint(row.attachments_of),
            p_time(request.send_at),
            p_time(request.expires_at),
            row.external_id ? row.external_id.param() : request.external_id.param(),
            request.thread_key.param(),
            p_text(request.loader),
            p_text(request.send_if),
            row.is_keyed ? request.idempotency_key.param() : p_null(TEXTOID),
            row.is_keyed ? p_bytea(row.content_hash) : p_null(BYTEAOID),
            request.category.param(),
            p_bigint(request.by.tenant_id),
            p_jsonb(request.options),
            request.raw.octets ? p_bool(true) : p_null(BOOLOID),
            p_bigint(std::int64_t{0})};
}

#define INSERT_MESSAGE                                                                                              \
    "INSERT INTO mailer.message (message_id, created_at, principal_id, lane_id, batch_id, campaign_id, kind, "      \
    "addresses,"                                                                                                    \
    " roles, address_key, header_to, header_cc, reply_to, internet_message_id, subject, body_text, body_html,"      \
    " template, variables, headers, attachments_of, send_at, expires_at, external_id, thread_key, loader, send_if," \
    " idempotency_key, content_hash, category, tenant_id, options, is_raw, step_id)"                                \
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22," \
    " $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34)"

// False: a unique index has such a row already. The statement names none: with a name, an index that is being rebuilt
// beside it (REINDEX CONCURRENTLY) would be an error.
bool insert_message(const MessageValues& values, bool may_exist) {
    static constexpr std::initializer_list<Oid> types = {
        INT8OID,  TIMESTAMPTZOID, INT8OID, INT8OID,        INT8OID,        INT8OID, CHAROID, TEXTARRAYOID, TEXTOID,
        TEXTOID,  TEXTOID,        TEXTOID, TEXTOID,        TEXTOID,        TEXTOID, TEXTOID, TEXTOID,      TEXTOID,
        JSONBOID, JSONBOID,       INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID,      TEXTOID,
        TEXTOID,  BYTEAOID,       TEXTOID, INT8OID,        JSONBOID,       BOOLOID, INT8OID};
    static Statement insert(INSERT_MESSAGE, types);
    static Statement insert_if_new(INSERT_MESSAGE " ON CONFLICT DO NOTHING", types);
    return (may_exist ? insert_if_new : insert).run(std::span<const Param>(values)).count() == 1;
}

// ── queue_entry ──────────────────────────────────────────────────────────────────────────────────────────────────

TableShape& queue_shape() {
    static TableShape shape(shipped::queue_entry, {"message_id", "lane_id", "priority", "due_at", "expires_at", "epoch",
                                                   "state", "attempt_count", "try_count", "crash_count"});
    return shape;
}

void insert_queue_entry(std::span<const Param> values) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.queue_entry (message_id, lane_id, priority, due_at, expires_at, epoch, state,
                attempt_count, try_count, crash_count)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10))sql",
        {INT8OID, INT8OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, CHAROID, INT2OID, INT4OID, INT2OID});
    insert.run(values);
}

TableShape& tally_shape() {
    static TableShape shape(shipped::tally_delta,
                            {"batch_id", "campaign_id", "queued", "sent", "failed", "cancelled", "unconfirmed"});
    return shape;
}

// What one row needs in passing is given back before the next.
class Scratch {
public:
    explicit Scratch(MemoryContext context)
        : context_(context), caller_(MemoryContextSwitchTo(context)), exceptions_(std::uncaught_exceptions()) {}
    ~Scratch() {
        if (std::uncaught_exceptions() > exceptions_) return;  // an error's text may lie here
        MemoryContextSwitchTo(caller_);
        MemoryContextReset(context_);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

private:
    MemoryContext context_;
    MemoryContext caller_;
    int exceptions_;
};

}  // namespace

MailWriter::MailWriter(const Request& request, std::int64_t epoch, bool has_many)
    : request_(request),
      epoch_(epoch),
      has_many_(has_many),
      row_memory_(
          call([] { return AllocSetContextCreate(CurrentMemoryContext, "mailer row", ALLOCSET_DEFAULT_SIZES); })),
      messages_(message_shape()),
      queue_(queue_shape()),
      is_direct_(messages_.open() && queue_.open()) {}

void MailWriter::put(TableWriter& table, std::span<const Param> values) {
    if (has_many_)
        table.append(values);
    else
        table.insert(values);
}

bool MailWriter::add_message(const MessageRow& row) {
    const Scratch scratch(row_memory_);
    const MessageValues values = values_of(row, request_);
    if (!is_direct_ || row.may_exist) return insert_message(values, row.may_exist);
    put(messages_, values);
    return true;
}

void MailWriter::add_to_queue(std::int64_t message_id, std::int64_t lane_id, std::optional<int> priority,
                              std::optional<std::int64_t> due_at) {
    const std::array<Param, 10> values = {p_bigint(message_id),
                                          p_bigint(lane_id),
                                          p_small(priority.value_or(request_.priority)),
                                          p_time(due_at.value_or(request_.due_at)),
                                          p_time(request_.expires_at),
                                          p_bigint(epoch_),
                                          p_char('p'),
                                          p_small(0),
                                          p_int(0),
                                          p_small(0)};
    if (is_direct_)
        put(queue_, values);
    else
        insert_queue_entry(values);
}

void MailWriter::add_failure(std::int64_t message_id, const std::string& error) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.outcome (message_id, state, reason, settled_at, reply)
            VALUES ($1, 'f', 'invalid_address', $2, $3))sql",
        {INT8OID, TIMESTAMPTZOID, TEXTOID});
    const Scratch scratch(row_memory_);
    insert.run({p_bigint(message_id), p_time(request_.now), p_text(std::string_view(error))});
}

void MailWriter::add_count(const CountOf& of, std::int64_t queued, std::int64_t failed) {
    static Statement insert(
        "INSERT INTO mailer.tally_delta (batch_id, campaign_id, queued, failed) VALUES ($1, $2, $3, $4)",
        {INT8OID, INT8OID, INT8OID, INT8OID});
    TableWriter tally(tally_shape());
    if (!tally.open()) {
        insert.run({p_bigint(of.batch_id), p_bigint(of.campaign_id), p_bigint(queued), p_bigint(failed)});
        return;
    }
    const Param none = p_bigint(std::int64_t{0});
    const std::array<Param, 7> values = {
        p_bigint(of.batch_id), p_bigint(of.campaign_id), p_bigint(queued), none, p_bigint(failed), none, none};
    tally.insert(values);
    tally.finish();
}

void MailWriter::finish() {
    if (!is_direct_) return;
    messages_.finish();
    queue_.finish();
}

}  // namespace mailer::pg
