// See lead_store.hpp. A few leads are inserted one by one, each with ON CONFLICT DO NOTHING. Many are written a page at
// a time, without those that were there before; when somebody adds one of them at the same moment, the unique index
// says so, and all is done again knowing it.
#include "pg/enqueue/lead_store.hpp"

#include "core/key_set.hpp"
#include "core/octets.hpp"
#include "pg/bridge/subtransaction.hpp"
#include "pg/enqueue/bad_recipient.hpp"
#include "pg/enqueue/rows.hpp"

extern "C" {
#include "access/xact.h"
}

namespace mailer::pg {
namespace {

constexpr std::size_t few = 50;       // not worth a subtransaction
constexpr std::size_t chunk = 10000;  // leads that are read before they are written

struct ReadLead {
    core::Envelope envelope = {};
    std::optional<std::string> error = {};
};

ReadLead read(std::string_view recipient) {
    const std::string_view raw = core::trimmed(recipient, " ");
    const core::Result<core::Address> address = core::parse_address(raw);
    if (!address) return {bad_envelope(raw), address.error().text()};
    ReadLead out;
    out.envelope.roles = "t";
    out.envelope.header_to = printable(raw);
    out.envelope.addresses.push_back(address->mailbox());
    out.envelope.key = core::address_key(*address);
    return out;
}

TableShape& lead_shape() {
    static TableShape shape(shipped::lead,
                            {"campaign_id", "address_key", "timezone", "mailbox_id", "not_before", "priority"});
    return shape;
}

Param p_maybe_small(std::optional<int> v) {
    return v ? p_datum(INT2OID, Int16GetDatum(static_cast<std::int16_t>(*v))) : p_null(INT2OID);
}

class LeadStore {
public:
    explicit LeadStore(const Leads& leads)
        : leads_(leads),
          has_many_(leads.items.size() > few),
          seen_(leads.items.size()),
          ids_(leads.items.size()),
          writer_(leads.request, leads.epoch, has_many_),
          lead_rows_(lead_shape()),
          is_direct_(lead_rows_.open()) {}

    StoredLeads run() {
        const bool may_exist = has_many_ && has_leads();
        for (std::size_t from = 0; from < leads_.items.size(); from += chunk)
            add(std::span(leads_.items).subspan(from, std::min(chunk, leads_.items.size() - from)), may_exist);
        if (stored_.first_id != 0)
            writer_.add_count({.campaign_id = leads_.campaign_id}, stored_.queued, stored_.failed);
        writer_.finish();
        if (is_direct_) lead_rows_.finish();
        return stored_;
    }

private:
    bool has_leads() const {
        static Statement find("SELECT FROM mailer.message m WHERE m.campaign_id = $1 LIMIT 1", {INT8OID});
        return !find.run({p_bigint(leads_.campaign_id)}).empty();
    }

    bool is_in(const std::string& key) const {
        static Statement find(
            "SELECT FROM mailer.message m WHERE m.campaign_id = $1 AND m.address_key OPERATOR(pg_catalog.=) $2",
            {INT8OID, TEXTOID});
        return !find.run({p_bigint(leads_.campaign_id), p_text(key)}).empty();
    }

    void add(std::span<const Lead> items, bool may_exist) {
        std::vector<ReadLead> leads;
        leads.reserve(items.size());
        for (const Lead& item : items)
            leads.push_back(read(item.recipient));
        if (may_exist) find_existing(leads);
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (i + 1 < items.size()) seen_.expect(leads[i + 1].envelope.key);
            if (seen_.insert(leads[i].envelope.key)) add(items[i], leads[i]);
        }
    }

    void find_existing(const std::vector<ReadLead>& leads) {
        static Statement find(
            R"sql(
                SELECT m.address_key
                FROM mailer.message m
                WHERE m.campaign_id = $1
                    AND m.address_key OPERATOR(pg_catalog.=) ANY ($2))sql",
            {INT8OID, TEXTARRAYOID});
        std::vector<std::string> keys;
        keys.reserve(leads.size());
        for (const ReadLead& lead : leads)
            keys.push_back(lead.envelope.key);
        const Rows rows = find.run({p_bigint(leads_.campaign_id), p_texts(std::span<const std::string>(keys))});
        for (std::uint64_t i = 0; i < rows.count(); ++i)
            seen_.insert(rows.text(i, 1));
    }

    void add(const Lead& item, const ReadLead& lead) {
        const auto [id, random] = ids_.next();
        const std::string message_id = make_message_id(id, random, leads_.domain);
        MessageRow row;
        row.id = id;
        row.lane_id = item.lane_id.value_or(leads_.lane_id);
        row.campaign_id = leads_.campaign_id;
        row.internet_message_id = message_id;
        row.envelope = &lead.envelope;
        row.variables = item.variables ? item.variables : leads_.request.variables;
        row.external_id = item.external_id;
        row.may_exist = !has_many_;
        if (!writer_.add_message(row)) {
            if (is_in(lead.envelope.key)) return;
            row.may_exist = false;  // unique by an index that isn't ours, which says so now
            writer_.add_message(row);
        }
        if (stored_.first_id == 0) stored_.first_id = id;
        add_lead_row(item, lead.envelope.key);
        if (lead.error) {
            writer_.add_failure(id, *lead.error);
            ++stored_.failed;
        } else {
            std::optional<std::int64_t> due_at;
            if (item.not_before) due_at = std::max(*item.not_before, leads_.request.due_at);
            writer_.add_to_queue(id, item.lane_id.value_or(leads_.lane_id), item.priority, due_at);
            ++stored_.queued;
        }
    }

    void add_lead_row(const Lead& item, const std::string& key) {
        static Statement insert(
            R"sql(
                INSERT INTO mailer.lead (campaign_id, address_key, timezone, mailbox_id, not_before, priority)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT DO NOTHING)sql",
            {INT8OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT2OID});
        const std::array<Param, 6> values = {p_bigint(leads_.campaign_id), p_text(std::string_view(key)),
                                             item.timezone.param(),        p_bigint(item.mailbox_id),
                                             p_time(item.not_before),      p_maybe_small(item.priority)};
        if (is_direct_ && has_many_)
            lead_rows_.append(values);
        else
            insert.run(std::span<const Param>(values));
    }

    const Leads& leads_;
    const bool has_many_;
    core::KeySet seen_;
    MailIds ids_;
    MailWriter writer_;
    TableWriter lead_rows_;
    bool is_direct_;
    StoredLeads stored_;
};

// By the index that makes a lead unique, or by one that is being built in its place (REINDEX CONCURRENTLY). What else
// is unique would be so the next time too.
bool is_lead_taken(const Caught& error) {
    return error.sqlstate == "23505" && error.constraint.starts_with("a lead gets a campaign's mail once");
}

}  // namespace

StoredLeads store_leads(const Leads& leads) {
    if (leads.items.size() <= few) return LeadStore(leads).run();
    constexpr int tries = 10;
    for (int n = 1;; ++n) {
        StoredLeads stored;
        const std::optional<Caught> error = attempt([&] { stored = LeadStore(leads).run(); });
        if (!error) return stored;
        const bool is_taken = is_lead_taken(*error);
        if (is_taken && IsolationUsesXactSnapshot())
            refuse("could not serialize access due to concurrent update",
                   "Another transaction has added one of these leads.", "Do the transaction again.", "40001");
        if (!is_taken || n == tries) throw Refusal({error->sqlstate, error->message, error->detail, error->hint});
    }
}

}  // namespace mailer::pg
