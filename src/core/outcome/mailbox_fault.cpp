// See mailbox_fault.hpp.
#include "core/outcome/mailbox_fault.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "core/octets.hpp"

namespace mailer::core {

namespace {

struct CodeRule {
    std::string_view enhanced;
    MailboxFault fault;
};

constexpr auto codes = std::to_array<CodeRule>({
    {"5.4.5", MailboxFault::busy},      // 550 5.4.5 Daily user sending quota exceeded (Google)
    {"4.4.5", MailboxFault::busy},      // 452 4.4.5 Insufficient disk space; try again later (Exchange)
    {"5.7.232", MailboxFault::busy},    // 550 5.7.232 … your trial tenant has exceeded its daily limit (Microsoft)
    {"5.7.233", MailboxFault::busy},    // 550 5.7.233 … your tenant has exceeded its daily limit (Microsoft)
    {"5.7.60", MailboxFault::sender},   // 550 5.7.60 SMTP; Client does not have permissions to send as this sender
    {"5.2.252", MailboxFault::sender},  // 554 5.2.252 SendAsDenied (Microsoft)
    {"5.1.7", MailboxFault::sender},    // RFC 3463: bad sender's mailbox address syntax
    {"5.1.8", MailboxFault::sender},    // 550 5.1.8 Access denied, bad outbound sender (Microsoft)
    {"4.1.8", MailboxFault::sender},    // 450 4.1.8 <x>: Sender address rejected: Domain not found (Postfix)
    {"5.7.501", MailboxFault::sender},  // 550 5.7.501 Access denied, spam abuse detected (Microsoft)
    {"5.7.502", MailboxFault::sender},  // 550 5.7.502 Access denied, banned sender
    {"5.7.503", MailboxFault::sender},  // 550 5.7.503 Access denied, banned sender
    {"5.7.705", MailboxFault::sender},  // 550 5.7.705 Access denied, tenant has exceeded threshold
    {"5.7.708", MailboxFault::sender},  // 550 5.7.708 Access denied, traffic not accepted from this IP
    {"5.7.57", MailboxFault::login},    // 530 5.7.57 Client not authenticated to send mail (Microsoft)
    {"5.7.30", MailboxFault::login},    // 550 5.7.30 Basic authentication is not supported for Client Submission
    {"5.7.139", MailboxFault::login},   // 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled
});

struct WordRule {
    std::string_view words;  // lower case
    MailboxFault fault;
};

constexpr auto words = std::to_array<WordRule>({
    {"relay access denied", MailboxFault::sender},      // 554 5.7.1 <ada@x>: Relay access denied (Postfix)
    {"relaying denied", MailboxFault::sender},          // 550 5.7.1 ada@x... Relaying denied (Sendmail)
    {"relay denied", MailboxFault::sender},             //
    {"relay not permitted", MailboxFault::sender},      // 550 relay not permitted (Exim)
    {"relaying not allowed", MailboxFault::sender},     //
    {"relaying is not allowed", MailboxFault::sender},  //
    {"not permitted to relay", MailboxFault::sender},   //
    {"unable to relay", MailboxFault::sender},          // 550 5.7.1 Unable to relay (Exchange)
    {"helo command rejected",
     MailboxFault::sender},  // 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
    {"sender address rejected",
     MailboxFault::sender},                      // 553 5.7.1 <a@x>: Sender address rejected: not owned by user ada
    {"sender address [", MailboxFault::sender},  // 554 5.7.1 Service unavailable; Sender address [a@x] blocked using …
    {"client host",
     MailboxFault::sender},  // 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org
    {"sender verify failed", MailboxFault::sender},    // 550 Sender verify failed (Exim)
    {"is not verified", MailboxFault::sender},         // 554 Message rejected: Email address is not verified. (SES)
    {"send as this sender", MailboxFault::sender},     // 550 5.7.60 …
    {"sendasdenied", MailboxFault::sender},            // 554 5.2.252 SendAsDenied; …
    {"not authorized to send", MailboxFault::sender},  // 554 … is not authorized to send from … (SES and others)
    {"not allowed to send", MailboxFault::sender},     // 550 … is not allowed to send from …
    {"not permitted to send", MailboxFault::sender},   //
    {"sending paused", MailboxFault::sender},          // 454 … Sending paused for this account (SES)
    {"authentication required", MailboxFault::login},  // 550 5.7.1 Authentication required
    {"must authenticate", MailboxFault::login},        // 550 5.7.1 You must authenticate first
    {"rate limit", MailboxFault::busy},                // 451 4.7.1 Rate limit exceeded
    {"ratelimit", MailboxFault::busy},                 // 450 4.7.1 Ratelimited
    {"sending rate", MailboxFault::busy},              // 454 Throttling failure: Maximum sending rate exceeded. (SES)
    {"throttl", MailboxFault::busy},                   // 451 4.7.500 Server busy; throttled (Microsoft)
    {"sending quota", MailboxFault::busy},             // 550 5.4.5 Daily user sending quota exceeded (Google)
    {"sending limit", MailboxFault::busy},             // 550 5.4.5 Daily sending limit exceeded
    {"message quota", MailboxFault::busy},             // 454 Throttling failure: Daily message quota exceeded. (SES)
    {"submissionquotaexceeded",
     MailboxFault::busy},                  // 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException
    {"daily limit", MailboxFault::busy},   //
    {"hourly limit", MailboxFault::busy},  //
    {"daily quota", MailboxFault::busy},   //
    {"hourly quota", MailboxFault::busy},  //
    {"too many messages", MailboxFault::busy},         // 421 4.7.0 Too many messages
    {"too many emails", MailboxFault::busy},           //
    {"too many connections", MailboxFault::busy},      // 421 4.7.0 too many connections from 192.0.2.1
    {"concurrent connections", MailboxFault::busy},    // 432 4.3.2 Concurrent connections limit exceeded (Microsoft)
    {"too much mail", MailboxFault::busy},             // 450 4.7.1 Error: too much mail from 192.0.2.1 (Postfix)
    {"too many recipients from", MailboxFault::busy},  // 450 4.7.1 Error: too many recipients from 192.0.2.1 (Postfix)
});

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// RFC 5321 4.1.2: between quotes stand blanks, "@", and behind a backslash quotes.
void drop_quoted_local_parts(std::string& text) {
    for (std::size_t from = text.find('"'); from != std::string::npos; from = text.find('"', from + 1)) {
        std::size_t end = from + 1;
        while (end < text.size() && text[end] != '"')
            end += text[end] == '\\' ? 2 : 1;
        if (end + 1 < text.size() && text[end + 1] == '@') text.erase(from, end + 1 - from);
    }
}

// The server's own words, in lower case, without the addresses in them: the client that queued the mail chose those.
std::string words_of(const Reply& reply) {
    constexpr std::string_view blanks = " \t\r\n";
    std::string text = lowered(reply.text);
    drop_quoted_local_parts(text);
    for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at)) {
        std::size_t from = at;
        while (from > 0 && blanks.find(text[from - 1]) == std::string_view::npos)
            --from;
        std::size_t end = text.find_first_of(blanks, at);
        if (end == std::string::npos) end = text.size();
        text.erase(from, end - from).insert(from, 1, '@');
        at = from + 1;
    }
    return text;
}

