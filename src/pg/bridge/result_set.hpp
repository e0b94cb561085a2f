// Rows that an SQL-callable function returns: a set in materialize mode, on every server version alike.
#pragma once

#include "pg/bridge/guard.hpp"

extern "C" {
#include "utils/tuplestore.h"
}

namespace mailer::pg {

// Requires a function declared RETURNS TABLE or SETOF record. Return Datum 0 from it. Throws PgError.
class ResultSet {
public:
    explicit ResultSet(FunctionCallInfo fcinfo);

    // One row; NULL is an empty optional. Add columns in order, then end_row().
    ResultSet& text(const std::optional<std::string>& v);
    ResultSet& texts(const std::vector<std::string>& v);  // text[], never NULL
    ResultSet& integer(std::optional<std::int32_t> v);
    ResultSet& bigint(std::optional<std::int64_t> v);
    ResultSet& boolean(bool v);
    ResultSet& time(std::optional<std::int64_t> pg_us);
    void end_row();

private:
    void put(Datum v, bool is_null);
    Tuplestorestate* store_ = nullptr;
    TupleDesc row_ = nullptr;
    Datum values_[32];
    bool nulls_[32];
    int column_ = 0;
};

}  // namespace mailer::pg
