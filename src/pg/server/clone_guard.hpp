// Whether this database may send at all: a restored or copied database is held until somebody says mailer.arm().
//
// The row in `arming` is bound to this very cluster, database, machine and timeline: system identifier, database oid,
// what worker/machine.hpp knows of the volume, and the timeline on which its sender writes. So a template copy (other
// oid), a base backup or a restore (no nonce), a snapshot of the disk (another volume), a recovery to a point in time
// (another timeline) and pg_upgrade (other identifier) come up held. A dump carries no arming: the restored database
// has a fresh epoch of its own and its old rows wait for arm().
//
// A promoted standby is decided once, by the first sender after the promotion (core/standby/promise.hpp): it goes on,
// or what was due at the promotion is held, by its epochs, and everything else goes.
#pragma once

#include "core/pace/time.hpp"
#include "core/standby/promise.hpp"
#include "pg/bridge/pg.hpp"
#include "pg/bridge/settings.hpp"
#include "worker/machine.hpp"

namespace mailer::pg {

struct Binding {
    std::int64_t system_identifier;
    Oid database_oid;
    std::string machine;
    std::uint32_t timeline;  // 0 on a standby
};

Binding current_binding();             // throws PgError
const std::string& current_machine();  // as arming keeps it; found out once in a process
std::uint32_t current_timeline();      // may ereport; requires that recovery is over

// What was promised to standbys; read-only where the caller may change nothing (spi.hpp).
std::vector<core::Promise> read_promises(bool is_read_only);

enum class Arming {
    armed,
    held_copy,  // files or database were copied
    undecided,  // promoted, and no sender has been here since
    missing,    // no row in arming
};

struct ArmingState {
    Arming arming = Arming::missing;
    std::int64_t epoch = 0;
    std::vector<std::int64_t> adopted;      // epochs whose rows may be claimed; only meaningful when armed
    std::vector<std::int64_t> held_epochs;  // epochs of which only what became due after held_until may
    core::Time held_until = core::Time::max();
    bool was_just_promoted = false;  // read_arming() has decided it this time
    const char* why = "";            // one sentence for explain(), health() and the log; empty when armed

    std::vector<std::int64_t> all_epochs() const;

    // The rule by which rows are claimed, for those that only look at one; queue_claim.cpp has it as SQL.
    bool waits_for_arm(std::int64_t epoch) const;  // came with a dump or a copy; false when there is no row in arming
    bool is_held(std::int64_t epoch, core::Time due_at) const;  // since a promotion
};

// What `arming` says. Requires a transaction and an Spi. Throws PgError.
ArmingState look_at_arming();

// The same, for a process about to send: decides after a promotion, stores that, and binds `arming` to this server.
ArmingState read_arming(const Settings& settings);

}  // namespace mailer::pg
