// Settlements from verdicts, faults and crashes; see settlement.hpp. The second half is the pump's own use of them.
#include "worker/settlement.hpp"

#include <algorithm>

#include "worker/pump.hpp"

namespace mailer::worker {

namespace {

Settlement begin_of(const Ticket& ticket) {
    Settlement s;
    s.token = ticket.token;
    s.row = ticket.row;
    s.reservation = ticket.reservation;
    s.thread_subject = ticket.thread_subject;
    return s;
}

char letter(core::Fate fate) {
    switch (fate) {
        case core::Fate::sent:
            return 'S';
        case core::Fate::rejected:
            return 'f';
        case core::Fate::unconfirmed:
            return 'u';
        case core::Fate::waiting:
            break;
    }
    return 'p';
}

// What ends its process twice would do so for ever.
bool is_last_crash(const Ticket& ticket) { return ticket.row.crash_count + 1 >= 2; }

constexpr const char* died_after_dot = "the message was sent to the final dot; the sender died before the reply";

void make_final(Settlement& s, core::MessageState state, std::string reason) {
    s.is_final = true;
    s.state = core::letter(state);
    s.reason = std::move(reason);
}

// Of earlier tries and of this one.
core::RecipientCounts counts_of(const Settlement& s) {
    core::RecipientCounts counts{s.row.accepted_before, s.row.refused_before, 0};
    for (const RecipientRow& recipient : s.recipients) {
        if (recipient.state == core::letter(core::MessageState::sent)) ++counts.accepted;
        if (recipient.state == core::letter(core::MessageState::failed) ||
            recipient.state == core::letter(core::MessageState::cancelled))
            ++counts.refused;
    }
    counts.waiting = std::max(0, s.row.recipient_count - counts.accepted - counts.refused);
    return counts;
}

}  // namespace

void end(Settlement& s, core::Cause cause) {
    core::Outcome outcome = core::end_of(counts_of(s), cause);
    make_final(s, outcome.state, std::move(outcome.reason));
    s.rest = core::letter(outcome.rest);
}

void put_off(Settlement& s, Time due_at, core::Duration max_age) {
    s.due_at = due_at;
    if (due_at <= s.row.age_from + max_age) return;
    end(s, core::Cause::too_old);
    if (s.attempt) s.attempt->outcome = "failed";
}

Settlement settlement_of_fate(Candidate row, core::MessageFate fate, Time now) {
    Settlement s;
    s.row = std::move(row);
    switch (fate) {
        case core::MessageFate::expired:
            end(s, core::Cause::expired);
            break;
        case core::MessageFate::suppressed:
            end(s,
                s.row.facts.suppressed_reason == "unsubscribed" ? core::Cause::unsubscribed : core::Cause::suppressed);
            s.reply.text = s.row.facts.suppressed_reason;
            break;
        case core::MessageFate::duplicate:
            end(s, core::Cause::duplicate);
            break;
        case core::MessageFate::stopped:
            end(s, core::cause_of(s.row.facts.stopped_reason).value_or(core::Cause::stopped));
            break;
        case core::MessageFate::postponed:
            s.due_at = core::postponed_until(s.row.facts, now);
            break;
        case core::MessageFate::go:
        case core::MessageFate::wait:
            s.due_at = s.row.facts.due_at;
            break;
    }
    return s;
}

core::History history_of(const Ticket& ticket) {
    core::History history;
    history.attempts_before = ticket.row.attempt_count;
    history.age_from = ticket.row.age_from;
    history.accepted_before = ticket.row.accepted_before;
    history.refused_before = ticket.row.refused_before;
    history.seed = static_cast<std::uint64_t>(ticket.row.facts.id);
    history.untried = static_cast<int>(ticket.untried.size());
    history.recipient_keys = ticket.recipient_keys;
    return history;
}

Settlement settlement_of_verdict(const Ticket& ticket, const core::Report& report, const core::Verdict& verdict,
                                 Time now) {
    Settlement s = begin_of(ticket);
    s.reply = verdict.reply;
    s.consumes_attempt = verdict.consumes_attempt();
    if (report.final_reply || report.session_reply || !report.recipients.empty()) s.replied_at = report.finished_at;
    s.is_sent = std::any_of(verdict.recipients.begin(), verdict.recipients.end(), [](const auto& r) {
        return r.fate == core::Fate::sent || r.fate == core::Fate::unconfirmed;
    });
    switch (verdict.next) {
        case core::Next::settle_sent:
            make_final(s, core::MessageState::sent, verdict.reason);
            break;
        case core::Next::settle_failed:
            make_final(s, core::MessageState::failed, verdict.reason);
            break;
        case core::Next::settle_unconfirmed:
            make_final(s, core::MessageState::unconfirmed, verdict.reason);
            break;
        case core::Next::retry:
        case core::Next::requeue:
            s.due_at = now + verdict.delay;
            break;
    }
    AttemptRow attempt;
    attempt.started_at = ticket.reservation.at;  // the claim: what slots, gaps and days are counted by
    if (report.dot_at != Time{}) attempt.dot_at = report.dot_at;
    attempt.finished_at = report.finished_at;
    attempt.stage = core::to_text(report.stage);
    attempt.reply = verdict.reply;
    if (attempt.reply.text.empty() && attempt.reply.code == 0) attempt.reply.text = verdict.detail;
    attempt.outcome = core::to_text(verdict.next);
    attempt.fingerprint = ticket.fingerprint;
    s.loaded_variables = ticket.loaded_variables;
    s.attempt = std::move(attempt);
    if (s.reply.code == 0 && s.reply.text.empty()) s.reply.text = verdict.detail;
    for (const auto& r : verdict.recipients) {
        RecipientRow row;
        row.n = ticket.envelope.at(static_cast<std::size_t>(r.index));
        row.state = letter(r.fate);
        row.reply = r.reply;
        row.is_hard_bounce = r.is_hard_bounce;
        s.recipients.push_back(std::move(row));
    }
    for (int n : ticket.suppressed)
        s.recipients.push_back({n, 'c', {0, "", "suppressed"}, false});
    for (int n : ticket.untried)
        s.recipients.push_back({n, 'p', {}, false});
    s.trouble = verdict.trouble;
    s.is_trouble_lasting = verdict.is_trouble_lasting;
    s.is_trouble_of_mail = verdict.trouble != core::Trouble::none && report.stage >= core::Stage::mail;
    s.proves_mailbox = verdict.proves_mailbox;
    if (verdict.trouble != core::Trouble::none)
        s.trouble_detail = std::string(core::to_text(verdict.trouble)) + ": " + verdict.detail;
    return s;
}

Settlement settlement_of_return(const Ticket& ticket, Time now) {
    Settlement s = begin_of(ticket);
    s.due_at = now;
    return s;
}

// ── The pump's own ───────────────────────────────────────────────────────────────────────────────────────────────

Settlement Pump::settlement_of(const Ticket& ticket, const core::Report& report, Time now) {
    const std::int64_t mailbox_id = ticket.reservation.mailbox_id;
    core::History history = history_of(ticket);
    if (const auto last = refusals_.find(mailbox_id); last != refusals_.end()) history.last_refusal = last->second;
    const core::Verdict verdict = core::judge(report, settings_.retry, history, now);
    if (verdict.accepts_somebody) refusals_.erase(mailbox_id);
    if (verdict.refusal && !verdict.accepts_somebody) refusals_[mailbox_id] = *verdict.refusal;
    if (verdict.most_recipients > 0) mail_room_.limit_recipients(mailbox_id, verdict.most_recipients);
    return settlement_of_verdict(ticket, report, verdict, now);
}

Settlement Pump::unsent(const Ticket& ticket, Time now) const { return settlement_of_return(ticket, now); }

// The mail room's answer when there is nothing for the courier to carry.
Settlement Pump::of_prepared(const Ticket& ticket, Prepared prepared, Time now) const {
    Settlement s = begin_of(ticket);
    AttemptRow attempt{ticket.reservation.at, {}, now, "prepare", {0, "", prepared.detail}, ""};
    s.reply.text = prepared.detail;
    switch (prepared.kind) {
        case Prepared::Kind::ready: {  // captured
            s.reply = {250, "2.0.0", "captured"};
            s.is_sent = true;
            s.proves_mailbox = true;
            s.replied_at = now;
            for (int n : prepared.envelope)
                s.recipients.push_back({n, 'S', s.reply, false});
            for (int n : prepared.suppressed)
                s.recipients.push_back({n, 'c', {0, "", "suppressed"}, false});
            core::Outcome outcome = core::end_of(
                {ticket.row.accepted_before + static_cast<int>(prepared.envelope.size()), ticket.row.refused_before, 0},
                core::Cause::answered);
            make_final(s, outcome.state, std::move(outcome.reason));
            s.captured = std::make_shared<Prepared>(std::move(prepared));
            attempt = {ticket.reservation.at, now, now, "done", s.reply, "sent", ticket.fingerprint};
            s.loaded_variables = ticket.loaded_variables;
            break;
        }
        case Prepared::Kind::interrupted:
        case Prepared::Kind::asked:
            return unsent(ticket, now);
        case Prepared::Kind::postponed:
            s = unsent(ticket, now);
            s.due_at = std::max(now, prepared.until.value_or(now));
            return s;
        case Prepared::Kind::died:
            s.due_at = now;
            s.counts_crash = true;
            attempt.outcome = "retry";
            if (is_last_crash(ticket)) {
                end(s, core::Cause::quarantined);
                attempt.outcome = "failed";
            }
            break;
        case Prepared::Kind::cancelled:
            end(s, prepared.cause);
            break;
        case Prepared::Kind::failed:
            end(s, prepared.cause);
            attempt.outcome = "failed";
            break;
        case Prepared::Kind::temporary: {
            s.consumes_attempt = true;
            attempt.outcome = "retry";
            const core::RetryPolicy& retry = settings_.retry;
            const int attempts = ticket.row.attempt_count + 1;
            if (retry.max_attempts > 0 && attempts >= retry.max_attempts) {
                end(s, core::Cause::attempts_exhausted);
            } else {
                put_off(s, now + core::retry_delay(retry.delays, attempts, history_of(ticket).seed), retry.max_age);
            }
            if (s.is_final) attempt.outcome = "failed";
            break;
        }
    }
    if (!attempt.outcome.empty()) s.attempt = std::move(attempt);
    return s;
}

// ── After a crash ────────────────────────────────────────────────────────────────────────────────────────────────

void Pump::recover(const std::string& unconfirmed_reason, Time now) {
    std::vector<Orphan> orphans;
    try {
        queue_.begin(now);
        orphans = queue_.orphans();
        queue_.commit();
    } catch (...) {
        queue_.abort();
        throw;
    }
    std::set<std::uint64_t> tokens;
    for (Orphan& orphan : orphans) {
        Ticket ticket;
        ticket.token = orphan.token;
        ticket.row = std::move(orphan.row);
        ticket.reservation = orphan.reservation;
        ticket.envelope = std::move(orphan.unsettled);
        ticket.is_repeatable = orphan.is_repeatable;
        tokens.insert(ticket.token);
        next_token_ = std::max(next_token_, ticket.token + 1);
        settlements_.push_back(of_orphan(ticket, unconfirmed_reason, now));
        tickets_.emplace(ticket.token, std::move(ticket));
    }
    journal_.keep_only(tokens);
}

Settlement Pump::of_orphan(Ticket& ticket, const std::string& unconfirmed_reason, Time now) {
    std::optional<Recorded> recorded = journal_.recorded(ticket.token);
    if (recorded && recorded->report &&
        static_cast<int>(recorded->envelope.size()) == recorded->report->recipient_count) {
        for (int n : std::exchange(ticket.envelope, recorded->envelope)) {
            if (std::find(ticket.envelope.begin(), ticket.envelope.end(), n) == ticket.envelope.end())
                ticket.untried.push_back(n);  // or it was suppressed, which the next try finds out
        }
        if (recorded->phase == Phase::reply) return settlement_of(ticket, *recorded->report, now);
        return of_dot(ticket, std::move(*recorded->report), unconfirmed_reason, now);
    }
    if (recorded && recorded->phase != Phase::dot && recorded->phase != Phase::reply) {
        Settlement s = settlement_of_return(ticket, now);
        if (recorded->phase == Phase::preparing) {
            s.counts_crash = true;
            if (is_last_crash(ticket)) end(s, core::Cause::quarantined);
        }
        return s;
    }
    if (ticket.is_repeatable) return settlement_of_return(ticket, now);  // the other side knows it if it has it
    Settlement s = begin_of(ticket);
    make_final(s, core::MessageState::unconfirmed, unconfirmed_reason);
    s.consumes_attempt = true;
    s.is_sent = true;
    s.replied_at = now;
    s.reply.text = recorded ? died_after_dot : "the sender died and left no record of how far the message came";
    s.attempt = AttemptRow{ticket.reservation.at, {}, now, "dot", s.reply, "unconfirmed"};
    for (int n : ticket.envelope)
        s.recipients.push_back({n, 'u', {}, false});
    return s;
}

// The dot may have left, and the reply is lost with the sender: as if the connection had died, and nobody's fault.
Settlement Pump::of_dot(const Ticket& ticket, core::Report report, const std::string& unconfirmed_reason, Time now) {
    report.dot_sent = true;
    report.stage = core::Stage::dot;
    report.ending = core::Ending::abandoned;
    report.finished_at = now;
    Settlement s = settlement_of(ticket, report, now);
    s.reason = unconfirmed_reason;
    s.reply.text = died_after_dot;
    s.attempt->reply.text = died_after_dot;
    return s;
}

}  // namespace mailer::worker
