// One epoll for everything: libcurl's sockets while it connects, ours afterwards, and libcurl's timer.
//
// It knows nothing of SMTP. It never blocks: poll() looks once and returns. libcurl's resolver threads inherit the
// signal mask of the thread that starts them, so all signals are blocked around every call that may start one: a
// thread that took the process's SIGTERM would run PostgreSQL's handler outside PostgreSQL's thread.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/pace/time.hpp"

namespace mailer::smtp {

struct CurlEasyDeleter {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
using CurlEasy = std::unique_ptr<CURL, CurlEasyDeleter>;

class CurlLoop {
public:
    struct Ready {
        void* owner;  // as given to watch()
        std::uint32_t events;
    };
    struct Done {
        CURL* easy;
        CURLcode code;
    };

    explicit CurlLoop(int max_connections);
    ~CurlLoop();  // requires that every easy handle was removed
    CurlLoop(const CurlLoop&) = delete;
    CurlLoop& operator=(const CurlLoop&) = delete;

    bool is_ok() const { return multi_ != nullptr && epoll_ >= 0; }
    int fd() const { return epoll_; }
    std::optional<core::Time> timer() const { return timer_; }

    bool add(CURL* easy, core::Time now);
    void remove(CURL* easy);  // no event of it is delivered afterwards

    // Readable always, writable when asked. A socket must be unwatched before its handle is removed.
    bool watch(int socket, void* owner, bool wants_write);
    void unwatch(int socket);

    // Drives libcurl as far as it goes without waiting; appends what our own sockets have and what finished connecting.
    void poll(core::Time now, std::vector<Ready>& ready, std::vector<Done>& done);

private:
    static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* socket_data) noexcept;
    static int on_timer(CURLM* multi, long ms, void* self) noexcept;
    void drive(curl_socket_t socket, int what);

    CURLM* multi_ = nullptr;
    int epoll_ = -1;
    core::Time now_;  // of the last add() or poll(): libcurl's timer counts from here
    std::optional<core::Time> timer_;
};

}  // namespace mailer::smtp
