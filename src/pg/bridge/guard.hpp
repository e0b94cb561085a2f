// The one place where C++ exceptions and PostgreSQL's ereport meet.
//
// An exception that leaves an SQL function or a worker main aborts the server, and an ereport that jumps past a
// C++ object runs no destructor. So there are two doors, and no other way through:
//
//   entry(f)  from PostgreSQL into C++. Runs f, catches everything, copies what happened into plain memory,
//             leaves the catch block (all C++ objects are gone by then) and only then ereports.
//   call(f)   from C++ into PostgreSQL. Runs f under PG_TRY and throws PgError once the frame is restored.
//
// Invariants: (1) inside call()'s f no object with a destructor is created; what f captures by reference
// lives outside. (2) PgError is never swallowed within a transaction: either entry() re-raises it or the catcher
// aborts the (sub)transaction. (3) f of entry() makes no PostgreSQL call that can ereport except through call().
#pragma once

#include "core/result.hpp"
#include "pg/bridge/pg.hpp"

namespace mailer::pg {

// A PostgreSQL error on its way through C++ frames. The ErrorData lives in the memory context that was current
// at call(); it is valid until that context is reset.
class PgError : public std::exception {
public:
    explicit PgError(ErrorData* data) noexcept : data_(data) {}
    const char* what() const noexcept override { return data_->message ? data_->message : "unknown error"; }
    int sqlstate() const noexcept { return data_->sqlerrcode; }
    ErrorData* data() const noexcept { return data_; }

private:
    ErrorData* data_;
};

// An error of our own, with SQLSTATE, DETAIL and HINT: becomes an ereport(ERROR) at the entry door.
class Refusal : public std::exception {
public:
    explicit Refusal(core::Error error) : error_(std::move(error)) {}
    const char* what() const noexcept override { return error_.message.c_str(); }
    const core::Error& error() const noexcept { return error_; }

private:
    core::Error error_;
};

// Unwraps a core result or throws the Refusal that it stands for.
template <class T>
T expect(core::Result<T> result) {
    if (!result.ok()) throw Refusal(result.error());
    return std::move(result).value();
}

namespace detail {

// What survives the catch block: plain bytes, no destructor.
struct Failure {
    ErrorData* pg = nullptr;
    int sqlstate = 0;
    char message[1024];
    char detail[1024];
    char hint[1024];
};

void record(Failure& failure, const PgError& error) noexcept;
void record(Failure& failure, const core::Error& error) noexcept;
void record(Failure& failure, int sqlstate, const char* message) noexcept;
[[noreturn]] void raise(const Failure& failure);
[[noreturn]] void throw_pg_error(ErrorData* data);

// PG_TRY() puts PostgreSQL's stacks back on its own two ways out. An exception that passes it is a third one: without
// this the next ereport would jump into a frame that is gone.
class Stacks {
public:
    Stacks() noexcept : exception_(PG_exception_stack), context_(error_context_stack) {}
    ~Stacks() {
        PG_exception_stack = exception_;
        error_context_stack = context_;
    }
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;

private:
    sigjmp_buf* exception_;
    ErrorContextCallback* context_;
};

// Runs body and says whether it failed; in a function of its own, so that no C++ frame is left when raise() jumps.
template <class F, class R>
bool run(F& body, R* result, Failure& failure) noexcept {
    try {
        if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
            body();
        } else {
            *result = body();
        }
        return true;
    } catch (const PgError& error) {
        record(failure, error);
    } catch (const Refusal& error) {
        record(failure, error.error());
    } catch (const std::bad_alloc&) {
        record(failure, ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        record(failure, ERRCODE_INTERNAL_ERROR, error.what());
    } catch (...) {
        record(failure, ERRCODE_INTERNAL_ERROR, "unknown C++ exception");
    }
    return false;
}

}  // namespace detail

// The door from PostgreSQL into C++. `body` returns a trivially copyable value (a Datum, mostly) or nothing.
template <class F>
auto entry(F body) {
    using R = std::invoke_result_t<F&>;
    static_assert(std::is_void_v<R> || std::is_trivially_copyable_v<R>, "what passes the door has no destructor");
    detail::Failure failure;
    if constexpr (std::is_void_v<R>) {
        int unused = 0;
        if (!detail::run(body, &unused, failure)) detail::raise(failure);
    } else {
        R result{};
        if (!detail::run(body, &result, failure)) detail::raise(failure);
        return result;
    }
}

// The door from C++ into PostgreSQL. `body` returns a trivially copyable value or nothing and creates no object
// with a destructor. Throws PgError; CurrentMemoryContext is as before.
template <class F>
auto call(F&& body) {
    using R = std::invoke_result_t<F&>;
    static_assert(std::is_void_v<R> || std::is_trivially_copyable_v<R>, "what passes the door has no destructor");
    MemoryContext const context = CurrentMemoryContext;
    detail::Stacks const stacks;
    ErrorData* volatile failure = nullptr;
    if constexpr (std::is_void_v<R>) {
        PG_TRY();
        body();
        PG_CATCH();
        {
            MemoryContextSwitchTo(context);
            failure = CopyErrorData();
            FlushErrorState();
        }
        PG_END_TRY();
        if (failure != nullptr) detail::throw_pg_error(failure);
    } else {
        std::aligned_storage_t<sizeof(R), alignof(R)> storage;
        PG_TRY();
        new (&storage) R(body());
        PG_CATCH();
        {
            MemoryContextSwitchTo(context);
            failure = CopyErrorData();
            FlushErrorState();
        }
        PG_END_TRY();
        if (failure != nullptr) detail::throw_pg_error(failure);
        return *std::launder(reinterpret_cast<R*>(&storage));
    }
}

}  // namespace mailer::pg
