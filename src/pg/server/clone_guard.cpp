// Reads the binding of this server and compares it with the stored one; see clone_guard.hpp.
#include "pg/server/clone_guard.hpp"

#include <sys/stat.h>

#include "core/standby/promise.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/bridge/settings.hpp"
#include "pg/bridge/spi.hpp"
#include "pg/server/journal_file.hpp"
#include "pg/server/promotion.hpp"

extern "C" {
#include "access/xlog.h"
}

namespace mailer::pg {

namespace {

constexpr const char* control_file = "global/pg_control";
constexpr const char* nonce_file = "pg_stat_tmp/mailer.nonce";

constexpr const char* why_copy =
    "this database was copied or restored as files: it sends nothing until mailer.arm() is called";
constexpr const char* why_undecided = "this server was promoted, and its worker has yet to look at what it may send";
constexpr const char* why_missing = "the row of mailer.arming is missing: nothing is sent until mailer.arm() is called";

worker::Machine find_machine() {
    worker::Machine machine;
    machine.identity = identity_setting();
    machine.nonce = worker::read_nonce(nonce_file);
    machine.volume = worker::read_volume(control_file);
    machine.host = worker::read_host_id();
    return machine;
}

bool is_same_machine(const Binding& stored, const Binding& current) {
    return worker::is_same(worker::machine_of(stored.machine), worker::machine_of(current.machine));
}

std::uint32_t parent_timeline(std::uint32_t timeline) {
    const std::vector<worker::Ancestor> ancestors = timeline_ancestors(timeline);
    return ancestors.empty() ? 0 : ancestors.front().timeline;
}

// When the sender last wrote into its journal, which it does at every turn.
std::optional<core::Time> last_sign_of_life() {
    struct stat journal = {};
    if (stat(journal_path().c_str(), &journal) != 0) return std::nullopt;
    return core::from_unix_us(journal.st_mtim.tv_sec * 1000000LL + journal.st_mtim.tv_nsec / 1000);
}

// A server that went down and was promoted again on its own files, as Patroni does after a crash of the postmaster. It
// goes on when no standby of it could have gone on meanwhile. If it took no longer than this, nobody else can have been
// promoted, have died, and have lost its lock: the lock alone outlives its holder by Patroni's ttl, and promise_time is
// a multiple of that.
bool is_own_return(const Binding& stored, const Binding& current, const PromotionRecord& record,
                   const std::vector<core::Promise>& promises, const Settings& settings) {
    if (!is_same_machine(stored, current) || parent_timeline(current.timeline) != stored.timeline) return false;
    if (promises.empty()) return true;
    const auto last_seen = last_sign_of_life();
    if (!last_seen) return false;
    const bool is_quick = record.promoted_at - *last_seen <= settings.promise_time * 2 / 5;
    return is_quick ||
           std::all_of(promises.begin(), promises.end(), [&](const core::Promise& p) { return p.until <= *last_seen; });
}

void inherit_promises(const std::vector<core::Promise>& others) {
    static Statement forget("DELETE FROM mailer.promise", {});
    static Statement insert("INSERT INTO mailer.promise (name, until, is_joining) VALUES ($1, $2, true)",
                            {TEXTOID, TIMESTAMPTZOID});
    forget.run({});
    for (const core::Promise& promise : others)
        insert.run({p_text(promise.name), p_at(promise.until)});
}

bool contains(const std::vector<std::int64_t>& epochs, std::int64_t epoch) {
    return std::find(epochs.begin(), epochs.end(), epoch) != epochs.end();
}

std::int64_t count_due(const ArmingState& state, core::Time until) {
    static Statement statement(
        R"sql(
            SELECT count(*)
            FROM mailer.queue_entry
            WHERE state = 'p' AND due_at <= $1 AND (epoch = ANY ($2) OR epoch = ANY ($3)))sql",
        {TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID});
    return statement.run({p_at(until), p_bigints(state.adopted), p_bigints(state.held_epochs)}).bigint(0, 1);
}

void store_promotion(const PromotionRecord& record, const std::vector<std::int64_t>& held_epochs,
                     const std::vector<core::Promise>& promises) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.promotion (promoted_at, timeline, is_held, held_epochs, promised_until, names)
            VALUES ($1, $2, $3 <> '{}', $3, $4, $5)
            ON CONFLICT (is_only_row) DO UPDATE SET promoted_at = excluded.promoted_at,
                timeline = excluded.timeline, is_held = excluded.is_held, held_epochs = excluded.held_epochs,
                promised_until = excluded.promised_until, names = excluded.names)sql",
        {TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID});
    std::optional<core::Time> until;
    std::vector<std::string> names;
    for (const core::Promise& promise : promises) {
        names.push_back(promise.name);
        if (promise.name == record.name) until = promise.until;
    }
    statement.run(
        {p_at(record.promoted_at), p_bigint(record.timeline), p_bigints(held_epochs), p_at(until), p_texts(names)});
}

void log_promotion(bool is_held, std::int64_t held, const PromotionRecord& record) {
    static Statement statement(
        R"sql(
            INSERT INTO mailer.event (kind, by_role, detail)
            VALUES ($1, NULL, jsonb_build_object('name', $2, 'timeline', $3, 'held', $4)))sql",
        {TEXTOID, TEXTOID, INT8OID, INT8OID});
    statement.run({p_text(is_held ? "held_after_promotion" : "resumed_after_promotion"), p_text(record.name),
                   p_bigint(record.timeline), p_bigint(held)});
}

