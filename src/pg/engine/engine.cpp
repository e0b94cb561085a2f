// The engine's loop: binds queue, mail room, courier and journal to the pump, and waits in one place.
//
// The same in the worker and in CALL mailer.run. Every turn: signals and answers are taken, one transaction at most,
// mail composed and sent with none open, then wait() until a socket, the latch or the next instant of the plan.
#include "pg/engine/engine.hpp"

#include <sys/epoll.h>

#include "net/poll_group.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/courier.hpp"
#include "pg/engine/mail_room.hpp"
#include "pg/engine/queue.hpp"
#include "pg/engine/token_keeper.hpp"
#include "pg/listen/starter.hpp"
#include "pg/server/journal_file.hpp"
#include "pg/server/shared.hpp"
#include "worker/pump.hpp"

extern "C" {
#include <curl/curl.h>
#include "catalog/pg_control.h"
#include "storage/fd.h"
}

namespace mailer::pg {

namespace {

constexpr core::Duration idle_before_leaving = std::chrono::seconds(10);
constexpr core::Duration soon = std::chrono::seconds(2);  // not worth leaving
constexpr core::Duration longest_pause_after_errors = std::chrono::seconds(60);

worker::PumpSettings pump_settings(const Settings& s) {
    worker::PumpSettings p;
    p.retry.delays = s.retry_delays;
    p.retry.max_attempts = s.max_attempts;
    p.retry.max_age = s.max_age;
    p.sweep_interval = s.sweep_interval;
    p.max_bytes_in_hand = static_cast<std::size_t>(s.max_body_memory);
    return p;
}

std::uint64_t random_token() {
    std::uint64_t token = 0;
    if (!pg_strong_random(&token, sizeof token)) token = static_cast<std::uint64_t>(GetCurrentTimestamp());
    return (token >> 2) | 1;  // positive as a bigint, with room to count
}

class Engine {
public:
    Engine(EngineContext& context, const RunLimits& limits)
        : context_(context),
          limits_(limits),
          is_session_(context.host() == EngineContext::Host::session),
          transactions_(is_session_),
          queue_(transactions_, accounts_, claims_ahead),
          tokens_(transactions_, accounts_),
          fence_(transactions_),
          listener_(transactions_),
          late_bound_(context),
          preparers_(is_session_ ? nullptr : std::make_unique<Preparers>()),
          mail_room_(context, transactions_, accounts_, late_bound_, preparers_.get()) {}

    std::int64_t run();

private:
    void set_up();
    void make_sender();
    void reload();
    bool turn();
    void wait();
    void leave();
    bool makes_room(core::Time now) const;
    void keep_tokens(core::Time now);
    void look_outside(core::Time now);
    bool is_run_over(core::Time now) const;
    core::Duration sleep_for(core::Time now) const;

