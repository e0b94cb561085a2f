// What the pump needs from the world, as small interfaces: the queue in the database, the mail room that turns a
// claimed message into bytes, the transport that talks to mail servers, and the crash journal.
//
// src/pg implements Queue and MailRoom, src/smtp the transport, tests and the simulation put in their own. Times are
// arguments everywhere. A Queue or MailRoom may throw; then the transaction is lost and nothing of it happened.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/outcome/ending.hpp"
#include "core/outcome/report.hpp"
#include "core/outcome/verdict.hpp"
#include "core/pace/planner.hpp"
#include "worker/doubts.hpp"

namespace mailer::worker {

using core::Time;

// A pending row that the lane's gates let through, locked by the current transaction.
struct Candidate {
    core::MessageFacts facts;
    std::int64_t lane_id = 0;
    std::optional<std::int64_t> campaign_id;
    std::optional<std::int64_t> batch_id;
    Time age_from;          // when it was first due
    int attempt_count = 0;  // attempts consumed
    int try_count = 0;      // tries logged
    int crash_count = 0;
    int recipient_count = 1;
    int accepted_before = 0;  // recipients settled by earlier tries
    int refused_before = 0;
};

// A claimed message on its way: from the claim's commit to its settle's commit.
struct Ticket {
    std::uint64_t token = 0;
    Candidate row;
    core::Reservation reservation;
    std::vector<int> envelope;      // recipient numbers (from 1) in the order of the delivery's recipients
    std::vector<int> suppressed;    // recipients left out of it
    std::vector<int> untried = {};  // recipients for whom it had no room
    std::vector<std::uint64_t> recipient_keys = {};  // of the envelope
    std::size_t body_size = 0;                       // of what the courier carries
    std::optional<std::uint64_t> fingerprint = {};   // of the same
    std::string loaded_variables = {};               // what the loader gave, as jsonb text
    std::uint64_t committed_at = 0;                  // the claim's place in the log
    std::string thread_subject = {};                 // of a campaign's mail that begins a thread, as rendered
    bool is_repeatable = false;                      // a forwarder has it: handing it over twice does no harm
    bool is_aside = false;  // its functions take long: it doesn't count as in flight for its mailbox
};

struct AttemptRow {
    Time started_at;
    std::optional<Time> dot_at;
    Time finished_at;
    std::string stage;
    core::Reply reply;  // code 0: none; then text says what failed
    std::string outcome;
    std::optional<std::uint64_t> fingerprint = {};  // of what was handed to the courier
};

struct RecipientRow {
    int n = 1;
    char state = 'p';
    core::Reply reply;
    bool is_hard_bounce = false;
};

// What becomes of a claimed (or, for expired and suppressed ones, of a pending) message.
struct Settlement {
    std::uint64_t token = 0;  // 0: the row is pending and locked by this transaction
    Candidate row;
    std::optional<core::Reservation> reservation;

    bool is_final = false;
    char state = 'p';  // S f c u when final
    std::string reason;
    char rest = 'f';             // when final: what becomes of the recipients that still wait
    core::Reply reply;           // the decisive one
    std::optional<Time> due_at;  // not final: pending again from then
    bool consumes_attempt = false;
    bool counts_crash = false;
    bool is_sent = false;            // the reservation was used up; else it is given back
    std::optional<Time> replied_at;  // the server's last word; gaps run from it

    std::optional<AttemptRow> attempt;
    std::vector<RecipientRow> recipients;
    core::Trouble trouble = core::Trouble::none;
    bool is_trouble_lasting = false;
    bool is_trouble_of_mail = false;  // told of this mail (MAIL FROM or later), not before the session had one
    bool proves_mailbox = false;
    std::string trouble_detail;
    std::optional<Doubts::Blame> blame = {};          // for the trouble, decided once; see Pump::weigh
    std::string thread_subject = {};                  // see Ticket
    std::shared_ptr<const struct Prepared> captured;  // to be kept instead of sent
    std::string loaded_variables = {};                // to be kept with the message; empty: none
};

// How many claims are on their way, by lane and by mailbox.
struct InFlight {
    std::map<std::int64_t, int> lanes;
    std::map<std::int64_t, int> mailboxes;
};

// An orphan: claimed by a sender that is gone.
struct Orphan {
    std::uint64_t token = 0;
    Candidate row;
    core::Reservation reservation;
    bool is_repeatable = false;  // as its claim said
    std::vector<int> unsettled;  // recipients (numbers from 1) without a result of an earlier try
};

// As a hint: no work, but claims may have to come back.
inline constexpr std::int64_t recheck_lane = -1;

struct Signals {
    struct Hint {
        std::int64_t lane_id;
        Time due_at;
    };
    std::vector<Hint> hints;       // newly committed work; lane 0: an expiry
    bool is_overflown = false;     // more than fit: sweep
    std::uint64_t generation = 0;  // settings changed when it differs from the last
};

// Differences of the day counters that a transaction stores.
struct DayDelta {
    std::int64_t id;  // mailbox or campaign
    core::Date day;
    int used = 0;
    int warmup = 0;
    int first_mails = 0;  // a campaign's: how many of `used` were no follow-ups
    std::optional<int> day_limit;
};

class Queue {
public:
    virtual ~Queue() = default;

