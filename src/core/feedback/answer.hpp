// Mails that answer: a person's reply, an automatic answer, a request to unsubscribe; and what only looks like one.
#pragma once

#include "core/feedback/feedback.hpp"
#include "core/feedback/message_reader.hpp"

namespace mailer::core::feedback {

// A read receipt (RFC 8098), a calendar's answer (RFC 5546), a TLS or DMARC report, a challenge: nothing follows of it.
bool is_mere_notice(const Mail& mail);

bool is_automatic_answer(const Mail& mail);
bool has_left(std::string_view human);

// A mail to a List-Unsubscribe address: its subject says so, and there is hardly a text.
bool is_unsubscribe_request(const Mail& mail, std::string_view human);

// The text that somebody wrote himself: without what he quotes, and his signature.
std::string own_words(std::string_view human);
bool is_opt_out(std::string_view own);

}  // namespace mailer::core::feedback
