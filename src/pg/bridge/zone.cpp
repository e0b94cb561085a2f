// Transitions out of PostgreSQL's own time zone database, so that SQL and the gates never disagree; see zone.hpp.
#include "pg/bridge/zone.hpp"

extern "C" {
#include "pgtime.h"
}

namespace mailer::pg {

namespace {

constexpr pg_time_t from_2000 = 946684800;
constexpr pg_time_t to_2100 = 4102444800;

core::Zone read_zone(const std::string& name) {
    pg_tz* tz = call([&] { return pg_tzset(name.c_str()); });
    if (tz == nullptr) {
        throw Refusal({"22023", "time zone \"" + name + "\" is not known", "",
                       "Names such as Europe/Warsaw are listed in the view pg_timezone_names."});
    }
    std::vector<core::Transition> transitions;
    long first_offset = 0;
    pg_time_t t = from_2000;
    bool is_first = true;
    while (t < to_2100) {
        long before = 0, after = 0;
        int before_dst = 0, after_dst = 0;
        pg_time_t boundary = 0;
        int found =
            call([&] { return pg_next_dst_boundary(&t, &before, &before_dst, &boundary, &after, &after_dst, tz); });
        if (is_first) first_offset = before;
        is_first = false;
        if (found <= 0) break;
        if (after != before) {
            transitions.push_back({core::from_unix_us(boundary * 1000000), std::chrono::seconds(after)});
        }
        t = boundary;
    }
    return expect(core::Zone::make(name, std::chrono::seconds(first_offset), std::move(transitions)));
}

}  // namespace

const core::Zone& zone(const std::string& name) {
    static std::map<std::string, core::Zone>& known = *new std::map<std::string, core::Zone>;
    auto it = known.find(name);
    if (it == known.end()) it = known.emplace(name, read_zone(name)).first;
    return it->second;
}

}  // namespace mailer::pg
