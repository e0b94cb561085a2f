// What the transport keeps of one connection, and of one mailbox.
//
// Plain values that Transport::Impl alone changes; here so that its file is about what happens to them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"
#include "net/endpoint.hpp"
#include "smtp/connection.hpp"
#include "smtp/delivery.hpp"
#include "smtp/opening.hpp"

namespace mailer::smtp {

// One connection in any phase: opening, busy (it has a delivery), idle, or saying goodbye.
struct Line {
    std::int64_t mailbox_id = 0;
    std::shared_ptr<const Endpoint> endpoint;
    std::unique_ptr<Opening> opening;
    std::unique_ptr<Connection> connection;
    std::optional<Delivery> delivery;
    int message_count = 0;
    core::Time idle_since;
    std::optional<core::Time> dot_waits_since;
    bool closes_after = false;
    bool is_dead = false;

    bool is_idle() const { return connection && !delivery && !is_dead && connection->dialogue().is_idle(); }
    bool is_leaving() const { return connection && !delivery && !is_dead && closes_after; }
    // When may_dot is asked again, while it says wait.
    core::Time asks_for_dot_at(core::Time now) const;
    bool is_at(const Endpoint& server) const { return endpoint->host == server.host && endpoint->port == server.port; }
};

struct MailboxLines {
    std::deque<Delivery> queue;
    std::vector<Line*> lines;
    int in_flight = 0;
    int opening_count = 0;
    std::uint64_t failed_in_turn = 0;
    std::optional<core::Report> turned_away;  // a connection was, and whether another opens isn't known yet
    bool has_made_room = false;  // other mailboxes' idle connections gave way to it since one of its own opened
    core::Time lockstep_until;

    // The first one that waits, if it is meant for this endpoint.
    std::optional<Delivery> take_next(const std::shared_ptr<const Endpoint>& endpoint);
    // Of those that are idle the one that was used last: the others may grow old and go.
    Line* find_idle(const std::shared_ptr<const Endpoint>& endpoint) const;
    void close_idle();  // expire() of the transport says goodbye
    // A connection that was opening failed or is given up. If none is left at its server, none will open that would
    // show that the one that was turned away was one too many.
    void lose_opening(Line& line);
    // Connections to this server: open or opening, without the dead; and whether any is open.
    int count_at(const Endpoint& server) const;
    bool has_open_at(const Endpoint& server) const;
};

using Lines = std::vector<std::unique_ptr<Line>>;

Line* oldest_idle(const Lines& lines);
int count_leaving(const Lines& lines);
bool is_any_at(const Lines& lines, const Endpoint& server);
bool is_any_leaving(const Lines& lines, const Endpoint& server);

}  // namespace mailer::smtp
