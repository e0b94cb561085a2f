// The parameter options: what is rarely asked for, in one JSON object.
#include "core/mail/header_text.hpp"
#include "core/mail/mime.hpp"
#include "pg/bridge/jsonb_value.hpp"
#include "pg/enqueue/request.hpp"

namespace mailer::pg {
namespace {

constexpr const char* known_options = "Options are from_name, from_address, sender, dsn and language.";

void keep_sender(Request& request, const char* option, std::string_view text) {
    core::Result<core::Address> address = core::parse_address(text);
    if (!address) {
        core::Error error = address.error();
        error.message = std::string(option) + ": " + error.message;
        throw Refusal(std::move(error));
    }
    request.senders.push_back(std::move(address).value());
}

// RFC 3461 4.1: NEVER stands alone.
void check_dsn(std::string_view text) {
    bool is_never = false;
    int count = 0;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        std::string_view word = text.substr(0, comma);
        while (word.starts_with(' '))
            word.remove_prefix(1);
        while (word.ends_with(' '))
            word.remove_suffix(1);
        is_never |= word == "never";
        ++count;
        if (word != "never" && word != "failure" && word != "delay" && word != "success")
            refuse("invalid dsn: " + core::quoted_for_error(word), {},
                   "It is never, or one or more of failure, delay and success with commas.");
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    if (count == 0 || (is_never && count > 1))
        refuse("invalid dsn", {}, "It is never, or one or more of failure, delay and success with commas.");
}

}  // namespace

void read_options(Request& request, const RawValue& options) {
    request.options = options;
    check_object("options", request.options, 10'000);
    if (!request.options) return;
    const core::Value given = read_jsonb(request.options.datum);
    for (const core::Value::Member& option : given.members()) {
        if (option.value.kind() == core::Value::Kind::null) continue;
        if (option.value.kind() != core::Value::Kind::string)
            refuse("option \"" + option.key + "\" must be a string", {}, known_options);
        const std::string text(option.value.scalar_text());
        if (option.key == "from_address" || option.key == "sender") {
            keep_sender(request, option.key.c_str(), text);
        } else if (option.key == "from_name") {
            if (const auto offence = core::find_offence(text))
                refuse("from_name holds an illegal character", "It is " + offence->what + ".",
                       "It is one line of text.");
        } else if (option.key == "dsn") {
            check_dsn(text);
        } else if (option.key == "language") {
            if (!core::is_language_list(text))
                refuse("invalid language: " + core::quoted_for_error(text), {},
                       "It is a language tag such as de or en-GB, or a list of them with commas.");
        } else {
            refuse("there is no option \"" + option.key + "\"", {}, known_options);
        }
    }
}

}  // namespace mailer::pg
