// Bounces that are no delivery status notification: what mail servers wrote before RFC 3464, and still do.
//
// A mail is one only if a machine sent it, by its sender or subject, and its own text says, outside everything that
// it quotes, that something could not be delivered. The signs are data: bounce_rules.hpp.
#pragma once

#include "core/feedback/feedback.hpp"
#include "core/feedback/message_reader.hpp"

namespace mailer::core::feedback {

// What the mail's header says of its sender.
struct Sender {
    bool is_machine = false;         // mailer-daemon, postmaster, the null return path
    bool is_bounce_subject = false;  // "Undelivered Mail Returned to Sender"
    bool is_delay_subject = false;   // "Warning: message delayed"
    bool names_failed = false;       // X-Failed-Recipients
};

Sender read_sender(const Mail& mail);

// What a text says about an address: the rest of the line that begins with it, and the lines up to the next address.
struct Block {
    std::string address;
    std::string words;
};

std::vector<Block> find_blocks(std::string_view text);

// The text before the copy of the original; `quoted` gets the rest.
std::string_view before_copy(std::string_view text, std::string_view& quoted);

// Empty when it isn't a bounce.
std::vector<Item> read_bounce_text(const Mail& mail, const Sender& sender, std::string_view human);

// Whether the text says that it will be tried again: nothing has failed yet.
bool is_delay_notice(const Sender& sender, std::string_view human);

}  // namespace mailer::core::feedback
