// How fast the SMTP room alone sends: messages from memory over N connections into a sink, no database, no composition.
//
// Compare in one run with smtp-source (Debian package postfix) into the same sink:
//   smtp-sink 127.0.0.1:2525 1000 &
//   smtp-source -d -s 50 -l 2048 -m 20000 127.0.0.1:2525
//   build/smtp_bench 127.0.0.1 2525 50 20000 2048
// Prints messages a second, processor time per 1,000 messages, and the largest resident size.
#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "smtp/transport.hpp"

namespace {

using namespace mailer;

core::Time now() { return std::chrono::time_point_cast<core::Duration>(std::chrono::system_clock::now()); }

class Silent : public smtp::Observer {
    void on_body(std::uint64_t) noexcept override {}
    bool on_dot(std::uint64_t, const core::Report&, core::Time) noexcept override { return true; }
    void on_reply(std::uint64_t, const core::Report&) noexcept override {}
};

std::string make_body(std::size_t size) {
    std::string body = "From: a@bench.example\r\nTo: c@dest.example\r\nSubject: bench\r\n\r\n";
    while (body.size() < size)
        body += "The quick brown fox jumps over the lazy dog and runs away again, okay ok\r\n";
    return body;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 6) {
        std::fprintf(stderr, "usage: smtp_bench HOST PORT CONNECTIONS MESSAGES BYTES\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_ALL);
    auto endpoint = std::make_shared<smtp::Endpoint>();
    endpoint->host = argv[1];
    endpoint->port = std::atoi(argv[2]);
    endpoint->tls = smtp::Tls::none;
    endpoint->helo_name = "bench.example";
    endpoint->max_connections = std::atoi(argv[3]);
    endpoint->max_messages_per_connection = 1 << 30;
    const long count = std::atol(argv[4]);
    const auto body = std::make_shared<const std::string>(make_body(static_cast<std::size_t>(std::atol(argv[5]))));

    Silent observer;
    smtp::Transport transport{observer, endpoint->max_connections};
    const int outer = epoll_create1(EPOLL_CLOEXEC);  // as the worker waits: the transport's epoll inside another
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(outer, EPOLL_CTL_ADD, transport.poll_fd(), &event);

    const auto begin = std::chrono::steady_clock::now();
    long submitted = 0;
    long done = 0;
    long failed = 0;
    std::vector<core::Report> finished;
    while (done < count) {
        while (submitted < count && transport.in_flight() < 2 * endpoint->max_connections) {
            transport.submit({static_cast<std::uint64_t>(++submitted),
                              1,
                              endpoint,
                              "a@bench.example",
                              {"c@dest.example"},
                              body,
                              false,
                              false});
        }
        finished.clear();
        transport.turn(now(), finished);
        for (const core::Report& report : finished) {
            done++;
            if (!report.final_reply || !report.final_reply->is_positive()) failed++;
        }
        const auto wait = transport.next_timeout(now());
        if (wait && wait->count() == 0) continue;
        epoll_wait(outer, &event, 1, wait ? static_cast<int>(*wait / std::chrono::milliseconds{1}) + 1 : 1000);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto cpu = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    std::printf("%ld messages, %ld failed, %.3f s, %.0f messages/s, %.1f ms of processor per 1000, %ld kB resident\n",
                done, failed, seconds, static_cast<double>(done) / seconds,
                1e6 * (cpu(usage.ru_utime) + cpu(usage.ru_stime)) / static_cast<double>(done), usage.ru_maxrss);
    close(outer);
    return failed == 0 ? 0 : 1;
}
