// The gates between waiting messages and their sending, as explain() shows them and view queue names the first shut
// one.
//
// For a look at many messages: settings, mailboxes and switches are read once, each lane when its first message is
// asked about, and what one gate of the lane shuts is shut for all of its messages. Only a message whose lane is open
// is read itself. Changes nothing. All but cached() require a transaction and an Spi as the extension's owner, and
// throw PgError or Refusal.
#pragma once

#include <map>

#include "pg/forecast/plan.hpp"

namespace mailer::pg {

struct WaitingRow {  // of queue_entry
    std::int64_t message_id = 0;
    std::int64_t lane_id = 0;
    std::int64_t epoch = 0;
    core::Time due_at = {};
};

struct NamedGate {
    std::string name;
    bool is_open = true;
    std::string limit = {};
    std::string used = {};
    std::optional<core::Time> opens_at = {};
    std::string detail = {};
};
NamedGate named(const core::GateLine& line);

class MessageGates {
public:
    explicit MessageGates(core::Time now);

    // In the order in which they are tried; without `message` those of its lane alone.
    std::vector<NamedGate> all(const WaitingRow& row, const core::MessageFacts* message);

    // The first shut gate and why it is shut: "window_open: window closed until Mon 09:00 Europe/Warsaw". Points to
    // memory that lives until the next call.
    const std::string& waits_for(const WaitingRow& row);
    // The same, where it is known without a look at any table: nothing else is asked of PostgreSQL. Null: it isn't.
    const std::string* cached(const WaitingRow& row) const noexcept;

private:
    bool is_as_its_lane(const WaitingRow& row) const;  // no gate of its epoch's is shut
    void add_lane(std::int64_t lane_id);
    std::string first_shut(const WaitingRow& row, const core::MessageFacts* message);

    core::Time now_;
    worker::InFlight in_flight_;
    ArmingState arming_;
    core::Planner planner_;
    core::SystemFacts armed_, held_;             // held_: of what was due at a promotion
    std::map<std::int64_t, std::string> lanes_;  // what each waits for; empty: its gates are open
    std::string words_;
};

// What a message that is on its way waits for, by its id. Nothing when it isn't on its way.
std::optional<std::string> sending_words(std::int64_t message_id);

}  // namespace mailer::pg
