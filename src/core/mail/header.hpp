// Header fields: what may go into one, and how it is written, folded and encoded (RFC 5322 2.2, RFC 2047, RFC 6532).
//
// HeaderWriter is the only code that writes header lines, and it refuses CR, LF and other control characters itself,
// whatever was checked before: injection must be impossible, not unlikely. Lines are folded at 76 octets where there
// is a blank to fold at, encoded words are at most 75 octets and split between characters.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/address.hpp"
#include "core/result.hpp"

namespace mailer::core {

// Whether an application may set this field: the name is legal, the value holds no control character and is UTF-8, and
// the field isn't one that mailer owns (From, To, Cc, Bcc, Date, Message-ID, Subject, MIME-Version, Content-* …).
Status check_header(std::string_view name, std::string_view value);

// The same of a template that makes the value when the mail is sent: only what rendering can't change is looked at.
Status check_header_template(std::string_view name, std::string_view source);

// Whether a subject given literally is one line without control characters; a tab is white space. (compose() itself
// forgives: a template may put a variable with a line end into a subject, and that is no reason to lose the mail.)
Status check_subject(std::string_view subject);

// Whether this is one `<left@right>` as Message-ID, In-Reply-To and References hold (RFC 5322 3.6.4).
Status check_message_id(std::string_view message_id);

// 1 to 76 printable ASCII characters without blanks and colons (RFC 5322 2.2); the length leaves room to fold.
bool is_field_name(std::string_view name) noexcept;

// Whether two field names are the same: ASCII case doesn't count.
bool same_field_name(std::string_view a, std::string_view b) noexcept;

// Writes header lines at the end of `out`. The first refusal is kept in error() and nothing more is written.
class HeaderWriter {
public:
    explicit HeaderWriter(std::string& out) : out_(out) {}

    // A value of our own making or of a strict grammar, ASCII, folded at blanks, never encoded.
    void structured(std::string_view name, std::string_view value);
    // Free text: subject, custom fields. Words longer than `longest_raw_word` are encoded so that they can be folded; a
    // custom field that holds a URL or a token wants them kept.
    void unstructured(std::string_view name, std::string_view value, std::size_t longest_raw_word = std::string::npos);
    // A field that the application names itself, by the grammar that its name stands for (core/mail/header_kind.hpp).
    void application(std::string_view name, std::string_view value);
    void addresses(std::string_view name, std::span<const Address> list);
    // `name: first; attribute=value; …`, already legal, one parameter a line when they don't fit on one.
    void parameterised(std::string_view name, std::string_view first, std::span<const std::string> parameters);
    // The empty line between header and body.
    void end();

    const Status& error() const noexcept { return error_; }

private:
    bool begin(std::string_view name, std::string_view value);
    void fold_before(std::size_t width);
    void put(std::string_view text);
    void put_word(std::string_view blank, std::string_view word);
    void put_encoded(std::string_view text, bool is_phrase);
    void put_name(std::string_view name);
    void put_pieces(std::string_view name, std::string_view value, bool has_phrase);
    bool may_stand_raw(std::string_view name, std::string_view word);
    void finish();

    std::string& out_;
    std::size_t line_start_ = 0;
    bool is_first_ = true;  // nothing but the name stands on the line: a fold here would leave it empty
    Status error_ = {};
};

}  // namespace mailer::core
