// Amazon SES: "Ok 0102018f2b7c6d5e-…-000000". Microsoft: "OK <AM9PR…@….outlook.com> [Hostname=…]". SendGrid, Brevo,
// Mailjet: "Ok: queued as …".
#include "core/feedback/provider_id.hpp"

#include <algorithm>

#include "core/feedback/message_reader.hpp"
#include "core/feedback/text.hpp"

namespace mailer::core::feedback {

namespace {

constexpr std::size_t shortest = 20;
constexpr std::size_t longest = 200;

bool is_id(std::string_view word) {
    return word.size() >= shortest && word.size() <= longest && std::all_of(word.begin(), word.end(), [](char c) {
               return is_digit(c) || (lowered(c) >= 'a' && lowered(c) <= 'z') || c == '-' || c == '_' || c == '.';
           });
}

}  // namespace

std::string provider_id(std::string_view reply) {
    reply = reply.substr(0, reply.find('\n'));
    if (auto ids = message_ids(reply, 1); !ids.empty() && ids[0].size() <= longest) return ids[0];
    while (!reply.empty()) {
        reply = trimmed(reply);
        const auto end = std::min(reply.find(' '), reply.size());
        const std::string_view word = reply.substr(0, end);
        const bool has_digit = std::any_of(word.begin(), word.end(), is_digit);
        if (has_digit && is_id(word)) return std::string{word};
        reply.remove_prefix(end);
    }
    return {};
}

// Amazon SES writes its id and a domain of the region, which is in the server's name:
// email-smtp.eu-west-1.amazonaws.com.
std::string provider_message_id(std::string_view id, std::string_view host) {
    constexpr std::string_view prefix = "email-smtp.", suffix = ".amazonaws.com";
    if (id.find('@') != std::string_view::npos) return std::string{id};
    if (id.empty() || !host.starts_with(prefix) || !host.ends_with(suffix) ||
        host.size() <= prefix.size() + suffix.size())
        return {};
    const std::string_view region = host.substr(prefix.size(), host.size() - prefix.size() - suffix.size());
    return std::string{id} + '@' + std::string{region == "us-east-1" ? "email" : region} + ".amazonses.com";
}

}  // namespace mailer::core::feedback
