// See subtransaction.hpp. An error's text is copied before the rollback: it lies in memory that the rollback frees.
#include "pg/bridge/subtransaction.hpp"

extern "C" {
#include "utils/resowner.h"
}

namespace mailer::pg {
namespace {

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

Caught copy_of(const ErrorData& error) {
    return {unpack_sql_state(error.sqlerrcode), text_or_empty(error.message), text_or_empty(error.detail),
            text_or_empty(error.hint),          text_or_empty(error.context), text_or_empty(error.constraint_name)};
}

// Runs the work; an empty SQLSTATE says that it succeeded.
Caught run(const std::function<void()>& work) {
    try {
        work();
        return {};
    } catch (const PgError& error) {
        return copy_of(*error.data());
    } catch (const Refusal& refusal) {
        const core::Error& error = refusal.error();
        return {error.sqlstate, error.message, error.detail, error.hint, {}, {}};
    } catch (const std::bad_alloc&) {
        return {"53200", "out of memory", {}, {}, {}, {}};
    } catch (const std::exception& error) {
        return {"XX000", error.what(), {}, {}, {}, {}};
    }
}

bool must_pass(const Caught& caught) {
    // query_canceled, and class 57P: shutdown, crash, a database that is dropped.
    return caught.sqlstate == "57014" || caught.sqlstate.substr(0, 3) == "57P";
}

}  // namespace

std::optional<Caught> attempt(const std::function<void()>& work) {
    const MemoryContext context = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    call([] { BeginInternalSubTransaction(nullptr); });
    MemoryContextSwitchTo(context);
    Caught caught = run([&] {
        work();
        call([] { ReleaseCurrentSubTransaction(); });
    });
    const bool is_done = caught.sqlstate.empty();
    if (!is_done) {
        MemoryContextSwitchTo(context);
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
    }
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    if (is_done) return std::nullopt;
    if (must_pass(caught)) throw Refusal({caught.sqlstate, caught.message, caught.detail, caught.hint});
    return caught;
}

}  // namespace mailer::pg
