// Delivery status notifications (RFC 3464): the groups of fields of a report, one for each recipient.
#pragma once

#include "core/feedback/bounce_text.hpp"
#include "core/feedback/feedback.hpp"
#include "core/feedback/message_reader.hpp"

namespace mailer::core::feedback {

struct StatusReport {
    std::vector<Item> items;
    std::string envelope_id;
    bool is_report = false;  // there was one, even if it names nobody
};

// What the mail says to people, for groups that give no reason: all of it, and of each address.
struct Explanation {
    std::string_view text;
    std::vector<Block> blocks;
};

// `text` is a message/delivery-status.
void read_delivery_status(std::string_view text, const Explanation& human, StatusReport& report);

// The same fields in the middle of a text that isn't a report by its MIME type.
void find_delivery_status(std::string_view text, StatusReport& report);

}  // namespace mailer::core::feedback
