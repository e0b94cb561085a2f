// The marks of the current transaction and the one transaction callback; see wake.hpp.
#include "pg/server/wake.hpp"

#include "pg/server/ddl_hooks.hpp"
#include "pg/server/shared.hpp"

namespace mailer::pg {

namespace {

// A transaction that touches more lanes than this makes the worker look everywhere.
constexpr int mark_capacity = 64;

struct Marks {
    bool is_any;  // the one thing that a transaction without mail looks at
    bool is_changed;
    bool is_created;
    bool is_databases;
    bool is_overflown;
    int count;
    Hint hints[mark_capacity];
};
Marks marks;

void hand_over(XactEvent event) noexcept {
    bool const is_committed = event == XACT_EVENT_COMMIT;
    if (event != XACT_EVENT_PREPARE) {  // COMMIT PREPARED posts what was prepared (ddl_hooks.cpp)
        if (marks.count > 0 || marks.is_overflown) post_hints(marks.hints, marks.count, marks.is_overflown);
        if (is_committed && marks.is_changed) post_changed();
        if (is_committed && marks.is_created) post_created(MyDatabaseId);
        if (is_committed && marks.is_databases) ask_to_rescan();
    }
    end_ddl_of_transaction(is_committed);
    marks.is_any = marks.is_changed = marks.is_created = marks.is_databases = marks.is_overflown = false;
    marks.count = 0;
}

extern "C" void at_transaction_event(XactEvent event, void*) {
    if (likely(!marks.is_any)) return;
    switch (event) {
        case XACT_EVENT_COMMIT:
        case XACT_EVENT_ABORT:
        case XACT_EVENT_PREPARE:
            hand_over(event);
            break;
        default:  // before the commit, and parallel workers, which can't write
            break;
    }
}

}  // namespace

void mark_wake(std::int64_t lane_id, TimestampTz due_at) noexcept {
    marks.is_any = true;
    for (int i = marks.count - 1; i >= 0; --i) {
        Hint& hint = marks.hints[i];
        if (hint.lane_id != lane_id) continue;
        hint.due_at = std::min(hint.due_at, due_at);
        return;
    }
    if (marks.count == mark_capacity) {
        marks.is_overflown = true;
        return;
    }
    marks.hints[marks.count++] = {lane_id, due_at};
}

void mark_changed() noexcept { marks.is_any = marks.is_changed = true; }

void mark_created() noexcept { marks.is_any = marks.is_created = true; }

void mark_databases() noexcept { marks.is_any = marks.is_databases = true; }

void mark_ddl() noexcept { marks.is_any = true; }

void register_wake() { RegisterXactCallback(at_transaction_event, nullptr); }

}  // namespace mailer::pg
