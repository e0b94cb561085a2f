#include "http/deadlines.hpp"

#include <sys/socket.h>

namespace mailer::web {

Deadlines::~Deadlines() {
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void Deadlines::begin(int socket) {
    const std::lock_guard lock(mutex_);
    until_[socket] = std::chrono::steady_clock::now() + total_;
}

void Deadlines::end(int socket) {
    const std::lock_guard lock(mutex_);
    until_.erase(socket);
}

void Deadlines::watch() {
    std::unique_lock lock(mutex_);
    while (!is_ending_) {
        changed_.wait_for(lock, std::chrono::seconds(1));
        const auto now = std::chrono::steady_clock::now();
        // Only shut down: the server sees the end of the stream and closes the socket itself.
        for (auto it = until_.begin(); it != until_.end();)
            if (it->second <= now) {
                shutdown(it->first, SHUT_RDWR);
                it = until_.erase(it);
            } else {
                ++it;
            }
    }
}

}  // namespace mailer::web
