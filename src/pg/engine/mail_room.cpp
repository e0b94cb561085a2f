// Preparing one message for the wire; see mail_room.hpp. A fault of the message is an answer here, never an exception.
#include "pg/engine/mail_room.hpp"

#include <algorithm>

#include "core/octets.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/queue.hpp"

namespace mailer::pg {

using worker::Prepared;

namespace {

// What a function that gave no answer means for its message.
Prepared::Kind kind_of(const LateBound::Answer& answer) {
    return answer.is_interrupted ? Prepared::Kind::interrupted : Prepared::Kind::temporary;
}

Prepared fault(Prepared::Kind kind, std::string detail, core::Cause cause = {}) {
    Prepared p;
    p.kind = kind;
    p.cause = cause;
    p.detail = std::move(detail);
    return p;
}

}  // namespace

void PgMailRoom::configure(const Settings& settings) {
    settings_ = settings;
    content_.max_message_size = static_cast<std::size_t>(settings.max_message_size);
    content_.unsubscribe_url = settings.unsubscribe_url;
    if (preparers_ != nullptr) preparers_->configure(settings.max_preparers, settings.loader_timeout);
    content_.interrupted = [this]() -> core::Status {
        if (!context_.should_stop()) return {};
        return core::Error{"57014", "the sender was asked to leave"};
    };
}

void PgMailRoom::fetch(std::span<const worker::Ticket> tickets) {
    std::vector<std::int64_t> ids, several;
    for (const worker::Ticket& ticket : tickets) {
        ids.push_back(ticket.row.facts.id);
        if (ticket.row.recipient_count > 1) several.push_back(ticket.row.facts.id);
    }
    templates_.refresh();
    for (StoredMessage& message : read_messages(ids, Texts::small)) {
        load_templates(templates_.of(message.tenant_id), message);
        const std::int64_t id = message.id;
        const bool is_large = message.is_partial;
        fetched_[id] = Fetched{std::move(message), {}, {}, is_large};
    }
    if (!several.empty()) fetch_recipients(several, tickets.front().reservation.at);
    date_messages(tickets);
}

// Date is when the first try was claimed (RFC 5322 3.6.1: the mail is ready then), and stays over retries.
void PgMailRoom::date_messages(std::span<const worker::Ticket> tickets) {
    static Statement statement(
        "SELECT message_id, started_at FROM mailer.attempt WHERE message_id = ANY ($1) AND attempt = 1",
        {INT8ARRAYOID});
    std::vector<std::int64_t> retried;
    for (const worker::Ticket& ticket : tickets) {
        const auto it = fetched_.find(ticket.row.facts.id);
        if (it == fetched_.end()) continue;
        it->second.message.date = ticket.reservation.at;
        if (ticket.row.try_count > 0) retried.push_back(ticket.row.facts.id);
    }
    if (retried.empty()) return;
    Rows rows = statement.run({p_bigints(retried)});
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        if (const auto it = fetched_.find(rows.bigint(i, "message_id")); it != fetched_.end())
            it->second.message.date = *time_at(rows, i, "started_at");
}

// Of messages with several recipients: which are through already, and which are suppressed.
void PgMailRoom::fetch_recipients(const std::vector<std::int64_t>& ids, core::Time now) {
    static Statement statement(
        "SELECT m.message_id, a.n::integer AS n, coalesce(r.state IN ('S', 'f', 'c', 'u'), false) AS is_settled,"
        "       (SELECT true FROM mailer.suppression s WHERE s.address_key = ANY (" MAILER_SUPPRESSED_KEYS("mailer._address_key(a.address)") ") AND " MAILER_SUPPRESSION_APPLIES("$2") " LIMIT 1) AS is_suppressed"
        "  FROM mailer.message m CROSS JOIN LATERAL unnest(m.addresses) WITH ORDINALITY AS a(address, n)"
        "  LEFT JOIN mailer.recipient r ON r.message_id = m.message_id AND r.n = a.n"
        " WHERE m.message_id = ANY ($1)",
        {INT8ARRAYOID, TIMESTAMPTZOID});
    Rows rows = statement.run({p_bigints(ids), p_at(now)});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        auto it = fetched_.find(rows.bigint(i, "message_id"));
        if (it == fetched_.end()) continue;
        const int n = static_cast<int>(rows.bigint(i, "n"));
        if (rows.boolean(i, "is_settled")) {
            it->second.settled.insert(n);
        } else if (rows.boolean(i, "is_suppressed")) {
            it->second.suppressed.insert(n);
        }
    }
}

