// mailer.attachment[] read into rows, each checked so that composing can't fail
// on it later.
#pragma once

#include "pg/enqueue/request.hpp"

namespace mailer::pg {

// A mail of a batch has its own attachments from this number on: the batch's common ones are under its first mail.
constexpr std::int32_t first_own_attachment = 1001;

// Refuses when a file can't be attached, or when all of them, as base64, exceed
// `limit` octets.
std::vector<AttachmentRow> read_attachments(Datum array, std::size_t limit);

// The same from JSON: an object, or an array of objects, with filename, content (base64, or \\x and hexadecimal digits
// as to_jsonb() writes bytea), content_type, content_id and is_alternative. `what` names it in errors.
std::vector<AttachmentRow> read_json_attachments(const RawValue& jsonb, const std::string& what, std::size_t limit);

void check_attachment_row(const AttachmentRow& row);

// Under a current Spi, as the owner. They are numbered from `first` on.
void store_attachments(std::int64_t message_id, const std::vector<AttachmentRow>& rows, std::int32_t first = 1);

}  // namespace mailer::pg
