// mailer._refuse: the error of a function in SQL, as a sentence without the names of our own functions beneath it; and
// mailer._known_zone, for views that must not fail.
#include "pg/bridge/arguments.hpp"
#include "pg/bridge/extension.hpp"
#include "pg/bridge/zone.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "utils/catcache.h"
#include "utils/syscache.h"
}

namespace mailer::pg {
namespace {

bool is_ours(const std::string& function, Oid schema) {
    CatCList* const found = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(function.c_str()));
    bool is_one = false;
    for (int i = 0; i < found->n_members; ++i) {
        const auto* proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&found->members[i]->tuple));
        is_one = is_one || proc->pronamespace == schema;
    }
    ReleaseSysCacheList(found);
    return is_one;
}

// "PL/pgSQL function mailer.pause(text) line 3 at …", in whatever language: the word before the parenthesis.
std::string function_of(std::string_view line) {
    const std::size_t end = line.find('(');
    if (end == std::string_view::npos) return {};
    const std::size_t space = line.rfind(' ', end);
    std::string_view name = line.substr(space == std::string_view::npos ? 0 : space + 1, end - space - 1);
    if (name.starts_with("mailer.")) name.remove_prefix(7);
    return std::string(name);
}

// What the caller's own functions say of where they are. The innermost comes first.
std::string_view without_ours(std::string_view context) {
    const Oid schema = get_namespace_oid("mailer", true);
    std::size_t kept_from = 0;
    for (std::size_t begin = 0; begin < context.size();) {
        const std::size_t end = std::min(context.find('\n', begin), context.size());
        const std::string_view line = context.substr(begin, end - begin);
        if (line.starts_with("PL/pgSQL ") && is_ours(function_of(line), schema))
            kept_from = std::min(end + 1, context.size());
        begin = end + 1;
    }
    return context.substr(kept_from);
}

struct Sentence {
    int sqlstate;
    const char* message;
    const char* hint;
    const char* detail;
};

[[noreturn]] void raise(const Sentence& said) {
    ErrorData* error = call([&] {
        MemoryContext const context = CurrentMemoryContext;
        ErrorData* raised = nullptr;
        PG_TRY();
        {
            ereport(ERROR, (errcode(said.sqlstate), errmsg_internal("%s", said.message),
                            said.detail ? errdetail_internal("%s", said.detail) : 0,
                            said.hint ? errhint("%s", said.hint) : 0));
        }
        PG_CATCH();
        {
            MemoryContextSwitchTo(context);
            raised = CopyErrorData();
            FlushErrorState();
        }
        PG_END_TRY();
        return raised;
    });
    if (error->context != nullptr) {
        const std::string_view rest = call([&] { return without_ours(error->context); });
        error->context = rest.empty() ? nullptr : error->context + (rest.data() - error->context);
    }
    throw PgError(error);
}

char* c_string(const TextValue& text) { return text ? pnstrdup(text.view.data(), text.view.size()) : nullptr; }

void refuse_as_told(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    Sentence said{};
    said.message = c_string(arguments.text());
    said.hint = c_string(arguments.text());
    said.detail = c_string(arguments.text());
    const TextValue state = arguments.text();
    said.sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
    if (state && state.view.size() == 5)
        said.sqlstate = MAKE_SQLSTATE(state.view[0], state.view[1], state.view[2], state.view[3], state.view[4]);
    if (said.message == nullptr) said.message = "refused";
    raise(said);
}

bool is_known_zone(const std::string& name) {
    try {
        (void)zone(name);
        return true;
    } catch (const Refusal&) {
        return false;
    }
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_refuse) {
    mailer::pg::entry([&] { mailer::pg::refuse_as_told(fcinfo); });
    PG_RETURN_VOID();
}

MAILER_FUNCTION(mailer_known_zone) {
    const mailer::pg::TextValue known = mailer::pg::entry([&] {
        const mailer::pg::TextValue name = mailer::pg::Arguments(fcinfo).text();
        return name && mailer::pg::is_known_zone(std::string(name.view)) ? name : mailer::pg::text_value("UTC");
    });
    return known.datum;
}
