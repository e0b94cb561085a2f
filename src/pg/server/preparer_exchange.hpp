// What a sender asks a preparer, what it hears, and how both go through a slot's buffer in parts.
//
// Both ends are this library; what a user's function returned travels as jsonb's own octets, which only the server can
// have made.
#pragma once

#include "pg/server/preparer_slots.hpp"

namespace mailer::pg {

struct Question {
    std::int64_t message_id = 0;
    Oid role = InvalidOid;      // whose functions they are
    std::int64_t limit_us = 0;  // for each of them
    std::string condition;      // send_if, loader: qualified names; empty: none
    std::string loader;
    std::string variables;  // jsonb text
};

struct Reply {
    enum class Kind : std::int32_t {
        go,        // the condition, if any, said yes; `octets` is the loader's jsonb, or nothing without a loader
        no,        // the condition said no
        fault,     // `octets` says what is wrong, for people
        overtime,  // a function was cancelled at its limit; `octets` is which
    };
    Kind kind = Kind::fault;
    std::string octets;
    std::int64_t took_us = 0;  // the functions and what was left to clean up
};

std::string packed(const Question& question);
Question unpacked_question(std::string_view octets);
std::string packed(const Reply& reply);
Reply unpacked_reply(std::string_view octets);

// One value on its way through the exchange.
class Outgoing {
public:
    explicit Outgoing(std::string octets = {}) : octets_(std::move(octets)) {}
    // Puts the next part into the buffer, which is the caller's. True: it was the last one.
    bool put_part(PreparerSlot* slot) noexcept;

private:
    std::string octets_;
    std::size_t sent_ = 0;
};

class Incoming {
public:
    // Takes the part that is in the buffer. True: the value is complete.
    bool take_part(const PreparerSlot* slot);
    std::string take() { return std::exchange(octets_, {}); }

private:
    std::string octets_;
};

}  // namespace mailer::pg
