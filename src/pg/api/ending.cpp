// mailer._end, _stop_dots and _put_back: the end of a message, and the way back, for SQL that settles mail itself.
#include "pg/bridge/identity.hpp"
#include "pg/engine/endings.hpp"
#include "pg/engine/last_look.hpp"
#include "pg/engine/leads.hpp"
#include "pg/enqueue/request.hpp"

extern "C" {
#include "utils/array.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {
namespace {

std::vector<std::int64_t> read_ids(Arguments& arguments) {
    const RawValue array = arguments.raw();
    std::vector<std::int64_t> ids;
    if (!array) return ids;
    const ArrayElements elements = elements_of(array.datum, INT8OID);
    ids.reserve(static_cast<std::size_t>(elements.count));
    for (int i = 0; i < elements.count; ++i) {
        if (!elements.nulls[i]) ids.push_back(DatumGetInt64(elements.values[i]));
    }
    return ids;
}

Datum ids_of(const std::vector<std::int64_t>& ids) { return p_bigints(std::span(ids)).value; }

std::string text_or_empty(const TextValue& text) { return text ? std::string(text.view) : std::string(); }

// In the memory of the caller, which outlives the Spi.
template <typename F>
Datum as_owner(FunctionCallInfo fcinfo, const F& f) {
    std::vector<std::int64_t> ids;
    {
        AsOwner owner(fcinfo);
        Spi spi;
        ids = f();
    }
    return ids_of(ids);
}

Datum end_ids(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const std::vector<std::int64_t> ids = read_ids(arguments);
    const TextValue word = arguments.text();
    const std::string detail = text_or_empty(arguments.text());
    const TextValue by_role = arguments.text();
    const std::optional<core::Cause> cause = word ? core::cause_of(word.view) : std::nullopt;
    if (!cause) refuse("\"" + text_or_empty(word) + "\" is not a cause for which a message ends");
    const auto settled_by = by_role ? std::optional(std::string(by_role.view)) : std::nullopt;
    return as_owner(fcinfo, [&] { return end_messages(ids, *cause, detail, settled_by, from_pg(transaction_now())); });
}

void stop_message_dots(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    stop_dots(read_ids(arguments));
}

void queue_steps(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const std::vector<std::int64_t> ids = read_ids(arguments);
    AsOwner owner(fcinfo);
    Spi spi;
    queue_next_steps(ids, from_pg(transaction_now()));
}

Datum put_ids_back(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const std::vector<std::int64_t> ids = read_ids(arguments);
    const TextValue word = arguments.text();
    const std::string why = text_or_empty(arguments.text());
    std::optional<core::MessageState> state;
    for (const auto s : {core::MessageState::failed, core::MessageState::cancelled, core::MessageState::unconfirmed}) {
        if (word && word.view == core::to_text(s)) state = s;
    }
    if (!state) refuse("messages that are \"" + text_or_empty(word) + "\" aren't put back");
    return as_owner(fcinfo, [&] { return put_back(ids, *state, why, from_pg(transaction_now())); });
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_end) {
    return mailer::pg::entry([&] { return mailer::pg::end_ids(fcinfo); });
}

MAILER_FUNCTION(mailer_put_back) {
    return mailer::pg::entry([&] { return mailer::pg::put_ids_back(fcinfo); });
}

MAILER_FUNCTION(mailer_message_state) {
    const auto word = mailer::core::to_text(static_cast<mailer::core::MessageState>(PG_GETARG_CHAR(0)));
    if (word.empty()) PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text_with_len(word.data(), static_cast<int>(word.size())));
}

MAILER_FUNCTION(mailer_campaign_state) {
    const auto word = mailer::core::to_text(static_cast<mailer::core::CampaignState>(PG_GETARG_CHAR(0)));
    if (word.empty()) PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text_with_len(word.data(), static_cast<int>(word.size())));
}

MAILER_FUNCTION(mailer_queue_next_steps) {
    mailer::pg::entry([&] { mailer::pg::queue_steps(fcinfo); });
    return Datum{0};
}

MAILER_FUNCTION(mailer_stop_dots) {
    mailer::pg::entry([&] { mailer::pg::stop_message_dots(fcinfo); });
    return Datum{0};
}
