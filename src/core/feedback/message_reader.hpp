// A received mail taken apart: its header fields, and those of its MIME parts (RFC 2045, 2046) that can mean something.
//
// Any octets are a mail; what is broken is read as far as it goes, a multipart without its boundary as text.
// Bounded: parts, depth, fields and text have limits below, and what goes beyond them is not looked at. Nothing of
// a mail that was sent back inside this one (message/rfc822) is read but its header: a bounce in there was
// somebody else's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailer::core::feedback {

inline constexpr std::size_t max_parts = 64;
inline constexpr int max_depth = 8;
inline constexpr std::size_t max_fields = 500;
inline constexpr std::size_t max_text = 256 * 1024;  // of all parts together, decoded

struct Field {
    std::string name;   // lower case
    std::string value;  // unfolded, as it was sent
};

class Fields {
public:
    void add(Field field) { fields_.push_back(std::move(field)); }
    const std::string* find(std::string_view name) const noexcept;  // the first; nullptr: none
    std::string_view value(std::string_view name) const noexcept;   // the first, trimmed; empty: none
    const std::vector<Field>& all() const noexcept { return fields_; }
    bool empty() const noexcept { return fields_.empty(); }

private:
    std::vector<Field> fields_;
};

// Reads fields up to an empty line, which is removed from `rest` too.
Fields take_fields(std::string_view& rest);

// A parameter of a structured field: `report-type` of `multipart/report; report-type=delivery-status`.
std::string parameter(std::string_view value, std::string_view name);

struct Part {
    std::string type;  // lower case, without parameters
    Fields fields;
    std::string text;      // decoded; of a returned mail nothing
    std::string_view raw;  // as it came, within what was read
    Fields returned;       // of a returned mail, or returned header
    bool is_attachment;    // says so itself, or has a file name
};

struct Mail {
    Fields fields;
    std::string type;
    std::vector<Part> parts;  // leaves, in order

    const Part* part(std::string_view type) const noexcept;
    // Of the first part with the original's header.
    const Fields* returned() const noexcept;
    // The text that a person would read: all text/plain that isn't attached, else text/html without its tags.
    std::string human_text() const;
};

Mail read_mail(std::string_view raw);

// <id@domain> of a field like In-Reply-To or References, without brackets, in order.
std::vector<std::string> message_ids(std::string_view text, std::size_t limit);

// The first address in a text such as `Ada <ada@example.com>` or `rfc822; ada@example.com`; empty: none.
std::string first_address(std::string_view text);

}  // namespace mailer::core::feedback
