// The facts of one try to deliver one message: what was sent, what was answered, how it ended.
//
// A Report is what the SMTP room hands to core/outcome/verdict and what the attempt log shows. It says what happened
// and never what that means. Invariant 1: `dot_sent` is false only when it is certain that the server can't have
// seen the final dot. Invariant 2: `final_reply` is set only from a complete reply to the dot, or (with `dot_sent`
// false) from a complete refusal that came while the body was still being sent. Invariant 3: `recipients` holds at
// most one result per index, in any order; an index without one got no complete reply to its RCPT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/outcome/reply.hpp"
#include "core/pace/time.hpp"

namespace mailer::core {

// How far a try came. The names are the texts of attempt_log.stage.
enum class Stage { connect, tls, greeting, ehlo, auth, mail, rcpt, data, body, dot, done };

// How it ended.
enum class Ending {
    answered,    // the server's replies decided
    failed,      // connecting, securing or logging in failed: `curl_code`, `error_text`, perhaps `session_reply`
    closed,      // the connection was closed or reset before all replies came
    timed_out,   // a reply, or room to write, didn't come in time
    garbled,     // what came was not SMTP: malformed, endless, unsolicited, or out of step
    unfit,       // the server can't take this message: SIZE, SMTPUTF8 or 8BITMIME; `session_reply` says which
    abandoned,   // by us: shutdown
    unrecorded,  // by us: the journal could not record the dot, so it was not sent
};

struct RecipientResult {
    int index = 0;  // into Delivery::recipients
    Reply reply;
    bool is_unfit = false;  // never asked: the server can't take this address; the reply has code 0 and says why
};

struct Report {
    std::uint64_t token = 0;      // of the claim
    std::int64_t mailbox_id = 0;  // that tried
    int recipient_count = 0;      // of the envelope

    Stage stage = Stage::connect;  // done, or the one that it ended in
    Ending ending = Ending::failed;
    bool dot_sent = false;
    bool connection_was_reused = false;

    std::optional<Reply> final_reply;    // to the dot
    std::optional<Reply> session_reply;  // that ended it earlier: to greeting, EHLO, AUTH, MAIL, DATA; or a stray 421
    std::vector<RecipientResult> recipients;

    int curl_code = 0;
    std::string error_text;  // for people; never holds a secret

    Time started_at;  // when a connection was assigned to it
    Time dot_at;      // when the dot was allowed; the epoch when it never was
    Time finished_at;
};

std::string_view to_text(Stage stage);
std::string_view to_text(Ending ending);

}  // namespace mailer::core
