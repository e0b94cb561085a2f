// See pg/table/shipped.hpp.
#include "pg/table/shipped.hpp"

extern "C" {
#include "catalog/pg_type.h"
}

namespace mailer::pg {
namespace {

constexpr ShippedColumn message_columns[] = {
    {"message_id", INT8OID, true, true},
    {"created_at", TIMESTAMPTZOID, true, true},
    {"tenant_id", INT8OID, true},
    {"principal_id", INT8OID, true},
    {"lane_id", INT8OID, true},
    {"campaign_id", INT8OID},
    {"step_id", INT8OID, true, true},
    {"variant", TEXTOID},
    {"batch_id", INT8OID},
    {"kind", CHAROID, true, true},
    {"addresses", TEXTARRAYOID, true},
    {"roles", TEXTOID, true},
    {"address_key", TEXTOID, true},
    {"header_to", TEXTOID, true},
    {"header_cc", TEXTOID},
    {"reply_to", TEXTOID},
    {"internet_message_id", TEXTOID, true},
    {"subject", TEXTOID},
    {"body_text", TEXTOID},
    {"body_html", TEXTOID},
    {"template", TEXTOID},
    {"variables", JSONBOID},
    {"headers", JSONBOID},
    {"attachments_of", INT8OID},
    {"send_at", TIMESTAMPTZOID},
    {"expires_at", TIMESTAMPTZOID},
    {"idempotency_key", TEXTOID},
    {"content_hash", BYTEAOID},
    {"external_id", TEXTOID},
    {"thread_key", TEXTOID},
    {"loader", TEXTOID},
    {"send_if", TEXTOID},
    {"category", TEXTOID},
    {"options", JSONBOID},
    {"is_raw", BOOLOID},
    {"loaded_variables", JSONBOID},
    {"purged_at", TIMESTAMPTZOID},
};
constexpr const char* message_checks[] = {
    "a key has the hash of what it stands for",
    "a message is of a campaign or of a batch, not of both",
    "every address has a role: t to, c cc, b bcc",
    "expires_at is a time from 1970 to 9999",
    "kind is n normal or w warm-up",
    "send_at is a time from 1970 to 9999",
    "subject is at most 64 kB",
    "there are 1 to 100 recipients",
};
constexpr const char* message_indexes[] = {
    "message_pkey",    "message_idempotency_key", "a lead gets a campaign's mail once",
    "message_batch",   "message_external_id",     "message_thread",
    "message_address",
};

constexpr ShippedColumn queue_entry_columns[] = {
    {"message_id", INT8OID, true},
    {"lane_id", INT8OID, true},
    {"priority", INT2OID, true},
    {"due_at", TIMESTAMPTZOID, true},
    {"expires_at", TIMESTAMPTZOID},
    {"epoch", INT8OID, true},
    {"state", CHAROID, true, true},
    {"attempt_count", INT2OID, true, true},
    {"try_count", INT4OID, true, true},
    {"crash_count", INT2OID, true, true},
    {"token", INT8OID},
    {"mailbox_id", INT8OID},
    {"claimed_at", TIMESTAMPTZOID},
    {"slot_at", TIMESTAMPTZOID},
    {"reserved_day", DATEOID},
    {"campaign_day", DATEOID},
    {"age_from", TIMESTAMPTZOID},
    {"is_repeatable", BOOLOID},
};
constexpr const char* queue_entry_checks[] = {
    "a row is claimed iff it has a token, a mailbox, a time and a re",
    "counts are not negative",
    "due_at is a time from 1970 to 9999",
    "expires_at is a time from 1970 to 9999",
    "priority is 0 to 4",
    "state is p pending or s sending",
};
constexpr const char* queue_entry_indexes[] = {
    "queue_entry_pkey",
    "queue_entry_ready",
    "queue_entry_claimed",
    "queue_entry_expiry",
};

constexpr ShippedColumn tally_delta_columns[] = {
    {"campaign_id", INT8OID},
    {"batch_id", INT8OID},
    {"queued", INT8OID, true, true},
    {"sent", INT8OID, true, true},
    {"failed", INT8OID, true, true},
    {"cancelled", INT8OID, true, true},
    {"unconfirmed", INT8OID, true, true},
};

constexpr ShippedColumn lead_columns[] = {
    {"campaign_id", INT8OID, true},
    {"address_key", TEXTOID, true},
    {"ended", TEXTOID},
    {"ended_at", TIMESTAMPTZOID},
    {"ended_reason", TEXTOID},
    {"held_at", TIMESTAMPTZOID},
    {"held_due_at", TIMESTAMPTZOID},
    {"last_sent_at", TIMESTAMPTZOID},
    {"last_slot_at", TIMESTAMPTZOID},
    {"thread_message_id", INT8OID},
    {"subject", TEXTOID},
    {"variables", JSONBOID},
    {"timezone", TEXTOID},
    {"mailbox_id", INT8OID},
    {"variant", TEXTOID},
    {"not_before", TIMESTAMPTZOID},
    {"priority", INT2OID},
    {"label", TEXTOID},
};
constexpr const char* lead_checks[] = {
    "ended is how a sequence ends",
    "ended_at is there iff it ended",
    "not_before is a time from 1970 to 8999",
    "priority is 0 to 4",
};
constexpr const char* lead_indexes[] = {
    "lead_pkey",
    "lead_address",
};

constexpr ShippedColumn notification_columns[] = {
    {"notification_id", INT8OID, true}, {"user_id", TEXTOID, true}, {"category", TEXTOID, true},
    {"collapse_key", TEXTOID},          {"is_open", BOOLOID, true}, {"created_at", TIMESTAMPTZOID, true},
    {"read_at", TIMESTAMPTZOID},        {"read_count", INT8OID},
};
constexpr const char* notification_checks[] = {
    "only unread rows with a collapse_key take more",
};
constexpr const char* notification_indexes[] = {
    "notification_pkey",        "notification_inbox", "notification_unread", "a collapse_key has one open notification",
    "notification_read_partly",
};

constexpr ShippedColumn notification_item_columns[] = {
    {"item_id", INT8OID, true},  {"notification_id", INT8OID}, {"user_id", TEXTOID, true},
    {"category", TEXTOID, true}, {"template", TEXTOID, true},  {"variables", JSONBOID, true},
    {"actor_id", TEXTOID},       {"collapse_key", TEXTOID},    {"created_at", TIMESTAMPTZOID, true},
    {"mail_group", TEXTOID},     {"message_id", INT8OID},
};
constexpr const char* notification_item_checks[] = {
    "collapse_key is 1 to 500 characters",
};
constexpr const char* notification_item_indexes[] = {
    "notification_item_pkey",    "notification_item_notification", "notification_item_mail_only",
    "notification_item_message", "notification_item_waiting",
};

}  // namespace

namespace shipped {
const ShippedTable message{"message", message_columns, message_checks, message_indexes};
const ShippedTable queue_entry{"queue_entry", queue_entry_columns, queue_entry_checks, queue_entry_indexes};
const ShippedTable tally_delta{"tally_delta", tally_delta_columns, {}, {}};
const ShippedTable lead{"lead", lead_columns, lead_checks, lead_indexes};
const ShippedTable notification{"notification", notification_columns, notification_checks, notification_indexes};
const ShippedTable notification_item{"notification_item", notification_item_columns, notification_item_checks,
                                     notification_item_indexes};
}  // namespace shipped

std::span<const ShippedTable* const> shipped_tables() {
    static constexpr const ShippedTable* all[] = {&shipped::message,      &shipped::queue_entry,
                                                  &shipped::tally_delta,  &shipped::lead,
                                                  &shipped::notification, &shipped::notification_item};
    return all;
}

}  // namespace mailer::pg
