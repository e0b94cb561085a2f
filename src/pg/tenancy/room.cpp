// The accounts and what this transaction has taken from them; see room.hpp.
#include "pg/tenancy/room.hpp"

#include <chrono>
#include <cstring>

#include "pg/bridge/arguments.hpp"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"
}

namespace mailer::pg {
namespace {

constexpr int most_accounts = 256;
constexpr const char* tranche = "mailer_room";

struct Account {
    Oid database;
    std::int64_t tenant;
    std::int64_t limit;      // by which `left` was counted
    std::int64_t left;       // places
    std::int64_t in_flight;  // taken by transactions that are open
    std::int64_t ever_taken;
    std::int64_t count_at;  // microseconds of the monotonic clock before which it isn't counted again
};

struct Accounts {
    LWLock* lock;  // nullptr: this process's own
    int next_victim;
    Account accounts[most_accounts];
};

Accounts own = {};
Accounts* all = &own;
shmem_startup_hook_type next_shmem_startup = nullptr;
#if PG_VERSION_NUM >= 150000
shmem_request_hook_type next_shmem_request = nullptr;
#endif

void request() {
    RequestAddinShmemSpace(sizeof(Accounts));
    RequestNamedLWLockTranche(tranche, 1);
}

#if PG_VERSION_NUM >= 150000
void at_shmem_request() {
    if (next_shmem_request != nullptr) next_shmem_request();
    request();
}
#endif

void at_shmem_startup() {
    if (next_shmem_startup != nullptr) next_shmem_startup();
    bool is_found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    all = static_cast<Accounts*>(ShmemInitStruct("mailer room", sizeof(Accounts), &is_found));
    if (!is_found) {
        memset(static_cast<void*>(all), 0, sizeof *all);
        all->lock = &GetNamedLWLockTranche(tranche)->lock;
    }
    LWLockRelease(AddinShmemInitLock);
}

// Held for a walk over the accounts at most, and never across anything that can fail.
class Locked {
public:
    Locked() noexcept {
        if (all->lock != nullptr) LWLockAcquire(all->lock, LW_EXCLUSIVE);
    }
    ~Locked() {
        if (all->lock != nullptr) LWLockRelease(all->lock);
    }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

int cached_account = 0;

// The account of a tenant of this database. One that no open transaction uses makes room for another; when all are
// used, there is none.
Account* find_account(std::int64_t tenant) noexcept {
    const auto is_it = [&](const Account& a) { return a.database == MyDatabaseId && a.tenant == tenant; };
    if (Account& cached = all->accounts[cached_account]; is_it(cached)) return &cached;
    for (int i = 0; i < most_accounts; ++i)
        if (is_it(all->accounts[i])) return &all->accounts[cached_account = i];
    for (int tries = 0; tries < most_accounts; ++tries) {
        const int i = all->next_victim = (all->next_victim + 1) % most_accounts;
        Account& account = all->accounts[i];
        if (account.in_flight != 0) continue;
        account = {MyDatabaseId, tenant, 0, 0, 0, 0, 0};
        return &all->accounts[cached_account = i];
    }
    return nullptr;
}

// ── What this transaction has taken ──────────────────────────────────────────────────────────────────────────────

struct Taken {
    std::int64_t tenant;
    SubTransactionId within;
    std::int64_t count;
};
std::vector<Taken> taken;  // those of the innermost savepoint last

void settle(const Taken& what, bool is_kept) noexcept {
    const Locked locked;
    Account* account = find_account(what.tenant);
    if (account == nullptr) return;
    account->in_flight -= what.count;
    if (!is_kept) account->left += what.count;
}

extern "C" void room_at_transaction_event(XactEvent event, void*) {
    if (likely(taken.empty())) return;
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) return;
    for (const Taken& what : taken)
        settle(what, event != XACT_EVENT_ABORT);
    taken.clear();
}

extern "C" void room_at_savepoint_event(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void*) {
    while (event == SUBXACT_EVENT_ABORT_SUB && !taken.empty() && taken.back().within == id) {
        settle(taken.back(), false);
        taken.pop_back();
    }
    if (event != SUBXACT_EVENT_COMMIT_SUB) return;
    for (std::size_t i = taken.size(); i > 0 && taken[i - 1].within == id; --i) {
        taken[i - 1].within = parent;
        if (i >= taken.size() || taken[i].tenant != taken[i - 1].tenant) continue;
        taken[i - 1].count += taken[i].count;
        taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (taken.size() < 2) return;
    Taken &last = taken.back(), &before = taken[taken.size() - 2];
    if (last.within != before.within || last.tenant != before.tenant) return;
    before.count += last.count;
    taken.pop_back();
}

void note(std::int64_t tenant, std::int64_t count) {
    const SubTransactionId within = GetCurrentSubTransactionId();
    if (!taken.empty() && taken.back().tenant == tenant && taken.back().within == within)
        taken.back().count += count;
    else
        taken.push_back({tenant, within, count});
}

std::int64_t own_in_flight(std::int64_t tenant) noexcept {
    std::int64_t sum = 0;
    for (const Taken& what : taken)
        if (what.tenant == tenant) sum += what.count;
    return sum;
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

std::int64_t now_us() noexcept {
    using namespace std::chrono;
    return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

// As of now, also in a transaction that sees an old state, and with what this transaction has queued.
std::int64_t count_pending(std::int64_t tenant, std::int64_t most) {
    static Statement statement(
        R"sql(
            SELECT count(*)
            FROM (SELECT FROM mailer.lane l
                JOIN mailer.queue_entry q ON q.lane_id OPERATOR(pg_catalog.=) l.lane_id
                    AND q.state OPERATOR(pg_catalog.=) 'p' WHERE l.tenant_id OPERATOR(pg_catalog.=) $1
                LIMIT $2) w)sql",
        {INT8OID, INT8OID});
    call([] {
        CommandCounterIncrement();
        PushActiveSnapshot(GetLatestSnapshot());
    });
    const std::int64_t pending = statement.run({p_bigint(tenant), p_bigint(most)}, true).bigint(0, 1);
    call([] { PopActiveSnapshot(); });  // after an error the transaction's abort pops it
    return pending;
}

enum class Answer { yes, full, count_first };

Answer try_to_take(const Actor& by, std::int64_t count) noexcept {
    const Locked locked;
    Account* account = find_account(by.tenant_id);
    if (account == nullptr) return Answer::full;
    const bool is_counted = account->limit == by.max_pending;
    if (!is_counted || account->left < count)
        return !is_counted || now_us() >= account->count_at ? Answer::count_first : Answer::full;
    account->left -= count;
    account->in_flight += count;
    account->ever_taken += count;
    return Answer::yes;
}

struct Seen {
    std::int64_t in_flight = 0;
    std::int64_t ever_taken = 0;
};

Seen look(std::int64_t tenant) noexcept {
    const Locked locked;
    const Account* account = find_account(tenant);
    return account == nullptr ? Seen{} : Seen{account->in_flight, account->ever_taken};
}

// A count of many isn't repeated at once: a tenant at a high limit spends a tenth of the time on counting. Few are
// counted as often as it takes, however long the machine kept that waiting.
constexpr std::int64_t few = 10'000;
constexpr std::int64_t rest_factor = 9;

// What others had taken is looked at before the snapshot is taken: what they commit in between counts twice, never not
// at all. True: nobody's transaction ended meanwhile, so the count is exact.
bool count(const Actor& by) {
    const std::int64_t mine = own_in_flight(by.tenant_id), began = now_us();
    const Seen before = look(by.tenant_id);
    const std::int64_t pending = count_pending(by.tenant_id, by.max_pending + 1 + mine);
    const std::int64_t took = now_us() - began;
    const Locked locked;
    Account* account = find_account(by.tenant_id);
    if (account == nullptr) return true;
    account->limit = by.max_pending;
    account->left = by.max_pending - pending - (before.in_flight - mine) - (account->ever_taken - before.ever_taken);
    account->count_at = pending <= few ? 0 : now_us() + rest_factor * took;
    return account->in_flight >= before.in_flight;
}

[[noreturn]] void refuse_full(const Actor& by, std::int64_t count) {
    static Statement read("SELECT t.name FROM mailer.tenant t WHERE t.id OPERATOR(pg_catalog.=) $1", {INT8OID});
    const std::string name = read.run({p_bigint(by.tenant_id)}).text(0, 1);
    refuse("too many messages of tenant \"" + name + "\" wait to be sent",
           "Its max_pending is " + std::to_string(by.max_pending) + ", and there is no room for " +
               std::to_string(count) + " more.",
           "Queue again when some were sent or cancelled. An operator can raise the limit with mailer.tenant_alter().",
           "53400");
}

constexpr int most_counts = 4;  // when others' transactions end while it is counted

}  // namespace

void take_room(const Actor& by, std::int64_t wanted) {
    if (likely(by.max_pending == 0) || wanted <= 0) return;
    taken.reserve(taken.size() + 1);
    bool is_exact = false;
    for (int counts = 0;; ++counts) {
        const Answer answer = try_to_take(by, wanted);
        if (answer == Answer::yes) break;
        if (answer == Answer::full || is_exact || counts == most_counts) refuse_full(by, wanted);
        is_exact = count(by);
    }
    note(by.tenant_id, wanted);
}

void give_back_room(const Actor& by, std::int64_t count) noexcept {
    if (by.max_pending == 0 || count <= 0 || taken.empty() || taken.back().tenant != by.tenant_id) return;
    settle({by.tenant_id, 0, count}, false);
    taken.back().count -= count;
}

void register_room() {
    RegisterXactCallback(room_at_transaction_event, nullptr);
    RegisterSubXactCallback(room_at_savepoint_event, nullptr);
}

void request_room_memory() {
#if PG_VERSION_NUM >= 150000
    next_shmem_request = shmem_request_hook;
    shmem_request_hook = at_shmem_request;
#else
    request();
#endif
    next_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = at_shmem_startup;
}

}  // namespace mailer::pg
