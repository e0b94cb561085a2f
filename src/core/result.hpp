// What a core function gives back when it can fail: a value, or an error that a user can act on.
//
// The rooms without PostgreSQL throw nothing of their own and know no ereport. They return Result, and
// src/pg turns an Error into an ereport (SQL functions) or into a verdict about one message (the worker).
// std::bad_alloc is the one exception that may still pass through here; the guard in src/pg catches it.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace mailer::core {

// The fields follow PostgreSQL's error message style: `message` is lower-case without a full stop,
// `detail` and `hint` are whole sentences. `sqlstate` is five characters, "22023" when nothing fits better.
struct Error {
    std::string sqlstate = "22023";
    std::string message;
    std::string detail = {};
    std::string hint = {};

    // In one line, for a ledger or a log.
    std::string text() const { return detail.empty() ? message : message + ": " + detail; }
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    // Require ok().
    T& value() & {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        assert(ok());
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Requires !ok().
    const Error& error() const {
        assert(!ok());
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, Error> state_;
};

// A Result without a value: empty when all went well.
using Status = std::optional<Error>;

}  // namespace mailer::core
