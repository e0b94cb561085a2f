// Connections to other databases, and what their answers mean in terms of a try; see forwarder.hpp.
#include "pg/engine/forwarder.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <libpq-fe.h>

namespace mailer::pg {

namespace {

// Longer than a statement that only queues a mail ever takes: the other server is frozen, or the network is gone.
constexpr core::Duration answer_timeout = std::chrono::seconds(60);
constexpr const char* tcp_user_timeout_ms = "10000";
constexpr core::Duration asks_again_after = std::chrono::milliseconds(5);
constexpr const char* hand_over =
    R"sql(
        SELECT mailer.enqueue_raw($1, $2, mailbox => nullif($3, ''), idempotency_key => $4),
            pg_catalog.current_database())sql";

core::Report report_of(const ForwardedMail& mail, core::Time now) {
    core::Report r;
    r.token = mail.token;
    r.mailbox_id = mail.mailbox_id;
    r.recipient_count = static_cast<int>(mail.recipients.size());
    r.started_at = mail.started_at == core::Time{} ? now : mail.started_at;
    r.finished_at = now;
    return r;
}

// The connection, or the other server as a whole: says nothing about the mail.
core::Report failed(const ForwardedMail& mail, core::Time now, core::Ending ending, std::string words) {
    core::Report r = report_of(mail, now);
    r.stage = core::Stage::connect;
    r.ending = ending;
    r.error_text = std::move(words);
    return r;
}

// The database won't take anything from us until somebody mends it: a right, a mailbox, a database that isn't there.
core::Report denied(const ForwardedMail& mail, core::Time now, std::string words) {
    core::Report r = failed(mail, now, core::Ending::answered, "");
    r.stage = core::Stage::auth;
    r.session_reply = core::Reply{535, "5.7.8", std::move(words)};
    return r;
}

core::Report answered(const ForwardedMail& mail, core::Time now, core::Reply reply) {
    core::Report r = report_of(mail, now);
    r.stage = core::Stage::done;
    r.ending = core::Ending::answered;
    r.dot_sent = true;
    r.dot_at = r.started_at;
    r.final_reply = std::move(reply);
    for (int i = 0; i < r.recipient_count; ++i)
        r.recipients.push_back({i, core::Reply{250, "2.1.5", "queued"}});
    return r;
}

std::string one_line(const char* text) {
    std::string line(text == nullptr ? "" : text);
    while (!line.empty() && line.back() == '\n')
        line.pop_back();
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

bool is_any(std::string_view state, std::initializer_list<std::string_view> beginnings) {
    return std::any_of(beginnings.begin(), beginnings.end(), [&](auto b) { return state.starts_with(b); });
}

// An error of the other database, by its SQLSTATE: whose fault it is. 23505: the key stands for a mail that reads
// otherwise. The key is of this message alone, so it is there, as an earlier try composed it.
core::Report of_error(const ForwardedMail& mail, core::Time now, std::string_view state, std::string words) {
    if (state == "23505") return answered(mail, now, {250, "2.0.0", "was handed over before"});
    if (is_any(state, {"42501", "42704", "42883", "3F", "3D", "28"})) return denied(mail, now, std::move(words));
    if (is_any(state, {"22", "23", "54"})) return answered(mail, now, {554, "5.6.0", std::move(words)});
    return failed(mail, now, core::Ending::failed, std::move(words));
}

std::string array_literal(const std::vector<std::string>& elements) {
    std::string text = "{";
    for (const std::string& element : elements) {
        text += text.size() > 1 ? ",\"" : "\"";
        for (const char c : element) {
            if (c == '"' || c == '\\') text += '\\';
            text += c;
        }
        text += '"';
    }
    return text + "}";
}

}  // namespace

// One connection: opening, then a mail at a time.
class Forwarder::Link {
public:
    Link(int epoll, const MayGo& may_go, const ForwardedMail& mail, core::Time now)
        : epoll_(epoll),
          may_go_(may_go),
          mailbox_id_(mail.mailbox_id),
          target_(mail.target),
          deadline_(now + mail.target.connect_timeout) {
        const std::array<const char*, 6> keywords{"tcp_user_timeout",
                                                  "application_name",
                                                  "dbname",
                                                  "client_encoding",
                                                  target_.password.empty() ? nullptr : "password",
                                                  nullptr};
        const std::array<const char*, 6> values{tcp_user_timeout_ms,        "mailer forwarder",
                                                target_.connection.c_str(), "UTF8",
                                                target_.password.c_str(),   nullptr};
        connection_ = PQconnectStartParams(keywords.data(), values.data(), 1);
        const auto ignore = [](void*, const char*) {};
        if (connection_ != nullptr) PQsetNoticeProcessor(connection_, ignore, nullptr);
        if (!is_broken()) watch(EPOLLOUT);
    }
    ~Link() { PQfinish(connection_); }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    bool fits(const ForwardedMail& mail) const { return mailbox_id_ == mail.mailbox_id && target_ == mail.target; }
    bool is_broken() const { return connection_ == nullptr || PQstatus(connection_) == CONNECTION_BAD; }
    bool is_free() const { return !mail_ && !is_finished_; }
    bool is_idle() const { return is_open_ && !mail_; }
    bool is_finished() const { return is_finished_; }
    std::int64_t mailbox_id() const { return mailbox_id_; }
    // When to look at the latest.
    core::Time deadline() const {
        if (is_broken()) return core::Time::min();
        return waits_since_ ? std::min(deadline_, asked_at_ + asks_again_after) : deadline_;
    }