    EngineContext& context_;
    RunLimits limits_;
    bool is_session_;
    Settings settings_ = settings();
    Transactions transactions_;
    Accounts accounts_;
    PgQueue queue_;
    TokenKeeper tokens_;
    Fence fence_;
    ListenerStarter listener_;
    LateBound late_bound_;
    std::unique_ptr<Preparers> preparers_;  // none in a session
    PgMailRoom mail_room_;
    std::unique_ptr<worker::FileJournal> journal_;
    std::unique_ptr<SmtpCourier> courier_;
    std::unique_ptr<worker::Pump> pump_;
    std::unique_ptr<net::PollGroup> sockets_;
    int sender_connections_ = 0;
    int errors_in_a_row_ = 0;
    core::Time started_ = now();
    core::Duration slept_{};
    core::Time last_turn_ = core::Time::min();
    core::Time busy_at_ = now();  // when it last had mail in hand
};

void Engine::set_up() {
    transactions_.begin();
    ArmingState arming = read_arming(settings_);
    transactions_.commit();
    fence_.load();
    journal_ = std::make_unique<worker::FileJournal>(journal_path(), journal_binding(arming.epoch));
    make_sender();
    reload();
    pump_->recover(arming.was_just_promoted && !journal_->was_trusted() ? "promoted" : "server_crash", now());
    if (limits_.max_messages) pump_->limit_claims(*limits_.max_messages);
}

void Engine::make_sender() {
    sender_connections_ = settings_.max_connections;
    courier_ = std::make_unique<SmtpCourier>(*journal_, accounts_, fence_, transactions_, sender_connections_);
    sockets_ = std::make_unique<net::PollGroup>(
        std::initializer_list<int>{courier_->smtp_fd(), courier_->forward_fd(), tokens_.poll_fd()});
    if (!sockets_->is_ok()) throw std::runtime_error("out of descriptors");
    pump_ = std::make_unique<worker::Pump>(queue_, mail_room_, *courier_, *journal_, random_token());
}

void Engine::reload() {
    settings_ = settings();
    queue_.configure(settings_);
    fence_.configure(settings_);
    mail_room_.configure(settings_);
    pump_->configure(pump_settings(settings_));
    pump_->forget_world();
}

// One round of the pump. False: it failed; wait a little.
bool Engine::turn() {
    try {
        report_tick(GetCurrentTimestamp());
        if (context_.take_reload()) reload();
        if (settings_.max_connections != sender_connections_ && pump_->is_idle() && !is_session_) {
            make_sender();  // its number of connections is for life; nothing is on its way
            reload();
        }
        const core::Time at = now();
        if (at < last_turn_) pump_->forget_world();  // the clock was set back; the planner's time only runs forward
        last_turn_ = at;
        keep_tokens(at);
        look_outside(at);
        if (!is_session_ && !context_.should_stop()) listener_.look(at);
        pump_->tick(at);
        if (!pump_->is_idle()) busy_at_ = at;
        journal_->note_lsn(flushed_lsn());
        journal_->note_epoch(queue_.arming().epoch);
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

// What else may forbid to send: promises are renewed while there is something to send, and before there is.
void Engine::look_outside(core::Time at) {
    const auto next = pump_->next_work();
    const bool is_busy = !pump_->is_idle() || fence_.is_shut() || (next && *next - fence_.promise_time() <= at);
    fence_.turn(at, is_busy, std::exchange(slept_, core::Duration::zero()));
    pump_->note_fences(fence_.standbys(), fence_.lease(), at);
    // What is claimed and not at its dot when this server dies is unconfirmed on the standby that takes over, which
    // can't know better: with standbys nothing is claimed ahead.
    if (queue_.set_prefetch(fence_.standbys().is_set ? 1 : claims_ahead)) pump_->forget_world();
}

// Where there are more databases than workers, one with nothing to send makes room: at once when another waits.
bool Engine::makes_room(core::Time at) const {
    if (is_session_ || !pump_->is_idle() || errors_in_a_row_ > 0) return false;
    const Crowd crowd = look_at_crowd();
    if (!crowd.is_crowded || listener_.keeps_sender(at)) return false;  // the listener goes with the sender
    if (const auto turn = listener_.next_turn(); turn && *turn <= at + soon) return false;
    const auto next = pump_->next_due();
    if (next && *next - fence_.lead(at) <= at + (crowd.is_awaited ? core::Duration::zero() : soon)) return false;
    return crowd.is_awaited || at - busy_at_ >= idle_before_leaving;
}

// Tokens of mailboxes that log in with OAuth2: a new one, or one that ran out, is news for endpoints and gates.
void Engine::keep_tokens(core::Time at) {
    tokens_.renew(courier_->take_refused_logins());
    const bool may_fetch = settings_.delivery == Delivery::smtp && settings_.enabled && !context_.should_stop();
    if (tokens_.turn(at, may_fetch) || courier_->take_lacks_token()) pump_->forget_world();
}

core::Duration Engine::sleep_for(core::Time at) const {
    if (errors_in_a_row_ > 0) {
        core::Duration pause = std::chrono::seconds(1) * (1 << std::min(errors_in_a_row_ - 1, 6));
        return std::min(pause, longest_pause_after_errors);
    }
    core::Duration sleep = settings_.sweep_interval;
    auto consider = [&](core::Time t) { sleep = std::min(sleep, std::max(core::Duration::zero(), t - at)); };
    if (auto wake = pump_->wake_at()) consider(std::max(*wake, at));
    if (auto answer = mail_room_.wake_at()) consider(*answer);
    if (auto timeout = courier_->next_timeout(at)) sleep = std::min(sleep, *timeout);
    sleep = std::min(sleep, tokens_.next_timeout(at));
    if (auto wake = fence_.wake_at(at, pump_->is_idle() ? pump_->next_work() : std::optional(at))) consider(*wake);
    if (!is_session_) consider(listener_.next_look());
    if (!is_session_ && pump_->is_idle() && !listener_.keeps_sender(at) && look_at_crowd().is_crowded)
        consider(busy_at_ + idle_before_leaving);
    if (is_session_) {
        if (limits_.max_time) consider(started_ + *limits_.max_time);
        if (!is_preloaded()) sleep = std::min(sleep, core::Duration(std::chrono::seconds(1)));
    }
    return std::max(sleep, core::Duration::zero());
}

// A run ends when its time is over, when it has sent what it was to send, or when nothing more becomes due in time.
bool Engine::is_run_over(core::Time at) const {
    if (!is_session_) return false;
    if (limits_.max_time && at >= started_ + *limits_.max_time) return true;
    if (!pump_->is_idle() || tokens_.is_fetching()) return false;
    if (pump_->has_claimed_all()) return true;
    auto next = pump_->next_work();
    return !next || *next > (limits_.max_time ? started_ + *limits_.max_time : at);
}

void Engine::wait() {
    const bool is_busy = !pump_->is_idle();
    report_state(is_busy ? "sending" : "waiting");
    slept_ = sleep_for(now());
    context_.wait(sockets_->fd(), slept_);
}

// No new claim, no new dot; what has its dot on the wire gets the grace to be answered. Then everything is settled.
void Engine::leave() {
    report_state("leaving");
    listener_.ask_to_stop();
    pump_->stop_claiming();
    pump_->hand_back_all(now());
    courier_->stop(now());
    const core::Time until = now() + context_.grace();
    while (!pump_->is_idle()) {
        (void)context_.should_stop();  // handles another cancel
        if (!turn() && now() >= until) break;
        if (pump_->is_idle()) break;
        if (now() >= until) {
            courier_->abandon_all(now());
            turn();
            break;
        }
        context_.wait(sockets_->fd(), std::min(until - now(), core::Duration(std::chrono::milliseconds(20))));
    }
}

std::int64_t Engine::run() {
    set_up();
    while (!context_.should_stop()) {
        if (turn() && (is_run_over(now()) || makes_room(now()))) break;
        // Work in hand goes on at once; wait() still looks at sockets and interrupts.
        wait();
    }
    if (!is_session_ && !context_.should_stop()) {
        pump_->stop_claiming();
        pump_->fold_soon();
        turn();
    }
    leave();
    listener_.wait_until_stopped();
    if (!is_session_ && !context_.should_stop()) {
        const auto next = pump_->next_due();
        const auto turn = listener_.next_turn();
        report_next_due(std::min(next ? to_pg(*next) : DT_NOEND, turn ? to_pg(*turn) : DT_NOEND));
        context_.note_idle();
    }
    return pump_->settled_count();
}

}  // namespace

std::int64_t run_engine(EngineContext& context, const RunLimits& limits) {
    static const bool is_curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!is_curl_ready) throw Refusal({"XX000", "libcurl could not be initialised"});
    signal(SIGPIPE, SIG_IGN);
    Engine engine(context, limits);
    return engine.run();
}

}  // namespace mailer::pg
