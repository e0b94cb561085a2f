// Sends messages through the Transport to one server and prints every Report and Verdict as text, for the conversations
// in test/fault/conversations. It reads no database; what it prints holds no time and no random number.
//
//   deliver_cli --port N [--host H] [--tls none|starttls|implicit|opportunistic] [--ca FILE] [--user U --password P]
//               [--bearer T] [--sender A] [--rcpt A]… [--messages N] [--one-by-one] [--pause MS] [--connections N]
//               [--per-connection N] [--idle MS] [--timeout MS] [--tries N] [--size BYTES] [--dots] [--8bit] [--utf8]
//               [--refuse-dot] [--stop-after-dot] [--no-pipelining] [--probe]
//
// --tries resubmits what waits, without its delay, as the next try. Exit code 0 unless the arguments are wrong.
#include <curl/curl.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "core/outcome/verdict.hpp"
#include "smtp/probe.hpp"
#include "smtp/transport.hpp"

namespace {

using namespace mailer;

core::Time now() { return std::chrono::time_point_cast<core::Duration>(std::chrono::system_clock::now()); }

core::Duration ms(const char* text) { return std::chrono::milliseconds{std::atol(text)}; }

struct Options {
    std::shared_ptr<smtp::Endpoint> endpoint = std::make_shared<smtp::Endpoint>();
    std::string sender = "sender@client.example";
    std::vector<std::string> recipients;
    int messages = 1;
    int tries = 1;
    bool one_by_one = false;
    core::Duration pause{};
    std::size_t size = 100;
    bool has_dots = false, is_8bit = false, needs_utf8 = false;
    bool refuses_dot = false, stops_after_dot = false, is_probe = false;
};

class Journal : public smtp::Observer {
public:
    explicit Journal(bool refuses_dot) : refuses_dot_(refuses_dot) {}
    void on_body(std::uint64_t token) noexcept override { phases_[token] += " body"; }
    bool on_dot(std::uint64_t token, const core::Report&, core::Time) noexcept override {
        phases_[token] += refuses_dot_ ? " dot-refused" : " dot";
        return !refuses_dot_;
    }
    void on_reply(std::uint64_t token, const core::Report&) noexcept override { phases_[token] += " reply"; }
    std::string take(std::uint64_t token) { return std::exchange(phases_[token], {}); }

private:
    bool refuses_dot_;
    std::map<std::uint64_t, std::string> phases_;
};

// One message's way through its tries.
struct Mail {
    std::vector<std::string> recipients;
    core::History history;
};

std::string flat(std::string text) {
    for (char& c : text) {
        if (c == '\n') c = '|';
    }
    return text;
}

std::string describe(const core::Report& report, const core::Verdict& verdict, const Mail& mail,
                     const std::string& phases) {
    const auto text = [](auto value) { return std::string{core::to_text(value)}; };
    std::string out =
        "message " + std::to_string(report.token) + ": " + text(report.ending) + " at " + text(report.stage);
    if (report.dot_sent) out += ", dot sent";
    if (report.connection_was_reused) out += ", reused";
    out += "\n  journal:" + phases + "\n";
    if (report.session_reply) out += "  session: " + flat(core::to_line(*report.session_reply)) + "\n";
    if (report.final_reply) out += "  final: " + flat(core::to_line(*report.final_reply)) + "\n";
    out += "  verdict: " + text(verdict.next);
    if (!verdict.reason.empty()) out += ", " + verdict.reason;
    if (verdict.next == core::Next::retry) out += ", attempt " + std::to_string(mail.history.attempts_before + 1);
    if (verdict.trouble != core::Trouble::none) out += ", mailbox " + text(verdict.trouble);
    if (verdict.is_trouble_lasting) out += " lasting";
    if (verdict.proves_mailbox) out += ", mailbox works";
    if (verdict.most_recipients > 0) out += ", at most " + std::to_string(verdict.most_recipients);
    const bool is_failed = report.ending == core::Ending::failed;
    const bool says_what_to_set = report.error_text.find("set ") != std::string::npos;
    const bool is_said_by_us = is_failed && (says_what_to_set || report.stage == core::Stage::auth);
    const bool has_hint = report.error_text.ends_with("set client_cert_file");
    if ((is_said_by_us || has_hint) && !report.session_reply) out += "\n  why: " + report.error_text;
    out += "\n";
    for (const core::RecipientVerdict& r : verdict.recipients) {
        out += "  " + mail.recipients[static_cast<std::size_t>(r.index)] + ": " + text(r.fate);
        if (r.reply.code != 0) out += " by " + flat(core::to_line(r.reply));
        if (r.reply.code == 0 && !r.reply.text.empty()) out += " by us: " + r.reply.enhanced + ' ' + r.reply.text;
        if (r.is_hard_bounce) out += ", hard bounce";
        out += "\n";
    }
    return out;
}

class Run {
public:
    explicit Run(const Options& options)
        : options_(options), journal_(options.refuses_dot), transport_(journal_, options.endpoint->max_connections) {
        std::string body = "Subject: test\r\n\r\n";
        while (body.size() < options.size)
            body += options.has_dots ? ".a line with a dot\r\n..\r\n" : "a line of the body\r\n";
        body_ = std::make_shared<const std::string>(std::move(body));
    }

