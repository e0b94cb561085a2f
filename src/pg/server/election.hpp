// Exactly one sender per database: the worker, or a session in CALL mailer.run.
//
// The vote is flock(LOCK_EX | LOCK_NB) on the database's own PG_VERSION file, opened O_CLOEXEC. The kernel gives it
// back on every way out of the process, kill -9 included; SQL can neither release nor squat it (an advisory lock falls
// to pg_advisory_unlock_all()). That file is the one that lives exactly as long as the database: nobody removes or
// replaces it meanwhile, so two senders can never hold locks on two files of one name; a copied database has its own;
// no stale files are left behind; and a base backup doesn't carry locks. Nothing else in PostgreSQL locks it.
//
// Assumes a data directory on a file system whose flock() works between processes of one machine, as all local ones.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

class SenderLock {
public:
    // Tries once, doesn't wait. Nothing: somebody else sends. Throws PgError when the file can't be opened.
    // Requires a database connection (MyDatabaseId); needs no transaction.
    static std::optional<SenderLock> try_take();

    SenderLock(SenderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    SenderLock& operator=(SenderLock&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~SenderLock();

private:
    explicit SenderLock(int fd) noexcept : fd_(fd) {}
    int fd_;
};

}  // namespace mailer::pg
