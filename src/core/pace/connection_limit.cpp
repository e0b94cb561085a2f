// See connection_limit.hpp.
#include "core/pace/connection_limit.hpp"

#include <algorithm>
#include <utility>

namespace mailer::core {

int most_connections(int configured, const std::optional<LoweredConnections>& lowered, Time now) {
    if (!lowered || now < lowered->next_at - lowered->pause) return configured;
    if (now < lowered->next_at) return std::clamp(lowered->connections, 1, std::max(1, configured));
    const auto steps = 1 + (now - lowered->next_at) / connection_step;
    return steps >= configured - lowered->connections ? configured : lowered->connections + static_cast<int>(steps);
}

std::optional<Time> more_connections_at(int configured, const std::optional<LoweredConnections>& lowered, Time now) {
    if (most_connections(configured, lowered, now) >= configured) return std::nullopt;
    if (now < lowered->next_at) return lowered->next_at;
    return lowered->next_at + (1 + (now - lowered->next_at) / connection_step) * connection_step;
}

Time all_connections_at(int configured, const LoweredConnections& lowered) {
    return lowered.next_at + std::max(0, configured - lowered.connections - 1) * connection_step;
}

LoweredConnections lower(const std::optional<LoweredConnections>& before, int configured, int working,
                         std::string reason, Time now) {
    LoweredConnections lowered{.connections = std::max(1, working),
                               .since = now,
                               .pause = first_connection_pause,
                               .reason = std::move(reason)};
    if (most_connections(configured, before, now) < configured) {
        lowered.since = before->since;
        if (now < before->next_at) {  // of the same lowering
            lowered.connections = std::min(lowered.connections, before->connections);
            lowered.next_at = before->next_at;
            lowered.pause = before->pause;
            return lowered;
        }
    }
    // The server still takes no more than it did; else it is new that it doesn't.
    const bool is_as_before = before && now >= before->next_at && lowered.connections <= before->connections &&
                              now < all_connections_at(configured, *before) + longest_connection_pause;
    if (is_as_before) lowered.pause = std::min(2 * before->pause, longest_connection_pause);
    lowered.next_at = now + lowered.pause;
    return lowered;
}

}  // namespace mailer::core
