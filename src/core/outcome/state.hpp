// The states of messages and campaigns: their letters, as the tables store them, and their words, as people read them.
//
// The one table of them. SQL asks it through mailer._message_state() and mailer._campaign_state(); C++ through the
// functions below. A recipient has the states of a message, except sending.
#pragma once

#include <string_view>

namespace mailer::core {

enum class MessageState : char {
    pending = 'p',
    sending = 's',
    sent = 'S',
    failed = 'f',
    cancelled = 'c',
    unconfirmed = 'u',
};

enum class CampaignState : char {
    draft = 'd',
    running = 'r',
    paused = 'p',
    completed = 'c',
    cancelled = 'x',
};

constexpr char letter(MessageState state) noexcept { return static_cast<char>(state); }
constexpr char letter(CampaignState state) noexcept { return static_cast<char>(state); }

// The word of a state; empty for a letter that is none.
constexpr std::string_view to_text(MessageState state) noexcept {
    switch (state) {
        case MessageState::pending:
            return "pending";
        case MessageState::sending:
            return "sending";
        case MessageState::sent:
            return "sent";
        case MessageState::failed:
            return "failed";
        case MessageState::cancelled:
            return "cancelled";
        case MessageState::unconfirmed:
            return "unconfirmed";
    }
    return {};
}

constexpr std::string_view to_text(CampaignState state) noexcept {
    switch (state) {
        case CampaignState::draft:
            return "draft";
        case CampaignState::running:
            return "running";
        case CampaignState::paused:
            return "paused";
        case CampaignState::completed:
            return "completed";
        case CampaignState::cancelled:
            return "cancelled";
    }
    return {};
}

}  // namespace mailer::core
