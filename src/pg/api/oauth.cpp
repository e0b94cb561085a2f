// What SQL asks the oauth room: whether an address can be an endpoint, what a provider's words mean, percent-encoding.
#include "oauth/hint.hpp"
#include "oauth/request.hpp"
#include "pg/bridge/arguments.hpp"
#include "pg/engine/token_keeper.hpp"

namespace mailer::pg {
namespace {

Datum text_or_null(FunctionCallInfo fcinfo, const std::string& text) {
    if (text.empty()) {
        fcinfo->isnull = true;
        return 0;
    }
    return text_value(text).datum;
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_oauth_endpoint_fault) {
    using namespace mailer::pg;
    return entry([&] { return text_or_null(fcinfo, mailer::oauth::endpoint_fault(Arguments(fcinfo).text().view)); });
}

MAILER_FUNCTION(mailer_oauth_hint) {
    using namespace mailer::pg;
    return entry([&] {
        Arguments arguments(fcinfo);
        const TextValue words = arguments.text();
        return text_or_null(fcinfo, mailer::oauth::hint_for(words.view, flow_of(arguments.text().view)));
    });
}

MAILER_FUNCTION(mailer_url_encoded) {
    using namespace mailer::pg;
    return entry([&] { return text_value(mailer::oauth::form_encoded(Arguments(fcinfo).text().view)).datum; });
}
