// A client that makes this program open addresses could reach what is behind the firewall. So only what SNS has signed
// comes here (hook.cpp), and only SNS's own hosts are asked.
#include "public/sns_confirmation.hpp"

#include <curl/curl.h>

#include <memory>
#include <regex>

#include "db/value_of.hpp"
#include "net/curl_options.hpp"

namespace mailer::web {

namespace {
std::size_t ignore_body(char*, std::size_t size, std::size_t count, void* total) {
    auto& taken = *static_cast<std::size_t*>(total);
    taken += size * count;
    return taken > (64u << 10) ? 0 : size * count;
}
}  // namespace

std::string confirmation_address(std::string_view body) {
    const core::Value note = value_of_json(body);
    const core::Value* type = note.find("Type");
    const core::Value* url = note.find("SubscribeURL");
    if (!type || type->scalar_text() != "SubscriptionConfirmation" || !url || url->scalar_text().size() > 4000)
        return {};
    // The whole authority is fixed: nothing before the host, nothing between host and path.
    static const std::regex own(R"(https://sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?/[!-~]*)");
    std::string address(url->scalar_text());
    return std::regex_match(address, own) ? address : std::string();
}

bool confirm(const std::string& address) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
    if (!curl) return false;
    std::size_t taken = 0;
    long status = 0;
    curl_easy_setopt(curl.get(), CURLOPT_URL, address.c_str());
    if (!net::allow_only(curl.get(), "https")) return false;
    curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, ignore_body);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &taken);
    if (curl_easy_perform(curl.get()) != CURLE_OK) return false;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

}  // namespace mailer::web
