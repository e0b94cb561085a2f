// How many connections each mailbox may have now: its endpoint's, or fewer where its server takes fewer.
//
// The rule is core/pace/connection_limit; this keeps its values, and which of them changed and must be stored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "core/outcome/report.hpp"
#include "core/pace/connection_limit.hpp"
#include "net/endpoint.hpp"

namespace mailer::smtp {

class ConnectionLimits {
public:
    using Lowered = std::map<std::int64_t, core::LoweredConnections>;  // by mailbox

    int most(std::int64_t mailbox_id, const Endpoint& endpoint, core::Time now) const;
    // When that grows next; none: by nothing that is known here.
    std::optional<core::Time> more_at(std::int64_t mailbox_id, const Endpoint& endpoint, core::Time now) const;

    // `working` connections are open or opening, and one more was turned away with this.
    void lower(std::int64_t mailbox_id, const Endpoint& endpoint, int working, const core::Report& failure,
               core::Time now);
    // Those that aren't named have what their endpoint allows.
    void replace(const Lowered& lowered);
    Lowered take_news() { return std::exchange(news_, {}); }

private:
    const std::optional<core::LoweredConnections>& of(std::int64_t mailbox_id) const;

    std::map<std::int64_t, std::optional<core::LoweredConnections>> lowered_;  // none is without a value
    Lowered news_;
};

}  // namespace mailer::smtp