    void take(ForwardedMail mail, core::Time now) {
        mail.started_at = now;
        mail_ = std::move(mail);
        is_sent_ = false;
        waits_since_.reset();
    }

    // A report when its mail is through.
    std::optional<core::Report> turn(core::Time now) {
        if (!is_broken() && !is_open_) open(now);
        if (!is_broken() && is_open_) {
            if (mail_ && !is_sent_ && !send(now)) return taken_back(now);
            if (is_flushing_) flush();
            std::optional<core::Report> done = read(now);
            if (done) return done;
        }
        if (is_broken()) return end(core::Ending::closed, one_line(PQerrorMessage(connection_)), now);
        if (now < deadline_) return std::nullopt;
        if (!mail_) {  // it has idled long enough
            is_finished_ = true;
            return std::nullopt;
        }
        return end(core::Ending::timed_out, is_open_ ? "no answer from the database" : "no connection in time", now);
    }

    std::optional<core::Report> end(core::Ending ending, std::string words, core::Time now) {
        is_finished_ = true;
        if (!mail_) return std::nullopt;
        return failed(*std::exchange(mail_, std::nullopt), now, ending, std::move(words));
    }

private:
    // libpq may close its socket and open another (the next address of a host): epoll forgets the closed one by itself.
    void watch(std::uint32_t events) {
        epoll_event event{};
        event.events = events;
        wanted_ = events;  // EPOLLIN is POLLIN, and EPOLLOUT POLLOUT
        event.data.fd = PQsocket(connection_);
        if (event.data.fd < 0) return;
        if (epoll_ctl(epoll_, EPOLL_CTL_MOD, event.data.fd, &event) != 0 && errno == ENOENT)
            (void)epoll_ctl(epoll_, EPOLL_CTL_ADD, event.data.fd, &event);
    }

    // libpq waits by itself where it is asked too early, and all other mail with it.
    bool is_ready() const {
        pollfd wanted{PQsocket(connection_), static_cast<short>(wanted_), 0};
        return wanted.fd < 0 || poll(&wanted, 1, 0) != 0;
    }

    void open(core::Time now) {
        if (!is_ready()) return;
        switch (PQconnectPoll(connection_)) {
            case PGRES_POLLING_READING:
                watch(EPOLLIN);
                break;
            case PGRES_POLLING_WRITING:
                watch(EPOLLOUT);
                break;
            case PGRES_POLLING_OK:
                is_open_ = true;
                (void)PQsetnonblocking(connection_, 1);
                deadline_ = now + target_.idle;
                watch(EPOLLIN);
                break;
            default:
                break;  // broken
        }
    }

    // False when its follow-up has been stopped, or when that can't be told for too long.
    bool send(core::Time now) {
        if (mail_->follow_up != 0) {
            const core::Time since = waits_since_.value_or(now);
            const auto dot = may_go_(mail_->follow_up, since, now);
            waits_since_.reset();
            if (dot == smtp::Observer::Dot::wait) {
                waits_since_ = since;
                asked_at_ = now;
                return true;
            }
            if (dot != smtp::Observer::Dot::go) return false;
        }
        is_sent_ = true;
        const std::string to = array_literal(mail_->recipients);
        const std::array<Oid, 4> types{1009, 17, 25, 25};  // text[], bytea, text, text
        const std::array<const char*, 4> values{to.c_str(), mail_->body->data(), mail_->target.mailbox.c_str(),
                                                mail_->key.c_str()};
        const std::array<int, 4> lengths{0, static_cast<int>(mail_->body->size()), 0, 0}, formats{0, 1, 0, 0};
        deadline_ = now + answer_timeout;
        if (PQsendQueryParams(connection_, hand_over, 4, types.data(), values.data(), lengths.data(), formats.data(),
                              0) == 1)
            flush();
        return true;
    }

    core::Report taken_back(core::Time now) {
        deadline_ = now + target_.idle;
        return failed(*std::exchange(mail_, std::nullopt), now, core::Ending::abandoned,
                      "it was taken back before it was handed over");
    }

    void flush() {
        is_flushing_ = PQflush(connection_) == 1;
        watch(is_flushing_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }

    std::optional<core::Report> read(core::Time now) {
        if (PQconsumeInput(connection_) == 0 || PQisBusy(connection_) == 1) return std::nullopt;
        std::optional<core::Report> report;
        while (PQisBusy(connection_) == 0) {
            const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection_), PQclear);
            if (result == nullptr) break;
            if (mail_ && !report) report = of_result(result.get(), now);
        }
        if (report) {
            mail_.reset();
            deadline_ = now + target_.idle;
        }
        return report;
    }

