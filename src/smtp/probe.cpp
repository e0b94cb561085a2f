// See probe.hpp. An Opening that is watched step by step, and a goodbye.
#include "smtp/probe.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "net/curl_loop.hpp"
#include "smtp/connection.hpp"
#include "smtp/opening.hpp"

namespace mailer::smtp {

using core::Stage;
using core::Time;

namespace {

std::string describe(const Capabilities& capabilities) {
    std::string text;
    const auto add = [&](bool has, std::string_view name) {
        if (has) text += (text.empty() ? "the server offers " : ", ") + std::string{name};
    };
    add(capabilities.has_pipelining, "PIPELINING");
    add(capabilities.has_size, "SIZE " + std::to_string(capabilities.size_limit));
    add(capabilities.has_8bitmime, "8BITMIME");
    add(capabilities.has_smtputf8, "SMTPUTF8");
    add(!capabilities.auth.empty(), "AUTH " + capabilities.auth);
    return text.empty() ? "the server offers no extensions" : text;
}

}  // namespace

class Probe::Impl {
public:
    Impl(std::shared_ptr<const Endpoint> endpoint, std::string sender, Time now)
        : sender_(std::move(sender)), loop_(1), opening_(loop_, std::move(endpoint), now) {}

    bool turn(Time now, const std::function<void(const ProbeStep&)>& on_step) {
        std::vector<CurlLoop::Ready> ready;
        std::vector<CurlLoop::Done> done;
        loop_.poll(now, ready, done);
        if (connection_) return go_on(now, on_step);

        if (!done.empty()) opening_.on_done(done.front().code, now);
        opening_.expire(now);
        tell_progress(on_step);
        if (!opening_.is_over()) return false;
        if (!opening_.is_open()) {
            const core::Report failure = opening_.failure(now);
            const std::string text = failure.session_reply ? core::to_line(*failure.session_reply) : failure.error_text;
            on_step({failure.stage, false, text});
            return true;
        }
        tell(on_step, Stage::ehlo, describe(opening_.capabilities()));
        if (const auto& reply = opening_.login_reply()) tell(on_step, Stage::auth, core::to_line(*reply));
        const Capabilities capabilities = opening_.capabilities();
        connection_.emplace(loop_, this, opening_.take_easy(), opening_.endpoint(), capabilities, false);
        if (!connection_->dialogue().is_dead()) connection_->dialogue().check_sender(sender_, now);
        return go_on(now, on_step);
    }

    std::optional<core::Duration> next_timeout(Time now) const {
        std::optional<Time> next = loop_.timer();
        const std::optional<Time> ours = connection_          ? connection_->dialogue().deadline()
                                         : opening_.is_over() ? std::optional{now}
                                                              : std::optional{opening_.deadline()};
        if (ours && (!next || *ours < *next)) next = ours;
        if (!next) return std::nullopt;
        return std::max(core::Duration{0}, *next - now);
    }

    int fd() const { return loop_.fd(); }

private:
    void tell_progress(const std::function<void(const ProbeStep&)>& on_step) {
        if (opening_.is_connected()) tell(on_step, Stage::connect, "connected to " + opening_.peer());
        const bool is_implicit = opening_.endpoint().tls == Tls::implicit;
        if (is_implicit && !opening_.tls_text().empty()) tell(on_step, Stage::tls, opening_.tls_text());
        if (const auto& greeting = opening_.greeting(); greeting && greeting->is_positive()) {
            tell(on_step, Stage::greeting, core::to_line(*greeting));
        }
        if (!is_implicit && !opening_.tls_text().empty()) tell(on_step, Stage::tls, opening_.tls_text());
    }

    // Each stage once.
    void tell(const std::function<void(const ProbeStep&)>& on_step, Stage stage, std::string text) {
        if (std::exchange(is_told_[static_cast<std::size_t>(stage)], true)) return;
        on_step({stage, true, std::move(text)});
    }

    // MAIL and RSET, then QUIT. True when it is over.
    bool go_on(Time now, const std::function<void(const ProbeStep&)>& on_step) {
        Dialogue& dialogue = connection_->dialogue();
        std::size_t allowance = 1024;
        connection_->read(now);
        connection_->write(now, allowance);
        dialogue.expire(now);
        if (!is_leaving_ && (dialogue.is_idle() || dialogue.is_dead())) {
            is_leaving_ = true;
            judge_sender(dialogue, on_step);
            if (dialogue.is_dead()) return true;
            dialogue.quit(now);
            connection_->write(now, allowance);
        }
        return dialogue.is_dead();
    }

    void judge_sender(const Dialogue& dialogue, const std::function<void(const ProbeStep&)>& on_step) {
        const auto& reply = dialogue.sender_reply();
        const bool is_ok = reply && reply->is_positive();
        if (is_ok) {
            tell(on_step, Stage::mail, core::to_line(*reply));
            return tell(on_step, Stage::done, "ready to send");
        }
        const std::string text = !reply             ? "the server didn't answer MAIL"
                                 : reply->code != 0 ? core::to_line(*reply)
                                                    : reply->text;
        on_step({Stage::mail, false, text});
    }

    std::string sender_;
    bool is_leaving_ = false;
    CurlLoop loop_;
    Opening opening_;
    std::optional<Connection> connection_;
    std::array<bool, static_cast<std::size_t>(Stage::done) + 1> is_told_{};
};

Probe::Probe(std::shared_ptr<const Endpoint> endpoint, std::string sender, Time now)
    : impl_(std::make_unique<Impl>(std::move(endpoint), std::move(sender), now)) {}

Probe::~Probe() = default;

int Probe::poll_fd() const { return impl_->fd(); }

std::optional<core::Duration> Probe::next_timeout(Time now) const { return impl_->next_timeout(now); }

bool Probe::turn(Time now, const std::function<void(const ProbeStep&)>& on_step) { return impl_->turn(now, on_step); }

}  // namespace mailer::smtp
