// From a stored message to the bytes of a mail; see content.hpp. Calls nothing of PostgreSQL's.
#include <algorithm>

#include "core/bounds.hpp"
#include "core/mail/header.hpp"
#include "core/mail/header_text.hpp"
#include "core/mail/html_text.hpp"
#include "core/mail/raw.hpp"
#include "pg/engine/content.hpp"

namespace mailer::pg {

namespace {

constexpr auto has_tag = [](const std::string& text) { return text.find("{{") != std::string::npos; };

core::Status put_addresses(const std::string& list, std::vector<core::Address>& to) {
    if (list.empty()) return std::nullopt;
    auto parsed = core::parse_address_list(list, core::EmptyGroups::allowed);
    if (!parsed.ok()) return parsed.error();
    to = std::move(parsed).value();
    return std::nullopt;
}

// Renders the parts of one mail. A message without a template is literal, unless it brings variables: then its own
// texts are templates.
class Rendering {
public:
    Rendering(const StoredMessage& message, const Sender& sender, TemplateCache& templates,
              const core::Value& variables, const std::string& unsubscribe_url, const ContentOptions& limits)
        : message_(message),
          limits_(limits),
          room_(limits.max_message_size),
          sender_(sender),
          templates_(templates),
          variables_(variables),
          unsubscribe_url_(unsubscribe_url) {}

    core::Status run(core::Mail& mail) {
        mail.subject = message_.subject;
        mail.headers = message_.headers;
        if (is_literal()) {
            mail.body_text = message_.body_text;
            mail.body_html = message_.body_html;
            return std::nullopt;
        }
        if (auto bad = message_.template_name.empty() ? own_bodies(mail) : stored_bodies(mail)) return bad;
        for (core::HeaderField& field : mail.headers)
            if (auto bad = line(field.value)) return bad;
        for (core::Attachment& attachment : mail.attachments)
            if (auto bad = line(attachment.filename)) return bad;
        return std::nullopt;
    }

    // An address list that may be a template. Its commas say how many addresses: a variable adds none.
    core::Status addresses(std::string list, std::vector<core::Address>& to) {
        if (list.empty()) return std::nullopt;
        const bool is_template = !is_literal() && has_tag(list);
        const auto most = static_cast<std::size_t>(std::count(list.begin(), list.end(), ',')) + 1;
        if (is_template)
            if (auto bad = line(list)) return bad;
        if (auto bad = put_addresses(list, to)) return bad;
        if (is_template && to.size() > most)
            return core::Error{"22023", "a variable of reply_to adds an address", core::quoted_for_error(list),
                               "Pass a name and its address through mailer.address()."};
        return std::nullopt;
    }

private:
    bool is_literal() const {
        return message_.template_name.empty() && variables_.members().empty() && message_.loader.empty();
    }

    // With {{sender.name}}, {{sender.address}}, {{sender.signature}} and {{unsubscribe_url}}, unless the variables have
    // such of their own.
    const core::Value& variables_for(bool is_html) {
        core::Value& with = is_html ? html_variables_ : text_variables_;
        if (!with.is_null()) return with;
        with = variables_.is_null() ? core::Value::object() : variables_;
        if (with.kind() != core::Value::Kind::object) return with;
        if (!unsubscribe_url_.empty() && with.find("unsubscribe_url") == nullptr)
            (void)with.set("unsubscribe_url", core::Value::string(unsubscribe_url_));  // false: it is no object
        if (with.find("sender") != nullptr) return with;
        core::Value sender = core::Value::object();
        const bool is_set =
            sender.set("name", core::Value::string(sender_.name)) &&
            sender.set("address", core::Value::string(sender_.address)) &&
            sender.set("signature", core::Value::string(is_html ? sender_.signature_html : sender_.signature_text)) &&
            with.set("sender", std::move(sender));
        (void)is_set;  // false: nested too deeply, which these aren't
        return with;
    }

    core::Status put(std::string& to, const core::Template& source, bool is_html, bool is_strict = false) {
        core::RenderOptions options;
        options.is_html = is_html;
        options.is_strict = is_strict && limits_.missing == nullptr;
        options.missing = limits_.missing;
        options.partials = &templates_.partials(is_html);
        options.max_output = room_;
        options.interrupted = limits_.interrupted;
        if (auto bad = core::render_to(to, source, variables_for(is_html), options)) return bad;
        room_ -= std::min(room_, to.size());
        return std::nullopt;
    }

    // What comes from a variable stays on its line.
    core::Status line(std::string& text, bool is_strict = false) {
        if (!has_tag(text)) return std::nullopt;
        auto parsed = core::Template::parse(text, "message");
        if (!parsed.ok()) return parsed.error();
        std::string rendered;
        if (auto bad = put(rendered, *parsed, false, is_strict)) return bad;
        text = core::without_controls(rendered);
        return std::nullopt;
    }

