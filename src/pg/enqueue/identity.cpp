// What an enqueue is known by: the canonical content behind an idempotency key,
// and the qualified names of late-bound functions.
#include "pg/enqueue/request.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "parser/parse_func.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace mailer::pg {
namespace {

// Each field with its length before it, so that no two contents run into the
// same string.
class Canonical {
public:
    void add(std::string_view field) {
        out_ += std::to_string(field.size());
        out_ += ':';
        out_ += field;
    }
    void add(const TextValue& field) { field ? add(field.view) : add_null(); }
    void add_maybe(const std::optional<std::string>& field) { field ? add(std::string_view(*field)) : add_null(); }
    void add_jsonb(const RawValue& field) { field ? add(canonical_jsonb(field)) : add_null(); }
    void add_null() { out_ += '-'; }
    std::string take() { return std::move(out_); }

private:
    std::string out_;
};

struct LateBound {
    Oid function;
    Oid result;
    bool is_plain;  // a function proper that returns one value
    const char* schema;
    const char* name;
    bool is_temporary;
};

// function is InvalidOid when there is none.
LateBound look_up(const TextValue& name, int argument_count, Oid* arguments) {
    return call([&] {
        LateBound found{};
        List* parts = textToQualifiedNameList(DatumGetTextPP(name.datum));
        found.function = LookupFuncName(parts, argument_count, arguments, true);
        if (!OidIsValid(found.function)) return found;
        HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(found.function));
        if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for function %u", found.function);
        auto* proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        found.result = proc->prorettype;
        found.is_plain = proc->prokind == PROKIND_FUNCTION && !proc->proretset;
        found.is_temporary = isTempOrTempToastNamespace(proc->pronamespace);
        found.schema = get_namespace_name(proc->pronamespace);
        found.name = pstrdup(NameStr(proc->proname));
        ReleaseSysCache(tuple);
        return found;
    });
}

}  // namespace

// As text: the binary form may differ between servers, and keys outlive a dump and restore.
std::string canonical_jsonb(const RawValue& jsonb) {
    char* text = call([&] {
        Jsonb* document = DatumGetJsonbP(jsonb.datum);
        return JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
    });
    std::string out(text);
    pfree(text);
    return out;
}

std::string canonical_content(const Request& request, std::string_view recipients) {
    Canonical canonical;
    canonical.add(recipients);
    canonical.add(core::format_address_list(request.cc));
    canonical.add(core::format_address_list(request.bcc));
    canonical.add(request.reply_to);
    canonical.add(request.subject);
    canonical.add(request.body_text);
    canonical.add(request.body_html);
    canonical.add(request.template_name);
    canonical.add_jsonb(request.variables);
    canonical.add_jsonb(request.headers);
    canonical.add(request.external_id);
    canonical.add(request.thread_key);
    canonical.add_maybe(request.loader);
    canonical.add_maybe(request.send_if);
    canonical.add(std::string_view(request.is_warmup ? "warmup" : "normal"));
    canonical.add(std::to_string(request.mailboxes.size()));
    for (const std::string& name : request.mailboxes)
        canonical.add(std::string_view(name));
    for (const AttachmentRow& row : request.attachments) {
        canonical.add(std::string_view(row.filename));
        canonical.add_maybe(row.content_type);
        canonical.add_maybe(row.content_id);
        canonical.add(row.content);
        if (row.is_alternative) canonical.add(std::string_view("alternative"));
    }
    if (request.options) canonical.add_jsonb(request.options);
    if (request.raw.octets) canonical.add(request.raw.octets);
    return canonical.take();
}

std::string sha256(std::string_view text) {
    const Param bytes = p_bytea(text);
    const Datum hash = call([&] { return DirectFunctionCall1(sha256_bytea, bytes.value); });
    return std::string(detoasted_text(hash).view);
}

std::string resolve_late_bound(std::string_view parameter, const TextValue& name, Oid result) {
    Oid arguments[] = {INT8OID, JSONBOID};
    // An expression, or a name with its parameters: as a name it would not be found, or not be one at all.
    if (name.view.find_first_of("()=<> ") != std::string_view::npos && name.view.find('"') == std::string_view::npos)
        refuse(
            std::string(parameter) + " \"" + std::string(name.view) + "\" is not the name of a function", {},
            "Give the name alone, such as public.ticket_now: it is called with (message_id bigint, variables jsonb).");
    const LateBound found = look_up(name, 2, arguments);
    const std::string wanted = std::string(name.view) + "(message_id bigint, variables jsonb) RETURNS " +
                               (result == BOOLOID ? "boolean" : "jsonb");
    if (!OidIsValid(found.function))
        refuse(std::string(parameter) + " \"" + std::string(name.view) + "\" does not exist",
               "There is no function " + std::string(name.view) + "(bigint, jsonb).",
               "Create FUNCTION " + wanted + ", or qualify the name with its schema.", "42883");
    if (!found.is_plain || found.result != result)
        refuse(std::string(parameter) + " \"" + std::string(name.view) + "\" has the wrong result type", {},
               "It must be FUNCTION " + wanted + ".", "42883");
    if (found.is_temporary)
        refuse(std::string(parameter) + " \"" + std::string(name.view) + "\" is a temporary function",
               "It runs when the mail is sent, in another session, which can't see it.", {}, "42883");
    return call([&] { return quote_qualified_identifier(found.schema, found.name); });
}

}  // namespace mailer::pg
