// See dialogue.hpp: the invariants are numbered there. The first half writes, the second half understands.
#include "smtp/dialogue.hpp"

#include <cassert>
#include <utility>

#include "smtp/command.hpp"

namespace mailer::smtp {

using core::Ending;
using core::Reply;
using core::Stage;
using core::Time;

Dialogue::Dialogue(Capabilities capabilities, Timeouts timeouts, bool may_pipeline)
    : capabilities_(std::move(capabilities)),
      timeouts_(timeouts),
      may_pipeline_(may_pipeline && capabilities_.has_pipelining) {}

void Dialogue::begin(const Delivery& delivery, bool is_reused, Time started_at, Time now) {
    assert(is_idle());
    report_ = {};
    report_.token = delivery.token;
    report_.mailbox_id = delivery.mailbox_id;
    report_.recipient_count = static_cast<int>(delivery.recipients.size());
    report_.connection_was_reused = is_reused;
    report_.stage = Stage::mail;
    report_.started_at = started_at;

    if (auto misfit = find_misfit(delivery, capabilities_)) {
        report_.session_reply = std::move(*misfit);
        return finish(Ending::unfit, now);
    }
    delivery_ = &delivery;
    askable_.clear();
    for (int i = 0; i < report_.recipient_count; ++i) {
        if (auto reply = find_recipient_misfit(delivery.recipients[static_cast<std::size_t>(i)], capabilities_))
            report_.recipients.push_back({i, std::move(*reply), true});
        else
            askable_.push_back(i);
    }
    is_dot_allowed_ = body_started_ = is_mail_refused_ = false;
    asked_ = answered_ = 0;
    accepted_ = 0;
    enter(Phase::envelope, timeouts_.mail, now);
}

void Dialogue::check_sender(const std::string& sender, Time now) {
    assert(is_idle());
    Delivery delivery;
    delivery.sender = sender;
    delivery.recipients = {"postmaster@localhost"};  // for find_misfit: nobody is asked
    if (auto misfit = find_misfit(delivery, capabilities_)) {
        sender_reply_ = std::move(*misfit);
        return;
    }
    out_ = "MAIL FROM:<" + sender + ">\r\n";
    out_at_ = 0;
    enter(Phase::checking, timeouts_.mail, now);
}

void Dialogue::quit(Time now) {
    assert(is_idle());
    enter(Phase::quitting, timeouts_.quit, now);
    has_to_write_ = true;
}

void Dialogue::enter(Phase phase, core::Duration timeout, Time now) {
    phase_ = phase;
    deadline_ = now + timeout;
}

std::optional<Time> Dialogue::deadline() const {
    if (phase_ == Phase::idle || phase_ == Phase::dead) return std::nullopt;
    return deadline_;
}

// ---- writing -------------------------------------------------------------------------------------------------

bool Dialogue::wants_dot() const {
    return phase_ == Phase::body && !is_dot_allowed_ && out_at_ == out_.size() &&
           stuffer_.is_dot_next(delivery_->is_dot_apart ? 0 : block);
}

void Dialogue::allow_dot(Time now) {
    is_dot_allowed_ = true;
    report_.dot_at = now;
}

std::string_view Dialogue::output() {
    if (out_at_ == out_.size()) {
        out_.clear();
        out_at_ = 0;
        dot_begins_ = std::string::npos;
        switch (phase_) {
            case Phase::envelope:
                write_envelope();
                break;
            case Phase::body:
                if (wants_dot() || stuffer_.is_done()) break;
                if (stuffer_.append(out_, block, is_dot_allowed_) > 0) dot_begins_ = out_.size() - 3;
                break;
            case Phase::lone_dot:
                if (has_to_write_) out_ = ".\r\n";
                break;
            case Phase::reset:
                if (has_to_write_) out_ = "RSET\r\n";
                break;
            case Phase::quitting:
                if (has_to_write_) out_ = "QUIT\r\n";
                break;
            case Phase::idle:
            case Phase::checking:
            case Phase::dot:
            case Phase::dead:
                break;
        }
        has_to_write_ = false;
    }
    return phase_ == Phase::dead ? std::string_view{} : std::string_view{out_}.substr(out_at_);
}

// Pipelined: everything at once, DATA last (RFC 2920 3.1). Otherwise each command when the one before was answered.
void Dialogue::write_envelope() {
    const std::size_t count = askable_.size();
    while (asked_ < count + 2 && (may_pipeline_ || asked_ == answered_)) {
        if (asked_ == 0) {
            out_ += mail_command(*delivery_, capabilities_);
        } else if (asked_ <= count) {
            out_ += rcpt_command(*delivery_, static_cast<std::size_t>(askable_[asked_ - 1]), capabilities_);
        } else {
            out_ += "DATA\r\n";
        }
        asked_++;
    }
}

void Dialogue::sent(std::size_t bytes, Time now) {
    assert(bytes <= out_.size() - out_at_);
    out_at_ += bytes;
    if (phase_ != Phase::body || bytes == 0) return;
    deadline_ = std::min(now + timeouts_.block, body_deadline_);
    if (dot_begins_ == std::string::npos || out_at_ <= dot_begins_) return;
    report_.dot_sent = true;  // one byte of it is enough to lose certainty
    report_.stage = Stage::dot;
    if (out_at_ == out_.size()) enter(Phase::dot, timeouts_.dot, now);
}

// ---- understanding -------------------------------------------------------------------------------------------

void Dialogue::receive(std::string_view bytes, Time now) {
    while (!bytes.empty() && phase_ != Phase::dead) {
        if (phase_ == Phase::idle) return die(Ending::closed, "the server spoke unasked", now);
        bytes.remove_prefix(parser_.feed(bytes));
        if (parser_.state() == ReplyParser::State::broken) return die(Ending::garbled, parser_.problem(), now);
        if (parser_.state() == ReplyParser::State::complete) on_reply(parser_.take(), now);
    }
}

void Dialogue::receive_end(std::string_view why, Time now) { die(Ending::closed, why, now); }

void Dialogue::expire(Time now) {
    if (const auto at = deadline(); at && now >= *at) die(Ending::timed_out, "the server took too long", now);
}

void Dialogue::abandon(std::string_view why, Time now, Ending ending) { die(ending, why, now); }

void Dialogue::on_reply(Reply reply, Time now) {
    switch (phase_) {
        case Phase::checking:
            sender_reply_ = std::move(reply);
            if (!sender_reply_->is_positive()) {
                phase_ = Phase::idle;
                return;
            }
            enter(Phase::reset, timeouts_.rset, now);
            has_to_write_ = true;
            return;
        case Phase::envelope:
            return on_envelope_reply(reply, now);
        case Phase::body:
            return on_early_reply(reply, now);
        case Phase::dot:
            return on_final_reply(reply, now);
        case Phase::reset:
            if (!reply.is_positive()) return die(Ending::closed, "RSET was refused", now);
            phase_ = Phase::idle;
            return;
        case Phase::lone_dot:  // whatever it says, nobody was to get anything
            if (reply.code == 421) return die(Ending::closed, "the server is closing", now);
            phase_ = Phase::idle;
            return;
        case Phase::quitting:
        case Phase::idle:
        case Phase::dead:
            return die(Ending::closed, "goodbye", now);
    }
}

void Dialogue::on_envelope_reply(Reply& reply, Time now) {
    if (answered_ == asked_) return die(Ending::garbled, "a reply to nothing", now);
    if (reply.code == 421) {  // RFC 5321 3.8: may come at any time, and the server closes
        report_.session_reply = std::move(reply);
        return die(Ending::answered, "", now);
    }
    const std::size_t question = answered_++;
    if (question == 0) return on_mail_reply(reply, now);
    if (question <= askable_.size()) return on_rcpt_reply(reply, now);
    return on_data_reply(reply, now);
}

void Dialogue::on_mail_reply(Reply& reply, Time now) {
    if (reply.is_intermediate()) return die(Ending::garbled, "a 3xx reply to MAIL", now);
    deadline_ = now + timeouts_.rcpt;
    if (reply.is_positive()) {
        report_.stage = Stage::rcpt;
        return;
    }
    is_mail_refused_ = true;
    report_.session_reply = std::move(reply);
    if (asked_ == 1) refuse_envelope(now);
}

void Dialogue::on_rcpt_reply(Reply& reply, Time now) {
    if (reply.is_intermediate()) return die(Ending::garbled, "a 3xx reply to RCPT", now);
    const std::size_t count = askable_.size();
    if (reply.is_positive()) accepted_++;
    if (!is_mail_refused_) report_.recipients.push_back({askable_[answered_ - 2], std::move(reply)});
    deadline_ = now + timeouts_.rcpt;
    if (answered_ <= count) return;

    deadline_ = now + timeouts_.data;
    if (accepted_ > 0 && !is_mail_refused_) report_.stage = Stage::data;
    if (accepted_ == 0 && asked_ == answered_) refuse_envelope(now);
}

void Dialogue::on_data_reply(Reply& reply, Time now) {
    if (reply.is_positive()) return die(Ending::garbled, "a 2xx reply to DATA", now);
    const bool is_wanted = accepted_ > 0 && !is_mail_refused_;
    if (!reply.is_intermediate()) {
        if (is_wanted) report_.session_reply = std::move(reply);
        return refuse_envelope(now);
    }
    if (is_wanted) {
        report_.stage = Stage::body;
        const std::string_view body = delivery_->body ? std::string_view{*delivery_->body} : std::string_view{};
        stuffer_ = DotStuffer{body};
        body_started_ = true;
        body_deadline_ = now + timeouts_.body + std::chrono::seconds{body.size() / 1024};
        return enter(Phase::body, timeouts_.block, now);
    }
    // RFC 2920 3.1: DATA accepted for nobody ends with a dot alone. With a recipient accepted after a refused MAIL the
    // server makes no sense, and a dot might deliver an empty message: hang up.
    finish(Ending::answered, now);
    if (accepted_ > 0) return die(Ending::closed, "the server accepted DATA after it refused MAIL", now);
    enter(Phase::lone_dot, timeouts_.rset, now);
    has_to_write_ = true;
}

// Nobody gets this message. A server that accepted MAIL must forget it before the next one (RFC 5321 4.1.1.5).
void Dialogue::refuse_envelope(Time now) {
    finish(Ending::answered, now);
    if (is_mail_refused_) {
        phase_ = Phase::idle;
        return;
    }
    enter(Phase::reset, timeouts_.rset, now);
    has_to_write_ = true;
}

// The server spoke before it got the dot: a refusal counts, anything else is nonsense (5). Ending the body without a
// dot means hanging up, either way.
void Dialogue::on_early_reply(Reply& reply, Time now) {
    if (report_.dot_sent || reply.code < 400) return die(Ending::garbled, "a reply before the end of the message", now);
    report_.final_reply = std::move(reply);
    die(Ending::answered, "", now);
}

void Dialogue::on_final_reply(Reply& reply, Time now) {
    if (reply.is_intermediate()) return die(Ending::garbled, "a 3xx reply to the end of the message", now);
    const bool is_closing = reply.code == 421;
    report_.final_reply = std::move(reply);
    report_.stage = Stage::done;
    finish(Ending::answered, now);
    if (is_closing) return die(Ending::closed, "the server is closing", now);
    phase_ = Phase::idle;
}

void Dialogue::finish(Ending ending, Time now) {
    report_.ending = ending;
    report_.finished_at = now;
    report_is_ready_ = true;
    delivery_ = nullptr;
    stuffer_ = {};
    if (out_.capacity() > 2048 && out_at_ == out_.size()) {  // an idle connection keeps no block
        out_ = {};
        out_at_ = 0;
    }
}

void Dialogue::die(Ending ending, std::string_view why, Time now) {
    const bool is_busy = phase_ == Phase::envelope || phase_ == Phase::body || phase_ == Phase::dot;
    if (is_busy && !report_is_ready_) {
        report_.error_text = why;
        finish(ending, now);
    }
    phase_ = Phase::dead;
}

bool Dialogue::take_body_started() { return std::exchange(body_started_, false); }

std::optional<core::Report> Dialogue::take_report() {
    if (!report_is_ready_) return std::nullopt;
    report_is_ready_ = false;
    return std::exchange(report_, {});
}

}  // namespace mailer::smtp
