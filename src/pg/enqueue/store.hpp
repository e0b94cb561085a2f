// Where a request lands: the lane it waits in, the rows it becomes. Everything
// here needs a current Spi and runs as the owner.
#pragma once

#include "pg/enqueue/request.hpp"

namespace mailer::pg {

// What the tables say about a request.
struct Destination {
    std::int64_t epoch = 0;
    std::vector<std::int64_t> pool = {};  // mailbox ids, ascending; empty: the default pool
    std::int64_t stream_lane = 0;
    std::string domain = {};  // right side of Message-IDs
};

// Checks that the template and the mailboxes exist. `wants_stream`: make the
// pool's stream when there is none yet.
Destination find_destination(const Request& request, bool wants_stream = true);

// The tenant's stream for the pool of a lane that is known. Refuses when the database isn't armed.
Destination destination_of_lane(std::int64_t lane_id, std::int64_t tenant_id);

// The next `count` message ids.
std::vector<std::int64_t> next_message_ids(std::size_t count);
std::int64_t next_value(const char* sequence);  // of the extension, without its schema

// A Message-ID that nobody can guess, so that nobody can forge a reply to it. `random`: 8 octets.
constexpr std::size_t random_octets = 8;
std::string draw_random(std::size_t octets);
std::string make_message_id(std::int64_t id, std::string_view random, std::string_view domain);

// Ids, and random bits for their Message-IDs, of mails that are queued together: drawn for many at a time.
class MailIds {
public:
    explicit MailIds(std::size_t expected) : left_(expected) {}

    struct Drawn {
        std::int64_t id;
        std::string_view random;  // until the next call
    };
    Drawn next();

private:
    std::size_t left_;               // how many may still be asked for
    std::vector<std::int64_t> ids_;  // drawn, and not used yet, the last first
    std::string random_;
};

// Writes one mail: message, queue entry, tally, attachments, and marks the
// wake-up. Returns its id, or that of the mail which already has the same key
// and content.
std::int64_t store_message(const Request& request, const core::Envelope& envelope, const Destination& destination);

// The same under an id that was drawn before; without an idempotency key.
void store_message_as(std::int64_t id, const Request& request, const core::Envelope& envelope,
                      const Destination& destination);

// The tenant's mail that has this key, if any: refuses when its content is another.
struct Keyed {
    std::int64_t message_id;
    std::optional<std::int64_t> batch_id;
};
std::optional<Keyed> find_by_key(const Request& request, std::string_view content_hash);

}  // namespace mailer::pg
