// Whether this database may send at all: a restored or copied database is held until somebody says mailer.arm().
//
// The row in `arming` is bound to this very cluster and database: system identifier, database oid and the inode of
// global/pg_control, which the server rewrites in place and every copy of the files gives a new one. So a template copy
// (other oid), a base backup, a restore to a point in time (other inode) and pg_upgrade (other identifier) come up
// held. A dump carries no arming: the restored database has a fresh epoch of its own and its old rows wait for arm().
// A promoted standby is a copy too; mailer.on_promotion says whether it goes on (see settings.hpp): `automatic`
// resumes iff synchronous_standby_names is set, for only then nothing can have been claimed that the standby hasn't
// seen.
//
// Not detected, and documented: block-level clones (snapshots of the disk), where all three are the same.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

struct Binding {
    std::int64_t system_identifier;
    Oid database_oid;
    std::int64_t control_inode;

    friend bool operator==(const Binding&, const Binding&) = default;
};

Binding current_binding();         // may ereport (through no C++ frame of its own)
std::uint32_t current_timeline();  // requires that recovery is over

enum class Arming {
    armed,
    held_copy,       // files or database were copied
    held_promotion,  // promoted, and on_promotion says hold
    missing,         // no row in arming
};

struct ArmingState {
    Arming arming = Arming::missing;
    std::int64_t epoch = 0;
    std::vector<std::int64_t> adopted;  // epochs whose rows may be claimed; only meaningful when armed
    const char* why = "";               // one sentence for explain(), health() and the log; empty when armed
};

// What `arming` says. Requires a transaction and an Spi. Throws PgError.
ArmingState look_at_arming();

// The same, for who is about to send: after a promotion that may go on, it binds `arming` to this server (and logs the
// event), so that it is armed from then on.
ArmingState read_arming();

}  // namespace mailer::pg
