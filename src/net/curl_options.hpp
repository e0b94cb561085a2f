// The options that libcurls of different age name differently, from 7.81 (Ubuntu 22.04) on: the rest of the code asks for what it wants.
#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>
#include <utility>

namespace mailer::net {

// The only protocols that a transfer may speak, for example "smtp,smtps". False when libcurl can't keep to that.
inline bool allow_only(CURL* easy, const char* protocols) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK;
#else
    constexpr std::pair<std::string_view, long> known[] = {{",http,", CURLPROTO_HTTP}, {",https,", CURLPROTO_HTTPS},
                                                           {",smtp,", CURLPROTO_SMTP}, {",smtps,", CURLPROTO_SMTPS},
                                                           {",imap,", CURLPROTO_IMAP}, {",imaps,", CURLPROTO_IMAPS}};
    const std::string wanted = "," + std::string(protocols) + ",";
    long bits = 0;
    for (const auto& [name, bit] : known)
        if (wanted.find(name) != std::string::npos) bits |= bit;
    return bits != 0 && curl_easy_setopt(easy, CURLOPT_PROTOCOLS, bits) == CURLE_OK;
#endif
}

// Closing must not wait for a thread that looks up a name. Before 7.87 libcurl always waits, as long as the resolver takes.
inline bool close_at_once([[maybe_unused]] CURL* easy) {
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#else
    return true;
#endif
}

}  // namespace mailer::net
