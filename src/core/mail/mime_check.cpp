// See mime_check.hpp. Addresses are checked where they are written, by HeaderWriter.
#include "core/mail/mime_check.hpp"

#include <algorithm>

#include "core/mail/address_grammar.hpp"
#include "core/mail/header.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/mime.hpp"
#include "core/mail/mime_type.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestFilename = 255;  // characters of a name that file systems take, and then some
constexpr std::size_t kLongestUrl = 900;

bool is_url(std::string_view url, std::string_view scheme) {
    const auto is_allowed = [](char c) { return c > ' ' && c < 0x7F && c != '<' && c != '>' && c != '"'; };
    return url.size() > scheme.size() && url.size() <= kLongestUrl && url.starts_with(scheme) &&
           std::all_of(url.begin(), url.end(), is_allowed);
}

Status check_unsubscribe(const Mail& mail) {
    const auto refuse = [](std::string_view url, const char* detail) {
        return Error{"22023", "invalid unsubscribe address " + quoted_for_error(url), detail,
                     "Percent-encode everything but printable ASCII."};
    };
    const std::string& url = mail.list_unsubscribe_url;
    const std::string& mailto = mail.list_unsubscribe_mailto;
    if (!url.empty() && !is_url(url, "https://") && !is_url(url, "http://"))
        return refuse(url, "An http or https URL of at most 900 octets is wanted.");
    if (!mailto.empty() && !is_url(mailto, "mailto:")) return refuse(mailto, "A mailto URL is wanted.");
    if (mail.list_unsubscribe_one_click && !url.starts_with("https://"))
        return refuse(url, "One-click unsubscription needs an https URL (RFC 8058 3.1).");
    return std::nullopt;
}

Status check_body(const char* which, std::string_view body) {
    const auto offence = is_ascii(body) ? std::nullopt : first_invalid_utf8(body);
    if (!offence) return std::nullopt;
    return Error{"22023",
                 std::string("the ") + which + " body isn't valid UTF-8",
                 "The first wrong octet is number " + std::to_string(*offence + 1) + ".",
                 {}};
}

// Fields that may stand once only, in the application's own list as well.
Status check_repetition(const Mail& mail) {
    for (const std::string_view name :
         {"In-Reply-To", "References", "Auto-Submitted", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"}) {
        const auto is_it = [&](const HeaderField& field) { return same_field_name(field.name, name); };
        if (std::count_if(mail.headers.begin(), mail.headers.end(), is_it) > 1)
            return Error{
                "22023", "header \"" + std::string(name) + "\" is given twice", "A mail has at most one of it.", {}};
    }
    return std::nullopt;
}

}  // namespace

bool is_language_list(std::string_view text) noexcept {
    constexpr std::size_t longest = 100;
    std::size_t subtag = 0;
    for (const char c : text) {
        if (is_alphanumeric(c)) {
            if (++subtag > 8) return false;
        } else if (c == '-' || c == ',') {
            if (subtag == 0) return false;
            subtag = 0;
        } else if (c != ' ' || subtag != 0) {
            return false;
        }
    }
    return subtag > 0 && text.size() <= longest;
}

Status check_distinct(std::string_view content_id, std::string_view other) {
    if (content_id.empty() || bare_content_id(content_id) != bare_content_id(other)) return std::nullopt;
    return Error{"22023", "content id " + quoted_for_error(content_id) + " is given twice",
                 "HTML could show only one of the two attachments.", "Give each attachment an id of its own."};
}

std::string_view bare_content_id(std::string_view id) noexcept {
    return id.size() > 2 && id.front() == '<' && id.back() == '>' ? id.substr(1, id.size() - 2) : id;
}

bool has_header(const Mail& mail, std::string_view name) noexcept {
    return std::any_of(mail.headers.begin(), mail.headers.end(),
                       [&](const HeaderField& field) { return same_field_name(field.name, name); });
}

Status check_attachment(const Attachment& attachment) {
    const std::string& filename = attachment.filename;
    if (const auto offence = find_offence(filename))
        return Error{"22023",
                     "invalid file name of an attachment",
                     "Character " + std::to_string(character_number(filename, offence->offset)) + " of " +
                         quoted_for_error(filename) + " is " + offence->what + ".",
                     {}};
    if (character_number(filename, filename.size()) - 1 > kLongestFilename)
        return Error{"22023",
                     "the file name of an attachment is too long",
                     quoted_for_error(filename) + " has more than 255 characters.",
                     {}};
    if (!attachment.content_type.empty()) {
        const auto type = parse_content_type(attachment.content_type);
        if (!type) return type.error();
    }
    const std::string_view id = bare_content_id(attachment.content_id);
    const auto is_allowed = [](char c) {
        return c > ' ' && c < 0x7F && std::string_view("<>()[]\\,;:\"").find(c) == std::string_view::npos;
    };
    if (id.size() > kLongestFilename || !std::all_of(id.begin(), id.end(), is_allowed))
        return Error{"22023", "invalid content id " + quoted_for_error(attachment.content_id),
                     "It may hold ASCII letters, digits and the punctuation of addresses.",
                     "HTML shows it as <img src=\"cid:logo\">."};
    return std::nullopt;
}

Status check_mail(const Mail& mail) {
    if (auto error = check_message_id(mail.message_id_header)) return error;
    if (!mail.in_reply_to.empty()) {
        if (auto error = check_message_id(mail.in_reply_to)) return error;
    }
    for (const std::string& reference : mail.references)
        if (auto error = check_message_id(reference)) return error;
    if (auto error = check_body("text", mail.body_text)) return error;
    if (auto error = check_body("HTML", mail.body_html)) return error;
    for (const auto* fields : {&mail.headers, &mail.x_headers})
        for (const HeaderField& field : *fields)
            if (auto error = check_header(field.name, field.value)) return error;
    if (auto error = check_repetition(mail)) return error;
    if (auto error = check_unsubscribe(mail)) return error;
    if (!mail.content_language.empty() && !is_language_list(mail.content_language))
        return Error{"22023",
                     "invalid language " + quoted_for_error(mail.content_language),
                     {},
                     "It is a language tag such as de or en-GB, or a list of them with commas."};
    for (std::size_t i = 0; i < mail.attachments.size(); ++i) {
        if (auto error = check_attachment(mail.attachments[i])) return error;
        for (std::size_t j = 0; j < i; ++j)
            if (auto error = check_distinct(mail.attachments[j].content_id, mail.attachments[i].content_id))
                return error;
    }
    return std::nullopt;
}

}  // namespace mailer::core
