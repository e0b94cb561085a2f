// How a Value keeps its promises: bounded depth, unique keys in jsonb's order, JSON as jsonb prints it.
//
// Recursion in this file (printing here, copying, comparing and destroying in the compiler's functions) relies on
// invariant 1; append() and set() are the only doors through which depth grows.
#include "core/mail/value.hpp"

#include <algorithm>
#include <cassert>

namespace mailer::core {

namespace {

// jsonb's order of keys. Most lookups that fail are decided by the length alone.
bool is_before(std::string_view a, std::string_view b) noexcept {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
}

auto position_of(auto& members, std::string_view key) noexcept {
    return std::lower_bound(members.begin(), members.end(), key,
                            [](const Value::Member& m, std::string_view k) { return is_before(m.key, k); });
}

// As PostgreSQL's escape_json: short escapes, \u00XX for other control characters, all else as it is.
void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\b':
                out += "\\b";
                break;
            case '\f':
                out += "\\f";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20) {
                    constexpr char digits[] = "0123456789abcdef";
                    out += "\\u00";
                    out += digits[c >> 4];
                    out += digits[c & 15];
                } else {
                    out += c;
                }
        }
    }
    out += '"';
}

// Zero in whatever way it is written: 0, -0, 0.00, 0e5.
bool is_zero(std::string_view number) noexcept {
    const auto mantissa = number.substr(0, number.find_first_of("eE"));
    return mantissa.find_first_of("123456789") == std::string_view::npos;
}

}  // namespace

// Here and not in the header: inlined everywhere they are much code, and a source of false warnings in gcc 12.
Value::Value() noexcept = default;
Value::Value(const Value&) = default;
Value::Value(Value&&) noexcept = default;
Value& Value::operator=(const Value&) = default;
Value& Value::operator=(Value&&) noexcept = default;
Value::~Value() = default;

Value Value::boolean(bool b) {
    Value v;
    v.state_.emplace<bool>(b);
    return v;
}

Value Value::number(std::string text) {
    Value v;
    const bool is_nothing = is_zero(text);
    v.state_.emplace<Number>(Number{std::move(text), is_nothing});
    return v;
}

Value Value::number(std::int64_t n) { return number(std::to_string(n)); }

Value Value::string(std::string s) {
    Value v;
    v.state_.emplace<std::string>(std::move(s));
    return v;
}

Value Value::array() {
    Value v;
    v.state_.emplace<Array>();
    return v;
}

Value Value::object() {
    Value v;
    v.state_.emplace<Object>();
    return v;
}

std::size_t Value::depth() const noexcept {
    if (const auto* a = std::get_if<Array>(&state_)) return a->depth;
    if (const auto* o = std::get_if<Object>(&state_)) return o->depth;
    return 0;
}

bool Value::is_truthy() const noexcept {
    switch (kind()) {
        case Kind::null:
            return false;
        case Kind::boolean:
            return *std::get_if<bool>(&state_);
        case Kind::number:
            return !std::get_if<Number>(&state_)->is_zero;
        case Kind::string:
            return !scalar_text().empty();
        case Kind::array:
            return !items().empty();
        case Kind::object:
            return true;
    }
    return false;
}

std::string_view Value::scalar_text() const noexcept {
    if (const auto* s = std::get_if<std::string>(&state_)) return *s;
    if (const auto* n = std::get_if<Number>(&state_)) return n->text;
    return {};
}

void Value::append_text(std::string& out) const {
    if (kind() == Kind::string) {
        out += scalar_text();
    } else if (kind() != Kind::null) {
        append_json(out);
    }
}

void Value::append_json(std::string& out) const {
    switch (kind()) {
        case Kind::null:
            out += "null";
            break;
        case Kind::boolean:
            out += *std::get_if<bool>(&state_) ? "true" : "false";
            break;
        case Kind::number:
            out += scalar_text();
            break;
        case Kind::string:
            append_quoted(out, scalar_text());
            break;
        case Kind::array: {
            std::string_view separator = "[";
            for (const Value& item : items()) {
                out += separator;
                item.append_json(out);
                separator = ", ";
            }
            out += items().empty() ? "[]" : "]";
            break;
        }
        case Kind::object: {
            std::string_view separator = "{";
            for (const Member& member : members()) {
                out += separator;
                append_quoted(out, member.key);
                out += ": ";
                member.value.append_json(out);
                separator = ", ";
            }
            out += members().empty() ? "{}" : "}";
            break;
        }
    }
}

const std::vector<Value>& Value::items() const noexcept {
    static const std::vector<Value> none;
    const auto* a = std::get_if<Array>(&state_);
    return a ? a->items : none;
}

const std::vector<Value::Member>& Value::members() const noexcept {
    static const std::vector<Member> none;
    const auto* o = std::get_if<Object>(&state_);
    return o ? o->members : none;
}

const Value* Value::find(std::string_view key) const noexcept {
    const auto& all = members();
    const auto at = position_of(all, key);
    return at != all.end() && at->key == key ? &at->value : nullptr;
}

bool Value::append(Value item) {
    auto* a = std::get_if<Array>(&state_);
    assert(a);
    const auto depth = static_cast<std::uint32_t>(item.depth() + 1);
    if (!a || depth > max_depth) return false;
    a->items.push_back(std::move(item));
    a->depth = std::max(a->depth, depth);
    return true;
}

bool Value::set(std::string_view key, Value item) {
    auto* o = std::get_if<Object>(&state_);
    assert(o);
    const auto depth = static_cast<std::uint32_t>(item.depth() + 1);
    if (!o || depth > max_depth) return false;
    const bool is_last = o->members.empty() || is_before(o->members.back().key, key);
    const auto at = is_last ? o->members.end() : position_of(o->members, key);
    if (at != o->members.end() && at->key == key) {
        at->value = std::move(item);
    } else {
        o->members.insert(at, Member{std::string(key), std::move(item)});
    }
    o->depth = std::max(o->depth, depth);  // after a replacement an upper bound, which is all that is needed
    return true;
}

bool operator==(const Value& a, const Value& b) {
    return a.state_.index() == b.state_.index() && a.scalar_text() == b.scalar_text() && a.items() == b.items() &&
           a.members() == b.members() && (a.kind() != Value::Kind::boolean || a.is_truthy() == b.is_truthy());
}

}  // namespace mailer::core