    core::Report of_result(const PGresult* result, core::Time now) const {
        if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
            return answered(*mail_, now,
                            {250, "2.0.0",
                             std::string("handed over as message ") + PQgetvalue(result, 0, 0) + " of database " +
                                 PQgetvalue(result, 0, 1)});
        const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        std::string words = one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        if (const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL)) words += ": " + one_line(detail);
        if (words.empty()) words = one_line(PQresultErrorMessage(result));
        return of_error(*mail_, now, state == nullptr ? "" : state, std::move(words));
    }

    int epoll_;
    const MayGo& may_go_;
    std::int64_t mailbox_id_;
    ForwardTarget target_;
    PGconn* connection_ = nullptr;
    std::uint32_t wanted_ = 0;
    bool is_open_ = false, is_flushing_ = false, is_finished_ = false;
    core::Time deadline_;
    std::optional<ForwardedMail> mail_;
    bool is_sent_ = false;
    std::optional<core::Time> waits_since_;
    core::Time asked_at_{};
};

Forwarder::Forwarder(OnReply on_reply, MayGo may_go)
    : on_reply_(std::move(on_reply)), may_go_(std::move(may_go)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Forwarder::~Forwarder() {
    links_.clear();
    if (epoll_ >= 0) close(epoll_);
}

bool Forwarder::submit(ForwardedMail mail) {
    if (is_stopping_) return false;
    waiting_.push_back(std::move(mail));
    return true;
}

std::optional<core::Duration> Forwarder::next_timeout(core::Time now) const {
    std::optional<core::Duration> next;
    for (const auto& link : links_) {
        const core::Duration left = link->deadline() <= now ? core::Duration::zero() : link->deadline() - now;
        next = std::min(next.value_or(left), left);
    }
    if (is_stopping_ && !waiting_.empty()) return core::Duration::zero();
    return next;
}

// A connection that can take this mail; nothing when it has to wait.
Forwarder::Link* Forwarder::free_link(const ForwardedMail& mail, core::Time now) {
    int count = 0;
    for (const auto& link : links_) {
        if (link->fits(mail) && link->is_free()) return link.get();
        if (link->mailbox_id() == mail.mailbox_id && !link->is_finished()) ++count;
    }
    if (count >= mail.target.max_connections) return nullptr;
    return links_.emplace_back(std::make_unique<Link>(epoll_, may_go_, mail, now)).get();
}

void Forwarder::start(core::Time now) {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        Link* const link = free_link(*it, now);
        if (link == nullptr) {
            ++it;
            continue;
        }
        link->take(std::move(*it), now);
        it = waiting_.erase(it);
    }
}

void Forwarder::report(core::Report report, std::vector<core::Report>& finished) {
    on_reply_(report.token, report);
    finished.push_back(std::move(report));
}

void Forwarder::give_up_waiting(core::Time now, std::vector<core::Report>& finished) {
    for (const ForwardedMail& mail : std::exchange(waiting_, {}))
        report(failed(mail, now, core::Ending::abandoned, "the sender leaves"), finished);
    if (!std::exchange(is_abandoning_, false)) return;
    for (const auto& link : links_)
        if (auto ended = link->end(core::Ending::abandoned, "the sender leaves", now)) report(*ended, finished);
}

void Forwarder::turn(core::Time now, std::vector<core::Report>& finished) {
    if (is_stopping_)
        give_up_waiting(now, finished);
    else
        start(now);
    // What became free takes the next one at once; a few rounds, so that others have their turn too.
    for (int round = 0; round < 4; ++round) {
        bool is_any_done = false;
        for (const auto& link : links_) {
            if (link->is_finished()) continue;
            if (auto done = link->turn(now)) {
                report(std::move(*done), finished);
                is_any_done = true;
            }
        }
        // An idle one to what is a mailbox's target no more is of no use, and takes the place of another.
        const auto gone = std::erase_if(links_, [&](const auto& link) {
            return link->is_finished() ||
                   (link->is_idle() && std::any_of(waiting_.begin(), waiting_.end(), [&](const ForwardedMail& mail) {
                        return mail.mailbox_id == link->mailbox_id() && !link->fits(mail);
                    }));
        });
        if ((!is_any_done && gone == 0) || is_stopping_) break;
        start(now);
    }
}

std::vector<std::uint64_t> Forwarder::take_back(const std::function<bool(const ForwardedMail&)>& predicate) {
    std::vector<std::uint64_t> tokens;
    std::erase_if(waiting_, [&](const ForwardedMail& mail) {
        if (!predicate(mail)) return false;
        tokens.push_back(mail.token);
        return true;
    });
    return tokens;
}

void Forwarder::stop() { is_stopping_ = true; }

void Forwarder::abandon_all() { is_stopping_ = is_abandoning_ = true; }

}  // namespace mailer::pg
