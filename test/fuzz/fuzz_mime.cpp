// Any bytes as every part of a mail: what is composed is legal line by line, starts no header that we didn't write,
// and comes out of dot-stuffing as it went in.
//
// The input is split at FF octets: the fields of a mail in order, then attachments of three fields each.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/header.hpp"
#include "core/mail/mime.hpp"

using namespace mailer::core;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> fields;
    for (;;) {
        const auto end = text.find('\xFF');
        fields.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return fields;
        text.remove_prefix(end + 1);
    }
}

void require_legal(const Composed& composed) {
    const std::string& bytes = composed.bytes;
    bool in_header = true;
    for (std::size_t at = 0; at < bytes.size();) {
        const auto end = bytes.find("\r\n", at);
        require(end != std::string::npos && end - at <= 998);
        const std::string_view line(bytes.data() + at, end - at);
        require(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
        if (!composed.is_8bit)
            for (const char c : line)
                require(static_cast<unsigned char>(c) < 0x80);
        if (line.empty()) in_header = false;
        if (in_header) require(!same_field_name(line.substr(0, 4), "Bcc:"));
        at = end + 2;
    }
}

void require_unstuffs(const std::string& bytes) {
    std::string stuffed;
    dot_stuff(bytes, stuffed);
    std::string back;
    std::size_t at = 0;
    for (;;) {
        const auto end = stuffed.find("\r\n", at);
        require(end != std::string::npos);
        std::string_view line(stuffed.data() + at, end - at);
        at = end + 2;
        if (line == ".") break;
        if (line.starts_with('.')) line.remove_prefix(1);
        back.append(line).append("\r\n");
    }
    require(at == stuffed.size() && back == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto fields = split({reinterpret_cast<const char*>(data), size});
    fields.resize(std::max<std::size_t>(fields.size(), 8));
    Mail mail;
    mail.from = {std::string(fields[0]), "ada", "example.com"};
    mail.to = {{"", "bob", "example.org"}};
    if (auto list = parse_address_list(fields[1])) mail.cc = std::move(list).value();
    mail.subject = fields[2];
    mail.body_text = fields[3];
    mail.body_html = fields[4];
    mail.message_id_header = "<" + std::string(fields[5]) + "@example.com>";
    if (!fields[6].empty()) mail.headers = {{std::string(fields[6]), std::string(fields[7])}};
    for (std::size_t i = 8; i + 2 < fields.size(); i += 3)
        mail.attachments.push_back(
            {std::string(fields[i]), std::string(fields[i + 1]), i % 2 ? "cid" : "", fields[i + 2]});
    const auto result = compose(mail);
    if (!result) return 0;
    require_legal(result.value());
    require_unstuffs(result.value().bytes);
    return 0;
}
