// mailer.render and mailer.template_preview: what a mail says, without sending anything.
//
// Templates are read as the owner, with a cache that lives for one call: within
// a transaction a template may have just been changed.
#include <algorithm>

#include "pg/bridge/arguments.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/engine/template_cache.hpp"
#include "pg/enqueue/attachments.hpp"

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

// What the sender adds to the variables of a mail.
bool is_given_when_sent(const std::string& name) { return name.starts_with("sender.") || name == "unsubscribe_url"; }

core::Status check_for_interrupts() {
    call([] { CHECK_FOR_INTERRUPTS(); });
    return {};
}

std::string render_part(const core::Template& source, const core::Value& variables, TemplateCache& templates,
                        bool is_html, std::vector<std::string>* missing = nullptr) {
    core::RenderOptions options;
    options.is_html = is_html;
    options.partials = &templates.partials(is_html);
    options.missing = missing;
    options.interrupted = check_for_interrupts;
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

// Whose templates the caller may read: viewers read all.
std::int64_t tenant_of_reader() {
    const Actor who = actor();
    return who.sees_all ? operator_tenant : who.tenant_id;
}

bool is_usable(const TextValue& template_name) {
    static Statement find("SELECT t.is_shared FROM mailer.template t WHERE t.name OPERATOR(pg_catalog.=) $1",
                          {TEXTOID});
    const Rows rows = find.run({template_name.param()});
    return rows.empty() || rows.boolean(0, 1) || is_template_granted(tenant_of_reader(), template_name.view);
}

Maybe render(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    Arguments arguments(fcinfo);
    const TextValue source = arguments.text();
    if (!source) return {Datum{0}, true};
    const core::Value variables = read_variables(arguments.raw());
    const bool is_html = arguments.boolean().value_or(false);
    const core::Template parsed = expect(core::Template::parse(source.view));
    AsOwner owner(fcinfo);
    Spi spi;
    TemplateCache templates(tenant_of_reader());
    templates.load_partials(parsed);
    return {result_text(context, render_part(parsed, variables, templates, is_html)), false};
}

Datum preview(FunctionCallInfo fcinfo) {
    const MemoryContext context = CurrentMemoryContext;
    TupleDesc shape = call([&] {
        TupleDesc found = nullptr;
        if (get_call_result_type(fcinfo, nullptr, &found) != TYPEFUNC_COMPOSITE || found->natts != 4)
            elog(ERROR, "mailer.template_preview must return four columns");
        return BlessTupleDesc(found);
    });
    Arguments arguments(fcinfo);
    const TextValue name = arguments.text();
    if (!name) refuse_null("name");
    const core::Value variables = read_variables(arguments.raw());

    AsOwner owner(fcinfo);
    Spi spi;
    TemplateCache templates(tenant_of_reader());
    if (!is_usable(name)) refuse_ungranted("template", name.view);
    if (!templates.load(std::string(name.view)))
        refuse("template \"" + std::string(name.view) + "\" does not exist", {}, "Store it with mailer.template_set().",
               "42704");
    std::string fault;
    const StoredTemplate* stored = templates.find(std::string(name.view), &fault);
    if (stored == nullptr) refuse(std::move(fault), {}, "Store it again with mailer.template_set().", "42601");

    const std::optional<core::Template>* parts[] = {&stored->subject, &stored->text, &stored->html};
    Datum values[4] = {};
    bool nulls[4] = {true, true, true, false};
    std::vector<std::string> missing;
    for (int i = 0; i < 3; ++i) {
        if (!*parts[i]) continue;
        values[i] = result_text(context, render_part(**parts[i], variables, templates, i == 2, &missing));
        nulls[i] = false;
    }
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    missing.erase(std::remove_if(missing.begin(), missing.end(), is_given_when_sent), missing.end());
    values[3] = call([&] {
        MemoryContext caller = MemoryContextSwitchTo(context);
        const Datum array = p_texts(std::span<const std::string>(missing)).value;
        MemoryContextSwitchTo(caller);
        return array;
    });
    return call([&] {
        MemoryContext caller = MemoryContextSwitchTo(context);
        const Datum row = HeapTupleGetDatum(heap_form_tuple(shape, values, nulls));
        MemoryContextSwitchTo(caller);
        return row;
    });
}

void check_template(FunctionCallInfo fcinfo) {
    if (const TextValue source = Arguments(fcinfo).text()) expect(core::Template::parse(source.view));
}

void check_attachments(FunctionCallInfo fcinfo) {
    if (const RawValue attachments = Arguments(fcinfo).raw()) read_attachments(attachments.datum, message_size_limit());
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_check_attachments) {
    mailer::pg::entry([&] { mailer::pg::check_attachments(fcinfo); });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_render) {
    const auto out = mailer::pg::entry([&] { return mailer::pg::render(fcinfo); });
    fcinfo->isnull = out.is_null;
    return out.value;
}

MAILER_FUNCTION(mailer_template_preview) {
    return mailer::pg::entry([&] { return mailer::pg::preview(fcinfo); });
}

MAILER_FUNCTION(mailer_check_template) {
    mailer::pg::entry([&] { mailer::pg::check_template(fcinfo); });
    PG_RETURN_VOID();
}
