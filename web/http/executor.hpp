// Threads that handle requests, a few at a time for each key.
//
// The thread that moves bytes never waits for a database; it hands a request over with a key (a person, "gateway", who
// tries to log in). At most `limit` tasks of one key run at a time, so whatever slow things one person asks for, the
// other threads are there for others.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace mailer::web {

class Executor {
public:
    static constexpr std::size_t max_waiting_per_key = 256;
    static constexpr std::size_t max_waiting = 2000;

    explicit Executor(std::size_t threads);
    ~Executor();  // runs what waits, then ends

    // False when too much waits already: answer 503. A task must not throw.
    [[nodiscard]] bool submit(const std::string& key, std::size_t limit, std::function<void()> task);

private:
    struct Line {
        std::deque<std::function<void()>> waiting;
        std::size_t running = 0;
        std::size_t limit = 1;
    };
    void work();
    bool take(std::string& key, std::function<void()>& task);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, Line> lines_;
    std::deque<std::string> ready_;  // keys, one entry per task that may run now
    std::size_t waiting_ = 0;
    bool is_ending_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace mailer::web
