// What a person may do to a mailbox, the same from the list and from its own page: the form's field `mailbox` names it.
#pragma once

#include "site/page.hpp"

namespace mailer::web {

std::string pause_mailbox(Visit& visit);
std::string resume_mailbox(Visit& visit);
// Connects and logs in, and writes each step into the session's progress while it goes on.
std::string test_mailbox(Visit& visit);
// Leads to the mailbox that it made.
std::string create_mailbox(Visit& visit);
std::string set_password(Visit& visit);
// Stores what the form says of an OAuth2 application; the page then has the address of the consent.
std::string connect_mailbox(Visit& visit);

std::vector<Action> mailbox_actions();

}  // namespace mailer::web
