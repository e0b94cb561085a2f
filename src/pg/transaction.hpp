// The engine's transactions: short, pinned, as the extension's owner; in the worker or inside CALL mailer.run.
//
// In a worker a transaction is started and committed outright. In a session the procedure's own (non-atomic)
// context commits through SPI_commit, so between two of them no snapshot, no transaction id and no lock is held.
#pragma once

#include "pg/guard.hpp"

namespace mailer::pg {

class Transactions {
public:
    explicit Transactions(bool is_session) : is_session_(is_session) {}

    void begin();           // pinned settings, an Spi connection, a snapshot. Throws PgError.
    void commit();          // Throws PgError; then nothing was committed.
    void abort() noexcept;  // Ends whatever is open; allowed when nothing is.
    bool is_open() const { return is_open_; }

private:
    bool is_session_;
    bool is_open_ = false;
    Oid caller_ = InvalidOid;
    int caller_context_ = 0;
};

// The role that owns the extension: what it may read, the engine may. Requires a transaction.
Oid extension_owner();

}  // namespace mailer::pg
