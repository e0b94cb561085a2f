#include "db/pool.hpp"

namespace mailer::web {

namespace {
bool is_old(const Connection& connection) {
    return std::chrono::steady_clock::now() - connection.opened_at() >= Pool::max_age;
}
}  // namespace

Pool::Pool() : thread_([this] { close_old(); }) {}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

Pool::Lease Pool::take(const std::string& person, const std::function<std::unique_ptr<Connection>()>& opens) {
    std::unique_ptr<Connection> taken;
    while (!taken) {
        const std::unique_lock lock(mutex_);
        const auto found = idle_.find(person);
        if (found == idle_.end() || found->second.empty()) break;
        taken = std::move(found->second.back());
        found->second.pop_back();
        if (is_old(*taken) || !taken->is_usable()) taken.reset();
    }
    if (!taken) taken = opens();
    return {taken.release(),
            [this, person](Connection* used) { give_back(person, std::unique_ptr<Connection>(used)); }};
}

void Pool::give_back(const std::string& person, std::unique_ptr<Connection> connection) {
    if (is_old(*connection) || !connection->is_usable()) return;
    const std::lock_guard lock(mutex_);
    idle_[person].push_back(std::move(connection));
}

void Pool::close_all(const std::string& person) {
    const std::lock_guard lock(mutex_);
    idle_.erase(person);
}

void Pool::close_old() {
    std::unique_lock lock(mutex_);
    while (!is_ending_) {
        changed_.wait_for(lock, std::chrono::seconds(1));
        for (auto it = idle_.begin(); it != idle_.end();) {
            std::erase_if(it->second, [](const auto& connection) { return is_old(*connection); });
            it = it->second.empty() ? idle_.erase(it) : std::next(it);
        }
    }
}

}  // namespace mailer::web