Prepared PgMailRoom::prepare(const worker::Ticket& ticket, core::Time now) {
    // What is asked to leave sends nothing more. It may also be that the claim's commit was not to wait for a standby
    // any longer: then none knows of the claim, and what it sent would go again after a promotion.
    if (context_.should_stop()) return fault(Prepared::Kind::interrupted, "the sender was asked to leave");
    auto it = fetched_.find(ticket.row.facts.id);
    const Account* account = accounts_.find(ticket.reservation.mailbox_id);
    if (it == fetched_.end() || account == nullptr)
        return fault(Prepared::Kind::temporary, "the mailbox or the message's row is gone");
    Fetched& fetched = it->second;
    const core::Time began = pg::now();
    Prepared prepared = prepare(ticket, fetched, *account, now);
    if (fetched.is_large) leave_out_texts(fetched.message);
    prepared.took = pg::now() - began;
    return prepared;
}

Prepared PgMailRoom::prepare(const worker::Ticket& ticket, Fetched& fetched, const Account& account, core::Time now) {
    const StoredMessage& m = fetched.message;
    std::optional<core::Value> variables;
    const bool is_late_bound = !m.send_if.empty() || !m.loader.empty();
    if (is_late_bound && !OidIsValid(m.caller.role))
        return fault(Prepared::Kind::temporary, "the role that queued the message does not exist");
    // Its texts are read only for what is composed: while its functions are asked for, or when they say no, for nothing.
    if (is_late_bound && preparers_ != nullptr) {
        if (auto end = ask(ticket, m, variables, now)) return std::move(*end);
    }
    if (fetched.is_large && !fetch_texts(fetched))
        return fault(Prepared::Kind::temporary, "its texts can't be read just now");
    if (is_late_bound && preparers_ == nullptr) {
        if (auto end = run(m, variables, now)) return std::move(*end);
    }
    if (m.attachments_of && !fetch_attachments(fetched))
        return fault(Prepared::Kind::temporary, "its attachments can't be read just now");
    Prepared prepared = compose(fetched, account, variables ? &*variables : nullptr);
    if (variables) variables->append_json(prepared.loaded_variables);
    fetched.message.attachments.clear();
    return prepared;
}

// By the processes that run users' functions: asked the first time, answered the second.
std::optional<Prepared> PgMailRoom::ask(const worker::Ticket& ticket, const StoredMessage& m,
                                        std::optional<core::Value>& variables, core::Time now) {
    using Kind = Preparers::Answer::Kind;
    auto answer = preparers_->take_answer(ticket.token);
    if (!answer) {
        Prepared waits = fault(Prepared::Kind::asked, "");
        waits.until = preparers_->ask(ticket.token, m.id, m.caller, now);
        if (waits.until) waits.kind = Prepared::Kind::postponed;
        return waits;
    }
    switch (answer->kind) {
        case Kind::go:
            variables = std::move(answer->variables);
            return std::nullopt;
        case Kind::no:
            return fault(Prepared::Kind::cancelled, "function " + m.send_if + " said no", core::Cause::send_if);
        case Kind::died:
            return fault(Prepared::Kind::died, answer->text);
        case Kind::fault:
            return fault(Prepared::Kind::temporary, answer->text);
        case Kind::postponed:
            break;
    }
    Prepared later = fault(Prepared::Kind::postponed, "");
    later.until = answer->until;
    return later;
}

