// Short ways to write a Value in a test: object({{"name", "Ada"}, {"items", list({1, 2})}}).
//
// For tests alone: what is too deep ends the test program.
#pragma once

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <utility>

#include "core/mail/value.hpp"

namespace mailer::core::test {

// Anything that a test may write where a Value is meant.
struct Literal {
    Value value;

    Literal(Value v) : value(std::move(v)) {}
    Literal(std::nullptr_t) {}
    Literal(bool b) : value(Value::boolean(b)) {}
    Literal(int n) : value(Value::number(std::int64_t{n})) {}
    Literal(const char* s) : value(Value::string(s)) {}
    Literal(std::string s) : value(Value::string(std::move(s))) {}
};

inline Value number(const char* text) { return Value::number(std::string(text)); }

inline Value list(std::initializer_list<Literal> items) {
    Value v = Value::array();
    for (const Literal& item : items) {
        if (!v.append(item.value)) std::abort();
    }
    return v;
}

inline Value object(std::initializer_list<std::pair<const char*, Literal>> members) {
    Value v = Value::object();
    for (const auto& [key, member] : members) {
        if (!v.set(key, member.value)) std::abort();
    }
    return v;
}

}  // namespace mailer::core::test
