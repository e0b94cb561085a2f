// See bad_recipient.hpp.
#include "pg/enqueue/bad_recipient.hpp"

#include "core/octets.hpp"
#include "pg/enqueue/request.hpp"

namespace mailer::pg {
namespace {

constexpr std::size_t longest_raw_key = 1000;  // octets

}  // namespace

std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        if (is_control && !out.empty() && out.back() == ' ') continue;
        out += is_control ? ' ' : c;
    }
    if (out.empty()) return "(empty)";
    out.resize(core::whole_characters(out, longest_raw_key).size());
    return out;
}

core::Envelope bad_envelope(std::string_view text) {
    core::Envelope out;
    out.header_to = printable(text);
    out.addresses.push_back(out.header_to);
    out.roles = "t";
    out.key = "invalid:" + (text.size() <= longest_raw_key ? std::string(text) : core::hexadecimal(sha256(text)));
    return out;
}

}  // namespace mailer::pg
