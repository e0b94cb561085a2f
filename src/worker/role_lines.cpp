// The lines; see role_lines.hpp.
#include "worker/role_lines.hpp"

#include <algorithm>

#include "core/outcome/backoff.hpp"

namespace mailer::worker {

using core::Duration;
using namespace std::chrono_literals;

namespace {

constexpr Duration prompt_below = 20ms;
constexpr Duration worth_a_process = 5ms;
constexpr Duration first_pause = 1s;  // after one that took too long: it may have been an accident
constexpr Duration least_spacing = 1ms;
constexpr Duration remembered_for = 15min;  // longer than anybody is left alone

}  // namespace

Duration RoleLines::expected_wait(const Line& line, std::size_t ahead) {
    return line.mean * static_cast<std::int64_t>(ahead) / std::max(1, line.processes);
}

core::Time RoleLines::standing_since(const Line& line) {
    const Time since = line.waiting.front().since;
    return line.mean < prompt_below ? std::max(since, line.answered_at) : since;
}

// One behind the other, as the line would have served them: a thousand that came back together would be claimed for
// nothing, all but a few, again and again.
core::Time RoleLines::come_again(Line& line, Time now) {
    const Time open = std::max(now + patience, line.alone_until);
    const Time at = std::clamp(line.promised_until, open, open + longest_pause);
    line.promised_until = at + std::max(expected_wait(line, 1), least_spacing);
    return at;
}

std::optional<core::Time> RoleLines::join(Role role, Token token, Time now) {
    Line& line = lines_[role];
    line.last_at = now;
    if (now < line.alone_until) return come_again(line, now);
    const std::size_t ahead = line.waiting.size() + static_cast<std::size_t>(line.running);
    if (ahead >= static_cast<std::size_t>(std::max(1, line.processes)) && expected_wait(line, ahead) > patience)
        return come_again(line, now);
    line.waiting.push_back({token, now});
    roles_[token] = role;
    return std::nullopt;
}

void RoleLines::leave(Token token) {
    const auto known = roles_.find(token);
    if (known == roles_.end()) return;
    std::erase_if(lines_[known->second].waiting, [&](const Waiting& w) { return w.token == token; });
    roles_.erase(known);
}

std::vector<RoleLines::Postponed> RoleLines::tired(Time now) {
    std::vector<Postponed> out;
    for (auto& [role, line] : lines_) {
        const bool is_alone = now < line.alone_until;
        while (!line.waiting.empty() && (is_alone || standing_since(line) + patience <= now)) {
            const Token token = line.waiting.front().token;
            out.push_back({token, come_again(line, now)});
            line.waiting.pop_front();
            roles_.erase(token);
        }
    }
    return out;
}

std::optional<RoleLines::Token> RoleLines::next(Role role, Time now) {
    const auto known = lines_.find(role);
    if (known == lines_.end() || known->second.waiting.empty() || now < known->second.alone_until) return std::nullopt;
    const Token token = known->second.waiting.front().token;
    known->second.waiting.pop_front();
    roles_.erase(token);
    return token;
}

void RoleLines::began(Role role) { ++lines_[role].running; }

void RoleLines::ended(Role role, End how, Duration took, Time now) {
    Line& line = lines_[role];
    line.running = std::max(0, line.running - 1);
    line.last_at = now;
    if (how == End::called_off) return;
    if (how != End::died) line.mean = line.mean == Duration{0} ? took : (line.mean * 7 + took) / 8;
    if (how == End::answered) {
        line.answered_at = now;
        // A prompt answer pays for one trouble, no more: who alternates is still left alone every other time.
        if (took < prompt_below && line.troubles > 0 && now >= line.alone_until) --line.troubles;
        return;
    }
    // One accounting for all that failed together.
    if (now < line.alone_until) return;
    ++line.troubles;
    const Duration pause =
        line.troubles == 1 ? first_pause : core::breaker_delay(false, line.troubles - 1, std::uint64_t{role});
    line.alone_until = now + pause;
}

void RoleLines::processes_of(Role role, int count) { lines_[role].processes = count; }

bool RoleLines::is_waiting(Role role) const {
    const auto known = lines_.find(role);
    return known != lines_.end() && !known->second.waiting.empty();
}

bool RoleLines::is_troubled(Role role) const {
    const auto known = lines_.find(role);
    return known != lines_.end() && known->second.troubles > 0;
}

bool RoleLines::has_no_process(Role role) const {
    const auto known = lines_.find(role);
    return known == lines_.end() || known->second.processes == 0;
}

bool RoleLines::could_use_another(Role role) const {
    const auto known = lines_.find(role);
    if (known == lines_.end() || known->second.waiting.empty()) return false;
    const Line& line = known->second;
    return line.processes == 0 || expected_wait(line, line.waiting.size()) > worth_a_process;
}

std::vector<RoleLines::Role> RoleLines::waiting_roles() const {
    std::vector<std::pair<Time, Role>> found;
    for (const auto& [role, line] : lines_)
        if (!line.waiting.empty()) found.emplace_back(line.waiting.front().since, role);
    std::sort(found.begin(), found.end());
    std::vector<Role> roles;
    roles.reserve(found.size());
    for (const auto& [since, role] : found)
        roles.push_back(role);
    return roles;
}

std::optional<core::Time> RoleLines::next_tired() const {
    std::optional<Time> at;
    for (const auto& [role, line] : lines_) {
        if (line.waiting.empty()) continue;
        const Time t = standing_since(line) + patience;
        if (!at || t < *at) at = t;
    }
    return at;
}

void RoleLines::forget_idle(Time now) {
    std::erase_if(lines_, [&](const auto& entry) {
        const Line& line = entry.second;
        return line.waiting.empty() && line.running == 0 && line.processes == 0 && line.last_at + remembered_for < now;
    });
}

}  // namespace mailer::worker
