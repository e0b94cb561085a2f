// See pg/enqueue/attachments.hpp. Contents stay where PostgreSQL put them and are
// never copied here.
#include "pg/enqueue/attachments.hpp"

#include "core/mail/mime.hpp"

extern "C" {
#include "executor/executor.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {
namespace {

constexpr std::size_t most_attachments = 100;

struct Field {
    Datum value;
    bool is_null;
};

Field field(HeapTupleHeader row, AttrNumber n) {
    return call([&] {
        Field out{};
        out.value = GetAttributeByNum(row, n, &out.is_null);
        return out;
    });
}

std::optional<std::string> text_of(const Field& f) {
    if (f.is_null) return std::nullopt;
    return std::string(detoasted_text(f.value).view);
}

AttachmentRow read_row(Datum composite) {
    HeapTupleHeader row = call([&] { return DatumGetHeapTupleHeader(composite); });
    AttachmentRow out;
    out.filename = text_of(field(row, 1)).value_or("");
    const Field content = field(row, 2);
    if (content.is_null)
        refuse("attachment \"" + out.filename + "\" has no content", {}, "An empty file has the content ''.", "22004");
    out.content = detoasted_text(content.value);
    out.content_type = text_of(field(row, 3));
    out.content_id = text_of(field(row, 4));
    return out;
}

}  // namespace

void check_attachment_row(const AttachmentRow& row) {
    core::Attachment attachment;
    attachment.filename = row.filename;
    attachment.content_type = row.content_type.value_or("");
    attachment.content_id = row.content_id.value_or("");
    attachment.content = row.content.view;
    if (core::Status error = core::check_attachment(attachment)) throw Refusal(*error);
}

std::vector<AttachmentRow> read_attachments(Datum array, std::size_t limit) {
    const Oid element = call([&] { return ARR_ELEMTYPE(DatumGetArrayTypeP(array)); });
    const ArrayElements elements = elements_of(array, element);
    if (static_cast<std::size_t>(elements.count) > most_attachments)
        refuse("too many attachments", "There are " + std::to_string(elements.count) + "; " +
                                           std::to_string(most_attachments) + " are allowed.");
    std::vector<AttachmentRow> rows;
    std::size_t size = 0;
    for (int i = 0; i < elements.count; ++i) {
        if (elements.nulls[i]) refuse_null("an element of attachments");
        rows.push_back(read_row(elements.values[i]));
        check_attachment_row(rows.back());
        size += rows.back().content.view.size() / 3 * 4;
    }
    if (size > limit)
        refuse("the attachments are too large",
               "Encoded they have about " + std::to_string(size) + " octets; mailer.max_message_size is " +
                   std::to_string(limit) + ".",
               "Send a link instead.", "54000");
    return rows;
}

void store_attachments(std::int64_t message_id, const std::vector<AttachmentRow>& rows) {
    static Statement insert(
        "INSERT INTO mailer.message_attachment (message_id, n, filename, "
        "content_type, content_id, content)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        {INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID});
    std::int32_t n = 0;
    for (const AttachmentRow& row : rows) {
        insert.run({p_bigint(message_id), p_int(++n), p_text(std::string_view(row.filename)), p_text(row.content_type),
                    p_text(row.content_id), p_datum(BYTEAOID, row.content.datum)});
    }
}

}  // namespace mailer::pg
