#include "person/session.hpp"

#include <algorithm>

#include "person/random.hpp"

namespace mailer::web {

Session::~Session() { wipe(credentials.password); }

void Session::set_notice(Notice notice) {
    const std::lock_guard lock(mutex_);
    notice_ = std::move(notice);
}

Notice Session::take_notice() {
    const std::lock_guard lock(mutex_);
    return std::exchange(notice_, {});
}

void Session::begin_progress(std::string subject) {
    const std::lock_guard lock(mutex_);
    progress_ = {.subject = std::move(subject), .steps = {}, .is_running = true};
}

void Session::add_progress(const std::string& step) {
    const std::lock_guard lock(mutex_);
    if (progress_.steps.size() < 100) progress_.steps.push_back(step);
}

void Session::end_progress(bool has_failed) {
    const std::lock_guard lock(mutex_);
    progress_.is_running = false;
    progress_.has_failed = has_failed;
}

Progress Session::progress() const {
    const std::lock_guard lock(mutex_);
    return progress_;
}

void Session::set_may(std::set<std::string> functions) {
    const std::lock_guard lock(mutex_);
    may_ = std::move(functions);
}

std::set<std::string> Session::may() const {
    const std::lock_guard lock(mutex_);
    return may_;
}

std::shared_ptr<Session> Sessions::begin(Credentials credentials, std::string id) {
    auto session = std::make_shared<Session>();
    session->id = id.empty() ? random_text() : std::move(id);
    session->csrf = random_text();
    session->credentials = std::move(credentials);
    const std::lock_guard lock(mutex_);
    make_room(session->credentials.role);
    if (const auto there = entries_.find(session->id); there != entries_.end()) return there->second.session;
    entries_[session->id] = {session, session->began_at};
    return session;
}

// Requires the lock. The one that was used longest ago goes, of the role's or of all.
void Sessions::make_room(const std::string& role) {
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(entries_, [&](const auto& e) {
        return now - e.second.used_at > max_idle || now - e.second.session->began_at > max_age;
    });
    const auto older = [](const auto& a, const auto& b) { return a.second.used_at < b.second.used_at; };
    auto oldest_of_role = entries_.end();
    std::size_t count = 0;
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        if (it->second.session->credentials.role != role) continue;
        ++count;
        if (oldest_of_role == entries_.end() || older(*it, *oldest_of_role)) oldest_of_role = it;
    }
    if (count >= max_sessions_per_role)
        entries_.erase(oldest_of_role);
    else if (entries_.size() >= max_sessions)
        entries_.erase(std::min_element(entries_.begin(), entries_.end(), older));
}

std::shared_ptr<Session> Sessions::find(const std::string& id, bool is_click) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return nullptr;
    const auto now = std::chrono::steady_clock::now();
    if (now - found->second.used_at > max_idle || now - found->second.session->began_at > max_age) {
        entries_.erase(found);
        return nullptr;
    }
    if (is_click) found->second.used_at = now;
    return found->second.session;
}

void Sessions::end(const std::string& id) {
    const std::lock_guard lock(mutex_);
    entries_.erase(id);
}

}  // namespace mailer::web
