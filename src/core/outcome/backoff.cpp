// The arithmetic of waiting. Everything is computed in microseconds and capped before it can overflow.
#include "core/outcome/backoff.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

#include "core/octets.hpp"

namespace mailer::core {

namespace {

using namespace std::chrono_literals;

// delay × (1 + jitter × u), u in [0, 1): never shorter than `delay`.
Duration with_jitter(Duration delay, std::uint64_t seed, int ordinal) {
    const auto bits = mixed(mixed(seed) + static_cast<std::uint64_t>(ordinal)) >> 11;
    const double u = static_cast<double>(bits) / static_cast<double>(1ULL << 53);
    return delay + Duration{static_cast<Duration::rep>(static_cast<double>(delay.count()) * retry_jitter * u)};
}

// `first` tripled `times` times, at most `limit`.
Duration tripled(Duration first, int times, Duration limit) {
    for (; times > 0 && first < limit; times--)
        first *= 3;
    return std::min(first, limit);
}

Error bad_delays(std::string_view text) {
    return Error{"22023", "invalid list of retry delays: \"" + std::string{text} + "\"",
                 "Every delay is longer than 0 and at most a day.",
                 "Write a list such as \"10s,30s,90s,270s\" with units ms, s, min, h or d."};
}

// 0 for an unknown unit.
Duration unit_of(std::string_view unit) {
    if (unit.empty() || unit == "s") return 1s;
    if (unit == "ms") return 1ms;
    if (unit == "min" || unit == "m") return 1min;
    if (unit == "h") return 1h;
    if (unit == "d") return 24h;
    return Duration{0};
}

}  // namespace

std::vector<Duration> default_retry_delays() { return {10s, 30s, 90s, 270s}; }

Duration retry_delay(const std::vector<Duration>& delays, int failures, std::uint64_t seed) {
    if (delays.empty()) return retry_delay(default_retry_delays(), failures, seed);
    const int listed = static_cast<int>(delays.size());
    const int index = std::clamp(failures, 1, listed) - 1;
    const Duration delay = tripled(delays[static_cast<std::size_t>(index)], failures - listed, longest_delay);
    return with_jitter(delay, seed, failures);
}

Result<std::vector<Duration>> parse_retry_delays(std::string_view text) {
    std::vector<Duration> delays;
    std::string_view rest = text;
    while (true) {
        const auto comma = rest.find(',');
        const std::string_view item = trimmed(rest.substr(0, comma));
        const bool is_last = comma == std::string_view::npos;
        if (is_last && !delays.empty() && (item == "…" || item == "...")) break;

        std::int64_t count = 0;
        const auto [end, problem] = std::from_chars(item.data(), item.data() + item.size(), count);
        if (problem != std::errc{}) return bad_delays(text);
        const std::string_view rest_of_item{end, static_cast<std::size_t>(item.data() + item.size() - end)};
        const Duration unit = unit_of(trimmed(rest_of_item));
        if (unit.count() == 0 || count <= 0 || count > longest_delay / unit) return bad_delays(text);
        delays.push_back(count * unit);

        if (is_last) break;
        rest.remove_prefix(comma + 1);
    }
    return delays;
}

Duration breaker_delay(bool is_lasting, int failures_in_a_row, std::uint64_t seed) {
    const Duration first = is_lasting ? Duration{1min} : Duration{5s};
    const Duration limit = is_lasting ? Duration{1h} : Duration{10min};
    return with_jitter(tripled(first, std::max(failures_in_a_row, 1) - 1, limit), seed, failures_in_a_row);
}

}  // namespace mailer::core
