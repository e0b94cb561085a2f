// One mail, before it is bytes: what compose() (core/mail/mime.hpp) needs and nothing else.
//
// Bcc recipients are deliberately absent: they belong to the envelope, and what isn't here can't leak into a header.
// An empty string or vector means "not given" everywhere.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/address.hpp"
#include "core/pace/time.hpp"

namespace mailer::core {

struct HeaderField {
    std::string name;
    std::string value;  // UTF-8, unfolded, unencoded
};

struct Attachment {
    std::string filename;      // UTF-8; may be empty
    std::string content_type;  // `type/subtype; parameters`; empty: guessed from the file name
    std::string content_id;    // without angle brackets; given: an inline part, which HTML shows as `cid:…`
    std::string_view content;  // not owned: stays alive until compose() returned, by `owner` or by the caller
    std::shared_ptr<const void> owner = {};
    bool is_alternative = false;  // a further form of the bodies (text/calendar, text/x-amp-html)
};

struct Mail {
    Address from;
    std::optional<Address> sender = {};
    std::vector<Address> reply_to = {};
    std::vector<Address> to = {};
    std::vector<Address> cc = {};

    std::string subject = {};    // control characters (line ends too) become spaces, outer blanks are cut
    std::string body_text = {};  // any of CRLF, LF, CR ends a line
    std::string body_html = {};
    std::vector<Attachment> attachments = {};

    std::string message_id_header = {};  // required, `<unique@domain>`; the boundaries are derived from it
    std::string in_reply_to = {};        // `<…>`
    std::vector<std::string> references = {};
    Time date = {};
    int utc_offset_minutes = 0;  // the offset that Date is written in

    std::string auto_submitted = {};           // `auto-generated` on notifications (RFC 3834)
    std::string list_unsubscribe_url = {};     // https URL (RFC 2369)
    std::string list_unsubscribe_mailto = {};  // `mailto:…`
    bool list_unsubscribe_one_click = false;   // adds List-Unsubscribe-Post (RFC 8058); wants the URL
    std::string list_id = {};                  // `<newsletter.example.com>` or `Name <…>` (RFC 2919)
    std::string content_language = {};         // `de, en` (RFC 3282)

    // What the application asked for. See check_header() for what is refused. A field given here silences the one
    // that mailer would write from the members above (Auto-Submitted, List-*, In-Reply-To, References).
    std::vector<HeaderField> headers = {};
    // What mailer itself adds (X-Mailer-Campaign …); the same checks.
    std::vector<HeaderField> x_headers = {};
};

}  // namespace mailer::core
