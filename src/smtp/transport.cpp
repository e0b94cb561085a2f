// See transport.hpp: the invariants are numbered there. The public face is at the end; before it, in the order of a
// message's life: it is assigned to a connection, opened if need be, driven, completed; then what ends by time.
#include "smtp/transport.hpp"

#include <algorithm>
#include <cassert>
#include <unordered_map>
#include <utility>

#include "core/outcome/verdict.hpp"
#include "core/pace/connection_limit.hpp"
#include "net/curl_loop.hpp"
#include "smtp/line.hpp"

namespace mailer::smtp {

using core::Duration;
using core::Ending;
using core::Report;
using core::Time;

namespace {

// What one connection may write in one turn: a fast reader of a large message must not starve the others.
constexpr std::size_t write_share = 1024 * 1024;

// How long a mailbox is spoken to one command at a time after its server lost step in a pipelined envelope.
constexpr Duration lockstep_period = std::chrono::minutes{10};

}  // namespace

class Transport::Impl {
public:
    Impl(Observer& observer, int max_connections)
        : observer_(observer), max_connections_(std::max(1, max_connections)), loop_(max_connections_) {}

    void submit(Delivery delivery) {
        MailboxLines& mailbox = mailboxes_[delivery.mailbox_id];
        mailbox.in_flight++;
        in_flight_++;
        mailbox.queue.push_back(std::move(delivery));
        has_more_ = true;
    }

    void turn(Time now, std::vector<Report>& finished) {
        now_ = now;
        turn_++;
        has_more_ = false;
        ready_.clear();
        done_.clear();
        loop_.poll(now, ready_, done_);
        for (const CurlLoop::Done& done : done_)
            on_connected(done);
        for (const CurlLoop::Ready& ready : ready_)
            on_ready(*static_cast<Line*>(ready.owner));
        ask_again();
        expire();
        bury();
        needy_ = hunger_ = 0;
        for (const bool has_lines : {false, true}) {  // what has no connection yet comes first
            for (auto& [id, mailbox] : mailboxes_)
                if (mailbox.lines.empty() != has_lines) assign(id, mailbox);
        }
        bury();
        std::move(reports_.begin(), reports_.end(), std::back_inserter(finished));
        reports_.clear();
    }

    // ---- assigned ----------------------------------------------------------------------------------------------

    void assign(std::int64_t id, MailboxLines& mailbox) {
        while (!mailbox.queue.empty()) {
            const std::shared_ptr<const Endpoint> endpoint = mailbox.queue.front().endpoint;
            if (Line* line = mailbox.find_idle(endpoint)) {
                drive(*line);
                continue;
            }
            if (!may_open(id, mailbox, *endpoint)) return;
            open(id, mailbox, endpoint);
        }
    }

    bool may_open(std::int64_t id, MailboxLines& mailbox, const Endpoint& endpoint) {
        if (static_cast<std::size_t>(mailbox.opening_count) >= mailbox.queue.size()) return false;
        if (mailbox.failed_in_turn == turn_) {  // let the caller see the report first: it may call the rest back
            has_more_ = true;
            return false;
        }
        if (mailbox.turned_away && mailbox.opening_count > 0) return false;  // are the others taken?
        if (mailbox.has_made_room && is_any_leaving(lines_, endpoint)) return false;
        if (std::ssize(mailbox.lines) >= limits_.most(id, endpoint, now_)) {
            // Made for an older endpoint: nothing of the queue can use them.
            for (Line* line : mailbox.lines) {
                if (line->is_idle() && !(*line->endpoint == endpoint)) say_goodbye(*line);
            }
            return false;
        }
        if (!is_full_for(endpoint)) return true;
        make_room(mailbox);
        return false;
    }

    // A server that has connections doesn't get the last ones: it may be one that never answers.
    bool is_full_for(const Endpoint& server) const {
        const auto left = max_connections_ - std::ssize(lines_);
        if (left <= 0) return true;
        return left <= core::kept_connections(max_connections_) && is_any_at(lines_, server);
    }

