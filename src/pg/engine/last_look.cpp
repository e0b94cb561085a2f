// The lock that a stop and a dot have in common; see last_look.hpp.
#include "pg/engine/last_look.hpp"

#include <chrono>

#include "pg/engine/engine.hpp"
#include "pg/engine/leads.hpp"

extern "C" {
#include "miscadmin.h"
#include "storage/lock.h"
}

namespace mailer::pg {

using Dot = smtp::Observer::Dot;

namespace {

// Beside the two kinds of advisory locks that SQL can take (1 and 2), so that no application's is ever met.
constexpr std::uint16_t kind_of_lock = 0x6d6c;

// A transaction that stopped the lead and stays open keeps its mail back, but no connection for ever.
constexpr core::Duration patience = std::chrono::seconds(10);

LOCKTAG tag_of(std::int64_t message_id) {
    LOCKTAG tag;
    const auto id = static_cast<std::uint64_t>(message_id);
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<std::uint32_t>(id >> 32), static_cast<std::uint32_t>(id),
                         kind_of_lock);
    return tag;
}

}  // namespace

Dot LastLook::may_dot(std::int64_t message_id, core::Time waiting_since, core::Time now) noexcept {
    try {
        const bool is_locked = call([&] {
            const LOCKTAG tag = tag_of(message_id);
            return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
        });
        if (!is_locked) return now - waiting_since < patience ? Dot::wait : Dot::give_up;
        held_.push_back(message_id);
        transactions_.begin();
        const bool is_stopped = !stopped_among(std::span(&message_id, 1)).empty();
        transactions_.commit();
        return is_stopped ? Dot::take_back : Dot::go;
    } catch (const PgError& error) {
        transactions_.abort();
        absorb_error(error);
    } catch (...) {
        transactions_.abort();
    }
    return Dot::give_up;  // not known is not sent: it waits again
}

void LastLook::release() noexcept {
    for (const std::int64_t message_id : held_) {
        const LOCKTAG tag = tag_of(message_id);
        (void)LockRelease(&tag, ExclusiveLock, true);
    }
    held_.clear();
}

void stop_dots(std::span<const std::int64_t> message_ids) {
    for (const std::int64_t message_id : message_ids) {
        call([&] {
            const LOCKTAG tag = tag_of(message_id);
            (void)LockAcquire(&tag, ExclusiveLock, false, false);
        });
    }
}

}  // namespace mailer::pg
