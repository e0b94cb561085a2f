// What a reply means. Read verdict.hpp first: the numbered rules are cited here.
//
// The shape: `weigh_recipients` gives every recipient the fate that its own RCPT reply implies; one function per way of
// ending then corrects those fates and names the trouble; `settle` turns fates into what comes next for the message.
#include "core/outcome/verdict.hpp"

#include <algorithm>

#include "core/feedback/fault.hpp"
#include "core/outcome/ending.hpp"
#include "core/outcome/mailbox_fault.hpp"

namespace mailer::core {

namespace {

// Which recipients RCPT accepted, and which it turned away only because the envelope was full.
struct Envelope {
    std::vector<bool> is_accepted;
    std::vector<bool> is_surplus;
    int accepted = 0;
};

// 503 (bad sequence of commands) says that client and server lost step, nothing about the mail. What is the mailbox's
// waits with it; every other 5xx is permanent.
bool is_refusal_for_good(const Reply& reply) {
    return reply.is_permanent() && reply.code != 503 && !mailbox_fault_of(reply);
}

bool is_login_refusal(const Reply& reply) { return mailbox_fault_of(reply) == MailboxFault::login; }

// The address itself is dead: the same judgement as of a bounce that comes later.
bool is_hard_bounce(const Reply& reply) {
    return reply.is_permanent() && feedback::weigh(reply.code, reply.enhanced, reply.text).is_hard();
}

// A refused MAIL FROM is the mailbox's, except when it is about what this message is: its size (RFC 1870) or content.
bool is_about_the_message(const Reply& reply) {
    return reply.code == 552 || reply.code == 452 || reply.enhanced == "5.3.4" || reply.enhanced == "5.2.3" ||
           reply.enhanced.starts_with("5.6.") || reply.enhanced.starts_with("4.6.");
}

// We ended it ourselves: nobody else is to blame.
bool is_ours(Ending ending) { return ending == Ending::abandoned || ending == Ending::unrecorded; }

void blame(Verdict& verdict, Trouble trouble, bool is_lasting) {
    verdict.trouble = trouble;
    verdict.is_trouble_lasting = is_lasting;
}

// A reply that speaks of the session or the account, at whatever stage it comes: it says nothing about the message.
bool blame_mailbox_for(Verdict& verdict, const Reply& reply) {
    const std::optional<MailboxFault> fault = mailbox_fault_of(reply);
    if (!fault) return false;
    switch (*fault) {
        case MailboxFault::busy:
            if (verdict.trouble == Trouble::none) blame(verdict, Trouble::busy, reply.is_permanent());
            break;
        case MailboxFault::sender:
            blame(verdict, Trouble::sender_refused, reply.is_permanent());
            break;
        case MailboxFault::login:
            blame(verdict, Trouble::login, true);
            break;
    }
    return true;
}

Envelope weigh_recipients(const Report& report, Verdict& verdict) {
    const auto count = static_cast<std::size_t>(std::max(report.recipient_count, 0));
    Envelope envelope{std::vector<bool>(count), std::vector<bool>(count), 0};
    verdict.recipients.resize(count);
    for (std::size_t i = 0; i < count; i++)
        verdict.recipients[i].index = static_cast<int>(i);

    for (const RecipientResult& result : report.recipients) {
        if (result.index < 0 || result.index >= report.recipient_count) continue;
        const auto i = static_cast<std::size_t>(result.index);
        RecipientVerdict& recipient = verdict.recipients[i];
        recipient.reply = result.reply;
        if (result.reply.is_positive()) {
            if (!envelope.is_accepted[i]) envelope.accepted++;
            envelope.is_accepted[i] = true;
        } else if (result.is_unfit) {
            recipient.fate = Fate::rejected;
        } else if (is_envelope_full(result.reply)) {
            envelope.is_surplus[i] = true;
        } else if (is_refusal_for_good(result.reply)) {
            recipient.fate = Fate::rejected;
            recipient.is_hard_bounce = is_hard_bounce(result.reply);
        }
    }
    return envelope;
}

// Gives every recipient that RCPT accepted the same fate and reply.
void decide_accepted(Verdict& verdict, const Envelope& envelope, Fate fate, const Reply& reply) {
    for (RecipientVerdict& recipient : verdict.recipients) {
        if (!envelope.is_accepted[static_cast<std::size_t>(recipient.index)]) continue;
        recipient.fate = fate;
        recipient.reply = reply;
        if (fate == Fate::rejected) recipient.is_hard_bounce = envelope.accepted == 1 && is_hard_bounce(reply);
    }
}

void decide_all(Verdict& verdict, Fate fate, const Reply& reply) {
    for (RecipientVerdict& recipient : verdict.recipients) {
        recipient.fate = fate;
        recipient.reply = reply;
        recipient.is_hard_bounce = false;
    }
}

int count(const Verdict& verdict, Fate fate) {
    return static_cast<int>(std::count_if(verdict.recipients.begin(), verdict.recipients.end(),
                                          [&](const RecipientVerdict& r) { return r.fate == fate; }));
}

// The reply that a person wants to see: to the dot, else what ended the session, else of the recipient that matters.
Reply decisive_reply(const Report& report, const Verdict& verdict) {
    if (report.final_reply) return *report.final_reply;
    if (report.session_reply && !report.session_reply->is_positive()) return *report.session_reply;
    for (const Fate fate : {Fate::waiting, Fate::rejected}) {
        for (const RecipientVerdict& recipient : verdict.recipients) {
            const bool says_something = recipient.reply.code != 0 || !recipient.reply.text.empty();
            if (recipient.fate == fate && says_something && !recipient.reply.is_positive()) return recipient.reply;
        }
    }
    return {};
}

std::string describe(const Report& report, const Verdict& verdict) {
    if (verdict.reply.code != 0) return to_line(verdict.reply);
    if (!verdict.reply.text.empty()) return verdict.reply.text;
    std::string text = std::string{to_text(report.ending)} + " at " + std::string{to_text(report.stage)};
    if (!report.error_text.empty()) text += ": " + report.error_text;
    return text;
}

// The message ends here: recipients that still wait get no other try.
void end(Verdict& verdict, const History& history, Cause cause) {
    const Outcome outcome = end_of(
        {history.accepted_before + count(verdict, Fate::sent), history.refused_before + count(verdict, Fate::rejected),
         history.untried + count(verdict, Fate::waiting)},
        cause);
    for (RecipientVerdict& recipient : verdict.recipients) {
        if (recipient.fate == Fate::waiting) recipient.fate = Fate::rejected;
    }
    verdict.next = outcome.state == MessageState::sent ? Next::settle_sent : Next::settle_failed;
    verdict.reason = outcome.reason;
}

// An attempt that reached a recipient doesn't count; recipients that the server put off wait.
void settle(Verdict& verdict, bool is_attempt, const RetryPolicy& policy, const History& history, Time now) {
    const int waiting = count(verdict, Fate::waiting);
    if (waiting == 0 && history.untried == 0) return end(verdict, history, Cause::answered);
    if (!is_attempt || waiting == 0) {
        verdict.next = Next::requeue;
        return;
    }
    const int attempts = history.attempts_before + 1;
    const bool counts = !verdict.accepts_somebody;
    if (counts && policy.max_attempts > 0 && attempts >= policy.max_attempts)
        return end(verdict, history, Cause::attempts_exhausted);
    const Duration delay = retry_delay(policy.delays, attempts, history.seed);
    if (now + delay > history.age_from + policy.max_age) return end(verdict, history, Cause::too_old);
    verdict.next = counts ? Next::retry : Next::requeue;
    verdict.delay = delay;
}

// Rule 1. True when somebody still waits for another reason than a full envelope, or the mailbox.
bool judge_accepted(const Report& report, const Envelope& envelope, Verdict& verdict) {
    decide_accepted(verdict, envelope, Fate::sent, *report.final_reply);
    for (const RecipientResult& result : report.recipients)
        if (blame_mailbox_for(verdict, result.reply)) return false;
    return std::any_of(verdict.recipients.begin(), verdict.recipients.end(), [&](const RecipientVerdict& r) {
        return r.fate == Fate::waiting && !envelope.is_surplus[static_cast<std::size_t>(r.index)];
    });
}

// Connecting, securing or logging in didn't work: the mailbox's, whatever the words.
void judge_session(const Report& report, Verdict& verdict) {
    const bool is_definite = report.ending == Ending::failed || report.ending == Ending::answered;
    const bool is_temporary = report.session_reply && report.session_reply->is_temporary();
    const bool is_permanent = report.session_reply && report.session_reply->is_permanent();
    if (report.session_reply && is_login_refusal(*report.session_reply)) return blame(verdict, Trouble::login, true);
    if (report.session_reply && report.session_reply->code == 421) return blame(verdict, Trouble::busy, false);
    if (is_temporary && report.stage != Stage::auth && report.stage != Stage::tls)
        return blame(verdict, Trouble::busy, false);
    if (!is_definite) return blame(verdict, Trouble::unreachable, false);
    switch (report.stage) {
        case Stage::tls:
            return blame(verdict, Trouble::insecure, !is_temporary);
        case Stage::auth:
            return blame(verdict, Trouble::login, !is_temporary);
        default:
            return blame(verdict, Trouble::unreachable, is_permanent);
    }
}

// The reply to MAIL FROM wasn't 2xx, or there was none. True when it was an attempt.
bool judge_sender(const Report& report, Verdict& verdict) {
    if (!report.session_reply) {
        blame(verdict, Trouble::unreachable, false);
        return false;
    }
    const Reply& reply = *report.session_reply;
    if (blame_mailbox_for(verdict, reply)) return false;
    if (is_about_the_message(reply)) {
        if (reply.is_permanent()) decide_all(verdict, Fate::rejected, reply);
        return true;
    }
    if (verdict.trouble == Trouble::none) blame(verdict, Trouble::sender_refused, reply.is_permanent());
    return false;
}

// Two different recipients in a row, and nobody accepted in between, got the same temporary refusal: it is hardly about
// either of them.
bool is_repeated(const Reply& reply, int index, const History& history) {
    if (!history.last_refusal || !reply.is_temporary() || is_of_one_recipient(reply)) return false;
    const auto i = static_cast<std::size_t>(index);
    return history.last_refusal->code == reply.code && history.last_refusal->enhanced == reply.enhanced &&
           i < history.recipient_keys.size() && history.recipient_keys[i] != history.last_refusal->recipient_key;
}

// Keeps the temporary refusal that this try ended with, for the next; true when it repeats the last.
bool note_refusal(Verdict& verdict, const Envelope& envelope, const History& history) {
    bool is_same = false;
    for (const RecipientVerdict& recipient : verdict.recipients) {
        const auto i = static_cast<std::size_t>(recipient.index);
        if (recipient.fate != Fate::waiting || !recipient.reply.is_temporary() || envelope.is_surplus[i]) continue;
        is_same |= is_repeated(recipient.reply, recipient.index, history);
        if (i < history.recipient_keys.size())
            verdict.refusal = {recipient.reply.code, recipient.reply.enhanced, history.recipient_keys[i]};
    }
    return is_same;
}

// MAIL was accepted, the dot was not sent, or it was refused. True when it was an attempt.
bool judge_envelope(const Report& report, const Envelope& envelope, const History& history, Verdict& verdict) {
    bool is_mailbox_fault = false;
    for (const RecipientResult& result : report.recipients)
        is_mailbox_fault |= blame_mailbox_for(verdict, result.reply);

    const std::optional<Reply>& reply = report.final_reply ? report.final_reply : report.session_reply;
    if (reply && !reply->is_positive()) {
        if (envelope.accepted > 1 && is_envelope_full(*reply)) {
            decide_accepted(verdict, envelope, Fate::waiting, *reply);
            verdict.most_recipients = envelope.accepted / 2;
            return false;
        }
        is_mailbox_fault |= blame_mailbox_for(verdict, *reply);
        decide_accepted(verdict, envelope, is_refusal_for_good(*reply) ? Fate::rejected : Fate::waiting, *reply);
    } else {
        decide_accepted(verdict, envelope, Fate::waiting, {});
    }
    if (report.ending != Ending::answered && verdict.trouble == Trouble::none)
        blame(verdict, Trouble::unreachable, false);
    if (note_refusal(verdict, envelope, history) && !is_mailbox_fault) {
        blame(verdict, Trouble::busy, false);
        return false;
    }
    return !is_mailbox_fault;
}

// True when the try was an attempt of the message's.
bool judge_undelivered(const Report& report, const Envelope& envelope, const History& history, Verdict& verdict) {
    if (is_ours(report.ending) || is_stale_connection(report)) {
        decide_accepted(verdict, envelope, Fate::waiting, {});
        return false;
    }
    if (report.ending == Ending::unfit) {
        decide_all(verdict, Fate::rejected, report.session_reply.value_or(Reply{}));
        return true;
    }
    if (report.stage < Stage::mail) {
        judge_session(report, verdict);
        return false;
    }
    if (report.stage == Stage::mail) return judge_sender(report, verdict);
    return judge_envelope(report, envelope, history, verdict);
}

}  // namespace

Verdict judge(const Report& report, const RetryPolicy& policy, const History& history, Time now) {
    Verdict verdict;
    const Envelope envelope = weigh_recipients(report, verdict);
    const bool is_final_meaningful =
        report.final_reply &&
        (report.final_reply->is_positive() || report.final_reply->is_temporary() || report.final_reply->is_permanent());

    if (report.dot_sent && !is_final_meaningful) {  // rule 2
        decide_accepted(verdict, envelope, Fate::unconfirmed, {});
        verdict.next = Next::settle_unconfirmed;
        verdict.reason = to_text(Cause::reply_lost);
        if (!is_ours(report.ending)) blame(verdict, Trouble::unreachable, false);
        verdict.detail = describe(report, verdict);
        return verdict;
    }

    const bool is_taken = report.dot_sent && report.final_reply->is_positive() && envelope.accepted > 0;
    const bool is_attempt =
        is_taken ? judge_accepted(report, envelope, verdict) : judge_undelivered(report, envelope, history, verdict);
    verdict.reply = decisive_reply(report, verdict);
    verdict.detail = describe(report, verdict);
    verdict.proves_mailbox = verdict.trouble == Trouble::none && report.stage > Stage::mail;
    verdict.accepts_somebody = is_taken;
    settle(verdict, is_attempt, policy, history, now);
    // A journal that can't be written now can't be written a moment later either.
    if (report.ending == Ending::unrecorded) verdict.delay = retry_delay(policy.delays, 1, history.seed);
    return verdict;
}

bool is_stale_connection(const Report& report) {
    if (!report.connection_was_reused || report.dot_sent || report.final_reply) return false;
    const bool is_421 = report.session_reply && report.session_reply->code == 421;
    const bool is_accepted = std::any_of(report.recipients.begin(), report.recipients.end(),
                                         [](const RecipientResult& r) { return r.reply.is_positive(); });
    return !is_accepted && (report.ending == Ending::closed || is_421);
}

bool is_turned_away(const Report& report) {
    if (report.connection_was_reused || report.dot_sent || report.stage > Stage::mail) return false;
    if (is_ours(report.ending) || report.ending == Ending::unfit) return false;
    if (report.session_reply && is_about_connections(*report.session_reply)) return true;
    if (report.stage == Stage::mail) return false;
    Verdict verdict;
    judge_session(report, verdict);
    const bool is_brief = !verdict.is_trouble_lasting;
    return is_brief && (verdict.trouble == Trouble::busy || verdict.trouble == Trouble::unreachable);
}

std::string_view to_text(Fate fate) {
    switch (fate) {
        case Fate::sent:
            return "sent";
        case Fate::rejected:
            return "rejected";
        case Fate::waiting:
            return "waiting";
        case Fate::unconfirmed:
            return "unconfirmed";
    }
    return "?";
}

std::string_view to_text(Next next) {
    switch (next) {
        case Next::settle_sent:
            return "sent";
        case Next::settle_failed:
            return "failed";
        case Next::settle_unconfirmed:
            return "unconfirmed";
        case Next::retry:
            return "retry";
        case Next::requeue:
            return "requeued";
    }
    return "?";
}

std::string_view to_text(Trouble trouble) {
    switch (trouble) {
        case Trouble::none:
            return "none";
        case Trouble::busy:
            return "busy";
        case Trouble::unreachable:
            return "unreachable";
        case Trouble::insecure:
            return "insecure";
        case Trouble::login:
            return "login";
        case Trouble::sender_refused:
            return "sender_refused";
    }
    return "?";
}

}  // namespace mailer::core