    virtual Signals take_signals() = 0;  // outside any transaction

    virtual void begin(Time now) = 0;  // one short transaction; every method below needs it
    virtual void commit() = 0;
    virtual void abort() noexcept = 0;
    virtual std::uint64_t last_commit() const { return 0; }  // its place in the log: what a standby must have on disk

    // Fills an empty planner with the settings and counters of now: all mailboxes, the lanes named and all running
    // campaigns. Returns the lanes whose stored slot the settings have moved.
    virtual std::vector<std::int64_t> load_world(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                                 const InFlight& in_flight, Time now) = 0;
    // Adds lanes; those that don't exist are left out.
    virtual std::vector<std::int64_t> load_lanes(core::Planner& planner, std::span<const std::int64_t> lane_ids,
                                                 const InFlight& in_flight, Time now) = 0;
    // The unbounded look: forgets every low-water mark and tells the earliest due row of each lane, and the earliest
    // expiry.
    struct Swept {
        std::vector<Signals::Hint> lanes;
        std::optional<Time> expiry;
    };
    virtual Swept sweep() = 0;
    // Hint: something due from `due_at` on has become visible in the lane.
    virtual void lower_mark(std::int64_t lane_id, Time due_at) = 0;

    // Up to `limit` due rows of the lane in order (priority, due_at, id), locked; rows that others hold are skipped.
    virtual std::vector<Candidate> pick(std::int64_t lane_id, int limit, Time now) = 0;
    // The candidates up to this one are dealt with in this transaction: the next pick starts behind it once it commits.
    virtual void passed(const Candidate& candidate) = 0;
    // When the next row of the lane is due (now or later); nothing: none waits.
    virtual std::optional<Time> next_due(std::int64_t lane_id, Time now) = 0;
    // Pending rows whose time has run out, locked.
    virtual std::vector<Candidate> pick_expired(int limit, Time now) = 0;

    virtual void claim(std::span<const Ticket> tickets, Time now) = 0;
    // Whether what the mailbox has may be handed over again after a crash: a forwarder's. The claim writes it down.
    virtual bool is_repeatable(std::int64_t /*mailbox_id*/) const { return false; }
    // Shields that the settlements just written have shut: a campaign's main lane, or a mailbox. Each is returned once.
    struct ShutShield {
        std::optional<std::int64_t> lane_id;
        std::optional<std::int64_t> mailbox_id;
        std::string reason;
    };
    virtual std::vector<ShutShield> take_shut_shields() { return {}; }
    // Before these are written: campaigns and leads of mail that waits again or is followed by a step stay as they are
    // until the transaction ends, so nothing is left behind that waits for ever. Blocks on no lock.
    struct HeldMail {
        std::set<std::int64_t> busy;  // another transaction is ending its campaign or sequence just now
        std::map<std::int64_t, core::Cause> ended = {};  // that has happened: it must not wait again
    };
    virtual HeldMail hold(std::span<const Settlement> /*settlements*/) { return {}; }
    // Writes those whose token still fits (all of them, as a rule); tells which.
    virtual std::vector<bool> settle(std::span<const Settlement> settlements, Time now) = 0;

    virtual void store_days(std::span<const DayDelta> mailbox_days, std::span<const DayDelta> campaign_days) = 0;
    virtual void store_lanes(std::span<const core::LaneFacts* const> lanes) = 0;
    virtual void store_mailboxes(std::span<const core::MailboxFacts* const> mailboxes) = 0;
    virtual void store_missed(std::int64_t campaign_id, const core::MissedSlots& missed) = 0;
    // Opens or closes the breaker: failures so far, until when, why. Returns the new open-until.
    virtual void store_breaker(std::int64_t mailbox_id, int failures, std::optional<Time> until,
                               const std::string& reason, Time now) = 0;
    virtual int breaker_failures(std::int64_t mailbox_id) = 0;
    virtual void store_lowered(const core::MailboxFacts& /*mailbox*/) {}
    // Campaigns of these lanes of which no row is left are completed; tells which lanes.
    virtual std::vector<std::int64_t> complete_campaigns(std::span<const std::int64_t> lane_ids, Time now) = 0;
    virtual void fold_tally(Time now) = 0;  // and logs the batches that this finished
    virtual void log_event(const std::string& kind, std::optional<std::int64_t> message_id,
                           std::optional<std::int64_t> campaign_id, std::optional<std::int64_t> mailbox_id,
                           const std::string& detail) = 0;

