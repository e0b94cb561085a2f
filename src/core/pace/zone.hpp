// A time zone as a value: sorted instants at which the offset from UTC changes.
//
// Why not the standard library: GCC 12 has no time zone database, and PostgreSQL has its own. src/pg hands over
// PostgreSQL's transitions, so that SQL and the sender never disagree about a local time. Everything here is exact
// in the hour that doesn't exist (no instant), the hour that comes twice (two instants) and days that a zone skipped.
// Before the first transition the first offset holds, after the last one the last offset holds.
// A Zone is cheap to copy: the transitions are shared and never change.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/pace/time.hpp"
#include "core/result.hpp"

namespace mailer::core {

using Date = std::chrono::local_days;                 // a calendar day of some zone
using LocalTime = std::chrono::local_time<Duration>;  // a wall clock reading of some zone

struct Transition {
    Time at;                      // from this instant on …
    std::chrono::seconds offset;  // … local = UTC + offset (east of Greenwich is positive)

    bool operator==(const Transition&) const = default;
};

// A maximal stretch of time [from, to) with one offset; Time::min() and Time::max() where it has no end.
struct Stretch {
    Time from;
    Time to;
    std::chrono::seconds offset;
};

// The instants at which a wall clock shows one reading: none in a skipped hour, two in a repeated one.
struct Instants {
    std::array<Time, 2> at{};
    std::size_t count = 0;
};

class Zone {
public:
    Zone();  // UTC

    // Fails when the transitions don't ascend strictly or an offset is a day or more.
    static Result<Zone> make(std::string name, std::chrono::seconds first_offset, std::vector<Transition> transitions);

    const std::string& name() const;
    Stretch stretch(Time t) const;
    LocalTime local(Time t) const;
    Date date(Time t) const;
    Instants instants(LocalTime local) const;

    // The first instant whose local date is `date` or later: midnight, or where the clock jumped over it.
    Time first_instant_of(Date date) const;
    // The first instant after t with another local date than t's.
    Time next_date_change(Time t) const;

    // The same name and the same rules.
    bool operator==(const Zone& other) const { return data_ == other.data_ || *data_ == *other.data_; }

private:
    struct Data {
        std::string name;
        std::chrono::seconds first_offset;
        std::vector<Transition> transitions;

        bool operator==(const Data&) const = default;
    };
    explicit Zone(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
    std::shared_ptr<const Data> data_;
};

}  // namespace mailer::core
