// Which parts of a mail are fetched, and the mail that is put together from them for the code that reads it.
//
// Named header fields come first and decide; of the rest only what can mean something is asked for: reports, returned
// headers, and at most 256 KB of text. Attachments are never fetched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "imap/response.hpp"

namespace mailer::imap {

struct PartPlace {
    std::string number;  // "1.2"; "TEXT" of a mail without parts
    bool is_header_only = false;
};

struct Structure {
    bool is_multipart = false;
    std::string subtype;      // of a multipart, lower case
    std::string report_type;  // of multipart/report
    std::vector<PartPlace> parts;
};

Structure structure_of(const Value& bodystructure);

// The items of FETCH that bring the parts.
std::string items_for(const Structure& structure);

// The fields that are fetched of every mail.
std::string_view header_items();

// A report by its form or its header: bounce, complaint, automatic answer. Those are read whole; anything else only
// when it answers a mail of ours.
bool may_be_report(const Structure& structure, std::string_view header);

// A mail (RFC 5322) of the fetched header and parts: `fetched` maps what FETCH named, like BODY[1.MIME], to its
// content.
struct Fetched {
    std::string name;
    std::string content;
};
std::string assemble(std::string_view header, const Structure& structure, const std::vector<Fetched>& fetched);

}  // namespace mailer::imap
