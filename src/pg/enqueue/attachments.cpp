// See pg/enqueue/attachments.hpp. Contents stay where PostgreSQL put them and are
// never copied here.
#include "pg/enqueue/attachments.hpp"

#include "core/mail/mime.hpp"
#include "pg/bridge/jsonb_value.hpp"

extern "C" {
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
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
    const Field is_alternative = field(row, 5);
    out.is_alternative = !is_alternative.is_null && DatumGetBool(is_alternative.value);
    return out;
}

TextValue octets_of(const std::string& text, const std::string& what) {
    const TextValue encoded = text_value(text);
    const bool is_hex = text.starts_with("\\x");
    const Datum octets = call([&] {
        if (is_hex) return DirectFunctionCall1(byteain, CStringGetDatum(text.c_str()));
        return DirectFunctionCall2(binary_decode, encoded.datum, CStringGetTextDatum("base64"));
    });
    TextValue out = detoasted_text(octets);
    if (out.is_null) refuse(what + " have no content");
    return out;
}

AttachmentRow row_of(const core::Value& object, const std::string& what) {
    AttachmentRow row;
    bool has_content = false;
    if (object.kind() != core::Value::Kind::object) refuse(what + " must be JSON objects");
    for (const core::Value::Member& member : object.members()) {
        if (member.value.kind() == core::Value::Kind::null) continue;
        if (member.key == "is_alternative" && member.value.kind() == core::Value::Kind::boolean) {
            row.is_alternative = member.value.is_truthy();
            continue;
        }
        if (member.value.kind() != core::Value::Kind::string)
            refuse("\"" + member.key + "\" of " + what + " must be a string");
        std::string text(member.value.scalar_text());
        if (member.key == "filename") {
            row.filename = std::move(text);
        } else if (member.key == "content") {
            row.content = octets_of(text, what);
            has_content = true;
        } else if (member.key == "content_type") {
            row.content_type = std::move(text);
        } else if (member.key == "content_id") {
            row.content_id = std::move(text);
        } else {
            refuse("there is no \"" + member.key + "\" in an attachment", {},
                   "An attachment has filename, content (base64), content_type, content_id and is_alternative.");
        }
    }
    if (!has_content) refuse(what + " have no content", {}, "An empty file has the content \"\".", "22004");
    return row;
}

void check_rows(const std::vector<AttachmentRow>& rows, std::size_t limit) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        check_attachment_row(rows[i]);
        size += rows[i].content.view.size() / 3 * 4;
        for (std::size_t j = 0; j < i && rows[i].content_id; ++j) {
            if (core::Status error = core::check_distinct(rows[j].content_id.value_or(""), *rows[i].content_id))
                throw Refusal(*error);
        }
    }
    if (size > limit)
        refuse("the attachments are too large",
               "Encoded they have about " + std::to_string(size) + " octets; mailer.max_message_size is " +
                   std::to_string(limit) + ".",
               "Send a link instead.", "54000");
}

}  // namespace

void check_attachment_row(const AttachmentRow& row) {
    core::Attachment attachment;
    attachment.filename = row.filename;
    attachment.content_type = row.content_type.value_or("");
    attachment.content_id = row.content_id.value_or("");
    attachment.content = row.content.view;
    if (row.is_alternative && !row.content_type)
        refuse("an alternative needs a content type", {}, "Give content_type => 'text/calendar; method=REQUEST', say.");
    if (core::Status error = core::check_attachment(attachment)) throw Refusal(*error);
}

std::vector<AttachmentRow> read_attachments(Datum array, std::size_t limit) {
    const Oid element = call([&] { return ARR_ELEMTYPE(DatumGetArrayTypeP(array)); });
    const ArrayElements elements = elements_of(array, element);
    if (static_cast<std::size_t>(elements.count) > most_attachments)
        refuse("too many attachments", "There are " + std::to_string(elements.count) + "; " +
                                           std::to_string(most_attachments) + " are allowed.");
    std::vector<AttachmentRow> rows;
    for (int i = 0; i < elements.count; ++i) {
        if (elements.nulls[i]) refuse_null("an element of attachments");
        rows.push_back(read_row(elements.values[i]));
    }
    check_rows(rows, limit);
    return rows;
}

std::vector<AttachmentRow> read_json_attachments(const RawValue& jsonb, const std::string& what, std::size_t limit) {
    std::vector<AttachmentRow> rows;
    if (!jsonb) return rows;
    const core::Value value = read_jsonb(jsonb.datum);
    const bool is_one = value.kind() == core::Value::Kind::object;
    if (!is_one && value.kind() != core::Value::Kind::array)
        refuse(what + " must be a JSON object or an array of them", {},
               "Write to_jsonb(mailer.attach('a.pdf', content)).");
    if (is_one)
        rows.push_back(row_of(value, what));
    else
        for (const core::Value& item : value.items())
            rows.push_back(row_of(item, what));
    if (rows.size() > most_attachments) refuse(what + " are too many", {}, "A mail has at most 100.");
    check_rows(rows, limit);
    return rows;
}

void store_attachments(std::int64_t message_id, const std::vector<AttachmentRow>& rows, std::int32_t first) {
    static Statement insert(
        R"sql(
            INSERT INTO mailer.message_attachment (message_id, n, filename, content_type, content_id,
                content, is_alternative)
            VALUES ($1, $2, $3, $4, $5, $6, $7))sql",
        {INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, BOOLOID});
    std::int32_t n = first;
    for (const AttachmentRow& row : rows) {
        insert.run({p_bigint(message_id), p_int(n++), p_text(std::string_view(row.filename)), p_text(row.content_type),
                    p_text(row.content_id), p_datum(BYTEAOID, row.content.datum),
                    row.is_alternative ? p_bool(true) : p_null(BOOLOID)});
    }
}

}  // namespace mailer::pg
