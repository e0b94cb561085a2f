// mailer.enqueue and mailer.attach: one mail from SQL, in the caller's
// transaction.
//
// The walk: read and check the request as the caller, then, as the owner, find
// its lane and insert. What it costs is measured by bench/enqueue.sh.
#include "pg/bridge/identity.hpp"
#include "pg/enqueue/attachments.hpp"
#include "pg/enqueue/store.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace mailer::pg {
namespace {

// NULL, and a group without members, are for a mail that goes to cc and bcc alone.
std::vector<core::Address> read_recipient(const TextValue& recipient) {
    if (!recipient) return {};
    return expect(core::parse_address_list(recipient.view, core::EmptyGroups::allowed));
}

std::int64_t enqueue(FunctionCallInfo fcinfo) {
    const TextValue recipient = Arguments(fcinfo).text();
    const std::vector<core::Address> to = read_recipient(recipient);
    Request request = read_request(fcinfo, Arguments(fcinfo, 1 + arguments_of_request).raw());
    if (!recipient && request.cc.empty() && request.bcc.empty()) refuse_null("recipient");
    const core::Envelope envelope = expect(core::make_envelope(to, request.cc, request.bcc));
    AsOwner owner(fcinfo);
    Spi spi;
    request.by = sender();
    return store_message(request, envelope, find_destination(request));
}

Datum attach(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    AttachmentRow row;
    const TextValue filename = arguments.text();
    row.filename = std::string(filename.view);
    row.content = arguments.text();
    if (row.content.is_null) refuse_null("content");
    if (const TextValue type = arguments.text()) row.content_type = std::string(type.view);
    if (const TextValue id = arguments.text()) row.content_id = std::string(id.view);
    row.is_alternative = arguments.boolean().value_or(false);
    check_attachment_row(row);
    return call([&] {
        TupleDesc shape = nullptr;
        if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "mailer.attach must return a composite type");
        Datum values[5];
        bool nulls[5];
        for (int i = 0; i < 5; ++i) {
            nulls[i] = fcinfo->args[i].isnull;
            values[i] = fcinfo->args[i].value;
        }
        return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls));
    });
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_enqueue) {
    return mailer::pg::entry([&] { return Int64GetDatum(mailer::pg::enqueue(fcinfo)); });
}

MAILER_FUNCTION(mailer_attach) {
    return mailer::pg::entry([&] { return mailer::pg::attach(fcinfo); });
}
