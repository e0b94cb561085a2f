// From the parts of a mail to what it means: the standards first (RFC 3464, 5965), then the tables of signs.
#include <algorithm>
#include <cstdint>

#include "core/feedback/answer.hpp"
#include "core/feedback/bounce_text.hpp"
#include "core/feedback/delivery_status.hpp"
#include "core/feedback/feedback.hpp"
#include "core/feedback/message_reader.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

void add_complaint(Feedback& feedback, std::string address, std::string_view words, bool is_about_authentication) {
    const bool is_known = std::any_of(feedback.items.begin(), feedback.items.end(),
                                      [&](const Item& i) { return equals_ignoring_case(i.address, address); });
    if (is_known || feedback.items.size() >= max_items) return;
    Item item;
    item.kind = Kind::complaint;
    item.address = readable(address, 320);
    item.words = readable(words, max_words);
    item.is_about_authentication = is_about_authentication;
    feedback.items.push_back(std::move(item));
}

// RFC 5965. A report that something isn't spam complains of nothing.
void read_abuse_report(const Mail& mail, const Part& part, Feedback& feedback) {
    std::string_view rest = part.text;
    const Fields report = take_fields(rest);
    const std::string type = lowered(report.value("feedback-type"));
    if (type == "not-spam" || type == "opt-out-list") return;
    const bool is_about_authentication = type == "auth-failure" || type == "dmarc";
    feedback.envelope_id = readable(report.value("original-envelope-id"), 200);
    const std::string words = type.empty() ? std::string{"complaint"} : type;
    for (const Field& field : report.all()) {
        if (field.name != "original-rcpt-to" && field.name != "removal-recipient") continue;
        if (std::string address = first_address(field.value); !address.empty())
            add_complaint(feedback, std::move(address), words, is_about_authentication);
    }
    if (!feedback.items.empty()) return;
    const Fields* returned = mail.returned();
    add_complaint(feedback, returned ? first_address(returned->value("to")) : std::string{}, words,
                  is_about_authentication);
}

// Microsoft's junk mail reports: the mail itself, with a header that names who complained.
bool read_junk_report(const Mail& mail, Feedback& feedback) {
    const Fields* returned = mail.returned();
    if (!returned) return false;
    const std::string_view recipient = returned->value("x-hmxmroriginalrecipient");
    if (recipient.empty()) return false;
    add_complaint(feedback, first_address(recipient), "complaint", false);
    return true;
}

// Received lines differ between two copies of one mail; what it says doesn't.
std::string report_id_of(const Mail& mail, std::string_view human) {
    if (const auto own = message_ids(mail.fields.value("message-id"), 1); !own.empty()) return readable(own[0], 500);
    std::uint64_t hash = fingerprint_of(mail.fields.value("from"));
    for (const std::string_view text : {mail.fields.value("date"), mail.fields.value("subject"), human})
        hash = fingerprint_of(text, hash);
    return "#" + std::to_string(hash);
}

// "Message-ID: <7.0a1b@example.com>" in the middle of a text, then everything else in angle brackets.
void read_text_ids(std::string_view human, Feedback& feedback) {
    std::string_view rest = human;
    while (!rest.empty() && feedback.text_ids.size() < max_ids) {
        const std::string_view line = trimmed(take_line(rest));
        if (!starts_ignoring_case(line, "message-id:")) continue;
        const auto ids = message_ids(line, 1);
        const std::string_view bare = trimmed(line.substr(11));
        const bool is_bare = ids.empty() && bare.find('@') != bare.npos && bare.find(' ') == bare.npos;
        if (!ids.empty() || is_bare) feedback.text_ids.push_back(readable(ids.empty() ? bare : ids[0], 500));
    }
    feedback.named_text_ids = feedback.text_ids.size();
    for (std::string& id : message_ids(human, max_ids)) {
        if (feedback.text_ids.size() < 2 * max_ids) feedback.text_ids.push_back(readable(id, 500));
    }
}

void read_evidence(const Mail& mail, std::string_view human, Feedback& feedback) {
    feedback.from = readable(first_address(mail.fields.value("from")), 320);
    feedback.subject = readable(decoded_words(mail.fields.value("subject")), 500);
    feedback.report_id = report_id_of(mail, human);
    for (const char* name : {"in-reply-to", "references"}) {
        for (std::string& id : message_ids(mail.fields.value(name), max_ids))
            feedback.thread_ids.push_back(readable(id, 500));
    }
    for (const Field& field : mail.fields.all()) {
        const bool is_recipient = field.name == "to" || field.name == "delivered-to" || field.name == "x-original-to" ||
                                  field.name == "envelope-to" || field.name == "x-envelope-to" || field.name == "cc";
        if (!is_recipient || feedback.addressed_to.size() >= max_ids) continue;
        if (std::string address = first_address(field.value); !address.empty())
            feedback.addressed_to.push_back(readable(address, 320));
    }
    if (const Fields* returned = mail.returned()) {
        const std::string_view id = returned->value("message-id");
        const auto ids = message_ids(id, 1);
        feedback.returned_id = readable(ids.empty() ? trimmed(id) : ids[0], 500);
    }
    read_text_ids(human, feedback);
}

