#include "person/throttle.hpp"

#include <algorithm>

namespace mailer::web {

int Throttle::try_after(const std::string& address, const std::string& role) {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    if (empty_at_.size() >= max_entries) {
        std::erase_if(empty_at_, [&](const auto& e) { return e.second <= now; });
        if (empty_at_.size() >= max_entries) empty_at_.erase(empty_at_.begin());
    }
    auto& empty_at = empty_at_[{address, role}];
    empty_at = std::max(empty_at, now);
    const auto over = empty_at + recovery - (now + recovery * max_failures);
    if (over > Clock::duration::zero())
        return static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(over).count()) + 1;
    empty_at += recovery;
    return 0;
}

void Throttle::take_back(const std::string& address, const std::string& role) {
    const std::lock_guard lock(mutex_);
    if (const auto found = empty_at_.find({address, role}); found != empty_at_.end()) found->second -= recovery;
}

void Throttle::succeeded(const std::string& address, const std::string& role) {
    const std::lock_guard lock(mutex_);
    empty_at_.erase({address, role});
}

}  // namespace mailer::web
