// The copying and raising behind the two doors; see guard.hpp. Nothing here may allocate C++ memory.
#include "pg/bridge/guard.hpp"

#include "core/octets.hpp"

namespace mailer::pg::detail {

namespace {

void copy(char (&to)[1024], std::string_view from) noexcept {
    const std::string_view text = core::whole_characters(from, sizeof to - 1);
    std::copy_n(text.data(), text.size(), to);
    to[text.size()] = '\0';
}

int sqlstate_of(const std::string& text) noexcept {
    if (text.size() != 5) return ERRCODE_INTERNAL_ERROR;
    return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

}  // namespace

void record(Failure& failure, const PgError& error) noexcept { failure.pg = error.data(); }

void record(Failure& failure, const core::Error& error) noexcept {
    failure.sqlstate = sqlstate_of(error.sqlstate);
    copy(failure.message, error.message);
    copy(failure.detail, error.detail);
    copy(failure.hint, error.hint);
}

void record(Failure& failure, int sqlstate, const char* message) noexcept {
    failure.sqlstate = sqlstate;
    copy(failure.message, message);
    failure.detail[0] = failure.hint[0] = '\0';
}

void raise(const Failure& failure) {
    if (failure.pg != nullptr) ReThrowError(failure.pg);
    ereport(ERROR, (errcode(failure.sqlstate), errmsg_internal("%s", failure.message),
                    failure.detail[0] ? errdetail_internal("%s", failure.detail) : 0,
                    failure.hint[0] ? errhint("%s", failure.hint) : 0));
    pg_unreachable();
}

void throw_pg_error(ErrorData* data) { throw PgError(data); }

}  // namespace mailer::pg::detail
