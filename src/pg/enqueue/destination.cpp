// Which lane a request waits in, and which domain its Message-IDs have; see
// pg/enqueue/store.hpp.
//
// Streams are made when first named and never removed: two callers that need
// the same new one meet at its unique key.
#include <algorithm>

#include "pg/enqueue/store.hpp"
#include "pg/table/reader.hpp"

namespace mailer::pg {
namespace {

// Without a mailbox yet, a name that nobody can own (RFC 2606, section 2).
std::string domain_of(const std::string& from_address) {
    const core::Result<core::Address> address = core::parse_address(from_address);
    return address ? address->domain : std::string("mailer.invalid");
}

[[noreturn]] void refuse_template(const TextValue& name) {
    refuse("template \"" + std::string(name.view) + "\" does not exist", {},
           "Store it with mailer.template_set(), or pass subject and body_text.", "42704");
}

// The default pool, and most mail: three rows by their keys.
void read_default(const TextValue& template_name, const Actor& by, Destination& destination) {
    static TableReader arming("arming", {}, {"epoch"});
    static TableReader mailboxes("mailbox", {}, {"is_default", "from_address"});
    static TableReader templates("template", {"name"}, {"is_shared"});
    const FreshSnapshot now;
    const auto armed = arming.first();
    if (!armed)
        refuse("mail can't be queued: this database isn't armed", {}, "Ask an operator to call mailer.arm().", "55000");
    const auto found = template_name ? templates.find({template_name}) : std::nullopt;
    if (template_name && !found) refuse_template(template_name);
    const bool is_free = !found || found->boolean(0) || by.is_operator;
    if (!is_free && !is_template_granted(by.tenant_id, template_name.view))
        refuse_ungranted("template", template_name.view);
    destination.epoch = armed->bigint(0);
    const auto mailbox = mailboxes.first(0);
    destination.domain = domain_of(mailbox ? std::string(mailbox->text(1).view) : std::string());
}

void read_pool(const Request& request, Destination& destination) {
    static Statement read(
        R"sql(
            SELECT m.name, m.mailbox_id, m.from_address, m.is_shared
                OR $2 OPERATOR(pg_catalog.=) 1 OR EXISTS ( SELECT FROM mailer.mailbox_grant g
                WHERE g.mailbox_id OPERATOR(pg_catalog.=) m.mailbox_id
                    AND g.tenant_id OPERATOR(pg_catalog.=) $2) AS is_granted
            FROM mailer.mailbox m
            WHERE m.name OPERATOR(pg_catalog.=) ANY ($1) ORDER BY m.mailbox_id)sql",
        {TEXTARRAYOID, INT8OID});
    const std::int64_t tenant = request.by.is_operator ? operator_tenant : request.by.tenant_id;
    const Rows rows = read.run({p_texts(std::span<const std::string>(request.mailboxes)), p_bigint(tenant)});
    std::vector<std::string> found;
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        found.push_back(rows.text(i, "name"));
        if (!rows.boolean(i, "is_granted")) refuse_ungranted("mailbox", found.back());
        destination.pool.push_back(rows.bigint(i, "mailbox_id"));
    }
    for (const std::string& name : request.mailboxes) {
        if (std::find(found.begin(), found.end(), name) != found.end()) continue;
        refuse("mailbox \"" + name + "\" does not exist", {},
               "Mailboxes are made by mailer.mailbox_create() and listed in "
               "mailer.mailbox_status.",
               "42704");
    }
    destination.domain = domain_of(rows.text(0, "from_address"));
}

std::int64_t find_stream(const std::vector<std::int64_t>& pool, std::int64_t tenant_id) {
    static Statement find(
        R"sql(
            SELECT l.lane_id
            FROM mailer.lane l
            WHERE l.pool_key OPERATOR(pg_catalog.=) $1
                AND l.tenant_id OPERATOR(pg_catalog.=) $2)sql",
        {TEXTOID, INT8OID});
    static Statement add(
        R"sql(
            INSERT INTO mailer.lane (kind, pool, pool_key, tenant_id)
            VALUES ('s', $1, $2, $3)
            ON CONFLICT (tenant_id, pool_key) DO NOTHING RETURNING lane_id)sql",
        {INT8ARRAYOID, TEXTOID, INT8OID});
    std::string key;
    for (const std::int64_t id : pool)
        key += (key.empty() ? "" : ",") + std::to_string(id);
    const Param p_key = p_text(std::string_view(key));
    for (;;) {
        if (const Rows rows = find.run({p_key, p_bigint(tenant_id)}); !rows.empty()) return rows.bigint(0, 1);
        const Rows rows = add.run({p_bigints(std::span<const std::int64_t>(pool)), p_key, p_bigint(tenant_id)});
        if (!rows.empty()) return rows.bigint(0, 1);
    }
}

