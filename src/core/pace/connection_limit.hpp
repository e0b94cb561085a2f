// How many connections a mailbox may have while its server takes fewer than the mailbox's settings allow.
//
// A server that turns a new connection away while others of the mailbox work has nothing against the mailbox: it wants
// fewer connections. The mailbox goes on with those that work. After a pause it tries one more, and then one more each
// step, until it has all again or one is turned away: then the pause is twice as long. Values in, value out; the
// transport, the gate, explain and forecast ask the same functions.
#pragma once

#include <optional>
#include <string>

#include "core/pace/time.hpp"

namespace mailer::core {

inline constexpr Duration first_connection_pause = std::chrono::seconds{30};
inline constexpr Duration longest_connection_pause = std::chrono::minutes{10};
inline constexpr Duration connection_step = std::chrono::seconds{30};

// The last ones of so many over all mailboxes: a server that has some in use doesn't get them. One that takes every
// connection and says nothing leaves these to others.
constexpr int kept_connections(int over_all) { return over_all / 8; }

struct LoweredConnections {
    int connections = 1;      // that worked when one more was turned away
    Time since = {};          // when it was lowered first
    Time next_at = {};        // when one more may be tried
    Duration pause{};         // from the last lowering to next_at
    std::string reason = {};  // what the server said

    bool operator==(const LoweredConnections&) const = default;
};

// `configured` where nothing was lowered, where all have come back, and where the clock was set back since.
int most_connections(int configured, const std::optional<LoweredConnections>& lowered, Time now);

// When most_connections() grows next, after `now`; none: it is `configured`.
std::optional<Time> more_connections_at(int configured, const std::optional<LoweredConnections>& lowered, Time now);

// When all of `configured` may be tried again.
Time all_connections_at(int configured, const LoweredConnections& lowered);

// One more than `working` was turned away. Those that come together are one lowering.
LoweredConnections lower(const std::optional<LoweredConnections>& before, int configured, int working,
                         std::string reason, Time now);

}  // namespace mailer::core
