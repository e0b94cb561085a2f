// What a received mail means by itself, matched to nothing: the value that read_feedback() returns.
//
// Pure and bounded: any octets give a result, nothing is looked up, and nothing is stored. Which message it is about,
// and what becomes of that, is decided elsewhere (doc/feedback.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/feedback/fault.hpp"

namespace mailer::core::feedback {

enum class Kind { bounce, delay, delivered, complaint, reply, auto_reply, unsubscribe };

struct Item {
    Kind kind = Kind::bounce;
    std::string address;           // whom it is about: the failed recipient, or who answered; empty: not said
    std::string original_address;  // the address that was mailed, where the report names it (RFC 3464 2.3.1)
    bool is_hard = false;
    Cause cause = Cause::unknown;          // of a bounce or delay
    int code = 0;                          // SMTP; 0: not said
    std::string enhanced;                  // RFC 3463; empty: not said
    std::string words;                     // for people: one line
    bool is_guess = false;                 // the words of a person, such as "please remove me", not a machine's
    bool has_left = false;                 // an automatic answer: nobody works there any more
    bool is_about_authentication = false;  // a report of a receiver's check (RFC 6591), not of a person
};

struct Feedback {
    std::vector<Item> items;

    // What ties it to a message, from the strongest on.
    std::string envelope_id;                // Original-Envelope-Id
    std::vector<std::string> addressed_to;  // whom this mail was delivered to: may hold a return path's token
    std::string returned_id;                // Message-ID in a returned part
    std::vector<std::string> thread_ids;    // In-Reply-To and References
    std::vector<std::string> text_ids;      // what looks like a Message-ID in the text; those named so come first
    std::size_t named_text_ids = 0;         // how many of text_ids follow "Message-ID:"
    std::string from;                       // who wrote it
    std::string report_id;                  // its own Message-ID, or a hash of what it says: the same for the same mail
    std::string subject;
    std::string own_text;       // of an answer: what its author wrote, without what is quoted
    bool is_automatic = false;  // a receipt, a calendar's answer, a challenge, a list: nobody's answer
};

inline constexpr std::size_t max_items = 1000;
inline constexpr std::size_t max_words = 1000;
inline constexpr std::size_t max_own_text = 16 * 1024;
inline constexpr std::size_t max_ids = 64;

Feedback read_feedback(std::string_view raw);

// The first Message-ID of it that can be shown: of the returned part, of the thread, named in the text.
std::string original_message_id(const Feedback& feedback);

std::string_view to_text(Kind kind);

}  // namespace mailer::core::feedback
