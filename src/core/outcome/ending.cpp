// The table of causes, and the rule that a message that reached somebody is sent; see ending.hpp.
#include "core/outcome/ending.hpp"

#include <array>

namespace mailer::core {

namespace {

constexpr auto sent = MessageState::sent;
constexpr auto failed = MessageState::failed;
constexpr auto cancelled = MessageState::cancelled;
constexpr auto unconfirmed = MessageState::unconfirmed;

struct Row {
    Cause cause;
    std::string_view word;     // the reason when nobody was reached
    std::string_view of_rest;  // what is said of those who got nothing when somebody was
    MessageState state;        // when nobody was reached
};

constexpr std::array table{
    Row{Cause::answered, "rejected", "refused", failed},
    Row{Cause::attempts_exhausted, "attempts_exhausted", "refused", failed},
    Row{Cause::too_old, "too_old", "refused", failed},
    Row{Cause::expired, "expired", "expired", failed},
    Row{Cause::invalid_address, "invalid_address", "invalid_address", failed},
    Row{Cause::render_error, "render_error", "render_error", failed},
    Row{Cause::quarantined, "quarantined", "quarantined", failed},
    Row{Cause::by_user, "by_user", "by_user", cancelled},
    Row{Cause::campaign_cancelled, "campaign_cancelled", "campaign_cancelled", cancelled},
    Row{Cause::suppressed, "suppressed", "suppressed", cancelled},
    Row{Cause::send_if, "send_if", "send_if", cancelled},
    Row{Cause::duplicate, "duplicate", "duplicate", cancelled},
    Row{Cause::replied, "replied", "replied", cancelled},
    Row{Cause::bounced, "bounced", "bounced", cancelled},
    Row{Cause::complained, "complained", "complained", cancelled},
    Row{Cause::unsubscribed, "unsubscribed", "unsubscribed", cancelled},
    Row{Cause::stopped, "stopped", "stopped", cancelled},
    Row{Cause::campaign_ended, "campaign_ended", "campaign_ended", cancelled},
    Row{Cause::contact_gone, "contact_gone", "contact_gone", cancelled},
    Row{Cause::gathered, "gathered", "gathered", cancelled},
    Row{Cause::reply_lost, "reply_lost", "", unconfirmed},
    Row{Cause::server_crash, "server_crash", "", unconfirmed},
    Row{Cause::promoted, "promoted", "", unconfirmed},
    Row{Cause::resolved, "", "refused", sent},
    Row{Cause::confirmed, "confirmed", "refused", sent},
};

const Row& row_of(Cause cause) {
    for (const Row& row : table) {
        if (row.cause == cause) return row;
    }
    return table.front();
}

std::string some_of(int count, int total, std::string_view what) {
    return std::to_string(count) + " of " + std::to_string(total) + " " + std::string(what);
}

// Why not everybody got it: "1 of 3 refused", or "1 of 3 refused, 1 of 3 expired".
std::string shortfall(const RecipientCounts& counts, std::string_view of_rest) {
    const int total = counts.accepted + counts.refused + counts.waiting;
    if (of_rest == "refused") {
        const int refused = counts.refused + counts.waiting;
        return refused > 0 ? some_of(refused, total, "refused") : std::string{};
    }
    std::string text;
    if (counts.refused > 0) text = some_of(counts.refused, total, "refused");
    if (counts.waiting > 0) text += (text.empty() ? "" : ", ") + some_of(counts.waiting, total, of_rest);
    return text;
}

}  // namespace

Outcome end_of(const RecipientCounts& counts, Cause cause) {
    const Row& row = row_of(cause);
    const MessageState rest = row.state == cancelled ? cancelled : failed;
    if (row.state == unconfirmed) return {unconfirmed, std::string(row.word), rest};  // E3
    if (cause == Cause::confirmed) return {sent, std::string(row.word), rest};
    if (row.state == sent || counts.accepted > 0) return {sent, shortfall(counts, row.of_rest), rest};  // E1
    return {row.state, std::string(row.word), rest};
}

std::string_view to_text(Cause cause) { return row_of(cause).word; }

std::optional<Cause> cause_of(std::string_view word) {
    if (word == "resolved") return Cause::resolved;
    for (const Row& row : table) {
        if (!word.empty() && row.word == word) return row.cause;
    }
    return std::nullopt;
}

bool ends_unconfirmed(Cause cause) { return row_of(cause).state == sent; }

}  // namespace mailer::core
