#include "http/executor.hpp"

namespace mailer::web {

Executor::Executor(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i)
        threads_.emplace_back([this] { work(); });
}

Executor::~Executor() {
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_)
        thread.join();
}

bool Executor::submit(const std::string& key, std::size_t limit, std::function<void()> task) {
    {
        const std::lock_guard lock(mutex_);
        Line& line = lines_[key];
        if (line.waiting.size() >= max_waiting_per_key || waiting_ >= max_waiting || is_ending_) {
            if (line.waiting.empty() && line.running == 0) lines_.erase(key);
            return false;
        }
        line.limit = limit;
        line.waiting.push_back(std::move(task));
        ++waiting_;
        ready_.push_back(key);
    }
    changed_.notify_one();
    return true;
}

// Requires the lock. Entries whose line is at its limit are dropped; the end of a task brings one back.
bool Executor::take(std::string& key, std::function<void()>& task) {
    while (!ready_.empty()) {
        key = std::move(ready_.front());
        ready_.pop_front();
        const auto found = lines_.find(key);
        if (found == lines_.end()) continue;
        Line& line = found->second;
        if (line.waiting.empty() || line.running >= line.limit) continue;
        task = std::move(line.waiting.front());
        line.waiting.pop_front();
        ++line.running;
        --waiting_;
        return true;
    }
    return false;
}

void Executor::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        std::string key;
        std::function<void()> task;
        if (!take(key, task)) {
            if (is_ending_) return;
            changed_.wait(lock);
            continue;
        }
        lock.unlock();
        task();
        task = nullptr;
        lock.lock();
        Line& line = lines_[key];
        --line.running;
        if (!line.waiting.empty()) {
            ready_.push_back(key);
            changed_.notify_one();
        } else if (line.running == 0) {
            lines_.erase(key);
        }
    }
}

}  // namespace mailer::web
