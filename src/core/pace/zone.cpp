// Every question is answered stretch by stretch: inside one stretch a local time is UTC plus a constant, so the
// skipped and the repeated hour need no case of their own.
#include "core/pace/zone.hpp"

#include <algorithm>
#include <utility>

namespace mailer::core {

namespace {

constexpr std::chrono::hours kWidestOffset{26};  // no wall clock is further from UTC than that

LocalTime shift(Time t, std::chrono::seconds offset) { return LocalTime{t.time_since_epoch() + offset}; }
Time unshift(LocalTime local, std::chrono::seconds offset) { return Time{local.time_since_epoch() - offset}; }

}  // namespace

Zone::Zone() {
    static const auto utc = std::make_shared<const Data>(Data{"UTC", std::chrono::seconds{0}, {}});
    data_ = utc;
}

Result<Zone> Zone::make(std::string name, std::chrono::seconds first_offset, std::vector<Transition> transitions) {
    const auto is_absurd = [](std::chrono::seconds offset) {
        return std::chrono::abs(offset) >= std::chrono::hours{24};
    };
    if (is_absurd(first_offset)) return Error{.message = "offset of time zone \"" + name + "\" is out of range"};
    for (std::size_t i = 0; i < transitions.size(); ++i) {
        if (is_absurd(transitions[i].offset)) {
            return Error{.message = "offset of time zone \"" + name + "\" is out of range"};
        }
        if (i > 0 && transitions[i].at <= transitions[i - 1].at) {
            return Error{.message = "transitions of time zone \"" + name + "\" are not in order"};
        }
    }
    return Zone{std::make_shared<const Data>(Data{std::move(name), first_offset, std::move(transitions)})};
}

const std::string& Zone::name() const { return data_->name; }

Stretch Zone::stretch(Time t) const {
    const auto& all = data_->transitions;
    const auto next = std::upper_bound(all.begin(), all.end(), t,
                                       [](Time instant, const Transition& change) { return instant < change.at; });
    const Time to = next == all.end() ? Time::max() : next->at;
    if (next == all.begin()) return {Time::min(), to, data_->first_offset};
    return {std::prev(next)->at, to, std::prev(next)->offset};
}

LocalTime Zone::local(Time t) const { return shift(t, stretch(t).offset); }

Date Zone::date(Time t) const { return std::chrono::floor<std::chrono::days>(local(t)); }

Instants Zone::instants(LocalTime local) const {
    Instants found;
    const Time last = unshift(local, -kWidestOffset);
    for (Stretch s = stretch(unshift(local, kWidestOffset));; s = stretch(s.to)) {
        const Time t = unshift(local, s.offset);
        if (s.from <= t && t < s.to && found.count < found.at.size()) found.at[found.count++] = t;
        if (s.to > last) return found;
    }
}

Time Zone::first_instant_of(Date date) const {
    const LocalTime midnight{date.time_since_epoch()};
    for (Stretch s = stretch(unshift(midnight, kWidestOffset));; s = stretch(s.to)) {
        const Time t = std::max(s.from, unshift(midnight, s.offset));
        if (t < s.to) return t;
    }
}

Time Zone::next_date_change(Time t) const {
    const Date today = date(t);
    for (Stretch s = stretch(t);; s = stretch(s.to)) {
        if (std::chrono::floor<std::chrono::days>(shift(t, s.offset)) != today) return t;
        const Time midnight = unshift(LocalTime{(today + std::chrono::days{1}).time_since_epoch()}, s.offset);
        if (midnight < s.to) return midnight;
        t = s.to;
    }
}

}  // namespace mailer::core
