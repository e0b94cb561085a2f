// A sender in virtual time: the real queue, claim, settle and mail room, without mail servers and without waiting.
//
// The one function of this library; stage.sql declares it, with a table simulation.delivered. It goes from
// mailer.virtual_now, which must be set, to `until`, where it leaves that setting, so that the SQL functions and the
// sender live at one time. The sender stays in memory from one CALL to the next, as the worker does between two
// statements of users. It settles mail as sent that nobody sent: superusers only, never beside a sender of the database.
#include <random>

#include "pg/bridge/clock.hpp"
#include "pg/engine/engine.hpp"
#include "pg/engine/mail_room.hpp"
#include "pg/engine/queue.hpp"
#include "pg/server/election.hpp"
#include "settings.hpp"
#include "simulated.hpp"
#include "worker/pump.hpp"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace mailer::pg {

namespace {

using core::Duration;
using core::Time;

constexpr int most_rounds_at_one_time = 10'000;

struct Options {
    bool is_new = false;          // nothing is remembered of earlier calls, the journal included
    bool is_restart = false;      // the sender was killed before this call
    int restart_one_in = 0;       // … and is killed in one of so many rounds
    int lost_journal_one_in = 0;  // of the restarts
    Duration latency{0};          // a round comes up to so much later than it was asked for
    Duration sweep_interval = std::chrono::hours(6);
    worker::Odds odds;
};

// The sender hears of every change of the database between two calls.
class SimulatedQueue final : public PgQueue {
public:
    using PgQueue::PgQueue;
    worker::Signals take_signals() override {
        worker::Signals signals;
        signals.is_overflown = std::exchange(is_changed_, false);
        signals.generation = generation_;
        return signals;
    }
    // The step behind a sent mail is queued with a hint to the worker, which there is none of here.
    std::vector<bool> settle(std::span<const worker::Settlement> settlements, Time now) override {
        std::vector<bool> written = PgQueue::settle(settlements, now);
        for (const worker::Settlement& s : settlements)
            is_changed_ |= s.is_final && s.row.campaign_id.has_value();
        return written;
    }
    void changed() {
        is_changed_ = true;
        ++generation_;
    }

private:
    bool is_changed_ = true;
    std::uint64_t generation_ = 1;
};

class Simulation {
public:
    explicit Simulation(std::uint64_t seed)
        : late_bound_(context_), courier_(journal_, seed), random_(static_cast<unsigned>(seed)) {}

    void run(Time from, Time until, const Options& options);

private:
    void start(Time now);
    void crash(const Options& options);
    void store_delivered();
    bool one_in(int n) { return n > 0 && random_() % static_cast<unsigned>(n) == 0; }

    EngineContext context_{EngineContext::Host::session};
    Transactions transactions_{true};
    Accounts accounts_;
    LateBound late_bound_;
    worker::MemoryJournal journal_;
    worker::SimulatedCourier courier_;
    std::mt19937 random_;
    std::uint64_t token_ = 1;
    std::unique_ptr<SimulatedQueue> queue_;
    std::unique_ptr<PgMailRoom> mail_room_;
    std::unique_ptr<worker::Pump> pump_;
    Duration sweep_interval_{};
};

void Simulation::start(Time now) {
    const Settings s = settings();
    worker::PumpSettings p;
    p.retry.delays = s.retry_delays;
    p.retry.max_attempts = s.max_attempts;
    p.retry.max_age = s.max_age;
    p.sweep_interval = sweep_interval_;
    queue_ = std::make_unique<SimulatedQueue>(transactions_, accounts_, claims_ahead);
    mail_room_ = std::make_unique<PgMailRoom>(context_, transactions_, accounts_, late_bound_);
    queue_->configure(s);
    mail_room_->configure(s);
    pump_ = std::make_unique<worker::Pump>(*queue_, *mail_room_, courier_, journal_, token_);
    token_ += 1'000'000'000;
    pump_->configure(p);
    pump_->recover("server_crash", now);
}

void Simulation::crash(const Options& options) {
    pump_.reset();
    courier_.crash();
    if (one_in(options.lost_journal_one_in)) journal_.lose_everything();
}

// For what the sender's statements ask of mailer._now(), which is the transaction's time in real life.
void set_virtual_now(Time now) {
    call([&] { SetConfigOption("mailer.virtual_now", timestamptz_to_str(to_pg(now)), PGC_SUSET, PGC_S_SESSION); });
}

void Simulation::run(Time from, Time until, const Options& options) {
    courier_.set_odds(options.odds);
    sweep_interval_ = options.sweep_interval;
    if (options.is_restart) crash(options);
    if (pump_) queue_->changed();
    Time now = from, last = from;
    int rounds = 0;
    while (now <= until) {
        context_.raise_interrupts();
        if (one_in(options.restart_one_in)) crash(options);
        if (!pump_) start(now);
        pump_->skip_pause(now);
        pump_->tick(now);
        std::optional<Time> next = pump_->wake_at();
        if (auto event = courier_.next_event(); event && (!next || *event < *next)) next = event;
        if (!next) break;
        if (*next > until) break;
        if (*next > now) {
            now = *next;
            if (options.latency > Duration{0})
                now = std::min(until, now + Duration{random_() % options.latency.count()});
            set_virtual_now(now);
        }
        rounds = now == last ? rounds + 1 : 0;
        last = now;
        if (rounds > most_rounds_at_one_time)
            throw Refusal({"XX000", "the sender turns round and round at " + utc_text(now)});
    }
    context_.raise_interrupts();  // what the last tick took up
    store_delivered();
}

void Simulation::store_delivered() {
    static Statement statement(
        R"sql(
            INSERT INTO simulation.delivered (message_id, mailbox_id, recipients, claimed_at, at)
            VALUES ($1, $2, $3, $4, $5))sql",
        {INT8OID, INT8OID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID});
    transactions_.begin();
    for (const auto& d : courier_.take_delivered()) {
        statement.run(
            {p_bigint(d.message_id), p_bigint(d.mailbox_id), p_texts(d.recipients), p_at(d.claimed_at), p_at(d.at)});
    }
    transactions_.commit();
}

