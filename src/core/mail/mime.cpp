// Composes a mail: header fields in a fixed order, then the smallest MIME tree that carries what there is:
// mixed (attachments) > related (inline parts, when there is HTML to show them) > alternative (text and HTML).
//
// Every part's content ends where its boundary's CRLF begins; text always ends in a line end of its own.
// Boundaries come from the Message-ID alone, so composing twice gives the same bytes. They hold kBoundaryMark, which no
// encoded content can hold; what travels unencoded (message/rfc822) is searched.
#include "core/mail/mime.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "core/mail/address_grammar.hpp"
#include "core/mail/envelope.hpp"
#include "core/mail/header.hpp"
#include "core/mail/header_date.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/header_words.hpp"
#include "core/mail/mime_check.hpp"
#include "core/mail/mime_encode.hpp"
#include "core/mail/mime_type.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestSubjectWord = 74;  // "Subject:" stands alone before a longer one; rather encode that

struct Part {
    const Attachment* attachment;
    ContentType type;
    bool is_raw = false;     // message/*, which may not be encoded (RFC 2046 5.2.1)
    bool is_quoted = false;  // ASCII text: filters look askance at base64 around it
};

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash) {
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    return hash;
}

class Composer {
public:
    explicit Composer(const Mail& mail) : mail_(mail), header_(out_) {}

    Result<Composed> compose(std::size_t max_size);

private:
    Status plan(std::size_t max_size);
    Status plan_attachment(const Attachment& attachment);
    void choose_boundary();
    std::string boundary(char level) const { return boundary_stem_ + level; }

    void write_header();
    void write_threading();
    void write_list_fields();
    void write_application_fields();
    void write_mixed();
    void write_related();
    void write_alternative();
    void write_form(const Part& part);
    void complete_content_ids();
    void write_text(std::string_view subtype, std::string_view text, const TextPlan& plan);
    void write_attachment(const Part& part);
    void write_content(const Part& part);
    std::string_view html() const { return html_.empty() ? std::string_view(mail_.body_html) : html_; }
    void begin_multipart(std::string_view subtype, char level, std::string_view root_type = {});
    void next_part(char level);
    void end_multipart(char level);

    std::size_t form_count() const {
        return (mail_.body_text.empty() ? 0u : 1u) + (mail_.body_html.empty() ? 0u : 1u) + forms_.size();
    }
    bool is_alternative() const { return form_count() > 1; }
    std::string full_content_id(std::string_view id) const;

    const Mail& mail_;
    std::string out_ = {};
    HeaderWriter header_;
    std::string boundary_stem_ = {};
    TextPlan text_plan_ = {};
    TextPlan html_plan_ = {};
    std::string html_ = {};         // with completed content ids, when any had to be
    std::vector<Part> forms_ = {};  // beside the two bodies
    std::vector<Part> inline_parts_ = {};
    std::vector<Part> attached_parts_ = {};
};

bool is_amp(const Part& part) { return part.type.type == "text/x-amp-html"; }

Error too_large(std::size_t size, std::size_t limit) {
    return {"54000", "the mail is too large",
            "It would have at least " + std::to_string(size) + " octets; mailer.max_message_size allows " +
                std::to_string(limit) + ".",
            "Attach less, or send a link."};
}

Status Composer::plan_attachment(const Attachment& attachment) {
    const bool is_guessed = attachment.content_type.empty();
    auto type = parse_content_type(is_guessed ? guess_content_type(attachment.filename)
                                              : std::string_view(attachment.content_type));
    if (!type) return type.error();
    Part part{&attachment, std::move(type).value()};
    if (part.type.is_in("message") && part.type.type != "message/global") part.is_raw = is_7bit(attachment.content);
    // Types that may not be encoded and can't go as they are: the content matters more than its label.
    if (part.type.is_in("multipart") || (part.type.is_in("message") && !part.is_raw))
        part.type = {"application/octet-stream", {}};
    if (part.type.is_in("text")) {
        part.is_quoted = is_7bit_text(attachment.content);
        // RFC 2046 4.1.2: without a charset it would be US-ASCII.
        if (!part.is_quoted && !part.type.has_parameter("charset") && !is_ascii(attachment.content) &&
            !first_invalid_utf8(attachment.content))
            part.type.parameters.emplace_back("charset=utf-8");
    }
    if (attachment.is_alternative) {
        if (part.type.is_in("text") && !part.type.has_parameter("charset")) {
            part.type.parameters.emplace_back("charset=utf-8");
            part.is_raw = false;
        }
        forms_.push_back(std::move(part));
        return std::nullopt;
    }
    const bool is_inline = !attachment.content_id.empty() && !mail_.body_html.empty();
    (is_inline ? inline_parts_ : attached_parts_).push_back(std::move(part));
    return std::nullopt;
}