core::Result<Question> PgMailRoom::question_of(std::int64_t message_id) {
    const auto it = fetched_.find(message_id);
    if (it == fetched_.end()) return core::Error{"55000", "the message's row is gone"};
    Fetched& fetched = it->second;
    StoredMessage& m = fetched.message;
    if (fetched.is_large && !fetch_texts(fetched)) return core::Error{"55000", "its texts can't be read just now"};
    Question question{m.id, m.caller.role, 0, m.send_if, m.loader, std::move(m.variables_text)};
    if (fetched.is_large) {
        leave_out_texts(m);
    } else {
        m.variables_text = question.variables;  // it may be asked again
    }
    if (!OidIsValid(question.role)) return core::Error{"42704", "the role that queued the message does not exist"};
    if (question.variables.size() > longest_value) return core::Error{"54000", "its variables are larger than 16 MB"};
    return question;
}

// In this session, while everything else waits.
std::optional<Prepared> PgMailRoom::run(const StoredMessage& m, std::optional<core::Value>& variables, core::Time now) {
    if (!m.send_if.empty()) {
        auto answer = late_bound_.ask(m.send_if, m.id, m.variables_text, m.caller.role, settings_.loader_timeout, now);
        if (!answer.is_ok) return fault(kind_of(answer), answer.fault);
        if (!answer.condition) return fault(Prepared::Kind::temporary, "function " + m.send_if + " returned NULL");
        if (!*answer.condition)
            return fault(Prepared::Kind::cancelled, "function " + m.send_if + " said no", core::Cause::send_if);
    }
    if (!m.loader.empty()) {
        auto answer = late_bound_.load(m.loader, m.id, m.variables_text, m.caller.role, settings_.loader_timeout, now);
        if (!answer.is_ok) return fault(kind_of(answer), answer.fault);
        variables = std::move(answer.variables);
    }
    return std::nullopt;
}

worker::MailRoom::Heard PgMailRoom::turn(core::Time now, bool may_ask,
                                         const std::function<void(std::uint64_t)>& on_begin) {
    if (preparers_ == nullptr) return {};
    const auto write = [this](std::int64_t message_id) { return question_of(message_id); };
    return preparers_->turn(now, may_ask && !context_.should_stop(), write, on_begin);
}

std::vector<std::uint64_t> PgMailRoom::take_back(const std::set<std::uint64_t>& tokens) {
    return preparers_ != nullptr ? preparers_->take_back(tokens) : std::vector<std::uint64_t>{};
}

std::optional<core::Time> PgMailRoom::wake_at() const {
    return preparers_ != nullptr ? preparers_->wake_at() : std::nullopt;
}

// Large, so only now and in a short transaction of its own. Messages of one batch share the last one's.
bool PgMailRoom::fetch_attachments(Fetched& fetched) {
    const std::int64_t owner = *fetched.message.attachments_of;
    std::vector<StoredAttachment> own;
    if (attachments_of_ != owner || fetched.message.has_own_attachments) {
        try {
            transactions_.begin();
            if (attachments_of_ != owner) attachments_ = read_attachments(owner, AttachmentsFor::all);
            if (fetched.message.has_own_attachments) own = read_attachments(fetched.message.id, AttachmentsFor::one);
            transactions_.commit();
            attachments_of_ = owner;
        } catch (const PgError& error) {
            transactions_.abort();
            absorb_error(error);
            attachments_of_.reset();
            return false;
        }
    }
    fetched.message.attachments = attachments_;
    std::move(own.begin(), own.end(), std::back_inserter(fetched.message.attachments));
    return true;
}

// What was too large to be read with everything else that was claimed.
bool PgMailRoom::fetch_texts(Fetched& fetched) {
    StoredMessage& message = fetched.message;
    const std::int64_t id = message.id;
    try {
        transactions_.begin();
        std::vector<StoredMessage> found = read_messages(std::span(&id, 1), Texts::all);
        if (!found.empty()) load_templates(templates_.of(message.tenant_id), found.front());
        transactions_.commit();
        if (found.empty()) return false;
        found.front().date = message.date;
        message = std::move(found.front());
        return true;
    } catch (const PgError& error) {
        transactions_.abort();
        absorb_error(error);
    } catch (const std::bad_alloc& error) {
        transactions_.abort();
        absorb_error(error);
    }
    return false;
}

