// Composes mails for the independent readers of test/mime/check_readers.py.
//
// Reads lines `field HEX` from standard input (text as hexadecimal, so that any octet passes), a line `.` composes what
// was read. Answers `ok BYTES STUFFED IS_8BIT NEEDS_SMTPUTF8` and a line end, then the mail, then the same dot-stuffed;
// or `error` and the message. Addresses are given as lists, so that reading them is tested, too.
#include <cstdio>
#include <deque>
#include <iostream>
#include <string>

#include "core/mail/mime.hpp"

namespace {

using namespace mailer::core;

struct Input {
    Mail mail;
    std::deque<std::string> contents;  // a deque: the attachments' views must not move
    std::string error;
};

std::string from_hex(const std::string& hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        out += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    return out;
}

std::vector<Address> addresses(const std::string& text, Input& input) {
    auto list = parse_address_list(text);
    if (list) return std::move(list).value();
    input.error = list.error().message;
    return {};
}

void set(Input& input, const std::string& field, const std::string& value) {
    Mail& mail = input.mail;
    if (field == "from") {
        const auto list = addresses(value, input);
        if (!list.empty()) mail.from = list.front();
    } else if (field == "sender") {
        const auto list = addresses(value, input);
        if (!list.empty()) mail.sender = list.front();
    } else if (field == "to") {
        mail.to = addresses(value, input);
    } else if (field == "cc") {
        mail.cc = addresses(value, input);
    } else if (field == "reply_to") {
        mail.reply_to = addresses(value, input);
    } else if (field == "subject") {
        mail.subject = value;
    } else if (field == "text") {
        mail.body_text = value;
    } else if (field == "html") {
        mail.body_html = value;
    } else if (field == "message_id") {
        mail.message_id_header = value;
    } else if (field == "in_reply_to") {
        mail.in_reply_to = value;
    } else if (field == "reference") {
        mail.references.push_back(value);
    } else if (field == "auto_submitted") {
        mail.auto_submitted = value;
    } else if (field == "list_id") {
        mail.list_id = value;
    } else if (field == "unsubscribe_url") {
        mail.list_unsubscribe_url = value;
        mail.list_unsubscribe_one_click = true;
    } else if (field == "date") {
        mail.date = from_unix_us(std::stoll(value) * 1'000'000);
    } else if (field == "utc_offset") {
        mail.utc_offset_minutes = std::stoi(value);
    } else if (field == "header_name") {
        mail.headers.push_back({value, ""});
    } else if (field == "header_value") {
        mail.headers.back().value = value;
    } else if (field == "attachment") {
        mail.attachments.push_back({value, "", "", ""});
    } else if (field == "content_type") {
        mail.attachments.back().content_type = value;
    } else if (field == "content_id") {
        mail.attachments.back().content_id = value;
    } else if (field == "content") {
        mail.attachments.back().content = input.contents.emplace_back(value);
    } else {
        input.error = "unknown field " + field;
    }
}

void answer(const Input& input) {
    const auto result = compose(input.mail);
    if (!input.error.empty() || !result) {
        std::cout << "error " << (input.error.empty() ? result.error().message : input.error) << std::endl;
        return;
    }
    const Composed& composed = result.value();
    std::string stuffed;
    dot_stuff(composed.bytes, stuffed);
    std::cout << "ok " << composed.bytes.size() << ' ' << stuffed.size() << ' ' << composed.is_8bit << ' '
              << composed.needs_smtputf8 << '\n'
              << composed.bytes << stuffed << std::flush;
}

}  // namespace

int main() {
    Input input;
    for (std::string line; std::getline(std::cin, line);) {
        if (line == ".") {
            answer(input);
            input = Input{};
            continue;
        }
        const auto blank = line.find(' ');
        set(input, line.substr(0, blank), blank == std::string::npos ? "" : from_hex(line.substr(blank + 1)));
    }
    return 0;
}