// Decides on encodings and boundaries and takes the memory in one piece.
Status Composer::plan(std::size_t max_size) {
    complete_content_ids();
    text_plan_ = plan_text(mail_.body_text);
    html_plan_ = plan_text(html());
    std::size_t content = 0;
    for (const Attachment& attachment : mail_.attachments) {
        if (auto error = plan_attachment(attachment)) return error;
        const auto is_it = [&](const std::vector<Part>& parts) {
            return !parts.empty() && parts.back().attachment == &attachment;
        };
        const Part& part = is_it(attached_parts_) ? attached_parts_.back()
                           : is_it(forms_)        ? forms_.back()
                                                  : inline_parts_.back();
        const std::size_t octets = attachment.content.size();
        content += part.is_raw || part.is_quoted ? octets : base64_size(octets);
        if (content > max_size) return too_large(content, max_size);
    }
    if (mail_.body_text.size() + mail_.body_html.size() > max_size)
        return too_large(mail_.body_text.size() + mail_.body_html.size(), max_size);
    choose_boundary();
    out_.reserve(content + text_plan_.size + html_plan_.size + 2048 + 512 * mail_.attachments.size());
    return std::nullopt;
}

void Composer::choose_boundary() {
    const auto is_inside = [&](const Part& part) {
        return part.is_raw && part.attachment->content.find(boundary_stem_) != std::string_view::npos;
    };
    for (std::uint64_t salt = 0;; ++salt) {
        const std::uint64_t first = fnv1a(mail_.message_id_header, 0xCBF29CE484222325u + salt);
        const std::uint64_t second = fnv1a(mail_.message_id_header, first ^ 0x9E3779B97F4A7C15u);
        char text[64];
        std::snprintf(text, sizeof text, "%.*s%016llx%08llx_", static_cast<int>(kBoundaryMark.size()),
                      kBoundaryMark.data(), static_cast<unsigned long long>(first),
                      static_cast<unsigned long long>(second >> 32));
        boundary_stem_ = text;
        if (std::none_of(attached_parts_.begin(), attached_parts_.end(), is_inside) &&
            std::none_of(inline_parts_.begin(), inline_parts_.end(), is_inside) &&
            std::none_of(forms_.begin(), forms_.end(), is_inside))
            return;
    }
}

void Composer::write_threading() {
    if (!mail_.in_reply_to.empty() && !has_header(mail_, "In-Reply-To"))
        header_.structured("In-Reply-To", mail_.in_reply_to);
    if (mail_.references.empty() || has_header(mail_, "References")) return;
    std::string all;
    for (const std::string& reference : mail_.references) {
        if (!all.empty()) all += ' ';
        all += reference;
    }
    header_.structured("References", all);
}

