// See listener.hpp: the invariants are numbered there.
#include "pg/listen/listener.hpp"

#include <algorithm>
#include <map>

#include "core/feedback/message_reader.hpp"
#include "core/outcome/backoff.hpp"
#include "imap/line.hpp"
#include "net/poll_group.hpp"
#include "oauth/hint.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/accounts.hpp"
#include "pg/engine/token_keeper.hpp"
#include "pg/engine/transaction.hpp"
#include "pg/server/clone_guard.hpp"
#include "pg/server/shared.hpp"

namespace mailer::pg {

using namespace std::chrono_literals;

namespace {

constexpr int most_lines = 1000;
constexpr core::Duration usual_look = 30s;  // at the settings, without a signal
constexpr core::Duration first_pause = 1s;
constexpr core::Duration longest_pause = 30min;
constexpr core::Duration told_to_wait = 1min;
constexpr core::Duration good_time = 5min;     // after which a failure is the first one again
constexpr core::Duration heard_again = 4s;     // what last_heard_at may lag behind
constexpr core::Duration stays_for = 5s;       // without anything to listen to
constexpr core::Duration longest_turn = 5min;  // where listeners of several databases take turns
constexpr std::size_t most_ids = 64;
constexpr int most_events = 100;  // of one connection, before the others have their turn

smtp::Tls tls_of(const std::string& text) {
    return text == "none" ? smtp::Tls::none : text == "starttls" ? smtp::Tls::starttls : smtp::Tls::implicit;
}

struct Ear {
    std::shared_ptr<const smtp::Endpoint> endpoint;
    imap::Plan plan;
    std::unique_ptr<imap::Line> line;
    core::Time started_at;
    core::Time listening_since = core::Time::max();
    core::Time retry_at = core::Time::min();
    core::Time heard_at = core::Time::min();  // as written down last
    int failures = 0;
    bool has_token = true;
    bool has_looked = false;  // everything was read, or it can't be: what one look waits for
    std::string state;        // as written down last
    std::vector<std::string> missing;
};

class Listener {
public:
    Listener(EngineContext& context, const ListenLimits& limits)
        : context_(context),
          limits_(limits),
          transactions_(context.host() == EngineContext::Host::session),
          tokens_(transactions_, accounts_),
          loop_(most_lines),
          sockets_({loop_.fd(), tokens_.poll_fd()}) {
        if (!loop_.is_ok() || !sockets_.is_ok()) throw std::runtime_error("out of descriptors");
    }

    void run();

private:
    bool turn();
    void look(core::Time now);
    void read_settings(core::Time now);
    void serve(core::Time now);
    void answer(std::int64_t id, Ear& ear, core::Time now);
    void choose(imap::Event& event);
    void store(std::int64_t id, const imap::Event& event);
    void note_listening(std::int64_t id, Ear& ear, core::Time now);
    void bury(std::int64_t id, Ear& ear, core::Time now);
    void open_due(core::Time now);
    void write_state(std::int64_t id, Ear& ear, const char* state, const std::string& error, const std::string& hint,
                     core::Duration retry_in);
    bool is_over(core::Time now) const;
    core::Duration sleep_for(core::Time now) const;
    void hang_up();
    void note_turn();

