// From a claimed message to bytes for its mailbox: late-bound functions, suppression of single recipients, rendering,
// composing, redirecting and capturing. See worker/ports.hpp for what the pump expects.
#pragma once

#include <set>

#include "pg/bridge/settings.hpp"
#include "pg/engine/accounts.hpp"
#include "pg/engine/content.hpp"
#include "pg/engine/late_bound.hpp"
#include "pg/engine/preparers.hpp"
#include "pg/engine/transaction.hpp"
#include "worker/ports.hpp"

namespace mailer::pg {

class PgMailRoom final : public worker::MailRoom {
public:
    // `preparers` run late-bound functions; null: they run here, in `late_bound` (a session's own risk).
    PgMailRoom(EngineContext& context, Transactions& transactions, Accounts& accounts, LateBound& late_bound,
               Preparers* preparers = nullptr)
        : context_(context),
          transactions_(transactions),
          accounts_(accounts),
          late_bound_(late_bound),
          preparers_(preparers) {}

    void configure(const Settings& settings);
    void fetch(std::span<const worker::Ticket> tickets) override;
    worker::Prepared prepare(const worker::Ticket& ticket, core::Time now) override;
    Heard turn(core::Time now, bool may_ask, const std::function<void(std::uint64_t)>& on_begin) override;
    std::vector<std::uint64_t> take_back(const std::set<std::uint64_t>& tokens) override;
    std::optional<core::Time> wake_at() const;  // turn() must be called then
    void forget(std::int64_t message_id) override { fetched_.erase(message_id); }
    void limit_recipients(std::int64_t mailbox_id, int most) override;

private:
    struct Fetched {
        StoredMessage message;
        std::set<int> settled;  // recipients that earlier tries accepted or refused
        std::set<int> suppressed;
        bool is_large = false;  // its texts are in memory only while it is composed
    };
    // Nothing: go on, with `variables` if a loader gave any.
    std::optional<worker::Prepared> ask(const worker::Ticket& ticket, const StoredMessage& message,
                                        std::optional<core::Value>& variables, core::Time now);
    core::Result<Question> question_of(std::int64_t message_id);
    std::optional<worker::Prepared> run(const StoredMessage& message, std::optional<core::Value>& variables,
                                        core::Time now);
    bool fetch_attachments(Fetched& fetched);
    bool fetch_texts(Fetched& fetched);
    worker::Prepared prepare(const worker::Ticket& ticket, Fetched& fetched, const Account& account, core::Time now);
    void date_messages(std::span<const worker::Ticket> tickets);
    void fetch_recipients(const std::vector<std::int64_t>& ids, core::Time now);
    worker::Prepared compose(const Fetched& fetched, const Account& account, const core::Value* variables) const;
    void address(const Fetched& fetched, const Account& account, worker::Prepared& prepared) const;
    int most_recipients(const Account& account) const;
    static void ask_for_reports(const StoredMessage& message, const Account& account, worker::Prepared& prepared);

    EngineContext& context_;
    Transactions& transactions_;
    Accounts& accounts_;
    std::optional<std::int64_t> attachments_of_;  // whose attachments_ are
    std::vector<StoredAttachment> attachments_;
    LateBound& late_bound_;
    Preparers* preparers_;
    Settings settings_;
    ContentOptions content_;
    TemplateCaches templates_;
    std::map<std::int64_t, Fetched> fetched_;
    std::map<std::int64_t, int> most_recipients_;  // of a mailbox, as its server said since this process began
};

}  // namespace mailer::pg