void bind_to(const Binding& current, const ArmingState& state) {
    static Statement statement(
        R"sql(
            UPDATE mailer.arming
            SET system_identifier = $1, database_oid = $2, machine = $3, timeline = $4, epoch = $5,
                adopted = $6)sql",
        {INT8OID, OIDOID, TEXTOID, INT8OID, INT8OID, INT8ARRAYOID});
    statement.run({p_bigint(current.system_identifier), p_datum(OIDOID, ObjectIdGetDatum(current.database_oid)),
                   p_text(current.machine), p_bigint(current.timeline), p_bigint(state.epoch),
                   p_bigints(state.adopted)});
}

std::int64_t new_epoch() {
    std::int64_t random = 0;
    if (!pg_strong_random(&random, sizeof random)) random = GetCurrentTimestamp();
    return random & PG_INT64_MAX;
}

// The one decision after a promotion; see core/standby/promise.hpp.
void decide(ArmingState& state, const Binding& stored, const Binding& current, const Settings& settings) {
    const PromotionRecord record = read_promotion().value();
    const std::vector<core::Promise> promises = read_promises(false);
    const bool may = settings.on_promotion != OnPromotion::hold &&
                     (core::may_go_on(promises, record.name, settings.promise_margin(), now()) ||
                      is_own_return(stored, current, record, promises, settings));
    const std::int64_t due = may ? 0 : count_due(state, record.promoted_at);
    if (due > 0) {
        for (std::int64_t epoch : state.adopted)
            if (!contains(state.held_epochs, epoch)) state.held_epochs.push_back(epoch);
        state.held_until = record.promoted_at;
        state.epoch = new_epoch();
        state.adopted = {state.epoch};
    }
    bind_to(current, state);
    store_promotion(record, state.held_epochs, promises);
    inherit_promises(core::inherited(promises, record.name, settings.promise_time, record.promoted_at));
    log_promotion(due > 0, due, record);
    state.arming = Arming::armed;
    state.why = "";
    state.was_just_promoted = true;
}

struct Look {
    ArmingState state;
    Binding stored;
    Binding current;
};

Look look() {
    static Statement select(
        R"sql(
            SELECT a.epoch, a.adopted, a.system_identifier, a.database_oid::bigint AS database_oid, a.machine, a.timeline,
                p.held_epochs, p.promoted_at
            FROM mailer.arming a
            LEFT JOIN mailer.promotion p ON p.is_held)sql",
        {});
    Look look;
    ArmingState& state = look.state;
    Rows const rows = select.run({});
    if (rows.empty()) {
        state.why = why_missing;
        return look;
    }
    state.epoch = rows.bigint(0, "epoch");
    state.adopted = rows.bigints(0, "adopted");
    if (!rows.is_null(0, "held_epochs")) {
        state.held_epochs = rows.bigints(0, "held_epochs");
        state.held_until = *time_at(rows, 0, "promoted_at");
    }
    look.stored = {rows.bigint(0, "system_identifier"), static_cast<Oid>(rows.bigint(0, "database_oid")),
                   rows.text(0, "machine"), static_cast<std::uint32_t>(rows.bigint(0, "timeline"))};
    look.current = current_binding();
    const bool is_same_database = look.stored.system_identifier == look.current.system_identifier &&
                                  look.stored.database_oid == look.current.database_oid;
    const bool is_standby = look.current.timeline == 0;  // nobody sends here; what the primary says holds
    if (is_same_database &&
        (is_standby || (is_same_machine(look.stored, look.current) && look.stored.timeline == look.current.timeline))) {
        state.arming = Arming::armed;
    } else if (is_same_database && read_promotion()) {
        state.arming = Arming::undecided;
        state.why = why_undecided;
    } else {
        state.arming = Arming::held_copy;
        state.why = why_copy;
    }
    return look;
}

}  // namespace

std::vector<core::Promise> read_promises(bool is_read_only) {
    static Statement statement("SELECT name, until, is_joining FROM mailer.promise ORDER BY name", {});
    std::vector<core::Promise> promises;
    const Rows rows = statement.run({}, is_read_only);
    for (std::uint64_t i = 0; i < rows.count(); ++i)
        promises.push_back({rows.text(i, "name"), *time_at(rows, i, "until"), rows.boolean(i, "is_joining"), 0});
    return promises;
}

std::vector<std::int64_t> ArmingState::all_epochs() const {
    std::vector<std::int64_t> all = adopted;
    all.insert(all.end(), held_epochs.begin(), held_epochs.end());
    return all;
}

bool ArmingState::waits_for_arm(std::int64_t row_epoch) const {
    return arming != Arming::missing && !contains(adopted, row_epoch) && !contains(held_epochs, row_epoch);
}

bool ArmingState::is_held(std::int64_t row_epoch, core::Time due_at) const {
    return due_at <= held_until && contains(held_epochs, row_epoch) && !contains(adopted, row_epoch);
}

const std::string& current_machine() {
    static const std::string machine = worker::to_text(find_machine());
    return machine;
}

Binding current_binding() {
    return {static_cast<std::int64_t>(call([] { return GetSystemIdentifier(); })), MyDatabaseId, current_machine(),
            call([] { return RecoveryInProgress() ? 0 : current_timeline(); })};
}

std::uint32_t current_timeline() {
#if PG_VERSION_NUM >= 150000
    return GetWALInsertionTimeLine();
#else
    (void)RecoveryInProgress();  // sets it
    return ThisTimeLineID;
#endif
}

ArmingState look_at_arming() { return look().state; }

ArmingState read_arming(const Settings& settings) {
    Look found = look();
    if (found.state.arming == Arming::undecided) decide(found.state, found.stored, found.current, settings);
    return found.state;
}

}  // namespace mailer::pg
