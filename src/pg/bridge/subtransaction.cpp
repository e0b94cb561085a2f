// See subtransaction.hpp. An error's text is copied before the rollback: it lies in memory that the rollback frees.
#include "pg/bridge/subtransaction.hpp"

extern "C" {
#include "utils/resowner.h"
}

namespace mailer::pg {
namespace {

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

// A cancel, a time-out or a shutdown comes from the place where the server looks for them. An error that somebody
// raises with such a SQLSTATE doesn't.
bool is_interrupt(const ErrorData& error) {
    return error.funcname != nullptr && std::string_view(error.funcname) == "ProcessInterrupts";
}

// What is thrown on, as it was: an attempt around this one must know it for what it is. In the current memory context.
ErrorData* kept(const ErrorData& error) {
    return call([&error] {
        auto* copy = static_cast<ErrorData*>(palloc(sizeof(ErrorData)));
        *copy = error;
        for (char** text : {&copy->message, &copy->detail, &copy->detail_log, &copy->hint, &copy->context,
                            &copy->backtrace, &copy->schema_name, &copy->table_name, &copy->column_name,
                            &copy->datatype_name, &copy->constraint_name, &copy->internalquery}) {
            if (*text != nullptr) *text = pstrdup(*text);
        }
        // Recent minor releases copy these as well, though they look like constants.
        for (const char** name :
             {&copy->filename, &copy->funcname, &copy->domain, &copy->context_domain, &copy->message_id}) {
            if (*name != nullptr) *name = pstrdup(*name);
        }
        copy->assoc_context = CurrentMemoryContext;
        return copy;
    });
}

Caught copy_of(const ErrorData& error) {
    return {unpack_sql_state(error.sqlerrcode), text_or_empty(error.message), text_or_empty(error.detail),
            text_or_empty(error.hint),          text_or_empty(error.context), text_or_empty(error.constraint_name)};
}

// Runs the work; an empty SQLSTATE says that it succeeded.
Caught run(const std::function<void()>& work, MemoryContext outside, ErrorData** interrupt) {
    try {
        work();
        return {};
    } catch (const PgError& error) {
        if (is_interrupt(*error.data())) {
            MemoryContextSwitchTo(outside);
            *interrupt = kept(*error.data());
        }
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

}  // namespace

std::optional<Caught> attempt(const std::function<void()>& work) {
    const MemoryContext context = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    call([] { BeginInternalSubTransaction(nullptr); });
    MemoryContextSwitchTo(context);
    ErrorData* interrupt = nullptr;
    Caught caught = run(
        [&] {
            work();
            call([] { ReleaseCurrentSubTransaction(); });
        },
        context, &interrupt);
    const bool is_done = caught.sqlstate.empty();
    if (!is_done) {
        MemoryContextSwitchTo(context);
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
    }
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    if (is_done) return std::nullopt;
    if (interrupt != nullptr) throw PgError(interrupt);
    return caught;
}

}  // namespace mailer::pg
