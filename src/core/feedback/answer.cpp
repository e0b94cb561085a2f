// See answer.hpp; the signs are in answer_rules.hpp.
#include "core/feedback/answer.hpp"

#include <algorithm>

#include "core/feedback/answer_rules.hpp"
#include "core/feedback/phrase_set.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

// A person who opts out does so in a few words; in a long text the phrase may stand for anything.
constexpr std::size_t longest_opt_out = 300;
constexpr std::size_t longest_unsubscribe = 400;

template <std::size_t N>
bool has_any(const HeaderSign (&signs)[N], const Fields& fields) {
    return std::any_of(std::begin(signs), std::end(signs), [&](const HeaderSign& sign) {
        return std::any_of(fields.all().begin(), fields.all().end(), [&](const Field& field) {
            return field.name == sign.name && starts_ignoring_case(trimmed(field.value), sign.value);
        });
    });
}

template <std::size_t N>
bool begins_with_any(const SubjectSign (&signs)[N], std::string_view text) {
    return std::any_of(std::begin(signs), std::end(signs),
                       [&](const SubjectSign& sign) { return text.starts_with(sign.text); });
}

template <std::size_t N>
PhraseSet set_of(const SubjectSign (&signs)[N]) {
    std::vector<std::string_view> phrases;
    for (const SubjectSign& sign : signs)
        phrases.push_back(sign.text);
    return PhraseSet(std::move(phrases));
}

std::string subject_of(const Mail& mail) {
    return std::string{trimmed(comparable(decoded_words(mail.fields.value("subject"))))};
}

bool is_thread(const Mail& mail) { return mail.fields.find("in-reply-to") || mail.fields.find("references"); }

// "On Monday Ada wrote:", "-----Original Message-----", "From: …" of Outlook: from here on it is quoted.
bool begins_quote(std::string_view line) {
    const std::string text = comparable(line.substr(0, 200));
    const std::string_view t = trimmed(text);
    if (t.ends_with("wrote:") || t.ends_with("schrieb:") ||
        t.ends_with("a \xc3\xa9"
                    "crit :") ||
        t.ends_with("escribi\xc3\xb3:") || t.ends_with("ha scritto:") || t.ends_with("napisa\xc5\x82(a):") ||
        t.ends_with("schreef:"))
        return true;
    if (t.starts_with("-----original message") || t.starts_with("-------- original") || t.starts_with("---- on ") ||
        t.starts_with("________________"))
        return true;
    return (t.starts_with("from: ") || t.starts_with("von: ") || t.starts_with("de : ") || t.starts_with("od: ")) &&
           t.find('@') != std::string_view::npos;
}

}  // namespace

bool is_mere_notice(const Mail& mail) {
    const std::string report = lowered(parameter(mail.fields.value("content-type"), "report-type"));
    if (report == "disposition-notification" || report == "tlsrpt") return true;
    if (mail.part("message/disposition-notification") && !mail.part("message/delivery-status")) return true;
    for (const Part& part : mail.parts) {
        const bool is_calendar = part.type == "text/calendar" || part.type == "application/ics";
        if (is_calendar && lowered(part.text.substr(0, 2000)).find("method:reply") != std::string::npos) return true;
        if (equals_ignoring_case(parameter(part.fields.value("content-type"), "method"), "reply")) return true;
    }
    const std::string subject = subject_of(mail);
    if (mail.fields.find("x-boxbe-reply") || mail.fields.find("x-tmda-fingerprint") || mail.fields.find("x-spamarrest"))
        return true;
    return begins_with_any(challenge_subjects, subject) && !is_thread(mail);
}

bool is_automatic_answer(const Mail& mail) {
    if (has_any(auto_headers, mail.fields)) return true;
    const std::string subject = subject_of(mail);
    if (begins_with_any(auto_subjects, subject)) return true;
    return has_any(weak_auto_headers, mail.fields) && is_thread(mail) && !mail.fields.find("list-id");
}

bool has_left(std::string_view human) {
    static const PhraseSet set = set_of(left_texts);
    return set.first_in(comparable(own_words(human).substr(0, 4096))) >= 0;
}

bool is_unsubscribe_request(const Mail& mail, std::string_view human) {
    const std::string subject = subject_of(mail);
    const bool is_named =
        std::any_of(std::begin(unsubscribe_subjects), std::end(unsubscribe_subjects), [&](const SubjectSign& sign) {
            if (!subject.starts_with(sign.text)) return false;
            const std::string_view rest = std::string_view{subject}.substr(sign.text.size());
            // What follows may be a token, never a sentence.
            return rest.empty() || rest == "." || rest == "!" ||
                   ((rest.front() == ':' || rest.front() == ' ') && trimmed(rest.substr(1)).find(' ') == rest.npos &&
                    rest.size() > 12);
        });
    return is_named && trimmed(own_words(human)).size() <= longest_unsubscribe;
}

std::string own_words(std::string_view human) {
    std::string out;
    while (!human.empty() && out.size() < 16 * 1024) {
        const std::string_view line = take_line(human);
        if (line.starts_with('>')) continue;
        if (begins_quote(line) || line == "-- " || line == "--") break;
        out.append(line).append("\n");
    }
    return out;
}

bool is_opt_out(std::string_view own) {
    static const PhraseSet set = set_of(opt_out_texts);
    own = trimmed(own);
    if (own.size() > longest_opt_out) return false;
    const std::string text = comparable(own);
    return text == "stop" || text == "stop." || text == "remove" || set.first_in(text) >= 0;
}

}  // namespace mailer::core::feedback
