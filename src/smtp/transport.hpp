// Sends many messages over many connections at once, and never blocks: one epoll, one thread.
//
// libcurl connects, secures and logs in; then our own Dialogue speaks. The caller owns the waiting: it puts poll_fd()
// into its own wait (PostgreSQL's WaitLatchOrSocket), wakes at next_timeout() at the latest, and calls turn(). Every
// submitted delivery comes back exactly once: as a Report from turn(), or as a token from cancel_not_on_wire().
//
//  1. No byte that could carry a final dot is written before Observer::on_dot returned true for that token, and that is
//     asked only when may_dot said go in the same turn.
//  2. Observer::on_reply has returned before the connection carries anything of another message.
//  3. Never more connections to a mailbox than its endpoint's max_connections, counting those still saying QUIT.
//     Where its server takes fewer, no more than that (core/pace/connection_limit).
//  4. A body is never copied as a whole: connections stream from the shared one.
//
// Assumes that the process ignores SIGPIPE, that curl_global_init was called, and one thread. Nothing here throws but
// bad_alloc. The destructor closes everything; it doesn't wait and loses what wasn't fetched by turn().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"
#include "smtp/connection_limits.hpp"
#include "smtp/delivery.hpp"

namespace mailer::smtp {

// The journal hangs here. Called from inside turn(), stop_new_dots() and abandon_all(); must not call the Transport
// back.
class Observer {
public:
    virtual ~Observer() = default;
    virtual void on_body(std::uint64_t token) noexcept = 0;  // the server said 354
    // Asked when everything but the dot is sent, and again each turn until it doesn't say wait; the other connections
    // go on meanwhile. give_up and take_back: hang up, nothing happened.
    enum class Dot { go, wait, give_up, take_back };
    virtual Dot may_dot(std::uint64_t, core::Time /*waiting_since*/, core::Time /*now*/) noexcept { return Dot::go; }
    // False: abandon, the dot is not sent. `so_far` has the recipients' replies.
    virtual bool on_dot(std::uint64_t token, const core::Report& so_far, core::Time now) noexcept = 0;
    virtual void on_reply(std::uint64_t token,
                          const core::Report& report) noexcept = 0;  // every report, before anyone sees it
};

class Transport {
public:
    // `observer` must outlive the Transport. `max_connections` is over all mailboxes.
    explicit Transport(Observer& observer, int max_connections = 100);
    ~Transport();
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    // False when stopping. A delivery beyond the free connections waits here, in order.
    bool submit(Delivery delivery);

    // Readable when turn() has something to do. Nestable in another epoll or in WaitLatchOrSocket; -1 when it couldn't
    // be made.
    int poll_fd() const;

    // How long after `now` turn() must be called even when poll_fd() stays silent; empty when nothing is in hand.
    std::optional<core::Duration> next_timeout(core::Time now) const;

    // Does what can be done without waiting, appends what ended to `finished`.
    void turn(core::Time now, std::vector<core::Report>& finished);

    // Takes back deliveries of which no byte has been sent (still queued, or their connection still opening) and for
    // which the predicate holds; returns their tokens.
    std::vector<std::uint64_t> cancel_not_on_wire(const std::function<bool(const Delivery&)>& predicate);

    // From now on no dot leaves: everything without a dot in flight is abandoned (reports come with the next turn),
    // idle connections close, and submit() says false. What has its dot in flight goes on until its reply.
    void stop_new_dots(core::Time now);

    // Closes everything at once; what had its dot in flight is reported without a final reply.
    void abandon_all(core::Time now);

    // After a mailbox's server or login changed. Takes back, like cancel_not_on_wire(), what is meant for an endpoint
    // that is_current denies, and gives up the connections made for such: those that are idle or still opening close
    // with the next turn, the busy ones after their message.
    using IsCurrent = std::function<bool(std::int64_t mailbox_id, const Endpoint& endpoint)>;
    std::vector<std::uint64_t> let_go_of_outdated(const IsCurrent& is_current);

    // Mailboxes whose server turned a connection away while others of the mailbox worked, since the last call. Nothing
    // failed: what waited goes over those that work. The limit holds here from that moment on.
    ConnectionLimits::Lowered take_lowered();
    // The limits as the caller keeps them, over restarts and until somebody lifts them: those of all mailboxes.
    void limit_connections(const ConnectionLimits::Lowered& lowered);

    int in_flight() const;  // submitted and not yet returned
    int in_flight(std::int64_t mailbox_id) const;
    int dots_in_flight() const;
    int dots_waiting() const;  // for may_dot
    int connections() const;   // open or opening
    int connections(std::int64_t mailbox_id) const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace mailer::smtp
