// Several event loops behind one descriptor that is readable when any of them has something to do (epoll(7) nests).
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <initializer_list>

namespace mailer::net {

class PollGroup {
public:
    PollGroup(std::initializer_list<int> fds) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        for (const int fd : fds) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.fd = fd;
            is_ok_ &= epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
        }
    }
    ~PollGroup() {
        if (epoll_ >= 0) close(epoll_);
    }
    PollGroup(const PollGroup&) = delete;
    PollGroup& operator=(const PollGroup&) = delete;

    bool is_ok() const { return epoll_ >= 0 && is_ok_; }
    int fd() const { return epoll_; }

private:
    int epoll_;
    bool is_ok_ = true;
};

}  // namespace mailer::net
