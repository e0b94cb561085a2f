// See line.hpp.
#include "smtp/line.hpp"

#include <algorithm>
#include <utility>

namespace mailer::smtp {

namespace {

bool is_same(const std::shared_ptr<const Endpoint>& a, const std::shared_ptr<const Endpoint>& b) {
    return a == b || *a == *b;
}

}  // namespace

// By how long it has said wait: a standby is some tenths of a millisecond away, or gone.
core::Time Line::asks_for_dot_at(core::Time now) const {
    using namespace std::chrono_literals;
    const core::Duration waited = now - dot_waits_since.value_or(now);
    if (waited < 50ms) return now + 1ms;
    return now + (waited < 1s ? core::Duration(5ms) : core::Duration(50ms));
}

std::optional<Delivery> MailboxLines::take_next(const std::shared_ptr<const Endpoint>& endpoint) {
    if (queue.empty() || !is_same(queue.front().endpoint, endpoint)) return std::nullopt;
    Delivery delivery = std::move(queue.front());
    queue.pop_front();
    return delivery;
}

Line* MailboxLines::find_idle(const std::shared_ptr<const Endpoint>& endpoint) const {
    Line* best = nullptr;
    for (Line* line : lines) {
        if (!line->is_idle() || line->closes_after || !is_same(line->endpoint, endpoint)) continue;
        if (best == nullptr || line->idle_since > best->idle_since) best = line;
    }
    return best;
}

void MailboxLines::close_idle() {
    for (Line* line : lines) {
        if (line->is_idle()) line->closes_after = true;
    }
}

void MailboxLines::lose_opening(Line& line) {
    line.is_dead = true;  // the transport's next turn closes it
    opening_count--;
    if (count_at(*line.endpoint) == 0) turned_away.reset();
}

int MailboxLines::count_at(const Endpoint& server) const {
    return static_cast<int>(
        std::count_if(lines.begin(), lines.end(), [&](const Line* l) { return !l->is_dead && l->is_at(server); }));
}

bool MailboxLines::has_open_at(const Endpoint& server) const {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const Line* l) { return l->connection && !l->is_dead && l->is_at(server); });
}

Line* oldest_idle(const Lines& lines) {
    Line* oldest = nullptr;
    for (const auto& line : lines) {
        if (line->is_idle() && (oldest == nullptr || line->idle_since < oldest->idle_since)) oldest = line.get();
    }
    return oldest;
}

int count_leaving(const Lines& lines) {
    return static_cast<int>(std::count_if(lines.begin(), lines.end(), [](const auto& l) { return l->is_leaving(); }));
}

bool is_any_at(const Lines& lines, const Endpoint& server) {
    return std::any_of(lines.begin(), lines.end(), [&](const auto& line) { return line->is_at(server); });
}

bool is_any_leaving(const Lines& lines, const Endpoint& server) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const auto& line) { return line->is_leaving() && line->is_at(server); });
}

}  // namespace mailer::smtp
