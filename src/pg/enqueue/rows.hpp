// The rows that one mail becomes: message, queue_entry (or outcome, for a bad address) and tally_delta.
//
// One place for enqueue and enqueue_batch. Rows go in through TableWriter; where that can't be (another transaction may
// hold the same idempotency key, or the table isn't plain), through an INSERT of the same columns.
// Needs a current Spi and runs as the owner.
#pragma once

#include "pg/enqueue/request.hpp"
#include "pg/table/writer.hpp"

namespace mailer::pg {

// What differs from mail to mail of one request.
struct MessageRow {
    std::int64_t id = 0;
    std::int64_t lane_id = 1;
    std::optional<std::int64_t> batch_id = {};
    std::optional<std::int64_t> campaign_id = {};
    std::string_view internet_message_id = {};
    const core::Envelope* envelope = nullptr;
    RawValue variables = {};
    RawValue headers = {};  // in place of the request's
    std::optional<std::int64_t> attachments_of = {};
    bool is_keyed = false;  // carries the request's idempotency key
    std::string_view content_hash = {};
    TextValue external_id = {};  // in place of the request's
    bool may_exist = false;      // another mail may have the key, or be that lead, which is then no error
};

// Whom a count is for, beside the database.
struct CountOf {
    std::optional<std::int64_t> batch_id = {};
    std::optional<std::int64_t> campaign_id = {};
};

class MailWriter {
public:
    // has_many: rows are gathered and written together, at the latest by finish().
    MailWriter(const Request& request, std::int64_t epoch, bool has_many = false);

    bool add_message(const MessageRow& row);  // false: another mail has the key or is that lead; nothing was written
    // priority, due_at: of this mail; none: the request's
    void add_to_queue(std::int64_t message_id, std::int64_t lane_id, std::optional<int> priority = {},
                      std::optional<std::int64_t> due_at = {});
    void add_failure(std::int64_t message_id, const std::string& error);  // invalid_address
    void add_count(const CountOf& of, std::int64_t queued, std::int64_t failed);
    void finish();  // makes the rows visible to the next command

private:
    void put(TableWriter& table, std::span<const Param> values);

    const Request& request_;
    std::int64_t epoch_;
    bool has_many_;
    MemoryContext row_memory_;  // goes with the caller's
    TableWriter messages_;
    TableWriter queue_;
    bool is_direct_;
};

}  // namespace mailer::pg