Prepared PgMailRoom::compose(const Fetched& fetched, const Account& account, const core::Value* variables) const {
    Prepared prepared;
    address(fetched, account, prepared);
    if (prepared.recipients.empty())
        return fault(Prepared::Kind::cancelled, "every recipient is suppressed", core::Cause::suppressed);
    const Sender sender{account.from_address, account.from_name, account.allowed_from, account.signature_text,
                        account.signature_html};
    auto composed =
        compose_message(fetched.message, sender, const_cast<TemplateCaches&>(templates_).of(fetched.message.tenant_id),
                        variables, content_, &prepared.thread_subject);
    if (!composed.ok() && context_.should_stop()) return fault(Prepared::Kind::interrupted, composed.error().text());
    if (!composed.ok()) return fault(Prepared::Kind::failed, composed.error().text(), core::Cause::render_error);
    ask_for_reports(fetched.message, account, prepared);
    prepared.is_8bit = composed->is_8bit;
    prepared.needs_smtputf8 = composed->needs_smtputf8;
    std::string bytes = std::move(composed->bytes);
    if (!settings_.redirect_to.empty()) {
        bytes = with_redirect_header(bytes, prepared.recipients);
        prepared.recipients = {settings_.redirect_to};
        prepared.envelope.resize(1);
    }
    if (account.is_forwarder()) prepared.forward_key = forward_key(fetched.message);
    prepared.fingerprint = core::fingerprint_of(bytes);
    prepared.body = std::make_shared<const std::string>(std::move(bytes));
    prepared.is_captured = settings_.delivery == Delivery::capture;
    return prepared;
}

// One transaction takes no more: as the mailbox is set, and as its server has said. What is captured or redirected goes
// nowhere.
int PgMailRoom::most_recipients(const Account& account) const {
    constexpr int no_limit = 1000;
    if (account.is_forwarder()) return no_limit;  // one key stands for one envelope
    if (settings_.delivery == Delivery::capture || !settings_.redirect_to.empty()) return no_limit;
    const auto said = most_recipients_.find(account.id);
    return std::min(account.max_recipients.value_or(no_limit),
                    said == most_recipients_.end() ? no_limit : said->second);
}

void PgMailRoom::limit_recipients(std::int64_t mailbox_id, int most) {
    auto [known, is_new] = most_recipients_.try_emplace(mailbox_id, most);
    if (!is_new) known->second = std::min(known->second, most);
}

// The sender that bounces go to, and the reports that the server is asked for, both under the message's token.
void PgMailRoom::ask_for_reports(const StoredMessage& m, const Account& account, Prepared& prepared) {
    constexpr std::string_view place = "{token}";
    const std::string token = report_token(m);
    prepared.sender = account.return_path.empty() ? account.from_address : account.return_path;
    if (const auto at = prepared.sender.find(place); at != std::string::npos) {
        prepared.sender.replace(at, place.size(), token);
        if (token.empty()) prepared.sender = account.from_address;
    }
    const std::string own = message_option(m, "dsn");
    prepared.envelope_id = token;
    prepared.notify = core::raised(own.empty() ? account.dsn : own);
}

// The envelope: recipients that have no answer yet and aren't suppressed.
void PgMailRoom::address(const Fetched& fetched, const Account& account, Prepared& prepared) const {
    const auto most = static_cast<std::size_t>(most_recipients(account));
    const auto& all = fetched.message.addresses;
    for (int n = 1; n <= static_cast<int>(all.size()); ++n) {
        if (fetched.settled.contains(n)) continue;
        if (fetched.suppressed.contains(n)) {
            prepared.suppressed.push_back(n);
            continue;
        }
        if (prepared.recipients.size() >= most) {
            prepared.untried.push_back(n);
            continue;
        }
        prepared.recipients.push_back(all[static_cast<std::size_t>(n) - 1]);
        prepared.envelope.push_back(n);
        prepared.recipient_keys.push_back(core::fingerprint_of(core::lowered(prepared.recipients.back())));
    }
}

}  // namespace mailer::pg