    core::Status own_bodies(core::Mail& mail) {
        struct Part {
            const std::string& source;
            std::string& to;
            bool is_html;
        };
        mail.subject.clear();
        for (const Part& part :
             {Part{message_.subject, mail.subject, false}, Part{message_.body_text, mail.body_text, false},
              Part{message_.body_html, mail.body_html, true}}) {
            auto parsed = core::Template::parse(part.source, "message");
            if (!parsed.ok()) return parsed.error();
            if (auto bad = put(part.to, *parsed, part.is_html)) return bad;
        }
        return std::nullopt;
    }

    core::Status stored_bodies(core::Mail& mail) {
        std::string fault;
        const StoredTemplate* stored = templates_.find(message_.template_name, &fault);
        if (stored == nullptr) return core::Error{"22023", fault};
        if (auto bad = line(mail.subject, stored->is_strict)) return bad;  // of a step that has one of its own
        struct Part {
            const std::optional<core::Template>& source;
            std::string& to;
            bool is_html;
        };
        for (const Part& part : {Part{stored->subject, mail.subject, false}, Part{stored->text, mail.body_text, false},
                                 Part{stored->html, mail.body_html, true}}) {
            if (!part.source || !part.to.empty()) continue;
            if (auto bad = put(part.to, *part.source, part.is_html, stored->is_strict)) return bad;
        }
        for (const StoredAttachment& a : stored->attachments)
            mail.attachments.push_back(
                {a.filename, a.content_type, a.content_id, *a.content, a.content, a.is_alternative});
        return std::nullopt;
    }