    // All connections of this sender are taken. The oldest idle one goes; where none is idle, a mailbox that has none
    // at all gets the next one that a mailbox with several is done with.
    void make_room(const MailboxLines& mailbox) {
        if (Line* oldest = oldest_idle(lines_)) return say_goodbye(*oldest);
        if (mailbox.lines.empty()) hunger_ = std::max(0, ++needy_ - count_leaving(lines_));
    }

    void open(std::int64_t id, MailboxLines& mailbox, const std::shared_ptr<const Endpoint>& endpoint) {
        auto line = std::make_unique<Line>();
        line->mailbox_id = id;
        line->endpoint = endpoint;
        line->opening = std::make_unique<Opening>(loop_, endpoint, now_);
        mailbox.lines.push_back(line.get());
        mailbox.opening_count++;
        lines_.push_back(std::move(line));
        if (mailbox.lines.back()->opening->is_over()) on_opening_over(*mailbox.lines.back());
    }

    // ---- opened ------------------------------------------------------------------------------------------------

    void on_connected(const CurlLoop::Done& done) {
        for (const auto& line : lines_) {
            if (!line->opening || line->is_dead || line->opening->easy() != done.easy) continue;
            line->opening->on_done(done.code, now_);
            if (line->opening->is_over()) on_opening_over(*line);
            return;
        }
    }

    void on_opening_over(Line& line) {
        MailboxLines& mailbox = mailboxes_[line.mailbox_id];
        if (!line.opening->is_open()) {
            mailbox.lose_opening(line);
            Report failure = line.opening->failure(now_);
            if (is_one_too_many(mailbox, line, failure)) return;
            mailbox.has_made_room = false;
            mailbox.failed_in_turn = turn_;
            if (auto delivery = mailbox.take_next(line.endpoint)) report_failure(*delivery, std::move(failure));
            return;
        }
        mailbox.opening_count--;
        mailbox.has_made_room = false;
        const bool may_pipeline = line.endpoint->allow_pipelining && now_ >= mailbox.lockstep_until;
        line.connection = std::make_unique<Connection>(loop_, &line, line.opening->take_easy(), *line.endpoint,
                                                       line.opening->capabilities(), may_pipeline);
        line.idle_since = line.opening->started_at();  // the first message's time begins here
        if (line.connection->dialogue().is_dead()) {
            if (auto delivery = mailbox.take_next(line.endpoint))
                report_failure(*delivery, line.opening->failure(now_));
        }
        line.opening.reset();
        if (const auto failure = std::exchange(mailbox.turned_away, std::nullopt))
            limits_.lower(line.mailbox_id, *line.endpoint, mailbox.count_at(*line.endpoint), *failure, now_);
        drive(line);
    }

    // A connection that was turned away while others work, or may yet, failed nobody's delivery: that waits for them.
    bool is_one_too_many(MailboxLines& mailbox, const Line& line, const Report& failure) {
        if (is_stopping_ || !core::is_turned_away(failure)) return false;
        const int others = mailbox.count_at(*line.endpoint);
        if (mailbox.has_open_at(*line.endpoint)) {
            limits_.lower(line.mailbox_id, *line.endpoint, others, failure, now_);
            return true;
        }
        if (others > 0) {
            mailbox.turned_away = failure;
            return true;
        }
        return makes_room_at_server(mailbox, *line.endpoint);
    }

    // No connection of the mailbox works. Those of other mailboxes at the same server that only wait for mail give way,
    // once: then it is tried again.
    bool makes_room_at_server(MailboxLines& mailbox, const Endpoint& server) {
        if (std::exchange(mailbox.has_made_room, true)) return false;
        bool is_any = false;
        for (const auto& line : lines_) {
            if (!line->is_idle() || !line->is_at(server)) continue;
            say_goodbye(*line);
            is_any = true;
        }
        return is_any;
    }

