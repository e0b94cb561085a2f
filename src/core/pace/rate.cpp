// See rate.hpp.
#include "core/pace/rate.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/bounds.hpp"
#include "core/octets.hpp"

namespace mailer::core {

namespace {

using namespace std::chrono_literals;

constexpr Duration tick = 20ms;

struct Unit {
    std::string_view name;
    Duration period;
};
constexpr std::array<Unit, 4> units{{{"s", 1s}, {"min", 1min}, {"h", 1h}, {"d", 24h}}};

Error bad_rate(std::string_view text) {
    return Error{
        .message = "rate \"" + std::string(text.substr(0, 40)) + "\" is not understood",
        .detail = "It is a whole number from 1 to " + std::to_string(most_rate) + ", a slash, and s, min, h or d.",
        .hint = "For example 14/s, 100/min or 1000/h; null is no rate."};
}

}  // namespace

Duration Rate::spacing() const { return (period + Duration{count - 1}) / count; }

std::string Rate::text() const {
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.period == period; });
    return std::to_string(count) + "/" + std::string(unit == units.end() ? "?" : unit->name);
}

Result<Rate> parse_rate(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return bad_rate(text);
    const std::string_view number = trimmed(text.substr(0, slash), " "), name = trimmed(text.substr(slash + 1), " ");
    int count = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
    if (error != std::errc{} || end != number.data() + number.size() || count < 1 || count > most_rate)
        return bad_rate(text);
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == name; });
    if (unit == units.end()) return bad_rate(text);
    return Rate{count, unit->period};
}

Time next_by_rate(const Rate& rate, std::optional<Time> wanted, Time now) {
    const Duration lateness = std::max(Duration{0}, tick - rate.spacing());
    return std::max(wanted.value_or(now), now - lateness) + rate.spacing();
}

}  // namespace mailer::core
