// The one place that decides what the facts of a try mean: for each recipient, for the message, for its mailbox.
//
// It asks, in this order: could the server have taken the message without our knowing (unconfirmed)? Was it the
// mailbox's connection, login or sender that failed (the message waits, no attempt consumed)? Or the message or one of
// its recipients? Pure: values in, value out; no clock, no randomness, no settings read. Nothing else in the project
// may look at a reply code to decide a message's fate.
//
//  1. A complete 2xx to the dot makes every recipient that was accepted `sent`, whatever happens to the connection.
//  2. The dot sent and no complete reply is `unconfirmed`, never retried by itself.
//  3. Nothing is consumed (no attempt) when the mailbox was at fault (also where its server says so at RCPT or at the
//     dot, and where two different recipients in a row get the same temporary refusal), when a reused connection turned
//     out dead before any recipient was accepted, when the try got somebody through, or when only "too many recipients"
//     (x.5.3) kept some waiting.
//  4. A recipient waits only for a temporary reason; a refused one never comes back.
//  5. A message never waits for ever by its own fault: what consumes an attempt is bounded by attempts and age.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/outcome/backoff.hpp"
#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"

namespace mailer::core {

struct RetryPolicy {
    std::vector<Duration> delays = default_retry_delays();
    int max_attempts = 0;                        // 0: no limit
    Duration max_age = std::chrono::hours{120};  // RFC 5321 4.5.4.1: at least 4 to 5 days
};

// A temporary refusal of one recipient, remembered for each mailbox until somebody is accepted.
struct Refusal {
    int code = 0;
    std::string enhanced;
    std::uint64_t recipient_key = 0;

    bool operator==(const Refusal&) const = default;
};

// What was known of the message before this try.
struct History {
    int attempts_before = 0;  // attempts consumed so far, without this try
    Time age_from;            // when it was first due: max_age counts from here
    int accepted_before = 0;  // recipients of earlier tries
    int refused_before = 0;   // recipients of earlier tries, and those that were never tried (invalid address)
    std::uint64_t seed = 0;   // for the jitter; the message id will do
    int untried = 0;          // recipients that wait for the next envelope: this one was full
    std::vector<std::uint64_t> recipient_keys = {};      // of the envelope, by index: who is who
    std::optional<Refusal> last_refusal = std::nullopt;  // of the mailbox
};

enum class Fate {
    sent,         // accepted by the server
    rejected,     // refused permanently, or given up
    waiting,      // goes into the next envelope
    unconfirmed,  // was accepted at RCPT, and the reply to the dot never came
};

struct RecipientVerdict {
    int index = 0;  // into Delivery::recipients
    Fate fate = Fate::waiting;
    Reply reply;                  // the one that decided; code 0 when none did
    bool is_hard_bounce = false;  // the address doesn't exist: suppress it
};

enum class Next {
    settle_sent,         // state sent
    settle_failed,       // state failed, with `reason`
    settle_unconfirmed,  // state unconfirmed, with `reason`
    retry,               // pending again after `delay`; attempt consumed
    requeue,             // pending again after `delay`; no attempt consumed
};

enum class Trouble {
    none,
    busy,            // 421, or too many connections: brief
    unreachable,     // name, connect, time-out, greeting refused: brief
    insecure,        // TLS missing, refused, or the certificate doesn't verify: lasting
    login,           // 535, 530, AUTH not offered: lasting (454 and other 4xx: brief)
    sender_refused,  // MAIL FROM refused: lasting when 5xx
};

struct Verdict {
    Next next = Next::retry;
    std::string reason;  // API.md's: rejected, attempts_exhausted, too_old, reply_lost; for sent "" or "1 of 3 refused"
    Duration delay{};    // for retry and requeue, from now
    Reply reply;         // the decisive one, for message_status and attempt_log; code 0 when the server gave none
    std::string detail;  // one line for people: the reply, or what failed
    std::vector<RecipientVerdict> recipients;  // one per recipient of the envelope, by index

    Trouble trouble = Trouble::none;                // not none: open the mailbox's breaker for core::breaker_delay
    bool is_trouble_lasting = false;                // nothing gets better by itself; tell somebody
    std::optional<Refusal> refusal = std::nullopt;  // that this try ended with: the mailbox's last_refusal from now on
    bool accepts_somebody = false;                  // there is no last_refusal any more
    int most_recipients = 0;  // not 0: more in one envelope are too many for this mailbox's server

    bool proves_mailbox = false;  // connected, logged in and a MAIL FROM accepted: close the breaker, its count is 0

    bool consumes_attempt() const { return next != Next::requeue; }
};

Verdict judge(const Report& report, const RetryPolicy& policy, const History& history, Time now);

// A reused connection that the server had given up on (closed, or 421) before it accepted a recipient: the transport
// tries again at once on a fresh connection, without a word to anybody.
bool is_stale_connection(const Report& report);

// A new connection that the server turned away for now: 421 or "too many connections" before it took a MAIL FROM, or
// nobody answered. While others of the mailbox work, it says that they are as many as the server takes, and the
// transport goes on with those.
bool is_turned_away(const Report& report);

std::string_view to_text(Fate fate);
std::string_view to_text(Next next);  // attempt_log.outcome: sent, failed, unconfirmed, retry, requeued
std::string_view to_text(Trouble trouble);

}  // namespace mailer::core