// RFC 2369, RFC 2919, RFC 8058. An application's own List-Unsubscribe silences ours with its Post.
void Composer::write_list_fields() {
    if (!mail_.list_id.empty() && !has_header(mail_, "List-Id")) header_.application("List-Id", mail_.list_id);
    if (has_header(mail_, "List-Unsubscribe")) return;
    std::string where;
    for (const std::string* url : {&mail_.list_unsubscribe_url, &mail_.list_unsubscribe_mailto}) {
        if (url->empty()) continue;
        if (!where.empty()) where += ", ";
        where += '<' + *url + '>';
    }
    if (where.empty()) return;
    header_.structured("List-Unsubscribe", where);
    if (mail_.list_unsubscribe_one_click && !has_header(mail_, "List-Unsubscribe-Post"))
        header_.structured("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
}

void Composer::write_application_fields() {
    for (const auto* fields : {&mail_.x_headers, &mail_.headers})
        for (const HeaderField& field : *fields)
            header_.application(field.name, without_controls(field.value));
}

void Composer::write_header() {
    header_.structured("Date", format_date(mail_.date, mail_.utc_offset_minutes));
    header_.addresses("From", {&mail_.from, 1});
    if (mail_.sender && *mail_.sender != mail_.from) header_.addresses("Sender", {&*mail_.sender, 1});
    if (!mail_.reply_to.empty()) header_.addresses("Reply-To", mail_.reply_to);
    if (!mail_.to.empty()) header_.addresses("To", mail_.to);
    if (mail_.to.empty()) header_.structured("To", undisclosed);  // RFC 5322 3.4
    if (!mail_.cc.empty()) header_.addresses("Cc", mail_.cc);
    header_.unstructured("Subject", without_controls(mail_.subject), kLongestSubjectWord);
    header_.structured("Message-ID", mail_.message_id_header);
    write_threading();
    if (!mail_.auto_submitted.empty() && !has_header(mail_, "Auto-Submitted"))
        header_.structured("Auto-Submitted", mail_.auto_submitted);
    write_list_fields();
    write_application_fields();
    if (!mail_.content_language.empty() && !has_header(mail_, "Content-Language"))
        header_.structured("Content-Language", mail_.content_language);
    header_.structured("MIME-Version", "1.0");
}

void Composer::begin_multipart(std::string_view subtype, char level, std::string_view root_type) {
    std::vector<std::string> parameters;
    if (!root_type.empty()) parameters.push_back("type=\"" + std::string(root_type) + '"');  // RFC 2387 3.1
    parameters.push_back("boundary=\"" + boundary(level) + '"');
    header_.parameterised("Content-Type", "multipart/" + std::string(subtype), parameters);
    header_.end();
}

void Composer::next_part(char level) {
    out_ += "\r\n--";
    out_ += boundary(level);
    out_ += "\r\n";
}

void Composer::end_multipart(char level) {
    out_ += "\r\n--";
    out_ += boundary(level);
    out_ += "--\r\n";
}

void Composer::write_text(std::string_view subtype, std::string_view text, const TextPlan& plan) {
    const std::string charset = plan.is_ascii ? "charset=us-ascii" : "charset=utf-8";
    header_.parameterised("Content-Type", "text/" + std::string(subtype), {&charset, 1});
    header_.structured("Content-Transfer-Encoding", name_of(plan.encoding));
    header_.end();
    append_text(text, plan.encoding, out_);
}

// For readers that know nothing of RFC 2231: the name in Content-Type, in ASCII.
std::string ascii_name(std::string_view filename) {
    std::string out;
    for (const char c : filename) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet >= 0x80 && octet < 0xC0) continue;
        out += octet >= 0x80 || c == '"' || c == '\\' || c == '%' || c == '=' || c == '\'' ? '_' : c;
    }
    constexpr std::size_t kLongest = 60;
    if (out.size() <= kLongest) return out;
    const auto dot = out.rfind('.');
    const std::string ending = dot != std::string::npos && out.size() - dot <= 12 ? out.substr(dot) : "";
    return out.substr(0, kLongest - ending.size()) + ending;
}

std::string_view encoding_of(const Part& part) {
    return part.is_raw ? "7bit" : part.is_quoted ? "quoted-printable" : "base64";
}

void Composer::write_attachment(const Part& part) {
    const Attachment& attachment = *part.attachment;
    auto type_parameters = part.type.parameters;
    std::vector<std::string> disposition_parameters;
    if (!attachment.filename.empty()) {
        append_parameter("name", ascii_name(attachment.filename), type_parameters);
        append_parameter("filename", attachment.filename, disposition_parameters);
    }
    header_.parameterised("Content-Type", part.type.type, type_parameters);
    header_.structured("Content-Transfer-Encoding", encoding_of(part));
    header_.parameterised("Content-Disposition", attachment.content_id.empty() ? "attachment" : "inline",
                          disposition_parameters);
    if (!attachment.content_id.empty())
        header_.structured("Content-ID", '<' + full_content_id(attachment.content_id) + '>');
    header_.end();
    write_content(part);
}

void Composer::write_content(const Part& part) {
    const Attachment& attachment = *part.attachment;
    if (part.is_raw)
        append_canonical_lines(attachment.content, out_);
    else if (part.is_quoted)
        append_quoted_printable_exact(attachment.content, out_);
    else
        append_base64(attachment.content, out_, Base64Lines::k76);
}

