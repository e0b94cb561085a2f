// Any octets as a received mail: what is read of it is bounded, and fit for a table: UTF-8 without control characters.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/feedback/feedback.hpp"
#include "core/mail/header_text.hpp"

using namespace mailer::core::feedback;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void require_text(std::string_view text, std::size_t limit) {
    require(text.size() <= limit && !mailer::core::find_offence(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Feedback feedback = read_feedback({reinterpret_cast<const char*>(data), size});
    require(feedback.items.size() <= max_items);
    for (const Item& item : feedback.items) {
        require_text(item.address, 320);
        require_text(item.original_address, 320);
        require_text(item.words, max_words);
        require_text(item.enhanced, 11);
        require(item.code == 0 || (item.code >= 200 && item.code < 600));
        require(!item.is_hard || item.kind == Kind::bounce);
    }
    require_text(feedback.envelope_id, 200);
    require_text(feedback.returned_id, 500);
    require_text(feedback.subject, 500);
    require(feedback.text_ids.size() <= 3 * max_ids && feedback.thread_ids.size() <= 2 * max_ids);
    for (const auto& ids : {feedback.thread_ids, feedback.text_ids, feedback.addressed_to}) {
        for (const std::string& id : ids)
            require_text(id, 500);
    }
    require_text(original_message_id(feedback), 500);
    return 0;
}
