// Ends connections whose request takes too long in all, however busily it trickles.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace mailer::web {

class Deadlines {
public:
    explicit Deadlines(std::chrono::seconds total) : total_(total), thread_([this] { watch(); }) {}
    ~Deadlines();

    void begin(int socket);  // a new connection, or the next request on it
    void end(int socket);    // before it is closed

private:
    void watch();

    const std::chrono::seconds total_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<int, std::chrono::steady_clock::time_point> until_;
    bool is_ending_ = false;
    std::thread thread_;
};

}  // namespace mailer::web
