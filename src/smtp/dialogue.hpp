// The SMTP client's half of a conversation (RFC 5321), after greeting, EHLO, TLS and login, without any I/O.
//
// A pure state machine: bytes in, bytes out, facts out. It never reads a clock, a socket or a setting; it knows
// replies only as shapes and leaves what they mean for a message to core/outcome/verdict. It reads like the RFC: one
// transaction after another, MAIL, RCPT …, DATA, body, dot; pipelined (RFC 2920) when the server offers it.
//
//  1. The final dot is part of output() only after allow_dot().
//  2. A transaction yields exactly one report; its delivery is not looked at afterwards.
//  3. While output() is not empty it stays the same bytes at the same address until sent(): TLS needs that to resume a
//  write.
//  4. After nonsense (garbled, unsolicited, out of step) the conversation is dead: nobody can tell replies apart any
//  more.
//  5. A reply to a command that was never sent is nonsense; a reply before the dot is sent is never taken for one to
//  the dot.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"
#include "smtp/capabilities.hpp"
#include "smtp/delivery.hpp"
#include "smtp/dot_stuffer.hpp"
#include "smtp/reply_parser.hpp"

namespace mailer::smtp {

class Dialogue {
public:
    static constexpr std::size_t block = 16 * 1024;  // of the body at a time; one TLS record

    Dialogue(Capabilities capabilities, Timeouts timeouts, bool may_pipeline);

    // Starts a transaction. Requires is_idle(). `delivery` must live until its report was taken. When the message
    // doesn't fit the server (SIZE, SMTPUTF8, 8BITMIME) the report is there at once and nothing is said.
    void begin(const Delivery& delivery, bool is_reused, core::Time started_at, core::Time now);

    // Asks whether this sender is welcome, and forgets about it (MAIL, RSET). Requires is_idle(); idle or dead when
    // over.
    void check_sender(const std::string& sender, core::Time now);
    const std::optional<core::Reply>& sender_reply() const { return sender_reply_; }

    // Says goodbye. Requires is_idle(); dead once the server answered, closed, or took too long.
    void quit(core::Time now);

    void receive(std::string_view bytes, core::Time now);
    void receive_end(std::string_view why, core::Time now);  // closed or reset: no more bytes either way
    void expire(core::Time now);                             // does nothing before deadline()
    // Dead; a running transaction is reported as ended by us.
    void abandon(std::string_view why, core::Time now, core::Ending ending = core::Ending::abandoned);

    // The next thing to write is the end of the message: call allow_dot() or abandon().
    bool wants_dot() const;
    void allow_dot(core::Time now);

    std::string_view output();
    void sent(std::size_t bytes, core::Time now);

    bool is_idle() const { return phase_ == Phase::idle && !report_is_ready_; }
    bool is_dead() const { return phase_ == Phase::dead; }
    bool is_dot_in_flight() const { return report_.dot_sent && (phase_ == Phase::body || phase_ == Phase::dot); }
    std::optional<core::Time> deadline() const;

    bool take_body_started();  // once: the server said 354 and the body is about to go
    bool has_report() const { return report_is_ready_; }
    const core::Report& so_far() const { return report_; }  // of the running transaction
    std::optional<core::Report> take_report();

private:
    enum class Phase { idle, checking, envelope, body, dot, lone_dot, reset, quitting, dead };

    void write_envelope();
    void on_reply(core::Reply reply, core::Time now);
    void on_envelope_reply(core::Reply& reply, core::Time now);
    void on_mail_reply(core::Reply& reply, core::Time now);
    void on_rcpt_reply(core::Reply& reply, core::Time now);
    void on_data_reply(core::Reply& reply, core::Time now);
    void on_early_reply(core::Reply& reply, core::Time now);
    void on_final_reply(core::Reply& reply, core::Time now);
    void refuse_envelope(core::Time now);

    void enter(Phase phase, core::Duration timeout, core::Time now);
    void finish(core::Ending ending, core::Time now);
    void die(core::Ending ending, std::string_view why, core::Time now);

    Capabilities capabilities_;
    Timeouts timeouts_;
    bool may_pipeline_;

    Phase phase_ = Phase::idle;
    core::Time deadline_;
    core::Time body_deadline_;  // a server that takes a few octets at a time mustn't hold a mail for days
    ReplyParser parser_;

    std::string out_;  // pending from out_at_; rewritten only when all of it was sent
    std::size_t out_at_ = 0;
    bool has_to_write_ = false;                   // the phase's own command (".", RSET, QUIT) is not in out_ yet
    std::size_t dot_begins_ = std::string::npos;  // in out_, when the dot is in it

    const Delivery* delivery_ = nullptr;
    std::vector<int> askable_;  // recipients that RCPT is sent for, by index
    DotStuffer stuffer_;
    bool is_dot_allowed_ = false;
    bool body_started_ = false;

    // How many of MAIL, RCPT … RCPT, DATA were written, and how many were answered.
    std::size_t asked_ = 0;
    std::size_t answered_ = 0;
    int accepted_ = 0;  // recipients
    bool is_mail_refused_ = false;

    std::optional<core::Reply> sender_reply_;  // of check_sender()

    core::Report report_;
    bool report_is_ready_ = false;
};

}  // namespace mailer::smtp
