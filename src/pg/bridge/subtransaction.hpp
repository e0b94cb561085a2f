// A piece of work whose failure must not be the caller's: done in a subtransaction, rolled back when it fails.
//
// Whatever was connected, switched or set inside (SPI, the role, GUC levels) is as before afterwards. Being cancelled
// or shut down is nobody's failure: those go on as a Refusal with their own SQLSTATE.
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
