// HTTPS requests that never block, for token endpoints: POST a form, read a short answer.
//
// Like the mail connections it lives on one CurlLoop: the caller waits on poll_fd(), wakes at next_timeout() at the
// latest and calls turn(). Redirects aren't followed, certificates are always verified, the environment's proxies are
// never used, an answer is read up to 64 KB. What is sent holds secrets: nothing here puts it into a text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/pace/time.hpp"

namespace mailer::net {

struct HttpRequest {
    std::uint64_t id = 0;  // the caller's, handed back
    std::string url;
    std::string form;                  // application/x-www-form-urlencoded
    std::optional<std::string> proxy;  // as CURLOPT_PROXY
    core::Duration time_limit = std::chrono::seconds{30};
};

struct HttpResponse {
    std::uint64_t id = 0;
    int status = 0;  // 0: there was no answer; error_text says why
    std::string body;
    std::string retry_after;  // the header, as it came
    std::string error_text;
};

class HttpClient {
public:
    HttpClient();
    ~HttpClient();  // gives up what is on its way
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    void start(HttpRequest request, core::Time now);
    void turn(core::Time now, std::vector<HttpResponse>& finished);
    int poll_fd() const;
    std::optional<core::Duration> next_timeout(core::Time now) const;
    bool is_idle() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace mailer::net
