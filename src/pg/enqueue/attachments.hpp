// mailer.attachment[] read into rows, each checked so that composing can't fail
// on it later.
#pragma once

#include "pg/enqueue/request.hpp"

namespace mailer::pg {

// Refuses when a file can't be attached, or when all of them, as base64, exceed
// `limit` octets.
std::vector<AttachmentRow> read_attachments(Datum array, std::size_t limit);

void check_attachment_row(const AttachmentRow& row);

// Under a current Spi, as the owner.
void store_attachments(std::int64_t message_id, const std::vector<AttachmentRow>& rows);

}  // namespace mailer::pg
