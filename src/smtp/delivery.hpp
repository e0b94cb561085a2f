// One message for one server: an envelope, and a body that many deliveries may share. A value; it does nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/endpoint.hpp"

namespace mailer::smtp {

struct Delivery {
    std::uint64_t token = 0;      // of the claim; unique among those in flight
    std::int64_t mailbox_id = 0;  // connections are pooled by this
    std::shared_ptr<const Endpoint> endpoint;
    std::string sender;                       // envelope, without <>; empty is the null sender
    std::vector<std::string> recipients;      // envelope, without <>; at least one; checked again by smtp/command
    std::shared_ptr<const std::string> body;  // composed, CRLF lines, not dot-stuffed
    bool is_8bit = false;
    bool needs_smtputf8 = false;
    bool is_dot_apart = false;     // everything else is written before may_dot is asked: a packet more
    std::string envelope_id = {};  // ENVID of the reports that are asked for (RFC 3461)
    std::string notify = {};       // NOTIFY: FAILURE, FAILURE,DELAY or NEVER; empty: none is asked for
};

}  // namespace mailer::smtp
