// A JSON-like value: the variables that a template is rendered with.
//
// src/pg feeds jsonb's tokens into a ValueBuilder, tests build values by hand, the renderer only reads. Members
// of an object are kept in jsonb's own order (shorter keys first, then bytewise), so tokens that come out of
// jsonb are appended without a search, lookups are a binary search, and text() of an object equals jsonb's.
//
// Invariant 1: no value is deeper than max_depth. Whatever would make one is refused, so that copying, comparing,
//              printing and destroying may recurse without ever reaching the end of the stack.
// Invariant 2: the keys of an object are unique; setting one again replaces its value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.hpp"

namespace mailer::core {

class Value {
public:
    enum class Kind : std::uint8_t { null, boolean, number, string, array, object };
    struct Member;

    // Levels of arrays and objects; a scalar has depth 0, an empty array depth 1.
    static constexpr std::size_t max_depth = 512;

    Value() noexcept;  // null
    Value(const Value&);
    Value(Value&&) noexcept;
    Value& operator=(const Value&);
    Value& operator=(Value&&) noexcept;
    ~Value();
    static Value boolean(bool b);
    // Requires the canonical text of a JSON number, as numeric_out writes it; equality compares that text.
    static Value number(std::string text);
    static Value number(std::int64_t n);
    static Value string(std::string s);
    static Value array();
    static Value object();

    Kind kind() const noexcept { return static_cast<Kind>(state_.index()); }
    bool is_null() const noexcept { return kind() == Kind::null; }
    std::size_t depth() const noexcept;

    // False for null, false, zero, the empty string and the empty array: Mustache's `!!data`, as JavaScript has it.
    bool is_truthy() const noexcept;

    // The text of a string or number without copying; empty for all other kinds.
    std::string_view scalar_text() const noexcept;
    // Appends what jsonb's ->> gives: a string unquoted, null as nothing, arrays and objects as JSON.
    void append_text(std::string& out) const;
    void append_json(std::string& out) const;

    // Empty for all other kinds.
    const std::vector<Value>& items() const noexcept;
    const std::vector<Member>& members() const noexcept;
    // The member's value, or nullptr when there is none or this is no object. Owned by this value.
    const Value* find(std::string_view key) const noexcept;

    // Require an array or an object. False, and nothing changes, when the result would be deeper than max_depth.
    [[nodiscard]] bool append(Value item);
    [[nodiscard]] bool set(std::string_view key, Value item);

    friend bool operator==(const Value& a, const Value& b);

private:
    struct Number {
        std::string text;
        bool is_zero;  // found out once: a template may ask for it at every turn of a loop
        bool operator==(const Number&) const = default;
    };
    struct Array {
        std::vector<Value> items;
        std::uint32_t depth = 1;
    };
    struct Object {
        std::vector<Member> members;
        std::uint32_t depth = 1;
    };
    // The alternatives are in the order of Kind.
    std::variant<std::monostate, bool, Number, std::string, Array, Object> state_;
};

struct Value::Member {
    std::string key;
    Value value;
    bool operator==(const Member&) const = default;
};

// Builds one Value from a stream of tokens, in the manner of jsonb's iterator. The first thing that is wrong
// (too deep, too large, a value without a key, an end without a begin) is remembered and comes out of finish();
// everything after it is ignored.
class ValueBuilder {
public:
    void null() {
        if (has_room_for(0)) put(Value());
    }
    void boolean(bool b) {
        if (has_room_for(0)) put(Value::boolean(b));
    }
    void number(std::string_view text) {
        if (has_room_for(text.size())) put(Value::number(std::string(text)));
    }
    void string(std::string_view text) {
        if (has_room_for(text.size())) put(Value::string(std::string(text)));
    }
    void begin_array() { begin(Value::array()); }
    void begin_object() { begin(Value::object()); }
    void key(std::string_view name);  // of the value that comes next
    void end();                       // of the innermost array or object

    Result<Value> finish() &&;

private:
    struct Open {
        Value container;
        std::string key = {};
        bool has_key = false;
    };
    void begin(Value container);
    void put(Value value);
    void fail(Error error);

    bool has_room_for(std::size_t octets);

    std::vector<Open> open_;
    std::size_t octets_ = 0;
    Value root_;
    bool has_root_ = false;
    Status error_;
};

}  // namespace mailer::core
