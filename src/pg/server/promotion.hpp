// That this server was promoted: when, to which timeline, and under which name it was known to its primary.
//
// The launcher writes it down when it starts for the first time after a promotion, in a file beside the journal, which
// base backups skip; so it survives crashes of the server. It is believed only on the machine and the timeline that it
// names: a snapshot of the disk or a recovery to a point in time that carries it along is no promotion.
#pragma once

#include "core/pace/time.hpp"
#include "pg/bridge/pg.hpp"

namespace mailer::pg {

struct PromotionRecord {
    std::uint32_t timeline = 0;
    core::Time promoted_at{};
    std::string name;
};

// Of the timeline that the server is on now. Requires that recovery is over.
std::optional<PromotionRecord> read_promotion();

// The launcher, once recovery is over: does nothing unless the server came up as a standby. Never throws, never raises.
void record_promotion() noexcept;

}  // namespace mailer::pg
