// Everything that compose() refuses, asked before the first byte is written.
#pragma once

#include "core/mail/message.hpp"
#include "core/result.hpp"

namespace mailer::core {

Status check_mail(const Mail& mail);

// `<logo@example.com>` or `logo` as `logo@example.com`, `logo`.
std::string_view bare_content_id(std::string_view content_id) noexcept;

// Whether the application gave this field itself (Mail::headers).
bool has_header(const Mail& mail, std::string_view name) noexcept;

}  // namespace mailer::core
