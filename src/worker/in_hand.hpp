// The bodies of mails that are given to the courier and not settled: how many octets, and whose may be composed next.
//
// Invariants: (H1) one mail always may. (H2) A mailbox with mail in hand gets more only below the limit. (H3) One that
// has none may have its first up to twice the limit: mails that a slow server takes hours to read keep no other
// mailbox's from being sent.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace mailer::worker {

class InHand {
public:
    void add(std::int64_t mailbox_id, std::size_t size) {
        if (size == 0) return;
        total_ += size;
        of_mailbox_[mailbox_id] += size;
    }
    void remove(std::int64_t mailbox_id, std::size_t size) {
        if (size == 0) return;
        const auto it = of_mailbox_.find(mailbox_id);
        assert(it != of_mailbox_.end() && it->second >= size && total_ >= size);
        total_ -= size;
        if ((it->second -= size) == 0) of_mailbox_.erase(it);
    }
    bool has_room(std::int64_t mailbox_id, std::size_t limit) const {
        return total_ < limit || (total_ < 2 * limit && !of_mailbox_.contains(mailbox_id)) || total_ == 0;
    }
    bool has_room_for_any(std::size_t limit) const { return total_ < 2 * limit || total_ == 0; }

private:
    std::size_t total_ = 0;
    std::unordered_map<std::int64_t, std::size_t> of_mailbox_;
};

}  // namespace mailer::worker
