// Several mails about one event: what enqueue_batch and the trigger hand in, and the rows that it becomes.
//
// An element is one address: a display name that somebody chose can't add another. A bad one doesn't stop the others:
// it becomes a message that has failed (invalid_address). An address that comes twice gets one mail, the first.
#pragma once

#include "pg/enqueue/store.hpp"

namespace mailer::pg {

constexpr std::size_t longest_label = 500;  // octets; labels are indexed

struct BatchItem {
    std::string_view recipient = {};              // as the caller wrote it; NULL is the empty string
    RawValue variables = {};                      // merged over the request's
    RawValue headers = {};                        // the same
    std::vector<AttachmentRow> attachments = {};  // beside the request's
};

struct Batch {
    Request request;
    std::vector<BatchItem> items = {};
    RawValue gap = {};  // interval, checked; NULL: none
    TextValue label = {};
};

// Refuses a gap below zero; NULL for one of zero.
RawValue checked_gap(const RawValue& gap);

// Checks what belongs to single recipients: shapes and sizes of their variables.
void check_items(const std::vector<BatchItem>& items);

// Needs a current Spi and runs as the owner. Gives the batch id, or that of the batch which has the same key and
// content.
std::int64_t store_batch(const Batch& batch);

}  // namespace mailer::pg