Time start_of_simulation() {
    const auto at = virtual_now();
    if (!at)
        throw Refusal({"55000", "there is nothing to simulate: mailer.virtual_now is not set", "",
                       "SET mailer.virtual_now = '2027-01-01 12:00+00'."});
    return *at;
}

Options read_options(Datum json) {
    static Statement statement(
        R"sql(
            SELECT o.is_new, o.restart, coalesce(restart_one_in, 0), coalesce(lost_journal_one_in, 0),
                o.latency, o.sweep_interval, coalesce(temporary, 0), coalesce(refused, 0), coalesce(trouble,
                0), coalesce(lost_reply, 0), o.least_transit, o.most_transit
            FROM (SELECT coalesce((j->>'new')::boolean, false) AS is_new, coalesce((j->>'restart')::boolean,
                false) AS restart, (j->>'restart_one_in')::integer AS restart_one_in,
                (j->>'lost_journal_one_in')::integer AS lost_journal_one_in,
                coalesce((j->>'latency_us')::bigint, 0) AS latency,
                coalesce((j->>'sweep_interval_s')::bigint, 21600) * 1000000 AS sweep_interval,
                (j->>'temporary')::integer AS temporary, (j->>'refused')::integer AS refused,
                (j->>'trouble')::integer AS trouble, (j->>'lost_reply')::integer AS lost_reply,
                coalesce((j->>'least_transit_us')::bigint, 0) AS least_transit,
                coalesce((j->>'most_transit_us')::bigint, 0) AS most_transit
                FROM (SELECT $1 AS j) x) o)sql",
        {JSONBOID});
    Rows rows = statement.run({p_datum(JSONBOID, json)});
    Options o;
    o.is_new = rows.boolean(0, 1);
    o.is_restart = rows.boolean(0, 2);
    o.restart_one_in = static_cast<int>(rows.bigint(0, 3));
    o.lost_journal_one_in = static_cast<int>(rows.bigint(0, 4));
    o.latency = Duration(rows.bigint(0, 5));
    o.sweep_interval = Duration(rows.bigint(0, 6));
    o.odds.temporary = static_cast<int>(rows.bigint(0, 7));
    o.odds.refused = static_cast<int>(rows.bigint(0, 8));
    o.odds.trouble = static_cast<int>(rows.bigint(0, 9));
    o.odds.lost_reply = static_cast<int>(rows.bigint(0, 10));
    o.odds.least_transit = Duration(rows.bigint(0, 11));
    o.odds.most_transit = Duration(rows.bigint(0, 12));
    return o;
}

void require_simulation(FunctionCallInfo fcinfo) {
    if (!call([] { return superuser(); })) throw Refusal({"42501", "only superusers may simulate a sender"});
    const bool is_call = fcinfo->context != nullptr && IsA(fcinfo->context, CallContext);
    if (!is_call || castNode(CallContext, fcinfo->context)->atomic) {
        throw Refusal({"25001", "a simulation cannot run inside a transaction block or a function"});
    }
}

void simulate(FunctionCallInfo fcinfo) {
    static std::unique_ptr<Simulation> simulation;
    require_simulation(fcinfo);
    adopt_settings();
    auto lock = SenderLock::try_take();
    if (!lock) throw Refusal({"55006", "a sender is running in this database"});
    const Time until = from_pg(PG_GETARG_TIMESTAMPTZ(0));
    const auto seed = static_cast<std::uint64_t>(PG_GETARG_INT64(1));
    Transactions transactions(true);
    try {
        transactions.begin();
        const Time from = start_of_simulation();
        const Options options = read_options(PG_GETARG_DATUM(2));
        transactions.commit();
        if (!simulation || options.is_new) simulation = std::make_unique<Simulation>(seed);
        simulation->run(from, until, options);
    } catch (...) {
        simulation.reset();
        throw;
    }
    set_virtual_now(until);
}

}  // namespace

}  // namespace mailer::pg

MAILER_FUNCTION(mailer_simulate) {
    mailer::pg::entry([&] { mailer::pg::simulate(fcinfo); });
    PG_RETURN_VOID();
}
