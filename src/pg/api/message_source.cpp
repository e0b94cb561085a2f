// mailer.message_source: the bytes of a mail, as they went out or as they would go out now.
//
// A mail that was sent is made again from what was stored (message, attachments, what its loader gave, the template as
// it was then), and the result is held against the fingerprint of what the last try sent: this function shows what went
// over the wire, or says that it can't.
#include "core/octets.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/engine/content.hpp"

namespace mailer::pg {
namespace {

struct Sent {
    bool was_sent = false;                       // by the last try, as far as anybody knows
    std::optional<std::uint64_t> fingerprint{};  // of what it sent; nothing: its sender died
    std::int64_t tried_at = 0;
    core::Time first_at{};  // the claim of the first try, which Date shows
};

Sent read_sent(std::int64_t message_id) {
    static Statement read(
        R"sql(
            SELECT o.state IN ('S', 'u') AS was_sent, last.fingerprint, last.started_at AS tried_at,
                first.started_at AS first_at, q.claimed_at, q.due_at
            FROM mailer.message m
            LEFT JOIN mailer.outcome o ON o.message_id = m.message_id
            LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id
            LEFT JOIN LATERAL (SELECT a.fingerprint, a.started_at FROM mailer.attempt a
                WHERE a.message_id = m.message_id ORDER BY a.attempt DESC LIMIT 1) last ON true
            LEFT JOIN mailer.attempt first ON first.message_id = m.message_id
                AND first.attempt = 1
            WHERE m.message_id = $1)sql",
        {INT8OID});
    const Rows rows = read.run({p_bigint(message_id)});
    Sent sent;
    if (rows.empty()) return sent;
    sent.was_sent = rows.boolean(0, "was_sent") && !rows.is_null(0, "tried_at");
    if (const auto stored = rows.maybe_bigint(0, "fingerprint")) sent.fingerprint = static_cast<std::uint64_t>(*stored);
    sent.tried_at = rows.is_null(0, "tried_at") ? 0 : rows.bigint(0, "tried_at");
    const auto first = time_at(rows, 0, "first_at");
    const auto claimed = time_at(rows, 0, "claimed_at");
    const auto due = time_at(rows, 0, "due_at");
    sent.first_at = first ? *first : claimed ? *claimed : std::max(now(), due.value_or(core::Time{}));
    return sent;
}

class Source {
public:
    explicit Source(std::int64_t message_id) : sender_(sender_of_known(message_id)), sent_(read_sent(message_id)) {
        message_.date = sent_.first_at;
        options_.max_message_size = static_cast<std::size_t>(settings().max_message_size);
        options_.unsubscribe_url = settings().unsubscribe_url;
        options_.interrupted = []() -> core::Status {
            call([] { CHECK_FOR_INTERRUPTS(); });
            return {};
        };
    }

    std::string bytes() {
        if (sent_.was_sent) return as_sent();
        TemplateCache templates(message_.tenant_id);
        const std::string composed = expect(compose(templates)).bytes;
        return settings().redirect_to.empty() ? composed : redirected(composed);
    }

private:
    Sender sender_of_known(std::int64_t message_id) {
        std::vector<StoredMessage> found = read_messages(std::span(&message_id, 1), Texts::all);
        if (found.empty()) refuse("message " + std::to_string(message_id) + " does not exist", {}, {}, "42704");
        message_ = std::move(found.front());
        if (message_.attachments_of)
            message_.attachments = read_attachments(*message_.attachments_of, AttachmentsFor::all);
        if (message_.has_own_attachments)
            for (StoredAttachment& own : read_attachments(message_id, AttachmentsFor::one))
                message_.attachments.push_back(std::move(own));
        return stored_sender(message_id);
    }

    core::Result<core::Composed> compose(TemplateCache& templates) {
        load_templates(templates, message_);
        const core::Value* loaded = message_.loaded_variables.is_null() ? nullptr : &message_.loaded_variables;
        return compose_message(message_, sender_, templates, sent_.was_sent ? loaded : nullptr, options_);
    }

    std::string redirected(const std::string& composed) const {
        return with_redirect_header(composed, message_.addresses);
    }

    // The candidates: with the template of then or of now, redirected or not.
    std::string as_sent() {
        TemplateCache then(message_.tenant_id, sent_.tried_at), today(message_.tenant_id);
        for (TemplateCache* templates : {&then, &today}) {
            const core::Result<core::Composed> composed = compose(*templates);
            if (message_.is_purged) expect(composed);
            if (!composed.ok()) continue;
            if (!sent_.fingerprint) return unchecked(composed->bytes);
            for (const std::string& candidate : {composed->bytes, redirected(composed->bytes)})
                if (core::fingerprint_of(candidate) == *sent_.fingerprint) return candidate;
        }
        refuse("message " + std::to_string(message_.id) + " can't be shown as it was sent",
               "Something that isn't kept has changed since: its mailbox, a setting, or a file of its template.", {},
               "55000");
    }

    std::string unchecked(const std::string& composed) const {
        call([&] {
            ereport(WARNING,
                    (errmsg("what was sent of message %lld could not be compared", static_cast<long long>(message_.id)),
                     errdetail("Its sender ended before it could write down what it had sent.")));
        });
        return composed;
    }

    StoredMessage message_ = {};
    Sender sender_;
    Sent sent_;
    ContentOptions options_ = {};
};

Datum message_source(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    const std::optional<std::int64_t> id = Arguments(fcinfo).bigint();
    if (!id) refuse_null("message_id");
    AsOwner owner(fcinfo);
    Spi spi;
    const std::string bytes = Source(*id).bytes();
    return call([&] {  // outlives the Spi; a bytea is laid out like a text
        MemoryContext caller = MemoryContextSwitchTo(context);
        const Datum datum = PointerGetDatum(cstring_to_text_with_len(bytes.data(), static_cast<int>(bytes.size())));
        MemoryContextSwitchTo(caller);
        return datum;
    });
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_message_source) {
    return mailer::pg::entry([&] { return mailer::pg::message_source(fcinfo); });
}