    void all() {
        for (int i = 1; i <= options_.messages; i++) {
            submit(static_cast<std::uint64_t>(i),
                   {options_.recipients, {0, now(), 0, 0, static_cast<std::uint64_t>(i)}});
            if (!options_.one_by_one) continue;
            finish();
            const core::Time until = now() + options_.pause;
            while (now() < until)
                turn(until);
        }
        finish();
        transport_.let_go_of_outdated([](std::int64_t, const smtp::Endpoint&) { return false; });
        while (transport_.connections() > 0)
            turn({});
        for (const auto& [token, text] : printed_)
            std::printf("%s", text.c_str());
    }

private:
    void submit(std::uint64_t token, Mail mail) {
        transport_.submit({token, 1, options_.endpoint, options_.sender, mail.recipients, body_, options_.is_8bit,
                           options_.needs_utf8});
        mails_[token] = std::move(mail);
    }

    void finish() {
        while (transport_.in_flight() > 0) {
            if (options_.stops_after_dot && transport_.dots_in_flight() > 0) transport_.abandon_all(now());
            turn({});
        }
    }

    void turn(core::Time until) {
        const auto wait = transport_.next_timeout(now());
        int timeout = wait ? static_cast<int>(std::min<long>(1000, *wait / std::chrono::milliseconds{1} + 1)) : 1000;
        if (wait && wait->count() == 0) timeout = 0;
        if (until != core::Time{}) timeout = std::min(timeout, 10);
        pollfd fd{transport_.poll_fd(), POLLIN, 0};
        ::poll(&fd, 1, timeout);
        std::vector<core::Report> finished;
        transport_.turn(now(), finished);
        for (const core::Report& report : finished)
            judge(report);
    }

    void judge(const core::Report& report) {
        Mail mail = mails_[report.token];
        const core::Verdict verdict = core::judge(report, {}, mail.history, now());
        printed_[report.token] += describe(report, verdict, mail, journal_.take(report.token));
        const bool waits = verdict.next == core::Next::retry || verdict.next == core::Next::requeue;
        if (!waits || ++tries_[report.token] >= options_.tries) return;
        Mail rest{{}, mail.history};
        for (const core::RecipientVerdict& r : verdict.recipients) {
            if (r.fate == core::Fate::waiting)
                rest.recipients.push_back(mail.recipients[static_cast<std::size_t>(r.index)]);
            if (r.fate == core::Fate::sent) rest.history.accepted_before++;
            if (r.fate == core::Fate::rejected) rest.history.refused_before++;
        }
        if (verdict.consumes_attempt()) rest.history.attempts_before++;
        submit(report.token, std::move(rest));
    }

