// A loopback proxy that holds every byte back for a while in both directions: a distant mail server on one machine.
//
//   delay_proxy LISTEN_PORT TARGET_PORT DELAY_MS      (one way; a round trip takes twice as long)
//
// One thread, one epoll, one queue: the delay is the same for all, so what comes in first goes out first. Ends with
// SIGTERM. For measuring only: it trusts both sides and gives up on errors.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

struct End {
    int fd = -1;
    std::shared_ptr<End> peer;
    bool is_open = true;
};

struct Parcel {
    Clock::time_point due;
    std::shared_ptr<End> to;
    std::string bytes;  // empty: the other side has closed
};

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void require(bool is_fine, const char* what) {
    if (is_fine) return;
    std::perror(what);
    std::exit(1);
}

void watch(int epoll, const std::shared_ptr<End>& end, std::deque<std::shared_ptr<End>>& ends) {
    int one = 1;
    setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ends.push_back(end);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = end.get();
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, end->fd, &event) == 0, "epoll_ctl");
}

void deliver(const Parcel& parcel) {
    if (parcel.bytes.empty()) {
        shutdown(parcel.to->fd, SHUT_WR);
        return;
    }
    for (std::size_t at = 0; at < parcel.bytes.size();) {
        ssize_t n = send(parcel.to->fd, parcel.bytes.data() + at, parcel.bytes.size() - at, MSG_NOSIGNAL);
        if (n <= 0) return;  // the reader is gone
        at += static_cast<std::size_t>(n);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return std::fprintf(stderr, "usage: delay_proxy LISTEN_PORT TARGET_PORT DELAY_MS\n"), 2;
    const auto delay = std::chrono::milliseconds(std::atoi(argv[3]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in here = loopback(std::atoi(argv[1])), there = loopback(std::atoi(argv[2]));
    require(bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here) == 0, "bind");
    require(listen(listener, 1000) == 0, "listen");
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event accepting{};
    accepting.events = EPOLLIN;
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting) == 0, "epoll_ctl");

    std::deque<Parcel> on_the_way;
    std::deque<std::shared_ptr<End>> ends;  // kept for the life of the process: it is short
    for (;;) {
        for (; !on_the_way.empty() && on_the_way.front().due <= Clock::now(); on_the_way.pop_front())
            deliver(on_the_way.front());
        int wait = -1;
        if (!on_the_way.empty()) {
            auto left = std::chrono::ceil<std::chrono::milliseconds>(on_the_way.front().due - Clock::now()).count();
            wait = left < 0 ? 0 : static_cast<int>(left);
        }
        epoll_event events[128];
        int count = epoll_wait(epoll, events, 128, wait);
        for (int i = 0; i < count; ++i) {
            auto* end = static_cast<End*>(events[i].data.ptr);
            if (end == nullptr) {
                auto client = std::make_shared<End>(), server = std::make_shared<End>();
                client->fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
                server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                require(connect(server->fd, reinterpret_cast<sockaddr*>(&there), sizeof there) == 0, "connect");
                client->peer = server;
                server->peer = client;
                watch(epoll, client, ends);
                watch(epoll, server, ends);
                continue;
            }
            char bytes[65536];
            ssize_t n = recv(end->fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (n < 0) continue;
            on_the_way.push_back({Clock::now() + delay, end->peer, std::string(bytes, static_cast<std::size_t>(n))});
            if (n == 0) epoll_ctl(epoll, EPOLL_CTL_DEL, end->fd, nullptr);
        }
    }
}
