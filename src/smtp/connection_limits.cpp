// See connection_limits.hpp.
#include "smtp/connection_limits.hpp"

#include <algorithm>

namespace mailer::smtp {

namespace {

int configured(const Endpoint& endpoint) { return std::max(1, endpoint.max_connections); }

}  // namespace

std::optional<core::LoweredConnections> ConnectionLimits::of(std::int64_t mailbox_id) const {
    const auto known = lowered_.find(mailbox_id);
    return known == lowered_.end() ? std::nullopt : std::optional(known->second);
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

void ConnectionLimits::set(std::int64_t mailbox_id, const std::optional<core::LoweredConnections>& lowered) {
    if (lowered)
        lowered_.insert_or_assign(mailbox_id, *lowered);
    else
        lowered_.erase(mailbox_id);
}

}  // namespace mailer::smtp
