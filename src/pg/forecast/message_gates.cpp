// See message_gates.hpp. Which gates there are, and in which order, is core/pace/gate's to say.
#include "pg/forecast/message_gates.hpp"

#include <algorithm>

#include "pg/bridge/clock.hpp"

extern "C" {
#include "miscadmin.h"
}

namespace mailer::pg {

namespace {

constexpr const char* of_another_epoch =
    "the message came with a dump or a copy of the database: held until mailer.arm()";
constexpr const char* held_since_promotion =
    "it was due when this server was promoted, and the old primary may have sent it (mailer.resolve_held())";

bool is_shut(const NamedGate& gate) { return !gate.is_open && gate.name.find(':') == std::string::npos; }

}  // namespace

NamedGate named(const core::GateLine& line) {
    std::string name(core::gate_name(line.gate));
    if (!line.mailbox.empty()) name += ":" + line.mailbox;
    return {name, line.is_open, line.limit, line.used, line.opens_at, line.detail};
}

MessageGates::MessageGates(core::Time now)
    : now_(now),
      in_flight_(read_in_flight()),
      arming_(look_at_arming()),
      planner_(read_planner(arming_, {}, now, &in_flight_)),
      armed_(planner_.system()),
      held_(armed_) {
    held_.is_armed = false;
    held_.held_reason = held_since_promotion;
}

bool MessageGates::is_as_its_lane(const WaitingRow& row) const {
    return !arming_.waits_for_arm(row.epoch) && !arming_.is_held(row.epoch, row.due_at);
}

void MessageGates::add_lane(std::int64_t lane_id) {
    if (planner_.lane(lane_id) != nullptr) return;
    const std::int64_t lanes[] = {lane_id};
    add_lanes(planner_, lanes, now_, &in_flight_);
}

std::vector<NamedGate> MessageGates::all(const WaitingRow& row, const core::MessageFacts* message) {
    std::vector<NamedGate> gates;
    if (arming_.waits_for_arm(row.epoch))
        gates.push_back({.name = "message_armed", .is_open = false, .detail = of_another_epoch});
    add_lane(row.lane_id);
    if (planner_.lane(row.lane_id) == nullptr) {
        gates.push_back({.name = "state", .is_open = false, .detail = "its lane is gone"});
        return gates;
    }
    planner_.set_system(arming_.is_held(row.epoch, row.due_at) ? held_ : armed_);
    for (const core::GateLine& line : planner_.explain(row.lane_id, message, now_))
        gates.push_back(named(line));
    return gates;
}

std::string MessageGates::first_shut(const WaitingRow& row, const core::MessageFacts* message) {
    const std::vector<NamedGate> gates = all(row, message);
    const auto shut = std::find_if(gates.begin(), gates.end(), is_shut);
    return shut == gates.end() ? std::string{} : shut->name + ": " + shut->detail;
}

const std::string* MessageGates::cached(const WaitingRow& row) const noexcept {
    if (!is_as_its_lane(row)) return nullptr;
    const auto lane = lanes_.find(row.lane_id);
    return lane == lanes_.end() || lane->second.empty() ? nullptr : &lane->second;
}

const std::string& MessageGates::waits_for(const WaitingRow& row) {
    if (is_as_its_lane(row) && !lanes_.contains(row.lane_id)) lanes_[row.lane_id] = first_shut(row, nullptr);
    if (const std::string* known = cached(row)) return *known;
    const auto candidate = read_candidate(row.message_id, now_);
    words_ = candidate ? first_shut(row, &candidate->facts) : "nothing: it was claimed or settled this moment";
    if (words_.empty()) words_ = "nothing: it goes in its turn";
    return words_;
}

std::optional<std::string> sending_words(std::int64_t message_id) {
    static Statement statement(
        R"sql(
            SELECT p.pid, CASE WHEN b.connection IS NOT NULL THEN b.name END AS forwarder,
                m.loader IS NOT NULL OR m.send_if IS NOT NULL AS is_late_bound
            FROM mailer.queue_entry q
            JOIN mailer.message m ON m.message_id = q.message_id
            LEFT JOIN mailer.mailbox b ON b.mailbox_id = q.mailbox_id
            LEFT JOIN mailer._preparers() p ON p.message_id = q.message_id
                AND p.database_oid = $2
            WHERE q.message_id = $1 AND q.state = 's')sql",
        {INT8OID, INT8OID});
    const Rows rows = statement.run({p_bigint(message_id), p_bigint(static_cast<std::int64_t>(MyDatabaseId))});
    if (rows.empty()) return std::nullopt;
    if (const auto pid = rows.maybe_bigint(0, "pid"))
        return "on its way: its loader or send_if function is running (mailer preparer, pid " + std::to_string(*pid) +
               ")";
    if (const auto forwarder = rows.maybe_text(0, "forwarder"))
        return "on its way: forwarder " + *forwarder + " hands it over";
    if (rows.boolean(0, "is_late_bound"))
        return "on its way: its loader or send_if function waits for a process, or has answered and a mail server is "
               "being talked to";
    return "on its way: a mail server is being talked to";
}

}  // namespace mailer::pg
