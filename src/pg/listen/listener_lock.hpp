// Exactly one listener per database: the background worker, or a session in CALL mailer.listen.
//
// flock on a file of its own in pg_stat_tmp (the sender's is PG_VERSION, election.hpp); the kernel gives it back on
// every way out. Two would read the same mails at once and store each twice in vain: nothing is lost or counted twice
// even then.
#pragma once

#include <optional>
#include <utility>

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

class ListenerLock {
public:
    static std::optional<ListenerLock> try_take();  // throws PgError when the file can't be made

    ListenerLock(ListenerLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ListenerLock& operator=(ListenerLock&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~ListenerLock();

private:
    explicit ListenerLock(int fd) noexcept : fd_(fd) {}
    int fd_;
};

}  // namespace mailer::pg