// RFC 3463 3.2, 3.3: the recipient's address and mailbox. Their words may well speak of a quota, or of a rate.
bool is_about_the_recipient(std::string_view enhanced) {
    constexpr std::array<std::string_view, 7> of_address{".1.0", ".1.1", ".1.2", ".1.3", ".1.4", ".1.6", ".1.10"};
    if (enhanced.size() < 4) return false;
    const std::string_view detail = enhanced.substr(1);
    return detail == ".2.1" || detail == ".2.2" ||
           std::find(of_address.begin(), of_address.end(), detail) != of_address.end();
}

}  // namespace

std::optional<MailboxFault> mailbox_fault_of(const Reply& reply) {
    if (!reply.is_temporary() && !reply.is_permanent()) return std::nullopt;
    // RFC 4954: the server wants a login, or one that is better than ours.
    if (reply.code == 530 || reply.code == 534 || reply.code == 535 || reply.code == 538) return MailboxFault::login;
    // The session ends (RFC 5321 3.8); "transition needed" and "temporary authentication failure", which providers use
    // for throttling, wherever they come.
    if (reply.code == 421 || reply.code == 432 || reply.code == 454) return MailboxFault::busy;
    for (const CodeRule& rule : codes)
        if (reply.enhanced == rule.enhanced) return rule.fault;
    if (is_about_the_recipient(reply.enhanced)) return std::nullopt;
    const std::string text = words_of(reply);
    for (const WordRule& rule : words)
        if (has(text, rule.words)) return rule.fault;
    // A quota that isn't said to be the recipient's, of a reply that passes.
    if (reply.is_temporary() && has(text, "quota")) return MailboxFault::busy;
    return std::nullopt;
}

bool is_envelope_full(const Reply& reply) {
    if (!reply.is_temporary() && !reply.is_permanent()) return false;
    if (reply.enhanced.size() == 5 && reply.enhanced.ends_with(".5.3")) return true;
    if (reply.code == 452 && reply.enhanced.empty()) return true;
    const std::string text = words_of(reply);
    return has(text, "recipient count exceeds") ||  // 554 Transaction failed: Recipient count exceeds 50 (SES)
           (has(text, "too many recipients") && !has(text, "too many recipients from"));
}

bool is_about_connections(const Reply& reply) {
    if (reply.code == 421 || reply.code == 432) return true;
    if (!reply.is_temporary() && !reply.is_permanent()) return false;
    const std::string text = words_of(reply);
    return has(text, "too many connections") || has(text, "concurrent connections") || has(text, "too many concurrent");
}

bool is_of_one_recipient(const Reply& reply) {
    const std::string text = words_of(reply);
    return is_about_the_recipient(reply.enhanced) || has(text, "greylist") || has(text, "graylist") ||
           has(text, "grey-list") || has(text, "gray-list");
}

}  // namespace mailer::core
