// Whatever a token endpoint answers: a token or a failure, and no secret in its words.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "oauth/answer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace mailer::oauth;
    if (size < 2) return 0;
    Grant grant;
    grant.client_secret = "hunter2hunter2";
    HttpAnswer http;
    http.status = data[0] < 64 ? 200 : 100 + 2 * data[0];
    const std::size_t split = data[1] % size;
    http.retry_after.assign(reinterpret_cast<const char*>(data), split);
    http.body.assign(reinterpret_cast<const char*>(data) + split, size - split);
    const Answer answer = read_answer(http, grant, {});
    if (const auto* failure = std::get_if<Failure>(&answer)) {
        if (failure->words.size() > 520 || failure->words.find("hunter2hunter2") != std::string::npos) std::abort();
        if (failure->retry_after < mailer::core::Duration{0}) std::abort();
    } else if (std::get<Token>(answer).access_token.empty() ||
               std::get<Token>(answer).life <= mailer::core::Duration{0}) {
        std::abort();
    }
    return 0;
}
