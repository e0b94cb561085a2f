// The standbys that are connected now, and how much of the log each has on disk: a look into shared memory.
//
// A look costs some microseconds and takes no lock for longer than a copy. The names come from the catalog views and
// are read again when a walsender is there that has none yet. Backup programs are left out, and so are walsenders that
// decode. Positions are what the standby itself reported as flushed.
#pragma once

#include <unordered_map>

#include "core/standby/promise.hpp"
#include "pg/bridge/pg.hpp"

namespace mailer::pg {

// synchronous_standby_names, as far as the sender is concerned.
struct SyncStandbys {
    bool is_set = false;
    bool are_connected = true;  // as many as it asks for
    core::Lsn flushed = 0;      // by as many as it asks for
};

class Standbys {
public:
    static bool is_any() noexcept;  // whether anybody receives the log; backups too

    // By walsender; a name that several have is marked as such.
    const std::vector<core::Standby>& look();
    SyncStandbys look_at_sync();

    bool wants_names() const { return wants_names_; }  // as of the last look
    void read_names();                                 // requires a transaction and an Spi

private:
    struct Known {
        std::string name;
        bool is_standby;
    };
    std::unordered_map<pid_t, Known> known_;
    std::vector<core::Standby> standbys_;
    bool wants_names_ = false;
};

}  // namespace mailer::pg
