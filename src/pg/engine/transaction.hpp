// The engine's transactions: short, pinned, as the extension's owner; in the worker or inside CALL mailer.run.
//
// In a worker a transaction is started and committed outright. In a session the procedure's own (non-atomic)
// context commits through SPI_commit, so between two of them no snapshot, no transaction id and no lock is held.
#pragma once

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

// In a session, Spi's connections, snapshots and portals of a function that failed are still there when its error has
// reached us, and SPI_rollback refuses them. So what may fail runs in a subtransaction, whose end takes them along.
class SessionFrame {
public:
    // These run within call().
    void enter();   // an Spi connection that may commit, and the subtransaction
    void commit();  // of all of it; leaves the connection
    void abort();   // the same after an error, wherever that came from

private:
    int level_ = 0;
    ResourceOwner owner_ = nullptr;
};

class Transactions {
public:
    explicit Transactions(bool is_session) : is_session_(is_session) {}

    void begin();           // pinned settings, an Spi connection, a snapshot. Throws PgError.
    void commit();          // Throws PgError; then nothing was committed.
    void abort() noexcept;  // Ends whatever is open; allowed when nothing is.
    bool is_open() const { return is_open_; }
    std::uint64_t last_commit() const { return last_commit_; }  // where it ends in the log; what wrote nothing has 0

private:
    bool is_session_;
    bool is_open_ = false;
    SessionFrame frame_ = {};
    Oid caller_ = InvalidOid;
    int caller_context_ = 0;
    std::uint64_t last_commit_ = 0;
};

// The role that owns the extension: what it may read, the engine may. Requires a transaction.
Oid extension_owner();

}  // namespace mailer::pg
