// A piece of work whose failure must not be the caller's: done in a subtransaction, rolled back when it fails.
//
// Whatever was connected, switched or set inside (SPI, the role, GUC levels) is as before afterwards. A statement that
// is cancelled, or whose time is over, is nobody's failure: that is thrown on. An error that is merely raised with such
// a SQLSTATE (RAISE … USING ERRCODE = '57014') is a failure like any other.
#pragma once

#include <functional>

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

struct Caught {
    std::string sqlstate = {};
    std::string message = {};
    std::string detail = {};
    std::string hint = {};
    std::string context = {};
    std::string constraint = {};
};

// Nothing when `work` succeeded (and its subtransaction was released).
std::optional<Caught> attempt(const std::function<void()>& work);

}  // namespace mailer::pg
