// A Value from a stream of tokens.
//
// The stream is jsonb's own and therefore well-formed, but depth is the user's choice: it is checked when an array or
// object begins, so that a hostile one isn't even built. Misuse by the caller's code is an Error too (XX000), never
// a crash.
#include "core/mail/value.hpp"

#include "core/bounds.hpp"

namespace mailer::core {

namespace {

Error too_deep() {
    return {.sqlstate = "54000",
            .message = "variables are nested too deeply",
            .detail = "Arrays and objects may be nested " + std::to_string(Value::max_depth) + " levels deep."};
}

}  // namespace

void ValueBuilder::fail(Error error) {
    if (!error_) error_ = std::move(error);
}

// What is stored compactly may be large as text: a number such as 1e131071 has 131,072 digits.
bool ValueBuilder::has_room_for(std::size_t octets) {
    constexpr std::size_t overhead = 8;  // of every value and key
    octets_ += octets + overhead;
    if (octets_ <= most_variables) return true;
    fail({.sqlstate = "54000",
          .message = "variables are too large",
          .detail = "They may have " + std::to_string(most_variables) + " octets in all."});
    return false;
}

void ValueBuilder::key(std::string_view name) {
    if (error_ || !has_room_for(name.size())) return;
    if (open_.empty() || open_.back().container.kind() != Value::Kind::object || open_.back().has_key) {
        return fail({.sqlstate = "XX000", .message = "key outside of an object"});
    }
    open_.back().key = name;
    open_.back().has_key = true;
}

void ValueBuilder::begin(Value container) {
    if (error_) return;
    if (!has_room_for(0)) return;
    // Checked on the way in: a hostile depth must not even be built.
    if (open_.size() >= Value::max_depth) return fail(too_deep());
    open_.push_back(Open{.container = std::move(container)});
}

void ValueBuilder::end() {
    if (error_) return;
    if (open_.empty() || open_.back().has_key) {
        return fail({.sqlstate = "XX000", .message = "end without a beginning or after a key"});
    }
    Value done = std::move(open_.back().container);
    open_.pop_back();
    put(std::move(done));
}

void ValueBuilder::put(Value value) {
    if (error_) return;
    if (open_.empty()) {
        if (has_root_) return fail({.sqlstate = "XX000", .message = "more than one value at the top"});
        root_ = std::move(value);
        has_root_ = true;
        return;
    }
    Open& parent = open_.back();
    const bool is_object = parent.container.kind() == Value::Kind::object;
    if (is_object != parent.has_key) return fail({.sqlstate = "XX000", .message = "member of an object without a key"});
    const bool fits =
        is_object ? parent.container.set(parent.key, std::move(value)) : parent.container.append(std::move(value));
    parent.has_key = false;
    if (!fits) fail(too_deep());
}

Result<Value> ValueBuilder::finish() && {
    if (!error_ && (!has_root_ || !open_.empty())) fail({.sqlstate = "XX000", .message = "value is not complete"});
    if (error_) return std::move(*error_);
    return std::move(root_);
}

}  // namespace mailer::core
