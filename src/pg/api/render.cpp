// mailer.render, mailer.template_preview, mailer.message_source: what a mail
// says and which bytes it is, without sending anything.
//
// Templates are read as the owner, with a cache that lives for one call: within
// a transaction a template may have just been changed.
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/engine/content.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace mailer::pg {
namespace {

core::Value read_variables(const RawValue& variables) {
    if (!variables) return core::Value::object();
    core::Value value = read_jsonb(variables.datum);
    if (value.kind() != core::Value::Kind::object)
        refuse("variables must be a JSON object", {}, "Write '{\"name\": \"Ada\"}'.");
    return value;
}

std::string render_part(const core::Template& source, const core::Value& variables, TemplateCache& templates,
                        bool is_html) {
    core::RenderOptions options;
    options.is_html = is_html;
    options.partials = &templates.partials(is_html);
    return expect(core::render(source, variables, options));
}

// The result outlives the Spi: made in the context that was current at the
// call.
Datum result_text(MemoryContext context, std::string_view text) {
    return call([&] {
        MemoryContext caller = MemoryContextSwitchTo(context);
        const Datum datum = PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
        MemoryContextSwitchTo(caller);
        return datum;
    });
}

struct Maybe {
    Datum value;
    bool is_null;
};

Maybe render(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    Arguments arguments(fcinfo);
    const TextValue source = arguments.text();
    if (!source) return {Datum{0}, true};
    const core::Value variables = read_variables(arguments.raw());
    const bool is_html = arguments.boolean().value_or(false);
    const core::Template parsed = expect(core::Template::parse(source.view));
    TemplateCache templates;
    AsOwner owner(fcinfo);
    Spi spi;
    templates.load_partials(parsed);
    return {result_text(context, render_part(parsed, variables, templates, is_html)), false};
}

Datum preview(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    TupleDesc shape = call([&] {
        TupleDesc found = nullptr;
        if (get_call_result_type(fcinfo, nullptr, &found) != TYPEFUNC_COMPOSITE || found->natts != 3)
            elog(ERROR, "mailer.template_preview must return three columns");
        return BlessTupleDesc(found);
    });
    Arguments arguments(fcinfo);
    const TextValue name = arguments.text();
    if (!name) refuse_null("name");
    const core::Value variables = read_variables(arguments.raw());

    TemplateCache templates;
    AsOwner owner(fcinfo);
    Spi spi;
    if (!templates.load(std::string(name.view)))
        refuse("template \"" + std::string(name.view) + "\" does not exist", {}, "Store it with mailer.template_set().",
               "42704");
    std::string fault;
    const StoredTemplate* stored = templates.find(std::string(name.view), &fault);
    if (stored == nullptr) refuse(std::move(fault), {}, "Store it again with mailer.template_set().", "42601");

    const std::optional<core::Template>* parts[] = {&stored->subject, &stored->text, &stored->html};
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    for (int i = 0; i < 3; ++i) {
        if (!*parts[i]) continue;
        values[i] = result_text(context, render_part(**parts[i], variables, templates, i == 2));
        nulls[i] = false;
    }
    return call([&] {
        MemoryContext caller = MemoryContextSwitchTo(context);
        const Datum row = HeapTupleGetDatum(heap_form_tuple(shape, values, nulls));
        MemoryContextSwitchTo(caller);
        return row;
    });
}

// ── message_source
// ───────────────────────────────────────────────────────────────────────────────────────────────

// The mailbox that the message was sent from; before that the one that has it;
// else the first of its pool.
Sender sender_of(std::int64_t message_id) {
    static Statement find(
        "SELECT b.from_address, b.from_name FROM mailer.message m"
        " LEFT JOIN mailer.outcome o ON o.message_id = m.message_id"
        " LEFT JOIN mailer.queue_entry q ON q.message_id = m.message_id"
        " LEFT JOIN mailer.lane l ON l.lane_id = m.lane_id"
        " JOIN mailer.mailbox b ON CASE WHEN coalesce(o.mailbox_id, "
        "q.mailbox_id) IS NOT NULL"
        "     THEN b.mailbox_id = coalesce(o.mailbox_id, q.mailbox_id)"
        "     WHEN l.pool IS NOT NULL THEN b.mailbox_id = ANY (l.pool) ELSE "
        "b.is_default END"
        " WHERE m.message_id = $1 ORDER BY b.mailbox_id LIMIT 1",
        {INT8OID});
    const Rows rows = find.run({p_bigint(message_id)});
    if (rows.empty())
        refuse("message " + std::to_string(message_id) + " has no mailbox to be sent from", {},
               "Make one with mailer.mailbox_create().", "55000");
    return {rows.text(0, 1), rows.text(0, 2)};
}

Datum message_source(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    const std::optional<std::int64_t> id = Arguments(fcinfo).bigint();
    if (!id) refuse_null("message_id");
    TemplateCache templates;
    AsOwner owner(fcinfo);
    Spi spi;
    std::vector<StoredMessage> messages = read_messages(std::span(&*id, 1));
    if (messages.empty()) refuse("message " + std::to_string(*id) + " does not exist", {}, {}, "42704");
    const Sender sender = sender_of(*id);
    load_templates(templates, messages.front());
    if (messages.front().attachments_of)
        messages.front().attachments = read_attachments(*messages.front().attachments_of);
    ContentOptions options;
    options.max_message_size = static_cast<std::size_t>(settings().max_message_size);
    options.unsubscribe_url = settings().unsubscribe_url;
    const core::Composed composed = expect(compose_message(messages.front(), sender, templates, nullptr, options));
    return result_text(context, composed.bytes);  // bytea is laid out like text
}

void check_template(FunctionCallInfo fcinfo) {
    if (const TextValue source = Arguments(fcinfo).text()) expect(core::Template::parse(source.view));
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_render) {
    const auto out = mailer::pg::entry([&] { return mailer::pg::render(fcinfo); });
    fcinfo->isnull = out.is_null;
    return out.value;
}

MAILER_FUNCTION(mailer_template_preview) {
    return mailer::pg::entry([&] { return mailer::pg::preview(fcinfo); });
}

MAILER_FUNCTION(mailer_message_source) {
    return mailer::pg::entry([&] { return mailer::pg::message_source(fcinfo); });
}

MAILER_FUNCTION(mailer_check_template) {
    mailer::pg::entry([&] { mailer::pg::check_template(fcinfo); });
    PG_RETURN_VOID();
}