    const StoredMessage& message_;
    const ContentOptions& limits_;
    std::size_t room_;  // what all that is rendered may have together
    const Sender& sender_;
    TemplateCache& templates_;
    const core::Value& variables_;
    const std::string& unsubscribe_url_;
    core::Value text_variables_ = {}, html_variables_ = {};
};

std::string option(const core::Value& options, std::string_view name) {
    const core::Value* value = options.kind() == core::Value::Kind::object ? options.find(name) : nullptr;
    return value == nullptr ? std::string() : std::string(value->scalar_text());
}

core::Result<core::Address> allowed_sender(const std::string& text, const Sender& sender) {
    auto address = core::parse_address(text);
    if (!address.ok() || core::may_send_as(*address, sender.address, sender.allowed_from)) return address;
    return core::Error{"42501", "the mailbox may not send as " + address->mailbox(), {}, "See its allowed_from."};
}

core::Status put_sender(const StoredMessage& m, const Sender& sender, core::Mail& mail) {
    const std::string wanted = option(m.options, "from_address");
    auto from = allowed_sender(wanted.empty() ? sender.address : wanted, sender);
    if (!from.ok()) return from.error();
    mail.from = std::move(from).value();
    if (mail.from.name.empty()) mail.from.name = sender.name;
    if (const std::string name = option(m.options, "from_name"); !name.empty()) mail.from.name = name;
    if (const std::string text = option(m.options, "sender"); !text.empty()) {
        auto address = allowed_sender(text, sender);
        if (!address.ok()) return address.error();
        mail.sender = std::move(address).value();
    }
    mail.content_language = option(m.options, "language");
    return std::nullopt;
}

// The link of a mail that has a scope; empty while there is none, or mailer.unsubscribe_url isn't set.
std::string unsubscribe_url_of(const StoredMessage& m, const ContentOptions& options) {
    if (m.unsubscribe_token.empty() || options.unsubscribe_url.empty()) return {};
    constexpr std::string_view place = "{token}";
    std::string url = options.unsubscribe_url;
    const auto at = url.find(place);
    if (at == std::string::npos) return url + m.unsubscribe_token;
    return url.replace(at, place.size(), m.unsubscribe_token);
}

void put_unsubscribe(const std::string& url, core::Mail& mail) {
    if (url.empty()) return;
    mail.list_unsubscribe_url = url;
    // RFC 8058, section 3.1: one click is for https alone; a plain link is still better than none.
    mail.list_unsubscribe_one_click = mail.list_unsubscribe_url.starts_with("https://");
}

core::Result<core::Composed> compose_raw(const StoredMessage& m, const Sender& sender, const ContentOptions& options) {
    if (m.attachments.empty()) return core::Error{"55000", "the source of the mail is gone"};
    const std::string& source = *m.attachments.front().content;
    auto facts = core::inspect_raw(source);
    if (!facts.ok()) return facts.error();
    for (const auto* list : {&facts->from, &facts->sender})
        for (const core::Address& address : *list)
            if (auto allowed = allowed_sender(address.mailbox(), sender); !allowed.ok()) return allowed.error();
    core::Composed composed;
    composed.bytes = core::finish_raw(source, *facts, m.internet_message_id, m.date);
    composed.is_8bit = facts->is_8bit;
    composed.needs_smtputf8 = facts->needs_smtputf8;
    if (composed.bytes.size() > options.max_message_size)
        return core::Error{"54000", "the mail is larger than mailer.max_message_size"};
    return composed;
}

}  // namespace

std::string message_option(const StoredMessage& m, std::string_view name) { return option(m.options, name); }

std::string report_token(const StoredMessage& m) {
    const std::string prefix = "<" + std::to_string(m.id) + ".";
    const auto at = m.internet_message_id.find('@');
    if (!m.internet_message_id.starts_with(prefix) || at == std::string::npos) return {};
    const std::string_view random = std::string_view(m.internet_message_id).substr(prefix.size(), at - prefix.size());
    const bool is_ours = random.size() >= 8 && random.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    return is_ours ? prefix.substr(1) + std::string(random) : std::string{};
}

namespace {

// RFC 5322, 3.6.5: "Re: " once, whatever the thread began with.
std::string reply_subject(const std::string& subject) {
    const bool is_reply = subject.size() >= 3 && (subject[0] == 'R' || subject[0] == 'r') &&
                          (subject[1] == 'E' || subject[1] == 'e') && subject[2] == ':';
    return is_reply ? subject : "Re: " + subject;
}

// A later step without a subject answers in the lead's thread; any other mail of a campaign begins one.
void put_thread(core::Mail& mail, const StoredMessage& m, std::string* thread_subject) {
    if (m.is_later_step && mail.subject.empty()) {
        mail.subject = reply_subject(m.thread_subject);
        mail.references = m.thread_ids;
        if (!m.thread_ids.empty()) mail.in_reply_to = m.thread_ids.back();
    } else if (m.is_of_campaign && thread_subject != nullptr) {
        *thread_subject = mail.subject;
    }
}

}  // namespace

core::Result<core::Mail> render_message(const StoredMessage& m, const Sender& sender, TemplateCache& templates,
                                        const core::Value* variables, const ContentOptions& options,
                                        std::string* thread_subject) {
    core::Mail mail;
    if (auto bad = put_sender(m, sender, mail)) return *bad;
    for (const StoredAttachment& a : m.attachments)
        mail.attachments.push_back({a.filename, a.content_type, a.content_id, *a.content, a.content, a.is_alternative});
    const Sender shown{mail.from.mailbox(), mail.from.name, {}, sender.signature_text, sender.signature_html};
    const std::string unsubscribe_url = unsubscribe_url_of(m, options);
    Rendering rendering(m, shown, templates, variables ? *variables : m.variables, unsubscribe_url, options);
    if (auto bad = rendering.run(mail)) return *bad;
    if (mail.subject.size() > core::longest_subject) return core::Error{"54000", "the subject is too long"};
    if (mail.body_text.empty() && !mail.body_html.empty()) mail.body_text = core::text_of_html(mail.body_html);
    if (auto bad = put_addresses(m.header_to, mail.to)) return *bad;
    if (auto bad = put_addresses(m.header_cc, mail.cc)) return *bad;
    if (auto bad = rendering.addresses(m.reply_to, mail.reply_to)) return *bad;
    mail.message_id_header = m.internet_message_id;
    mail.in_reply_to = m.in_reply_to;
    mail.references = m.references;
    put_thread(mail, m, thread_subject);
    mail.date = m.date;
    if (m.is_auto_submitted) mail.auto_submitted = "auto-generated";
    put_unsubscribe(unsubscribe_url, mail);
    return mail;
}

core::Result<core::Composed> compose_message(const StoredMessage& m, const Sender& sender, TemplateCache& templates,
                                             const core::Value* variables, const ContentOptions& options,
                                             std::string* thread_subject) {
    if (!m.fault.empty()) return core::Error{"22023", m.fault};
    if (m.is_purged) return core::Error{"55000", "the content of message " + std::to_string(m.id) + " was purged"};
    if (m.is_raw) return compose_raw(m, sender, options);
    const core::Result<core::Mail> mail = render_message(m, sender, templates, variables, options, thread_subject);
    if (!mail.ok()) return mail.error();
    core::ComposeOptions compose_options;
    compose_options.max_message_size = options.max_message_size;
    return core::compose(*mail, compose_options);
}

std::string with_redirect_header(const std::string& composed, std::span<const std::string> recipients) {
    std::string intended;
    for (const std::string& to : recipients)
        intended += (intended.empty() ? "" : ", ") + to;
    std::string out;
    out.reserve(composed.size() + intended.size() * 2 + 64);
    core::HeaderWriter(out).unstructured("X-Mailer-Redirected-From", intended);
    return out + composed;
}

}  // namespace mailer::pg
