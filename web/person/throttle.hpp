// Slows down clients that guess passwords: by address and role, so that it keeps nobody else out.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace mailer::web {

class Throttle {
public:
    static constexpr int max_failures = 5;  // then it takes a minute per failure until another try is let through
    static constexpr std::chrono::seconds recovery{60};
    static constexpr std::size_t max_entries = 50'000;

    // Takes one try. 0: go ahead; else seconds until the next may be made.
    int try_after(const std::string& address, const std::string& role);
    void take_back(const std::string& address, const std::string& role);  // a try that nobody judged
    void succeeded(const std::string& address, const std::string& role);

private:
    using Clock = std::chrono::steady_clock;
    // A bucket that leaks, as the instant at which it is empty again.
    std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, Clock::time_point> empty_at_;
};

}  // namespace mailer::web
