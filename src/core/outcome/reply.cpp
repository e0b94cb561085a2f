// Words for a reply and for the facts around it. No judgement here: that is verdict.cpp.
#include "core/outcome/reply.hpp"

#include "core/outcome/report.hpp"

namespace mailer::core {

std::string to_line(const Reply& reply) {
    std::string line = std::to_string(reply.code);
    if (!reply.enhanced.empty()) line += ' ' + reply.enhanced;
    if (!reply.text.empty()) line += ' ';
    for (char c : reply.text)
        line += c == '\n' ? ' ' : c;
    return line;
}

std::string_view to_text(Stage stage) {
    switch (stage) {
        case Stage::connect:
            return "connect";
        case Stage::tls:
            return "tls";
        case Stage::greeting:
            return "greeting";
        case Stage::ehlo:
            return "ehlo";
        case Stage::auth:
            return "auth";
        case Stage::mail:
            return "mail";
        case Stage::rcpt:
            return "rcpt";
        case Stage::data:
            return "data";
        case Stage::body:
            return "body";
        case Stage::dot:
            return "dot";
        case Stage::done:
            return "done";
    }
    return "?";
}

std::string_view to_text(Ending ending) {
    switch (ending) {
        case Ending::answered:
            return "answered";
        case Ending::failed:
            return "failed";
        case Ending::closed:
            return "closed";
        case Ending::timed_out:
            return "timed_out";
        case Ending::garbled:
            return "garbled";
        case Ending::unfit:
            return "unfit";
        case Ending::abandoned:
            return "abandoned";
        case Ending::unrecorded:
            return "unrecorded";
    }
    return "?";
}

}  // namespace mailer::core