    void report_failure(const Delivery& delivery, Report report) {
        report.token = delivery.token;
        report.mailbox_id = delivery.mailbox_id;
        report.recipient_count = static_cast<int>(delivery.recipients.size());
        deliver_report(std::move(report));
    }

    // ---- driven ------------------------------------------------------------------------------------------------

    void on_ready(Line& line) {
        if (line.is_dead || !line.connection) return;
        line.connection->read(now_);
        drive(line);
    }

    // Goes on with one connection until it waits for its server, has nothing to do, or is dead.
    void drive(Line& line) {
        Dialogue& dialogue = line.connection->dialogue();
        std::size_t allowance = write_share;
        while (true) {
            if (dialogue.take_body_started() && line.delivery) observer_.on_body(line.delivery->token);
            if (dialogue.wants_dot() && !ask_for_dot(line)) break;
            if (auto report = dialogue.take_report()) complete(line, std::move(*report));
            if (dialogue.is_dead()) {
                line.is_dead = true;
                return;
            }
            if (dialogue.is_idle() && !begin_next(line)) break;
            if (line.connection->write(now_, allowance)) return line.connection->watch(true);
            if (!has_news(dialogue)) break;
        }
        line.connection->watch(false);
    }

    static bool has_news(const Dialogue& dialogue) {
        return dialogue.wants_dot() || dialogue.is_dead() || dialogue.has_report() || dialogue.is_idle();
    }

    // False while it has to wait.
    bool ask_for_dot(Line& line) {
        Dialogue& dialogue = line.connection->dialogue();
        if (is_stopping_) {
            dialogue.abandon("shutting down", now_);
            return true;
        }
        const Time since = line.dot_waits_since.value_or(now_);
        switch (observer_.may_dot(line.delivery->token, since, now_)) {
            case Observer::Dot::wait:
                line.dot_waits_since = since;
                return false;
            case Observer::Dot::give_up:
                dialogue.abandon("the dot was not allowed in time", now_);
                break;
            case Observer::Dot::take_back:
                dialogue.abandon("it was taken back before its dot", now_);
                break;
            case Observer::Dot::go:
                if (observer_.on_dot(line.delivery->token, dialogue.so_far(), now_))
                    dialogue.allow_dot(now_);
                else
                    dialogue.abandon("the journal could not be written", now_, Ending::unrecorded);
                break;
        }
        line.dot_waits_since.reset();
        return true;
    }

    void ask_again() {
        for (const auto& line : lines_) {
            if (line->dot_waits_since && !line->is_dead) drive(*line);
        }
    }

    // False when the line stays idle.
    bool begin_next(Line& line) {
        const bool is_used_up = line.message_count >= std::max(1, line.endpoint->max_messages_per_connection);
        MailboxLines& mailbox = mailboxes_[line.mailbox_id];
        const bool is_wanted_elsewhere = hunger_ > 0 && line.message_count > 0 && mailbox.lines.size() > 1;
        if (is_wanted_elsewhere) hunger_--;
        if (is_used_up || line.closes_after || is_stopping_ || is_wanted_elsewhere) {
            line.closes_after = true;
            line.connection->dialogue().quit(now_);
            return true;
        }
        line.delivery = mailbox.take_next(line.endpoint);
        if (!line.delivery) return false;
        const bool is_reused = line.message_count++ > 0;
        const Time started_at = is_reused ? now_ : line.idle_since;
        line.connection->dialogue().begin(*line.delivery, is_reused, started_at, now_);
        return true;
    }

    void say_goodbye(Line& line) {
        line.closes_after = true;
        drive(line);
    }

    // ---- completed ---------------------------------------------------------------------------------------------

