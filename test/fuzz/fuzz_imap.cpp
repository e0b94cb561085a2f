// Whatever an IMAP server sends, in any pieces: the dialogue ends or goes on, within bounds, and never asks for a
// change.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "imap/dialogue.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace mailer::imap;
    Plan plan;
    plan.since = "1-Jan-2026";
    mailer::core::Time now{std::chrono::hours{1}};
    Dialogue dialogue(plan, now);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t piece = size == 0 ? 1 : 1 + data[0] % 64;
    for (std::size_t at = 0; at < text.size(); at += piece) {
        dialogue.receive(text.substr(at, piece), now);
        for (int i = 0; i < 8 && dialogue.event() != nullptr && dialogue.event()->kind != Event::Kind::over; ++i) {
            for (Mail& mail : dialogue.event()->mails)
                mail.is_wanted = true;
            dialogue.take_up(now);
        }
        const std::string said(dialogue.output());
        for (std::size_t at_line = 0; at_line < said.size();
             at_line = std::min(said.find('\n', at_line), said.size() - 1) + 1) {
            const std::string_view line = std::string_view(said).substr(at_line, 30);
            const std::string_view verb = line.substr(std::min(line.find(' '), line.size() - 1) + 1);
            bool is_reading = line.starts_with("DONE");
            for (const char* known :
                 {"CAPABILITY", "LIST ", "EXAMINE ", "UID SEARCH ", "UID FETCH ", "STATUS ", "IDLE", "NOOP"})
                is_reading |= verb.starts_with(known);
            if (!is_reading || said.find("BODY[") != std::string::npos) std::abort();
        }
        if (said.size() > 1024 * 1024) std::abort();
        dialogue.sent(said.size());
        now += std::chrono::seconds{1};
        dialogue.expire(now);
    }
    return 0;
}
