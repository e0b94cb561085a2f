// The process that runs users' functions (loader, send_if) for the sender of its database, so that the sender never
// does.
//
// It is a session of the role that queued, as far as that role may connect: what its functions do, that role could have
// done in any session, and no more (RESET ROLE leaves it that role). A role that can't connect has its functions run in
// a restricted operation, in a process of the extension's owner. One question at a time; after each, all that DISCARD
// ALL drops but plans. It handles signals like any session: SIGTERM ends a function that catches query_canceled in a
// loop, and what a function does to its session (exit_on_error, transaction_timeout) it does to this process alone. It
// leaves when nobody has asked for a while, when its sender is gone, and when another role needs its place.
#include "pg/server/preparer_main.hpp"

#include <cstring>

#include "pg/bridge/bgworker.hpp"
#include "pg/engine/late_call.hpp"
#include "pg/server/preparer_exchange.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
}

MAILER_EXPORT void mailer_preparer_main(Datum argument);

namespace mailer::pg {

namespace {

constexpr long leaves_after_ms = 5000;
constexpr int slot_bits = 32 - generation_bits;

PreparerSlot* slot = nullptr;
MemoryContext of_the_question = nullptr;
Oid connected_as = InvalidOid;

void at_exit(int, Datum) { sign_out(); }

// ── One question ───────────────────────────────────────────────────────────────────────────────────────────────

void begin() {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    PushActiveSnapshot(GetTransactionSnapshot());
}

// The time limit holds until all is committed: a deferred trigger runs only then.
void commit() {
    PopActiveSnapshot();
    SPI_finish();
    CommitTransactionCommand();
    disable_timeout(STATEMENT_TIMEOUT, false);
    QueryCancelPending = false;  // too late for it
    MemoryContextSwitchTo(of_the_question);
}

void roll_back() {
    disable_all_timeouts(false);
    QueryCancelPending = false;
    AbortCurrentTransaction();
    PortalErrorCleanup();
    MemoryContextSwitchTo(of_the_question);
}

// As whom: as the session is, if that is the role's. It is decided here and not by what the sender knows of the role,
// which may have gained or lost the right to connect since this process was started.
Oid restricted_role(const Question& question) {
    if (!OidIsValid(question.role)) throw Refusal({"42704", "it is nobody's function"});
    return question.role == connected_as ? InvalidOid : question.role;
}

// Runs one of the two functions in a transaction of its own; `use` sees its value before the commit.
template <class Use>
void run(const Question& question, const std::string& function, Use use) {
    call([] { begin(); });
    const LateValue value =
        call_late_bound({function, question.message_id, question.variables, restricted_role(question)},
                        std::chrono::microseconds(question.limit_us));
    use(value);
    call([] { commit(); });
}

// False: the condition said no.
bool run_functions(const Question& question, const std::string** running, std::string& variables) {
    if (!question.condition.empty()) {
        *running = &question.condition;
        std::optional<bool> said;
        run(question, question.condition, [&](const LateValue& value) { said = condition_of(value); });
        if (!said) throw Refusal({"22004", "it returned NULL"});
        if (!*said) return false;
    }
    if (question.loader.empty()) return true;
    *running = &question.loader;
    run(question, question.loader, [&](const LateValue& value) {
        const Datum jsonb = variables_of(value);
        const auto* flat = call([&] { return PG_DETOAST_DATUM(jsonb); });
        variables.assign(reinterpret_cast<const char*>(flat), VARSIZE(flat));
    });
    return true;
}

bool is_over(TimestampTz began, std::int64_t limit_us) noexcept { return GetCurrentTimestamp() >= began + limit_us; }

Reply answer_to(const Question& question) {
    const std::string* running = &question.loader;
    const TimestampTz began = GetCurrentTimestamp();
    Reply reply;
    try {
        std::string variables;
        reply.kind = run_functions(question, &running, variables) ? Reply::Kind::go : Reply::Kind::no;
        reply.octets = std::move(variables);
        return reply;
    } catch (const PgError& error) {
        const bool is_overtime = error.sqlstate() == ERRCODE_QUERY_CANCELED && is_over(began, question.limit_us);
        reply.kind = is_overtime ? Reply::Kind::overtime : Reply::Kind::fault;
        reply.octets = is_overtime ? *running : "function " + *running + ": " + error.what();
    } catch (const std::exception& error) {  // what it returned can't be used
        reply.octets = "function " + *running + ": " + error.what();
    }
    call([] { roll_back(); });
    return reply;
}

// Nothing of one question is left for the next: cursors, settings, prepared statements, LISTEN, advisory locks,
// temporary tables, sequences' last values. This is DISCARD ALL (PostgreSQL's DiscardAll()) without DISCARD PLANS:
// plans hold nothing of a question, and making them again each time is a third of a small function's time.
void clean_up() {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PortalHashTableDeleteAll();
    SetPGVariable("session_authorization", NIL, false);
    ResetAllOptions();
    DropAllPreparedStatements();
    Async_UnlistenAll();
    LockReleaseAll(USER_LOCKMETHOD, true);
    ResetTempTableNamespace();
    ResetSequenceCaches();
    CommitTransactionCommand();
    MemoryContextSwitchTo(TopMemoryContext);
    MemoryContextReset(of_the_question);
}

// ── The exchange ───────────────────────────────────────────────────────────────────────────────────────────────

[[noreturn]] void leave() {
    (void)pgstat_report_stat(true);
    proc_exit(0);
}

// False: the time is over.
bool wait(long timeout_ms) {
    return call([=] {
        int const events =
            WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
        if (events & WL_LATCH_SET) ResetLatch(MyLatch);
        QueryCancelPending = false;  // meant for a function that has ended
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        if (is_orphan(slot)) leave();
        return (events & WL_TIMEOUT) == 0;
    });
}

// The whole question. Leaves when none comes.
std::string listen() {
    Incoming question;
    for (;;) {
        switch (part_of(slot)) {
            case Part::asked: {
                const bool is_complete = question.take_part(slot);
                pass_on(slot, Part::asked, is_complete ? Part::running : Part::more);
                if (is_complete) return question.take();
                wake_asker(slot);
                break;
            }
            case Part::leaving:
                call([] { leave(); });
                break;
            default:
                if (!wait(leaves_after_ms)) pass_on(slot, Part::idle, Part::leaving);
        }
    }
}

void say(std::string octets) {
    Outgoing answer(std::move(octets));
    for (Part mine = Part::running;; mine = Part::more) {
        while (part_of(slot) != mine)
            wait(1000);
        const bool is_last = answer.put_part(slot);
        pass_on(slot, mine, Part::answer);
        wake_asker(slot);
        if (is_last) return;
    }
}

void report(const Question& question) {
    const std::string what = "mailer: message " + std::to_string(question.message_id) + ", " + question.condition +
                             (question.condition.empty() || question.loader.empty() ? "" : ", ") + question.loader;
    call([&] { pgstat_report_activity(STATE_RUNNING, what.c_str()); });
}

void serve() {
    for (;;) {
        const Question question = unpacked_question(listen());
        report(question);
        MemoryContextSwitchTo(of_the_question);
        const TimestampTz began = GetCurrentTimestamp();
        QueryCancelPending = false;  // it was meant for the question before
        Reply reply = answer_to(question);
        call([] {
            clean_up();
            pgstat_report_activity(STATE_IDLE, nullptr);
            (void)pgstat_report_stat(false);
        });
        reply.took_us = std::max<std::int64_t>(1, GetCurrentTimestamp() - began);
        say(packed(reply));
    }
}

void connect(Oid database, Oid user) {
#if PG_VERSION_NUM >= 170000
    BackgroundWorkerInitializeConnectionByOid(database, user, BGWORKER_BYPASS_ROLELOGINCHECK);
#else
    BackgroundWorkerInitializeConnectionByOid(database, user, 0);
#endif
    const char* const settings[][2] = {{"application_name", "mailer preparer"}, {"jit", "off"}};
    for (const auto& s : settings)
        (void)set_config_option(s[0], s[1], PGC_USERSET, PGC_S_OVERRIDE, GUC_ACTION_SET, true, 0, false);
}

PreparerKey key_of(std::uint32_t packed) noexcept {
    return {static_cast<int>(packed & ((1u << slot_bits) - 1)), packed >> slot_bits};
}

}  // namespace

BackgroundWorkerHandle* start_preparer(PreparerKey key) {
    const std::uint32_t packed = (key.generation << slot_bits) | static_cast<std::uint32_t>(key.slot);
    return start_in_background("mailer preparer", "mailer_preparer_main", packed);
}

}  // namespace mailer::pg

void mailer_preparer_main(Datum argument) {
    using namespace mailer::pg;
    Oid database, user;
    on_shmem_exit(at_exit, 0);  // before the connection, so that it runs after the database is left
    slot = sign_in(key_of(DatumGetUInt32(argument)), &database, &user);
    if (slot == nullptr) proc_exit(0);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    connect(database, user);
    connected_as = user;
    of_the_question = AllocSetContextCreate(TopMemoryContext, "mailer question", ALLOCSET_DEFAULT_SIZES);
    pgstat_report_activity(STATE_IDLE, nullptr);
    declare_ready();
    entry([] { serve(); });
    proc_exit(0);
}