    void complete(Line& line, Report report) {
        MailboxLines& mailbox = mailboxes_[line.mailbox_id];
        std::optional<Delivery> delivery = std::exchange(line.delivery, std::nullopt);
        line.idle_since = now_;
        line.dot_waits_since.reset();
        const bool lost_step = report.ending == Ending::timed_out || report.ending == Ending::garbled;
        if (line.connection->is_pipelining() && lost_step && !report.dot_sent && report.stage < core::Stage::body) {
            mailbox.lockstep_until = now_ + lockstep_period;
        }
        if (core::is_stale_connection(report) && !is_stopping_ && !line.closes_after) {
            mailbox.queue.push_front(std::move(*delivery));
            has_more_ = true;
            mailbox.close_idle();  // they are as old as this one
            return;
        }
        const int others = mailbox.count_at(*line.endpoint) - 1;
        if (others > 0 && !is_stopping_ && core::is_turned_away(report)) {  // at its first MAIL
            limits_.lower(line.mailbox_id, *line.endpoint, others, report, now_);
            line.closes_after = true;
            mailbox.queue.push_front(std::move(*delivery));
            return;
        }
        deliver_report(std::move(report));
    }

    void deliver_report(Report report) {
        mailboxes_[report.mailbox_id].in_flight--;
        in_flight_--;
        observer_.on_reply(report.token, report);
        reports_.push_back(std::move(report));
        has_more_ = true;
    }

    // ---- ended by time, or by order ----------------------------------------------------------------------------

    void expire() {
        for (const auto& line : lines_) {
            if (line->is_dead) continue;
            if (line->opening) {
                line->opening->expire(now_);
                if (line->opening->is_over()) on_opening_over(*line);
                continue;
            }
            if (line->is_idle() && now_ >= line->idle_since + line->endpoint->idle) line->closes_after = true;
            if (!line->dot_waits_since) line->connection->dialogue().expire(now_);  // else it is we who are late
            if (line->connection->dialogue().is_dead() || (line->closes_after && line->is_idle())) drive(*line);
        }
    }

    void close_outdated_lines(const IsCurrent& is_current) {
        for (const auto& line : lines_) {
            if (line->is_dead || is_current(line->mailbox_id, *line->endpoint)) continue;
            line->closes_after = has_more_ = true;
            if (line->opening) mailboxes_[line->mailbox_id].lose_opening(*line);
        }
    }

    void bury() {
        for (const auto& line : lines_) {
            if (line->is_dead) std::erase(mailboxes_[line->mailbox_id].lines, line.get());
        }
        std::erase_if(lines_, [](const auto& line) { return line->is_dead; });
        std::erase_if(mailboxes_, [&](const auto& entry) {
            const MailboxLines& mailbox = entry.second;
            return mailbox.in_flight == 0 && mailbox.lines.empty() && now_ >= mailbox.lockstep_until;
        });
    }

    void abandon(Time now, bool with_dots) {
        now_ = now;
        is_stopping_ = true;
        for (auto& [id, mailbox] : mailboxes_) {
            std::deque<Delivery> queue = std::exchange(mailbox.queue, {});
            for (const Delivery& delivery : queue) {
                Report report;
                report.ending = Ending::abandoned;
                report.error_text = "shutting down";
                report.started_at = report.finished_at = now;
                report_failure(delivery, std::move(report));
            }
        }
        for (const auto& line : lines_) {
            if (line->is_dead) continue;
            if (line->opening) {
                mailboxes_[line->mailbox_id].lose_opening(*line);
                continue;
            }
            if (line->delivery && line->connection->dialogue().is_dot_in_flight() && !with_dots) continue;
            if (line->delivery || with_dots) line->connection->dialogue().abandon("shutting down", now);
            drive(*line);
        }
        bury();
    }

    std::optional<Duration> next_timeout(Time now) const {
        if (has_more_) return Duration{0};
        std::optional<Time> next = loop_.timer();
        const auto consider = [&](std::optional<Time> at) {
            if (at && (!next || *at < *next)) next = at;
        };
        for (const auto& line : lines_) {
            if (line->opening) {
                consider(line->opening->deadline());
            } else if (line->dot_waits_since) {
                consider(line->asks_for_dot_at(now));
            } else if (line->is_idle()) {
                consider(line->idle_since + line->endpoint->idle);
            } else {
                consider(line->connection->dialogue().deadline());
            }
        }
        for (const auto& [id, mailbox] : mailboxes_) {
            if (!mailbox.queue.empty()) consider(limits_.more_at(id, *mailbox.queue.front().endpoint, now));
        }
        if (!next) return std::nullopt;
        return std::max(Duration{0}, *next - now);
    }

