// Logging out is a POST like every action; who comes by the address is asked. Site::log_out() does it.
#include "site/page.hpp"

namespace mailer::web {

static const Registered here{Page{
    .path = "/logout",
    .title = "Log out",
    .template_name = "logout.html",
    .show = [](Visit&) { return core::Value::object(); },
}};

}  // namespace mailer::web
