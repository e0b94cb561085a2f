// Tries a mailbox's server without sending anything: connects, secures, logs in, names the sender (MAIL, RSET), says
// QUIT. For mailer.mailbox_test.
//
// Like the Transport it never blocks: the caller waits on poll_fd(), checks its interrupts, and calls turn() until it
// returns true. It reports each step that succeeded or failed once, in order, in words that hold no secret.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/outcome/report.hpp"
#include "core/pace/time.hpp"
#include "net/endpoint.hpp"

namespace mailer::smtp {

struct ProbeStep {
    core::Stage stage = core::Stage::connect;  // connect, tls, greeting, ehlo, auth, mail, done
    bool is_ok = false;
    std::string text;  // "connected to 192.0.2.1 port 587", "TLSv1.3", "535 5.7.8 bad password" …
};

class Probe {
public:
    Probe(std::shared_ptr<const Endpoint> endpoint, std::string sender, core::Time now);
    ~Probe();
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;

    int poll_fd() const;
    std::optional<core::Duration> next_timeout(core::Time now) const;

    // True when it is over. Steps are handed to `on_step` as they become known; the last one is `done`, or the failed
    // one.
    bool turn(core::Time now, const std::function<void(const ProbeStep&)>& on_step);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace mailer::smtp