std::int64_t default_stream(std::int64_t tenant_id) {
    static Statement read("SELECT t.lane_id FROM mailer.tenant t WHERE t.id OPERATOR(pg_catalog.=) $1", {INT8OID});
    const Rows rows = read.run({p_bigint(tenant_id)});
    if (rows.empty()) refuse("tenant " + std::to_string(tenant_id) + " does not exist", {}, {}, "XX000");
    return rows.bigint(0, 1);
}

// Another pool than the default one: the domain is that of its first mailbox.
void read_lane(std::int64_t lane_id, std::int64_t tenant_id, Destination& destination) {
    static Statement read(
        R"sql(
            SELECT l.pool, b.from_address
            FROM mailer.lane l
            LEFT JOIN mailer.mailbox b ON b.mailbox_id OPERATOR(pg_catalog.=) l.pool[1]
            WHERE l.lane_id OPERATOR(pg_catalog.=) $1)sql",
        {INT8OID});
    const Rows rows = read.run({p_bigint(lane_id)});
    if (rows.empty() || rows.is_null(0, "pool")) {
        destination.stream_lane = default_stream(tenant_id);
        return;
    }
    destination.pool = rows.bigints(0, "pool");
    if (!rows.is_null(0, "from_address")) destination.domain = domain_of(rows.text(0, "from_address"));
    destination.stream_lane = tenant_id == operator_tenant ? lane_id : find_stream(destination.pool, tenant_id);
}

// The caller may name another From and Sender, within what every mailbox that may send the mail allows.
void check_senders(const Request& request, const Destination& destination) {
    static Statement read(
        R"sql(
            SELECT m.name, m.from_address, m.allowed_from
            FROM mailer.mailbox m
            WHERE CASE WHEN $1 IS NULL THEN m.is_default ELSE m.mailbox_id OPERATOR(pg_catalog.=) ANY ($1) END)sql",
        {INT8ARRAYOID});
    if (request.senders.empty()) return;
    const Rows rows = read.run(
        {destination.pool.empty() ? p_null(INT8ARRAYOID) : p_bigints(std::span<const std::int64_t>(destination.pool))});
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        const std::vector<std::string> allowed =
            rows.is_null(i, "allowed_from") ? std::vector<std::string>() : rows.texts(i, "allowed_from");
        for (const core::Address& sender : request.senders) {
            if (core::may_send_as(sender, rows.text(i, "from_address"), allowed)) continue;
            refuse("mailbox \"" + rows.text(i, "name") + "\" may not send as " + sender.mailbox(),
                   "Its from_address is " + rows.text(i, "from_address") + ", and allowed_from doesn't have this one.",
                   "An operator can add it: mailer.mailbox_alter('" + rows.text(i, "name") +
                       "', '{\"allowed_from\": [\"" + sender.mailbox() + "\"]}').");
        }
    }
}

}  // namespace

Destination destination_of_lane(std::int64_t lane_id, std::int64_t tenant_id) {
    constexpr std::int64_t default_lane = 1;  // the operators'
    Destination destination;
    read_default({}, {}, destination);
    if (lane_id == default_lane && tenant_id == operator_tenant)
        destination.stream_lane = lane_id;
    else
        read_lane(lane_id, tenant_id, destination);
    return destination;
}

Destination find_destination(const Request& request, bool wants_stream) {
    Destination destination;
    read_default(request.template_name, request.by, destination);
    destination.stream_lane = request.by.lane_id;
    if (!request.mailboxes.empty()) read_pool(request, destination);
    check_senders(request, destination);
    if (wants_stream && !request.mailboxes.empty())
        destination.stream_lane = find_stream(destination.pool, request.by.tenant_id);
    return destination;
}

}  // namespace mailer::pg
