// What sql/39_promotion.sql needs from the library: the gates of failover, and what is to be said about standbys.
#include "pg/bridge/clock.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/engine/fence.hpp"
#include "pg/server/clone_guard.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace mailer::pg {

namespace {

Datum row_of(FunctionCallInfo fcinfo, Datum* values, bool* nulls) {
    return call([=] {
        TupleDesc row = nullptr;
        if (get_call_result_type(fcinfo, nullptr, &row) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "the function must be declared with OUT parameters");
        return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls));
    });
}

Datum text_of(const std::string& text) {
    return call([&] { return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))); });
}

// In the caller's memory, not in that of an Spi.
template <typename Read>
core::SenderFence read_fence(FunctionCallInfo fcinfo, const Read& read) {
    AsOwner owner(fcinfo);
    Spi spi;
    return read();
}

Datum standby_gate(FunctionCallInfo fcinfo) {
    const core::SenderFence fence = read_fence(fcinfo, [] { return read_standby_fence(settings(), now()); });
    Datum values[4] = {BoolGetDatum(fence.is_set), BoolGetDatum(fence.is_open), text_of(fence.words),
                       TimestampTzGetDatum(fence.opens_at ? to_pg(*fence.opens_at) : 0)};
    bool nulls[4] = {false, false, false, !fence.opens_at};
    return row_of(fcinfo, values, nulls);
}

Datum lease_gate(FunctionCallInfo fcinfo) {
    const core::SenderFence fence = lease_of_sender(settings().sender_lease, now());
    Datum values[3] = {BoolGetDatum(fence.is_set), BoolGetDatum(fence.is_open), text_of(fence.words)};
    bool nulls[3] = {};
    return row_of(fcinfo, values, nulls);
}

Datum unpromised_standbys(FunctionCallInfo fcinfo) {
    std::vector<std::string> words;
    {
        AsOwner owner(fcinfo);
        Spi spi;
        words = read_unpromised(settings(), now());
    }
    return p_texts(words).value;
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_standby_gate) {
    return mailer::pg::entry([&] { return mailer::pg::standby_gate(fcinfo); });
}

MAILER_FUNCTION(mailer_lease_gate) {
    return mailer::pg::entry([&] { return mailer::pg::lease_gate(fcinfo); });
}

MAILER_FUNCTION(mailer_unpromised_standbys) {
    return mailer::pg::entry([&] { return mailer::pg::unpromised_standbys(fcinfo); });
}

MAILER_FUNCTION(mailer_is_clone_noticed) {
    PG_RETURN_BOOL(
        mailer::pg::entry([] { return mailer::worker::machine_of(mailer::pg::current_machine()).can_tell_clones(); }));
}
