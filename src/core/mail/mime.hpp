// From a Mail to the bytes that go over the wire, and back never: we write mail, others read it.
//
// The result passes any server: CRLF only, 7-bit (but for the addresses of a mail that needs SMTPUTF8), no line over
// 998 octets and almost none over 78 (RFC 5322 2.1.1). Composing is a pure function: the same Mail gives the same
// bytes, so what message_source() shows is what was sent. Nothing throws but std::bad_alloc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/mail/message.hpp"
#include "core/result.hpp"

namespace mailer::core {

struct ComposeOptions {
    std::size_t max_message_size = 25u * 1024 * 1024;  // octets of Composed::bytes
};

struct Composed {
    std::string bytes;            // ends in CRLF, not dot-stuffed
    bool is_8bit = false;         // only when needs_smtputf8: announce BODY=8BITMIME
    bool needs_smtputf8 = false;  // a header address isn't ASCII; the envelope's addresses may need it besides
};

// Fails (and composes nothing) on what check_header(), check_address() and check_attachment() refuse, on a missing or
// malformed Message-ID, on text that isn't UTF-8 (all 22023), and above max_message_size (54000).
Result<Composed> compose(const Mail& mail, const ComposeOptions& options = {});

// Whether the attachment's names and types can be written. For enqueue, so that the caller hears of it at once.
Status check_attachment(const Attachment& attachment);

// Whether two attachments of one mail may have these content ids (empty: none).
Status check_distinct(std::string_view content_id, std::string_view other);

// `de`, `en-GB, fr`: what Content-Language holds (RFC 3282, RFC 5646).
bool is_language_list(std::string_view text) noexcept;

// Appends `in` to `out` as DATA wants it: each line that begins with a dot gets a second one, and `.` CRLF ends it
// (RFC 5321 4.5.2). Requires CRLF line ends, which compose() gives; adds the last one when it is missing.
void dot_stuff(std::string_view in, std::string& out);

}  // namespace mailer::core
