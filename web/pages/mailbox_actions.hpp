// What a person may do to a mailbox, the same from the list and from its own page: the form's field `mailbox` names it.
#pragma once

#include "site/page.hpp"

namespace mailer::web {

// A token_state of mailbox_status or oauth_status in people's words: an expression of SQL.
inline const std::string token_words =
    R"sql(
        CASE token_state WHEN 'none' THEN 'not needed' WHEN 'valid' THEN 'connected' WHEN 'refreshing' THEN
            'being connected' WHEN 'provider_unreachable' THEN 'its provider doesn''t answer' WHEN 'refused' THEN
            'refused by its provider' WHEN 'consent_needed' THEN 'waits for consent' END)sql";

std::string pause_mailbox(Visit& visit);
std::string resume_mailbox(Visit& visit);
// Connects and logs in, and writes each step into the session's progress while it goes on.
std::string test_mailbox(Visit& visit);
// Leads to the mailbox that it made.
std::string create_mailbox(Visit& visit);
std::string set_password(Visit& visit);
// Stores what the form says of an OAuth2 application; the page then has the address of the consent.
std::string connect_mailbox(Visit& visit);
// The address that the provider led a browser to where nobody answers, pasted into a form.
std::string take_address(Visit& visit);

std::vector<Action> mailbox_actions();

}  // namespace mailer::web