    // Of these claimed messages those whose lead's sequence has ended or is held since.
    virtual std::set<std::int64_t> stopped_among(std::span<const std::int64_t> message_ids) = 0;
    // Cancels what waits in running campaigns whose end has come.
    virtual void end_campaigns(Time now) = 0;
    virtual std::vector<Orphan> orphans() = 0;
};

// A message ready to go, or why it isn't.
struct Prepared {
    enum class Kind {
        ready,
        cancelled,    // send_if said no, or nobody is left to send to: `cause` says which
        temporary,    // a loader failed: retry later, attempt consumed
        failed,       // can't be rendered or composed: permanently
        interrupted,  // the sender was asked to leave meanwhile: nothing happened
        asked,        // its functions are being asked: prepare() again when turn() names it
        postponed,    // its functions can't be asked before `until`: nothing happened
        died,         // a function of it ended the process that ran it
    };
    Kind kind = Kind::ready;
    core::Cause cause = core::Cause::render_error;  // of cancelled and failed
    std::string detail;                             // for people
    std::optional<Time> until;                      // of postponed
    std::string sender;                             // envelope
    std::string envelope_id = {};                   // as in smtp::Delivery
    std::string notify = {};
    std::vector<std::string> recipients;
    std::vector<int> envelope;                       // their numbers in the message, from 1
    std::vector<int> suppressed;                     // numbers left out because they are suppressed
    std::vector<int> untried = {};                   // numbers left out because the server takes no more at a time
    std::vector<std::uint64_t> recipient_keys = {};  // of the envelope: the same for the same address
    std::shared_ptr<const std::string> body;
    bool is_8bit = false;
    bool needs_smtputf8 = false;
    bool is_captured = false;
    std::uint64_t fingerprint = 0;      // core::fingerprint_of(*body)
    std::string loaded_variables = {};  // what the loader gave, as jsonb text
    std::string thread_subject = {};    // see Ticket
    std::string forward_key = {};       // of a forwarder's: the same at every try, and of no other message
    core::Duration took{0};             // how long the sender was busy with it
};

class MailRoom {
public:
    virtual ~MailRoom() = default;
    // In the claim's transaction: reads what prepare() will need.
    virtual void fetch(std::span<const Ticket> tickets) = 0;
    // No transaction is open. Late-bound functions are asked meanwhile, by other processes (or, in a session, run here
    // in short transactions of their own). Never throws for a fault of the message.
    virtual Prepared prepare(const Ticket& ticket, Time now) = 0;
    // Goes on with what was asked. `on_begin` is called before the functions of a message may run; `may_ask`: whether
    // any may begin.
    struct Heard {
        std::vector<std::uint64_t> answered;  // or can't be: prepare() them
        std::vector<std::uint64_t> slow;      // they run, and nobody else's mail should wait for that
    };
    virtual Heard turn(Time, bool /*may_ask*/, const std::function<void(std::uint64_t)>& /*on_begin*/) { return {}; }
    // Of these: gives up those that it asks for. What they answer is for nobody.
    virtual std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>&) { return {}; }
    virtual void forget(std::int64_t message_id) = 0;
    // The mailbox's server takes no more recipients than that in one transaction.
    virtual void limit_recipients(std::int64_t /*mailbox_id*/, int /*most*/) {}
};

class Courier {
public:
    virtual ~Courier() = default;
    virtual bool submit(const Ticket& ticket, Prepared prepared) = 0;
    virtual void turn(Time now, std::vector<core::Report>& finished) = 0;
    // Of these: takes back what isn't on the wire.
    virtual std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>& tokens) = 0;
    // The same of all whose mailbox has another server or login by now than the one they were submitted for.
    virtual std::vector<std::uint64_t> take_back_outdated() = 0;
    // Mailboxes whose server takes fewer connections than they may have, since the last call. The courier keeps to it
    // by itself; limit_connections() passes it what is stored of all mailboxes, which somebody may have lifted.
    virtual std::map<std::int64_t, core::LoweredConnections> take_lowered() { return {}; }
    virtual void limit_connections(const std::map<std::int64_t, core::LoweredConnections>&) {}
};

// Where a claim was when its sender died.
enum class Phase : char {
    claimed = 'c',
    preparing = 'p',  // loading or composing: a crash here is counted against the message
    ready = 'r',
    body = 'b',
    dot = 'd',
    reply = 'R',
};

struct Recorded {
    Phase phase = Phase::claimed;
    std::optional<core::Report> report;  // of Phase::reply; of Phase::dot what was answered before it
    std::vector<int> envelope;           // with a report: the Ticket's
};

class Journal {
public:
    virtual ~Journal() = default;
    virtual void open_slot(std::uint64_t token) = 0;  // before the claim commits; throws when it can't be written
    virtual bool mark(std::uint64_t token, Phase phase) noexcept = 0;
    virtual void close_slot(std::uint64_t token) noexcept = 0;  // after the settle committed
    // What an earlier sender left; nothing when the journal as a whole can't be trusted or has no such token.
    virtual std::optional<Recorded> recorded(std::uint64_t token) = 0;
    virtual void keep_only(const std::set<std::uint64_t>& tokens) = 0;  // frees what was settled but not closed
};

}  // namespace mailer::worker
