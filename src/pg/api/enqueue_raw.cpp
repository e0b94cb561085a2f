// mailer.enqueue_raw: a mail that was made elsewhere (signed, encrypted, by another library), sent as it is.
#include "core/mail/raw.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/enqueue/store.hpp"

namespace mailer::pg {
namespace {

core::Envelope read_recipients(const RawValue& recipients) {
    if (!recipients) refuse_null("recipients");
    const ArrayElements elements = elements_of(recipients.datum, TEXTOID);
    std::vector<core::Address> to;
    for (int i = 0; i < elements.count; ++i) {
        if (elements.nulls[i]) refuse_null("an element of recipients");
        to.push_back(expect(core::parse_address(detoasted_text(elements.values[i]).view)));
    }
    return expect(core::make_envelope(to));
}

void read_source(Request& request, const TextValue& source) {
    if (!source) refuse_null("source");
    const std::size_t limit = message_size_limit();
    if (source.view.size() > limit)
        refuse("the source is too large",
               "It has " + std::to_string(source.view.size()) + " octets; mailer.max_message_size is " +
                   std::to_string(limit) + ".",
               {}, "54000");
    core::RawFacts facts = expect(core::inspect_raw(source.view));
    request.raw = {source, std::move(facts.message_id), std::move(facts.subject)};
    request.senders = std::move(facts.from);
    request.senders.insert(request.senders.end(), facts.sender.begin(), facts.sender.end());
}

void read_raw_options(Request& request, const RawValue& options) {
    Request other;
    read_options(other, options);
    if (!other.senders.empty())
        refuse("from_address and sender stand in the source", {}, "Options of enqueue_raw() are dsn alone.");
    request.options = other.options;
}

std::int64_t enqueue_raw(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const core::Envelope envelope = read_recipients(arguments.raw());
    Request request;
    read_source(request, arguments.text());
    if (const TextValue mailbox = arguments.text()) request.mailboxes.emplace_back(mailbox.view);
    request.send_at = arguments.time();
    request.expires_at = arguments.time();
    const std::optional<std::int32_t> priority = arguments.integer();
    request.idempotency_key = arguments.text();
    request.external_id = arguments.text();
    read_priority_and_kind(request, priority, arguments.text());
    read_raw_options(request, arguments.raw());
    check_times(request);
    check_key("idempotency_key", request.idempotency_key);
    check_key("external_id", request.external_id);
    AsOwner owner(fcinfo);
    Spi spi;
    request.by = sender();
    return store_message(request, envelope, find_destination(request));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_enqueue_raw) {
    return mailer::pg::entry([&] { return Int64GetDatum(mailer::pg::enqueue_raw(fcinfo)); });
}