    Observer& observer_;
    int max_connections_;
    CurlLoop loop_;
    Lines lines_;  // declared after loop_: closed before it
    std::unordered_map<std::int64_t, MailboxLines> mailboxes_;
    ConnectionLimits limits_;
    int needy_ = 0;   // mailboxes that have mail and no connection, since all are taken …
    int hunger_ = 0;  // … and no connection is leaving for them
    std::vector<Report> reports_;
    std::vector<CurlLoop::Ready> ready_;
    std::vector<CurlLoop::Done> done_;
    Time now_;
    std::uint64_t turn_ = 0;
    int in_flight_ = 0;
    bool has_more_ = false;
    bool is_stopping_ = false;
};

Transport::Transport(Observer& observer, int max_connections)
    : impl_(std::make_unique<Impl>(observer, max_connections)) {}

Transport::~Transport() = default;

bool Transport::submit(Delivery delivery) {
    if (impl_->is_stopping_ || !impl_->loop_.is_ok()) return false;
    assert(delivery.endpoint != nullptr);
    impl_->submit(std::move(delivery));
    return true;
}

int Transport::poll_fd() const { return impl_->loop_.fd(); }

std::optional<Duration> Transport::next_timeout(Time now) const { return impl_->next_timeout(now); }

void Transport::turn(Time now, std::vector<Report>& finished) { impl_->turn(now, finished); }

std::vector<std::uint64_t> Transport::cancel_not_on_wire(const std::function<bool(const Delivery&)>& predicate) {
    std::vector<std::uint64_t> tokens;
    for (auto& [id, mailbox] : impl_->mailboxes_) {
        const auto is_called_back = [&](const Delivery& delivery) {
            if (!predicate(delivery)) return false;
            tokens.push_back(delivery.token);
            return true;
        };
        const auto count = static_cast<int>(std::erase_if(mailbox.queue, is_called_back));
        mailbox.in_flight -= count;
        impl_->in_flight_ -= count;
    }
    return tokens;
}

void Transport::stop_new_dots(Time now) { impl_->abandon(now, false); }

void Transport::abandon_all(Time now) { impl_->abandon(now, true); }

std::vector<std::uint64_t> Transport::let_go_of_outdated(const IsCurrent& is_current) {
    impl_->close_outdated_lines(is_current);
    return cancel_not_on_wire([&](const Delivery& d) { return !is_current(d.mailbox_id, *d.endpoint); });
}

ConnectionLimits::Lowered Transport::take_lowered() { return impl_->limits_.take_news(); }

void Transport::limit_connections(const ConnectionLimits::Lowered& lowered) { impl_->limits_.replace(lowered); }

int Transport::in_flight() const { return impl_->in_flight_; }

int Transport::in_flight(std::int64_t mailbox_id) const {
    const auto found = impl_->mailboxes_.find(mailbox_id);
    return found == impl_->mailboxes_.end() ? 0 : found->second.in_flight;
}

int Transport::dots_in_flight() const {
    return static_cast<int>(std::count_if(impl_->lines_.begin(), impl_->lines_.end(), [](const auto& line) {
        return line->delivery && line->connection && line->connection->dialogue().is_dot_in_flight();
    }));
}

int Transport::dots_waiting() const {
    return static_cast<int>(std::count_if(impl_->lines_.begin(), impl_->lines_.end(),
                                          [](const auto& line) { return line->dot_waits_since.has_value(); }));
}

int Transport::connections() const { return static_cast<int>(impl_->lines_.size()); }

int Transport::connections(std::int64_t mailbox_id) const {
    const auto found = impl_->mailboxes_.find(mailbox_id);
    return found == impl_->mailboxes_.end() ? 0 : static_cast<int>(found->second.lines.size());
}

}  // namespace mailer::smtp