void read_answer(const Mail& mail, std::string_view human, Feedback& feedback) {
    Item item;
    item.address = feedback.from;
    item.words = feedback.subject;
    if (is_unsubscribe_request(mail, human)) {
        item.kind = Kind::unsubscribe;
    } else if (is_automatic_answer(mail)) {
        item.kind = Kind::auto_reply;
        item.has_left = has_left(human);
    } else if (!feedback.thread_ids.empty()) {
        const std::string own = own_words(human);
        feedback.own_text = readable_lines(own, max_own_text);
        item.kind = is_opt_out(own) ? Kind::unsubscribe : Kind::reply;
        item.is_guess = item.kind == Kind::unsubscribe;
    } else {
        return;
    }
    feedback.items.push_back(std::move(item));
}

// A gateway that wraps a whole bounce into a notice of its own, and says nothing itself.
std::string_view wrapped_bounce(const Mail& mail, const Sender& sender) {
    const Part* returned = mail.part("message/rfc822");
    if (!sender.is_machine || !sender.is_bounce_subject || !returned) return {};
    const std::string report = lowered(parameter(returned->returned.value("content-type"), "report-type"));
    return report == "delivery-status" ? returned->raw : std::string_view{};
}

Feedback read(std::string_view raw, bool is_wrapped) {
    const Mail mail = read_mail(raw);
    const std::string human = mail.human_text();
    Feedback feedback;
    read_evidence(mail, human, feedback);

    if (const Part* report = mail.part("message/feedback-report")) {
        read_abuse_report(mail, *report, feedback);
        return feedback;
    }
    if (read_junk_report(mail, feedback)) return feedback;

    StatusReport status;
    Explanation explanation{human, {}};
    for (const Part& part : mail.parts) {
        if (part.type != "message/delivery-status" && part.type != "message/global-delivery-status") continue;
        if (!status.is_report) {
            std::string_view quoted;
            explanation.blocks = find_blocks(before_copy(human, quoted));
        }
        read_delivery_status(part.text, explanation, status);
    }
    const Sender sender = read_sender(mail);
    if (status.items.empty() && (sender.is_machine || sender.is_bounce_subject)) {
        std::string_view quoted;
        find_delivery_status(before_copy(human, quoted), status);
    }
    if (!status.envelope_id.empty()) feedback.envelope_id = status.envelope_id;
    if (!status.items.empty()) {
        feedback.items = std::move(status.items);
        return feedback;
    }
    if (is_mere_notice(mail)) {
        feedback.is_automatic = true;
        return feedback;
    }
    if (const std::string_view bounce = wrapped_bounce(mail, sender); !bounce.empty() && !is_wrapped)
        return read(bounce, true);
    feedback.items = read_bounce_text(mail, sender, human);
    if (feedback.items.empty() && status.is_report) {
        Item item;
        item.kind = is_delay_notice(sender, human) ? Kind::delay : Kind::bounce;
        if (const Fields* returned = mail.returned())
            item.address = readable(first_address(returned->value("to")), 320);
        item.words = "delivery report without recipients";
        feedback.items.push_back(std::move(item));
    }
    if (feedback.items.empty()) read_answer(mail, human, feedback);
    // A machine's mail that isn't understood is nobody's answer, wherever it was sent to.
    if (feedback.items.empty() && sender.is_machine) feedback.is_automatic = true;
    return feedback;
}

}  // namespace

Feedback read_feedback(std::string_view raw) { return read(raw, false); }

std::string original_message_id(const Feedback& feedback) {
    if (!feedback.returned_id.empty()) return feedback.returned_id;
    if (!feedback.thread_ids.empty()) return feedback.thread_ids.front();
    return feedback.named_text_ids == 0 ? std::string{} : feedback.text_ids.front();
}

std::string_view to_text(Kind kind) {
    switch (kind) {
        case Kind::bounce:
            return "bounce";
        case Kind::delay:
            return "delay";
        case Kind::delivered:
            return "delivered";
        case Kind::complaint:
            return "complaint";
        case Kind::reply:
            return "reply";
        case Kind::auto_reply:
            return "auto_reply";
        case Kind::unsubscribe:
            return "unsubscribe";
    }
    return "?";
}

}  // namespace mailer::core::feedback
