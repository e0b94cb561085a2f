// The leads that a campaign gets, and the rows that they become.
//
// A lead gets in once: its address is unique in the campaign (a unique index decides between concurrent callers), and
// one that is in already is left as it is. A bad address becomes a message that has failed (invalid_address).
#pragma once

#include "pg/enqueue/store.hpp"

namespace mailer::pg {

struct Lead {
    std::string_view recipient = {};  // as the caller wrote it; NULL is the empty string
    RawValue variables = {};
    TextValue external_id = {};
    // Its own, where it has any: the lane that serves it, what it is shown with, and its place in the queue.
    std::optional<std::int64_t> lane_id = {};
    std::optional<std::int64_t> mailbox_id = {};
    TextValue timezone = {};
    std::optional<std::int64_t> not_before = {};
    std::optional<int> priority = {};
};

struct Leads {
    std::int64_t campaign_id = 0;
    std::int64_t lane_id = 0;
    std::int64_t epoch = 0;
    std::string domain = {};  // right side of Message-IDs
    Request request = {};     // template, who queued it, when it is due
    std::vector<Lead> items = {};
};

struct StoredLeads {
    std::int64_t queued = 0;
    std::int64_t failed = 0;
    std::int64_t first_id = 0;  // of the first that is new; 0: none is
};

// Needs a current Spi and runs as the owner. Throws Refusal with 40001 where another transaction added the same lead
// and this one's isolation level must not see that.
StoredLeads store_leads(const Leads& leads);

}  // namespace mailer::pg
