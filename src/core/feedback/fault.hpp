// Hard, soft, or not the address's fault: the one function that decides it, for replies to RCPT and for bounces.
//
// Words count before codes, for codes lie: 5.1.1 is used for full, filtered and blocked mailboxes, and 5.4.1 by
// Microsoft for unknown users. Words of reputation, policy and authentication say that it isn't the address's fault;
// then what is full or switched off is soft; then an unknown user is hard; only then the codes are asked.
// The words are data: fault_rules.hpp.
#pragma once

#include <string_view>

namespace mailer::core::feedback {

enum class Cause {
    unknown,         // nothing was recognised
    authentication,  // SPF, DKIM, DMARC, reverse DNS, a login that is asked for
    reputation,      // blocked, listed, banned
    policy,          // refused by a rule: sender, content type, relaying, rates
    content,         // spam, virus, header, size
    full,            // the mailbox, its quota, its disk
    disabled,        // the account is there and switched off: disabled, suspended, frozen
    unknown_user,    // there is no such mailbox
    moved,           // there is no such mailbox any more
    temporary,       // later, time-out, connection, loop, expired
    unknown_host,    // there is no such domain, or it takes no mail
    system,          // the other side is broken
};

enum class Fault {
    hard,         // the address is dead: suppress it
    soft,         // the address's, and may pass
    not_its_own,  // says nothing about the address
};

struct Finding {
    Cause cause = Cause::unknown;
    Fault fault = Fault::soft;

    bool is_hard() const noexcept { return fault == Fault::hard; }
};

// `words` is the server's text as it came; `code` 0 and `enhanced` empty where there is none.
Finding weigh(int code, std::string_view enhanced, std::string_view words);

std::string_view to_text(Cause cause);

}  // namespace mailer::core::feedback
