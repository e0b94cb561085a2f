// A table of the extension by name, and whether it changed since it was last looked at.
//
// What a process derives from a table once (places of columns, indexes, prepared constraints) holds until the table is
// altered or the extension is created again; the relcache tells. Static objects: they are never taken out of the list.
#pragma once

#include <array>

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

class TableWatch {
public:
    static constexpr std::size_t most_indexes = 16;

    explicit TableWatch(const char* table) : table_(table) {}
    TableWatch(const TableWatch&) = delete;
    TableWatch& operator=(const TableWatch&) = delete;

    // True: derive again, for the table is new to this process or was altered. Ereports, so it runs within call().
    // The caller that derives calls settle() once it has locked the table: later invalidations are of later changes.
    bool is_news();
    void settle() noexcept { is_stale_ = false; }
    // An index whose own changes count too, until the next is_news(). False: there are too many.
    bool also(Oid index) noexcept;
    // What was derived isn't to be kept: derive again the next time.
    void unsettle() noexcept { is_stale_ = true; }
    bool is_stale() const noexcept { return is_stale_; }
    Oid oid() const noexcept { return oid_; }

private:
    bool concerns(Oid relation) const noexcept;
    static void invalidated(Datum unused, Oid relation);
    static TableWatch* first_;

    const char* table_;
    Oid oid_ = InvalidOid;
    std::array<Oid, most_indexes> indexes_{};
    std::size_t index_count_ = 0;
    bool is_stale_ = true;  // set by the relcache's callback
    bool is_listed_ = false;
    TableWatch* next_ = nullptr;
};

// The oid of a sequence or table of the extension. Ereports.
Oid oid_of_relation(const char* name);

}  // namespace mailer::pg