    const Options& options_;
    Journal journal_;
    smtp::Transport transport_;
    std::shared_ptr<const std::string> body_;
    std::map<std::uint64_t, Mail> mails_;
    std::map<std::uint64_t, int> tries_;
    std::map<std::uint64_t, std::string> printed_;  // in the order of messages, not of connections
};

void probe(const Options& options) {
    smtp::Probe probe{options.endpoint, options.sender, now()};
    const auto print_step = [](const smtp::ProbeStep& step) {
        const std::string stage{core::to_text(step.stage)};
        // Addresses, ports and ciphers differ from run to run; that they are there is what counts.
        const bool varies = step.is_ok && (step.stage == core::Stage::connect || step.stage == core::Stage::tls);
        std::printf("%s %s%s%s\n", step.is_ok ? "ok" : "failed", stage.c_str(), varies ? "" : ": ",
                    varies ? "" : flat(step.text).c_str());
    };
    while (!probe.turn(now(), print_step)) {
        const auto wait = probe.next_timeout(now());
        pollfd fd{probe.poll_fd(), POLLIN, 0};
        ::poll(&fd, 1, wait ? static_cast<int>(std::min<long>(1000, *wait / std::chrono::milliseconds{1} + 1)) : 1000);
    }
}

smtp::Tls tls_of(const std::string& name) {
    if (name == "starttls") return smtp::Tls::starttls;
    if (name == "implicit") return smtp::Tls::implicit;
    return name == "opportunistic" ? smtp::Tls::opportunistic : smtp::Tls::none;
}

void set_timeouts(smtp::Timeouts& t, core::Duration d) { t = {d, d, d, d, d, d, d, d, d}; }

bool parse(int argc, char** argv, Options& o) {
    smtp::Endpoint& e = *o.endpoint;
    e.host = "127.0.0.1";
    e.tls = smtp::Tls::none;
    e.helo_name = "client.example";
    set_timeouts(e.timeouts, std::chrono::seconds{20});
    const std::map<std::string, std::function<void()>> flags{
        {"--one-by-one", [&] { o.one_by_one = true; }},
        {"--dots", [&] { o.has_dots = true; }},
        {"--8bit", [&] { o.is_8bit = true; }},
        {"--utf8", [&] { o.needs_utf8 = true; }},
        {"--refuse-dot", [&] { o.refuses_dot = true; }},
        {"--stop-after-dot", [&] { o.stops_after_dot = true; }},
        {"--allow-cleartext-login", [&] { e.allow_cleartext_login = true; }},
        {"--no-pipelining", [&] { e.allow_pipelining = false; }},
        {"--probe", [&] { o.is_probe = true; }},
    };
    const std::map<std::string, std::function<void(const char*)>> values{
        {"--port", [&](const char* v) { e.port = std::atoi(v); }},
        {"--host", [&](const char* v) { e.host = v; }},
        {"--tls", [&](const char* v) { e.tls = tls_of(v); }},
        {"--ca", [&](const char* v) { e.ca_file = v; }},
        {"--user", [&](const char* v) { e.username = v; }},
        {"--password", [&](const char* v) { e.password = v; }},
        {"--mechanism", [&](const char* v) { e.login_mechanism = v; }},
        {"--addresses", [&](const char* v) { e.pinned_addresses = v; }},
        {"--helo", [&](const char* v) { e.helo_name = std::string(v) == "none" ? "" : v; }},
        {"--certificate", [&](const char* v) { e.client_cert_file = v; }},
        {"--key", [&](const char* v) { e.client_key_file = v; }},
        {"--bearer", [&](const char* v) { e.oauth_bearer = v; }},
        {"--sender", [&](const char* v) { o.sender = v; }},
        {"--rcpt", [&](const char* v) { o.recipients.emplace_back(v); }},
        {"--messages", [&](const char* v) { o.messages = std::atoi(v); }},
        {"--pause", [&](const char* v) { o.pause = ms(v); }},
        {"--connections", [&](const char* v) { e.max_connections = std::atoi(v); }},
        {"--per-connection", [&](const char* v) { e.max_messages_per_connection = std::atoi(v); }},
        {"--idle", [&](const char* v) { e.idle = ms(v); }},
        {"--timeout", [&](const char* v) { set_timeouts(e.timeouts, ms(v)); }},
        {"--tries", [&](const char* v) { o.tries = std::atoi(v); }},
        {"--size", [&](const char* v) { o.size = static_cast<std::size_t>(std::atol(v)); }},
    };
    for (int i = 1; i < argc; i++) {
        if (const auto flag = flags.find(argv[i]); flag != flags.end()) {
            flag->second();
        } else if (const auto value = values.find(argv[i]); value != values.end() && i + 1 < argc) {
            value->second(argv[++i]);
        } else {
            std::fprintf(stderr, "deliver_cli: unknown argument %s\n", argv[i]);
            return false;
        }
    }
    if (o.recipients.empty()) o.recipients = {"ada@server.example"};
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (!parse(argc, argv, options)) return 2;
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_ALL);
    if (options.is_probe) {
        probe(options);
    } else {
        Run{options}.all();
    }
    curl_global_cleanup();
    return 0;
}
