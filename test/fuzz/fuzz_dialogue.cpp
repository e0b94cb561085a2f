// A hostile server, any cutting of its bytes, any progress of the network, and any envelope, against the dialogue, and
// the verdict on whatever comes out.
//
// What must hold: no byte of a final dot leaves without permission; a transaction gives exactly one report; `sent` only
// after the whole dot was written and a 2xx came; a dot that may have left is never tried again without a complete
// reply.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/outcome/verdict.hpp"
#include "smtp/dialogue.hpp"

namespace {

using namespace mailer;

void require(bool condition) {
    if (!condition) std::abort();
}

class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
    bool is_empty() const { return rest_.empty(); }
    unsigned byte() {
        if (rest_.empty()) return 0;
        const auto b = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        return b;
    }
    std::string_view bytes(std::size_t count) {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(taken.size());
        return taken;
    }

private:
    std::string_view rest_;
};

smtp::Capabilities capabilities_of(unsigned bits) {
    smtp::Capabilities c;
    c.has_pipelining = (bits & 1U) != 0;
    c.has_size = (bits & 2U) != 0;
    c.size_limit = (bits & 4U) != 0 ? 50 : 0;
    c.has_8bitmime = (bits & 8U) != 0;
    c.has_smtputf8 = (bits & 16U) != 0;
    return c;
}

struct Transaction {
    smtp::Delivery delivery;
    bool is_running = false;
    bool is_dot_allowed = false;
    std::string body_written;  // the last bytes only
};

void check(const core::Report& report, const Transaction& t) {
    require(report.token == t.delivery.token);
    require(report.recipient_count == static_cast<int>(t.delivery.recipients.size()));
    require(!report.dot_sent || t.is_dot_allowed);
    require(report.recipients.size() <= t.delivery.recipients.size());
    if (report.final_reply && report.final_reply->is_positive())
        require(report.dot_sent && report.stage == core::Stage::done);
    if (report.stage == core::Stage::done) require(t.body_written.ends_with(".\r\n"));

    const core::Verdict verdict = core::judge(report, {}, {0, report.started_at, 0, 0, 1}, report.finished_at);
    require(verdict.recipients.size() == t.delivery.recipients.size());
    const bool has_sent = std::any_of(verdict.recipients.begin(), verdict.recipients.end(),
                                      [](const auto& r) { return r.fate == core::Fate::sent; });
    if (has_sent) require(report.dot_sent && report.final_reply && report.final_reply->is_positive());
    if (report.dot_sent && !report.final_reply) require(verdict.next == core::Next::settle_unconfirmed);
    if (!report.dot_sent) require(verdict.next != core::Next::settle_unconfirmed && !has_sent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    core::Time now = core::from_unix_us(1'800'000'000'000'000);
    smtp::Dialogue dialogue{capabilities_of(input.byte()), smtp::Timeouts{}, (input.byte() & 1U) != 0};
    Transaction t;
    std::uint64_t token = 0;

    while (!input.is_empty()) {
        const unsigned action = input.byte();
        if (dialogue.is_idle() && action % 8 == 7) dialogue.quit(now);
        if (dialogue.is_idle() && !t.is_running) {
            t = {};
            t.delivery.token = ++token;
            t.delivery.sender = std::string{input.bytes(action % 4)};
            t.delivery.recipients.assign(1 + action / 8 % 4, "r@y.example");
            if (action % 16 == 3) t.delivery.recipients[0] = std::string{input.bytes(5)};
            t.delivery.is_8bit = action % 32 == 5;
            t.delivery.body = std::make_shared<const std::string>(
                action % 64 == 9 ? std::string(3 * smtp::Dialogue::block, '.') : std::string{input.bytes(action % 32)});
            t.is_running = true;
            dialogue.begin(t.delivery, token > 1, now, now);
        }
        switch (action % 8) {
            case 0:
            case 1:
            case 2:
                dialogue.receive(input.bytes(input.byte() % 64), now);
                break;
            case 3:
                if (dialogue.wants_dot()) {
                    dialogue.allow_dot(now);
                    t.is_dot_allowed = true;
                }
                break;
            case 4:
                now += std::chrono::seconds{input.byte()};
                dialogue.expire(now);
                break;
            case 5:
                if (input.byte() == 0) dialogue.receive_end("closed", now);
                if (action > 250) dialogue.abandon("enough", now);
                break;
            default: {
                const std::string_view out = dialogue.output();
                const std::size_t count = std::min<std::size_t>(out.size(), action < 128 ? out.size() : input.byte());
                const std::string copy{out.substr(0, count)};
                t.body_written += copy;
                if (t.body_written.size() > 8) t.body_written.erase(0, t.body_written.size() - 8);
                dialogue.sent(count, now);
            }
        }
        dialogue.take_body_started();
        if (const auto report = dialogue.take_report()) {
            require(t.is_running);
            t.is_running = false;
            check(*report, t);
        }
        if (dialogue.is_dead()) {
            require(!t.is_running);
            require(dialogue.output().empty());
            return 0;
        }
    }
    return 0;
}
