// See envelope.hpp.
#include "core/mail/envelope.hpp"

#include <algorithm>

namespace mailer::core {
namespace {

class EnvelopeBuilder {
public:
    // Adds what is new of `list`, to the envelope and (but for bcc) to a header.
    void add(const std::vector<Address>& list, char role, std::string* header) {
        for (const Address& address : list) {
            std::string key = address_key(address);
            if (is_known(key)) continue;
            if (++count_ > max_recipients) continue;
            if (count_ == 1)
                envelope_.key = std::move(key);
            else
                more_keys_.push_back(std::move(key));
            envelope_.addresses.push_back(address.mailbox());
            envelope_.roles.push_back(role);
            if (header == nullptr) continue;
            if (!header->empty()) *header += ", ";
            *header += format_address(address);
        }
    }

    Result<Envelope> finish() && {
        if (count_ == 0) return Error{"22023", "a mail needs a recipient"};
        if (count_ > max_recipients) {
            return Error{"22023", "too many recipients",
                         "The mail names " + std::to_string(count_) + " recipients; " + std::to_string(max_recipients) +
                             " are the most that every mail server takes.",
                         "Send one mail to each with mailer.enqueue_batch()."};
        }
        if (envelope_.header_to.empty()) envelope_.header_to = undisclosed;
        return std::move(envelope_);
    }

    Envelope& envelope() { return envelope_; }

private:
    // A list is short: at most max_recipients are kept, so a linear search is the cheapest.
    bool is_known(const std::string& key) const {
        if (count_ == 0) return false;
        return key == envelope_.key || std::find(more_keys_.begin(), more_keys_.end(), key) != more_keys_.end();
    }

    Envelope envelope_;
    std::vector<std::string> more_keys_;  // of the second and later ones
    std::size_t count_ = 0;
};

}  // namespace

Result<Envelope> make_envelope(const std::vector<Address>& to, const std::vector<Address>& cc,
                               const std::vector<Address>& bcc) {
    EnvelopeBuilder builder;
    builder.add(to, 't', &builder.envelope().header_to);
    builder.add(cc, 'c', &builder.envelope().header_cc);
    builder.add(bcc, 'b', nullptr);
    return std::move(builder).finish();
}

std::string format_address_list(const std::vector<Address>& list) {
    std::string text;
    for (const Address& address : list) {
        if (!text.empty()) text += ", ";
        text += format_address(address);
    }
    return text;
}

}  // namespace mailer::core
