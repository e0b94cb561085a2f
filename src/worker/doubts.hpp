// Whose fault is a refusal that speaks of the mailbox, but came to a mail: the mailbox's, or that of who queued it?
//
// A client that queues mail chooses its recipients, content and sometimes From, and with them what the server says: a
// recipient for whom relaying is denied, a group that wants a login, content at which it hangs up. Such replies are
// taken for the mailbox's (core/outcome/mailbox_fault.hpp), which then rests. As long as other tenants' mail is
// accepted, one tenant's refusals make only its own mail wait: nobody stops a mailbox that others use. Where another
// tenant is refused likewise, with nobody accepted in between, it is the mailbox after all. So it is once the mailbox
// has rested for a fault that lasts, until somebody is accepted again: no other tenant's mail goes out that this one
// could stop. Knows no clock and no SQL.
#pragma once

#include <cstdint>
#include <set>

namespace mailer::worker {

class Doubts {
public:
    enum class Blame {
        mailbox,  // it rests
        mail,     // this mail waits alone
        moment,   // so many in a row that the server is spared for a moment, however others fare
    };

    // A mail of the tenant's was refused, for what may be the mailbox's fault.
    Blame refused(std::int64_t tenant_id);
    // One of its mails was accepted, or refused for its own sake.
    void proved(std::int64_t tenant_id);
    // The mailbox rests for a fault of its own that lasts: whom it served before says nothing about what comes.
    void forget_served() { served_.clear(); }

private:
    static constexpr int most_in_a_row = 10;

    std::set<std::int64_t> served_;   // tenants, since the sender started or the mailbox rested so
    std::set<std::int64_t> refused_;  // tenants, since anybody was served last
    int in_a_row_ = 0;
};

}  // namespace mailer::worker
