// Hands mail to other databases of mailer over libpq: what SmtpCourier is to mail servers, this is to cells.
//
// Never blocks but for the lookup of a host's name (libpq's own; an address avoids it). One statement a mail, which
// queues it over there under a key that is the same at every try: so whatever was lost (the answer, the connection,
// either process) is tried again and changes nothing, and no mail of a forwarder is ever unconfirmed.
//
//  1. A report has dot_sent only with a final_reply: the other database has committed the mail, or has refused it.
//  2. Every mail that was submitted comes back once: as a report, or as a token of take_back().
//  3. Never more connections to a mailbox's database than its max_connections.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "core/outcome/report.hpp"
#include "net/endpoint.hpp"
#include "smtp/transport.hpp"

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;

namespace mailer::pg {

// Where a forwarder hands its mail to.
struct ForwardTarget {
    std::string connection;  // libpq's, without a password
    std::string password;
    std::string mailbox;  // empty: the default pool
    int max_connections = 1;
    core::Duration idle{};
    core::Duration connect_timeout{};

    bool operator==(const ForwardTarget&) const = default;
};

struct ForwardedMail {
    std::uint64_t token = 0;
    std::int64_t mailbox_id = 0;
    ForwardTarget target;
    std::string key;
    std::vector<std::string> recipients;
    std::shared_ptr<const std::string> body;
    std::int64_t follow_up = 0;  // the message, if it is one: asked about before it goes
    core::Time started_at{};     // set by the forwarder
};

class Forwarder {
public:
    using OnReply = std::function<void(std::uint64_t token, const core::Report& report)>;  // before anyone sees it

    // Whether a follow-up may go now; waiting_since: when that was asked first. What it lets go is in the kernel before
    // the turn ends.
    using MayGo = std::function<smtp::Observer::Dot(std::int64_t message_id, core::Time waiting_since, core::Time now)>;

    Forwarder(OnReply on_reply, MayGo may_go);
    ~Forwarder();
    Forwarder(const Forwarder&) = delete;
    Forwarder& operator=(const Forwarder&) = delete;

    bool submit(ForwardedMail mail);  // false when stopping
    int poll_fd() const { return epoll_; }
    std::optional<core::Duration> next_timeout(core::Time now) const;
    void turn(core::Time now, std::vector<core::Report>& finished);
    // Takes back what isn't on its way and for which the predicate holds.
    std::vector<std::uint64_t> take_back(const std::function<bool(const ForwardedMail&)>& predicate);
    void stop();         // nothing more goes out; what waits is reported as abandoned with the next turn
    void abandon_all();  // what is on its way too

private:
    class Link;

    void start(core::Time now);
    void report(core::Report report, std::vector<core::Report>& finished);
    void give_up_waiting(core::Time now, std::vector<core::Report>& finished);
    Link* free_link(const ForwardedMail& mail, core::Time now);

    OnReply on_reply_;
    MayGo may_go_;
    int epoll_;
    bool is_stopping_ = false;
    bool is_abandoning_ = false;
    bool has_news_ = false;  // mail that was submitted after the last turn
    std::deque<ForwardedMail> waiting_;
    std::vector<std::unique_ptr<Link>> links_;
};

}  // namespace mailer::pg