    EngineContext& context_;
    ListenLimits limits_;
    Transactions transactions_;
    Accounts accounts_;
    TokenKeeper tokens_;
    smtp::CurlLoop loop_;
    net::PollGroup sockets_;
    std::map<std::int64_t, Ear> ears_;  // declared after loop_: closed before it
    std::uint64_t generation_ = 0;
    core::Time look_at_ = core::Time::min();
    core::Time started_ = now();
    bool is_armed_ = false;
    bool takes_turns_ = false;  // reads what there is, and leaves
    int errors_in_a_row_ = 0;
};

// ── Settings ───────────────────────────────────────────────────────────────────────────────────────────────────

void Listener::look(core::Time at) {
    const std::uint64_t generation_now = generation();
    const bool is_reloaded = context_.take_reload();
    const bool has_news = tokens_.turn(at, is_armed_ && !context_.should_stop());
    if (!is_reloaded && !has_news && generation_now == generation_ && at < look_at_) return;
    generation_ = generation_now;
    // A sender passes changes on to its worker; nobody does to a session.
    look_at_ = at + (context_.host() == EngineContext::Host::worker ? usual_look : core::Duration{1s});
    takes_turns_ = context_.host() == EngineContext::Host::worker && do_listeners_take_turns();
    read_settings(at);
}

void Listener::read_settings(core::Time at) {
    static Statement statement("SELECT mailbox_id, host, port, tls, folders, since, cursors FROM mailer._listen_plan()",
                               {});
    const Settings settings_now = settings();
    transactions_.begin();
    is_armed_ = look_at_arming().arming == Arming::armed;
    accounts_.read();
    std::map<std::int64_t, Ear> fresh;
    Rows rows = statement.run({});
    for (std::uint64_t i = 0; is_armed_ && settings_now.enabled && i < rows.count(); ++i) {
        const std::int64_t id = rows.bigint(i, "mailbox_id");
        const Account* account = accounts_.find(id);
        const std::string host = rows.text(i, "host");
        const int port = static_cast<int>(rows.bigint(i, "port"));
        if (account == nullptr || account->is_denied_files || !is_host_allowed(settings_now, host, port)) continue;
        auto endpoint = std::make_shared<smtp::Endpoint>(*account->endpoint);
        endpoint->host = host;
        endpoint->port = port;
        endpoint->tls = tls_of(rows.text(i, "tls"));
        if (endpoint->username.empty()) endpoint->username = account->from_address;
        imap::Plan plan;
        if (!rows.is_null(i, "folders")) plan.wished = rows.texts(i, "folders");
        plan.since = rows.text(i, "since");
        if (!rows.is_null(i, "cursors")) {
            for (const std::string& cursor : rows.texts(i, "cursors")) {
                const auto first = cursor.find(' '), second = cursor.find(' ', first + 1);
                plan.cursors[cursor.substr(second + 1)] = {
                    static_cast<std::uint32_t>(std::stoul(cursor)),
                    static_cast<std::uint32_t>(std::stoul(cursor.substr(first + 1, second - first - 1)))};
            }
        }
        auto known = ears_.find(id);
        const bool is_same =
            known != ears_.end() && *known->second.endpoint == *endpoint && known->second.plan.wished == plan.wished;
        Ear ear = is_same ? std::move(known->second) : Ear{};
        // A token that was fetched because the last one was refused is tried at once; the next refusal rests.
        const bool is_new_token =
            is_same && ear.failures <= 1 && endpoint->token && ear.endpoint->token->text != endpoint->token->text;
        if ((!ear.has_token || is_new_token) && account->has_token()) ear.retry_at = at;
        ear.has_token = account->has_token();
        ear.endpoint = std::move(endpoint);
        if (!ear.line) ear.plan = std::move(plan);
        fresh.emplace(id, std::move(ear));
    }
    transactions_.commit();
    ears_ = std::move(fresh);
    // With hundreds of mailboxes the folders that IDLE doesn't tell of are looked at less often.
    const core::Duration poll = std::min<core::Duration>(5s * std::max<std::int64_t>(1, std::ssize(ears_) / 20), 4min);
    for (auto& [id, ear] : ears_)
        ear.plan.poll = poll;
}

// ── Connections ────────────────────────────────────────────────────────────────────────────────────────────────

void Listener::open_due(core::Time at) {
    for (auto& [id, ear] : ears_) {
        if (ear.line || at < ear.retry_at) continue;
        if (!ear.has_token) {
            ear.has_looked |= !tokens_.is_fetching() && at > started_ + 5s;
            continue;
        }
        if (ear.state != "in trouble") write_state(id, ear, "connecting", "", "", {});
        ear.started_at = at;
        ear.listening_since = core::Time::max();
        ear.line = std::make_unique<imap::Line>(loop_, ear.endpoint, ear.plan, at);
    }
}

void Listener::serve(core::Time at) {
    std::vector<smtp::CurlLoop::Ready> ready;  // each is asked in any case: TLS may have read ahead
    std::vector<smtp::CurlLoop::Done> done;
    loop_.poll(at, ready, done);
    for (auto& [id, ear] : ears_) {
        if (!ear.line) continue;
        for (const auto& one : done)
            if (one.easy == ear.line->easy()) ear.line->on_done(one.code, at);
        ear.line->expire(at);
        answer(id, ear, at);
    }
}

// Reads and answers what a connection has to say, until it says no more or has had its turn.
void Listener::answer(std::int64_t id, Ear& ear, core::Time at) {
    ear.line->move(at);
    for (int i = 0; i < most_events; ++i) {
        if (ear.line->is_dead()) return bury(id, ear, at);
        if (ear.line->dialogue() == nullptr || ear.line->dialogue()->event() == nullptr) return;
        imap::Event& event = *ear.line->dialogue()->event();
        switch (event.kind) {
            case imap::Event::Kind::folders:
                ear.missing = event.missing;
                break;
            case imap::Event::Kind::headers:
                choose(event);
                break;
            case imap::Event::Kind::mails:
                store(id, event);
                ear.plan.cursors[event.folder] = event.cursor;
                ear.heard_at = at;
                break;
            case imap::Event::Kind::listening:
                note_listening(id, ear, at);
                break;
            case imap::Event::Kind::over:
                return bury(id, ear, at);
        }
        ear.line->dialogue()->take_up(at);
        ear.line->move(at);
    }
}

// Of mails that are no reports only those are read further that answer ours, or come from somebody whom we wrote to.
void Listener::choose(imap::Event& event) {
    static Statement statement("SELECT mailer._listen_concerns($1, $2)", {TEXTARRAYOID, TEXTOID});
    if (event.is_sent) return;
    transactions_.begin();
    for (imap::Mail& mail : event.mails) {
        std::string_view rest = mail.header;
        const core::feedback::Fields fields = core::feedback::take_fields(rest);
        std::vector<std::string> ids = core::feedback::message_ids(fields.value("in-reply-to"), most_ids);
        const auto more = core::feedback::message_ids(fields.value("references"), most_ids);
        ids.insert(ids.end(), more.begin(), more.end());
        const std::string sender = core::feedback::first_address(fields.value("from"));
        mail.is_wanted = mail.may_be_report || statement.run({p_texts(ids), p_text(sender)}).boolean(0, 1);
    }
    transactions_.commit();
}

void Listener::store(std::int64_t id, const imap::Event& event) {
    static Statement statement(
        "SELECT mailer._listen_store($1, $2, $3, $4, $5, $6, $7, $8)",
        {INT8OID, TEXTOID, INT8OID, INT8OID, BYTEAARRAYOID, TEXTARRAYOID, INT4OID, TEXTARRAYOID});
    std::vector<std::string> mails, sent_ids, original_ids;
    for (const imap::Mail& mail : event.mails) {
        if (mail.is_wanted) mails.push_back(mail.raw);
        if (!event.is_sent) continue;
        std::string_view rest = mail.header;
        const core::feedback::Fields fields = core::feedback::take_fields(rest);
        std::vector<std::string> own = core::feedback::message_ids(fields.value("message-id"), 1);
        if (own.empty()) continue;
        sent_ids.push_back(std::move(own.front()));
        original_ids.emplace_back();
        for (const char* replaced : {"x-google-original-message-id", "x-microsoft-original-message-id"})
            for (std::string& ours : core::feedback::message_ids(fields.value(replaced), 1))
                original_ids.back() = std::move(ours);
    }
    transactions_.begin();
    (void)statement.run({p_bigint(id), p_text(event.folder), p_bigint(event.cursor.uid_validity),
                         p_bigint(event.cursor.last_uid), p_byteas(mails), p_texts(sent_ids),
                         p_int(static_cast<std::int32_t>(event.mails.size())), p_texts(original_ids)});
    transactions_.commit();
}

void Listener::note_listening(std::int64_t id, Ear& ear, core::Time at) {
    ear.has_looked = true;
    if (ear.listening_since == core::Time::max()) ear.listening_since = at;
    if (at - ear.listening_since >= good_time) ear.failures = 0;
    if (ear.state == "listening" && at < ear.heard_at + heard_again) return;
    write_state(id, ear, "listening", "", "", {});
    ear.heard_at = at;
}

void Listener::bury(std::int64_t id, Ear& ear, core::Time at) {
    std::string error = ear.line->error();
    bool is_told_to_wait = false;
    if (ear.line->dialogue() != nullptr && ear.line->dialogue()->event() != nullptr) {
        error = ear.line->dialogue()->event()->text;
        is_told_to_wait = ear.line->dialogue()->event()->is_told_to_wait;
    }
    if (ear.listening_since != core::Time::max() && at - ear.listening_since >= good_time) ear.failures = 0;
    ++ear.failures;
    core::Duration pause =
        std::min<core::Duration>(first_pause * (1LL << std::min(ear.failures - 1, 11)), longest_pause);
    if (is_told_to_wait) pause = std::max<core::Duration>(pause, told_to_wait);
    if (ear.line->is_login_refused()) {
        pause = core::breaker_delay(true, ear.failures, static_cast<std::uint64_t>(id));
        const Account* account = accounts_.find(id);
        if (ear.failures <= 1 && account != nullptr && account->uses_oauth && !oauth::names_another_cause(error))
            tokens_.renew({{id, ear.started_at}});
    }
    const bool was_listening = ear.listening_since != core::Time::max();
    ear.line.reset();
    ear.listening_since = core::Time::max();
    ear.retry_at = at + pause;
    ear.has_looked = true;
    // A connection that was good and broke is tried again before the trouble is reported.
    const bool is_trouble = !was_listening || ear.failures > 1;
    write_state(id, ear, is_trouble ? "in trouble" : "connecting", error,
                oauth::hint_for(error, oauth::Flow::refresh_token), pause);
}

void Listener::write_state(std::int64_t id, Ear& ear, const char* state, const std::string& error,
                           const std::string& hint, core::Duration retry_in) {
    static Statement statement("SELECT mailer._listen_state($1, $2, $3, $4, $5, $6)",
                               {INT8OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTARRAYOID});
    transactions_.begin();
    (void)statement.run({p_bigint(id), p_text(state), error.empty() ? p_null(TEXTOID) : p_text(error), p_text(hint),
                         p_bigint(std::chrono::duration_cast<std::chrono::microseconds>(retry_in).count()),
                         p_texts(ear.missing)});
    transactions_.commit();
    ear.state = state;
}

// ── The loop ───────────────────────────────────────────────────────────────────────────────────────────────────

// False: it failed; what came in is kept, and answered when the database can.
bool Listener::turn() {
    const core::Time at = now();
    try {
        look(at);
        open_due(at);
        serve(at);
        errors_in_a_row_ = 0;
        return true;
    } catch (const PgError& error) {
        transactions_.abort();
        absorb_error(error);
    } catch (const std::exception& error) {
        transactions_.abort();
        absorb_error(error);
    }
    ++errors_in_a_row_;
    return false;
}

bool Listener::is_over(core::Time at) const {
    if (context_.host() == EngineContext::Host::worker) {
        if (is_armed_ && ears_.empty() && at > started_ + stays_for) return true;
        if (!takes_turns_ || ears_.empty()) return false;
        if (at > started_ + longest_turn) return true;
    } else if (limits_.max_time) {
        return at >= started_ + *limits_.max_time;
    }
    return std::all_of(ears_.begin(), ears_.end(), [](const auto& one) { return one.second.has_looked; });
}

core::Duration Listener::sleep_for(core::Time at) const {
    if (errors_in_a_row_ > 0) return std::min<core::Duration>(1s * (1 << std::min(errors_in_a_row_ - 1, 6)), 60s);
    core::Time until = look_at_;
    const auto consider = [&](std::optional<core::Time> t) {
        if (t) until = std::min(until, *t);
    };
    consider(loop_.timer());
    consider(at + tokens_.next_timeout(at));
    if (limits_.max_time) consider(started_ + *limits_.max_time);
    if (ears_.empty() && at <= started_ + stays_for) consider(started_ + stays_for + 1ms);
    if (takes_turns_) consider(started_ + longest_turn + 1ms);
    for (const auto& [id, ear] : ears_) {
        if (ear.line) {
            consider(ear.line->deadline());
        } else if (ear.has_token) {
            consider(ear.retry_at);
        }
    }
    return std::max(core::Duration{0}, until - at);
}

void Listener::hang_up() {
    if (takes_turns_ && !context_.should_stop()) note_turn();
    for (auto& [id, ear] : ears_) {
        if (!ear.line || ear.line->dialogue() == nullptr) continue;
        ear.line->dialogue()->log_out();
        ear.line->move(now());
    }
}

// What this turn found counts until the next.
void Listener::note_turn() {
    static Statement statement("SELECT mailer._listen_turn()", {});
    try {
        transactions_.begin();
        (void)statement.run({});
        transactions_.commit();
    } catch (const PgError& error) {
        transactions_.abort();
        absorb_error(error);
    }
}

void Listener::run() {
    while (!context_.should_stop() && sender_status().stay_away_count == 0) {
        const bool is_good = turn();
        if (is_good && is_over(now())) break;
        context_.wait(sockets_.fd(), sleep_for(now()));
    }
    hang_up();
}

}  // namespace

void run_listener(EngineContext& context, const ListenLimits& limits) {
    static const bool is_curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!is_curl_ready) throw Refusal({"XX000", "libcurl could not be initialised"});
    signal(SIGPIPE, SIG_IGN);
    Listener listener(context, limits);
    listener.run();
}

}  // namespace mailer::pg