void Composer::write_alternative() {
    if (!is_alternative()) {
        if (!mail_.body_html.empty()) return write_text("html", html(), html_plan_);
        if (mail_.body_text.empty() && !forms_.empty()) return write_form(forms_.front());
        return write_text("plain", mail_.body_text, text_plan_);
    }
    begin_multipart("alternative", 'a');
    if (!mail_.body_text.empty()) {
        next_part('a');
        write_text("plain", mail_.body_text, text_plan_);
    }
    // Readers show the last form that they know (RFC 2046 5.1.4). AMP goes before HTML: many show the last of all.
    for (const Part& form : forms_) {
        if (!is_amp(form)) continue;
        next_part('a');
        write_form(form);
    }
    if (!mail_.body_html.empty()) {
        next_part('a');
        write_text("html", html(), html_plan_);
    }
    for (const Part& form : forms_) {
        if (is_amp(form)) continue;
        next_part('a');
        write_form(form);
    }
    end_multipart('a');
}

void Composer::write_form(const Part& part) {
    header_.parameterised("Content-Type", part.type.type, part.type.parameters);
    header_.structured("Content-Transfer-Encoding", encoding_of(part));
    header_.end();
    write_content(part);
}

// RFC 2045 7: a Content-ID has the form of a Message-ID, and what HTML shows must be the same.
std::string Composer::full_content_id(std::string_view id) const {
    const std::string_view bare = bare_content_id(id);
    if (bare.find('@') != std::string_view::npos) return std::string(bare);
    const std::string_view message_id = bare_content_id(mail_.message_id_header);
    return std::string(bare) + std::string(message_id.substr(std::min(message_id.find('@'), message_id.size())));
}

void Composer::complete_content_ids() {
    if (mail_.body_html.empty()) return;
    for (const Attachment& attachment : mail_.attachments) {
        const std::string_view bare = bare_content_id(attachment.content_id);
        if (bare.empty() || bare.find('@') != std::string_view::npos) continue;
        if (html_.empty()) html_ = mail_.body_html;
        const std::string reference = "cid:" + std::string(bare);
        const std::string completed = "cid:" + full_content_id(bare);
        for (auto at = html_.find(reference); at != std::string::npos; at = html_.find(reference, at)) {
            const std::size_t end = at + reference.size();
            const bool goes_on = end < html_.size() && ((is_atext(html_[end]) && html_[end] != '\'') ||
                                                        html_[end] == '.' || html_[end] == '@');
            if (goes_on) {
                at = end;
                continue;
            }
            html_.replace(at, reference.size(), completed);
            at += completed.size();
        }
    }
}

void Composer::write_related() {
    if (inline_parts_.empty()) return write_alternative();
    begin_multipart("related", 'r', is_alternative() ? "multipart/alternative" : "text/html");
    next_part('r');
    write_alternative();
    for (const Part& part : inline_parts_) {
        next_part('r');
        write_attachment(part);
    }
    end_multipart('r');
}

void Composer::write_mixed() {
    if (attached_parts_.empty()) return write_related();
    begin_multipart("mixed", 'm');
    next_part('m');
    write_related();
    for (const Part& part : attached_parts_) {
        next_part('m');
        write_attachment(part);
    }
    end_multipart('m');
}

Result<Composed> Composer::compose(std::size_t max_size) {
    if (auto error = check_mail(mail_)) return std::move(*error);
    if (auto error = plan(max_size)) return std::move(*error);
    write_header();
    write_mixed();
    if (header_.error()) return *header_.error();
    if (out_.size() > max_size) return too_large(out_.size(), max_size);

    const auto needs = [](const Address& address) { return address.needs_smtputf8(); };
    Composed composed;
    composed.bytes = std::move(out_);
    composed.needs_smtputf8 = needs(mail_.from) || (mail_.sender && needs(*mail_.sender)) ||
                              std::any_of(mail_.reply_to.begin(), mail_.reply_to.end(), needs) ||
                              std::any_of(mail_.to.begin(), mail_.to.end(), needs) ||
                              std::any_of(mail_.cc.begin(), mail_.cc.end(), needs);
    composed.is_8bit = composed.needs_smtputf8;
    return composed;
}

}  // namespace

Result<Composed> compose(const Mail& mail, const ComposeOptions& options) {
    return Composer(mail).compose(options.max_message_size);
}

}  // namespace mailer::core
