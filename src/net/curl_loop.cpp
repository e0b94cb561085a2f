// See curl_loop.hpp. An epoll entry is either a Connection's address, which is even, or libcurl's: socket × 2 + 1.
#include "net/curl_loop.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <chrono>

namespace mailer::smtp {

namespace {

class SignalsBlocked {
public:
    SignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_;
};

bool epoll_set(int epoll, int socket, std::uint32_t events, std::uint64_t data) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    return epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) == 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == 0;
}

std::uint64_t curl_entry(curl_socket_t socket) { return static_cast<std::uint64_t>(socket) * 2 + 1; }

}  // namespace

CurlLoop::CurlLoop(int max_connections) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    SignalsBlocked blocked;
    multi_ = curl_multi_init();
    if (multi_ == nullptr) return;
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    // A connection beyond this number would be closed under us as "the oldest in the cache".
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(max_connections) + 10);
}

CurlLoop::~CurlLoop() {
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
    if (epoll_ >= 0) close(epoll_);
}

int CurlLoop::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
    auto* loop = static_cast<CurlLoop*>(self);
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll_, EPOLL_CTL_DEL, socket, nullptr);
        return 0;
    }
    std::uint32_t events = 0;
    if ((what & CURL_POLL_IN) != 0) events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) events |= EPOLLOUT;
    return epoll_set(loop->epoll_, socket, events, curl_entry(socket)) ? 0 : -1;
}

int CurlLoop::on_timer(CURLM*, long ms, void* self) noexcept {
    auto* loop = static_cast<CurlLoop*>(self);
    loop->timer_.reset();
    if (ms >= 0) loop->timer_ = loop->now_ + std::chrono::milliseconds{ms};
    return 0;
}

bool CurlLoop::add(CURL* easy, core::Time now) {
    now_ = now;
    SignalsBlocked blocked;
    return curl_multi_add_handle(multi_, easy) == CURLM_OK;
}

void CurlLoop::remove(CURL* easy) {
    SignalsBlocked blocked;
    curl_multi_remove_handle(multi_, easy);
}

bool CurlLoop::watch(int socket, void* owner, bool wants_write) {
    const std::uint32_t events = EPOLLIN | (wants_write ? EPOLLOUT : 0U);
    return epoll_set(epoll_, socket, events, reinterpret_cast<std::uintptr_t>(owner));
}

void CurlLoop::unwatch(int socket) { epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr); }

void CurlLoop::drive(curl_socket_t socket, int what) {
    SignalsBlocked blocked;
    int running = 0;
    curl_multi_socket_action(multi_, socket, what, &running);
}

void CurlLoop::poll(core::Time now, std::vector<Ready>& ready, std::vector<Done>& done) {
    now_ = now;
    std::array<epoll_event, 256> events;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; i++) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.u64 % 2 == 0) {
            // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel keeps 64 bits for us, which tell a pointer from a number
            ready.push_back({reinterpret_cast<void*>(static_cast<std::uintptr_t>(event.data.u64)), event.events});
            continue;
        }
        int what = 0;
        if ((event.events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
        if ((event.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
        if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
        drive(static_cast<curl_socket_t>(event.data.u64 / 2), what);
    }
    if (timer_ && *timer_ <= now) {
        timer_.reset();
        drive(CURL_SOCKET_TIMEOUT, 0);
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) done.push_back({message->easy_handle, message->data.result});
    }
}

}  // namespace mailer::smtp
