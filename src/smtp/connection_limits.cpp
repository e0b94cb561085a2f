// See connection_limits.hpp.
#include "smtp/connection_limits.hpp"

#include <algorithm>

namespace mailer::smtp {

namespace {

int configured(const Endpoint& endpoint) { return std::max(1, endpoint.max_connections); }

}  // namespace

const std::optional<core::LoweredConnections>& ConnectionLimits::of(std::int64_t mailbox_id) const {
    static const std::optional<core::LoweredConnections> none;
    const auto known = lowered_.find(mailbox_id);
    return known == lowered_.end() ? none : known->second;
}

int ConnectionLimits::most(std::int64_t mailbox_id, const Endpoint& endpoint, core::Time now) const {
    return core::most_connections(configured(endpoint), of(mailbox_id), now);
}

std::optional<core::Time> ConnectionLimits::more_at(std::int64_t mailbox_id, const Endpoint& endpoint,
                                                    core::Time now) const {
    return core::more_connections_at(configured(endpoint), of(mailbox_id), now);
}

void ConnectionLimits::lower(std::int64_t mailbox_id, const Endpoint& endpoint, int working,
                             const core::Report& failure, core::Time now) {
    std::string reason = failure.session_reply ? core::to_line(*failure.session_reply) : failure.error_text;
    core::LoweredConnections lowered =
        core::lower(of(mailbox_id), configured(endpoint), working, std::move(reason), now);
    news_.insert_or_assign(mailbox_id, lowered);
    lowered_.insert_or_assign(mailbox_id, std::move(lowered));
}

void ConnectionLimits::replace(const Lowered& lowered) {
    lowered_.clear();
    lowered_.insert(lowered.begin(), lowered.end());
}

}  // namespace mailer::smtp
