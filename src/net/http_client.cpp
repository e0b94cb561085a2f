// See http_client.hpp.
#include "net/http_client.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>

#include "net/curl_loop.hpp"
#include "net/curl_options.hpp"

namespace mailer::net {

namespace {

constexpr std::size_t longest_body = 64 * 1024;
constexpr std::size_t longest_header = 16 * 1024;
constexpr int most_at_once = 20;

struct SlistDeleter {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

long to_ms(core::Duration d) { return static_cast<long>(d / std::chrono::milliseconds{1}); }

bool is_header(std::string_view line, std::string_view name) {
    return line.size() > name.size() && line[name.size()] == ':' &&
           std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) { return a == (b | 0x20); });
}

}  // namespace

class HttpClient::Impl {
public:
    struct Exchange {
        HttpRequest request;
        HttpResponse response;
        smtp::CurlEasy easy;
        std::unique_ptr<curl_slist, SlistDeleter> headers;
        std::array<char, CURL_ERROR_SIZE> error{};
        std::size_t header_bytes = 0;
        bool is_in_loop = false;
        core::Time deadline;
    };

    Impl() : loop_(most_at_once) {}
    ~Impl() {
        for (const auto& exchange : exchanges_)
            if (exchange->is_in_loop) loop_.remove(exchange->easy.get());
    }

    void start(HttpRequest request, core::Time now) {
        auto exchange = std::make_unique<Exchange>();
        exchange->response.id = request.id;
        exchange->deadline = now + request.time_limit;
        exchange->request = std::move(request);
        exchange->easy.reset(curl_easy_init());
        if (!exchange->easy || !loop_.is_ok() || !set_options(*exchange)) {
            exchange->response.error_text = "the request could not be made";
        } else {
            exchange->is_in_loop = loop_.add(exchange->easy.get(), now);
            if (!exchange->is_in_loop) exchange->response.error_text = "out of resources";
        }
        exchanges_.push_back(std::move(exchange));
    }

    void turn(core::Time now, std::vector<HttpResponse>& finished) {
        std::vector<smtp::CurlLoop::Ready> ready;
        std::vector<smtp::CurlLoop::Done> done;
        loop_.poll(now, ready, done);
        for (const auto& one : done)
            for (const auto& exchange : exchanges_)
                if (exchange->easy.get() == one.easy) finish(*exchange, one.code);
        for (const auto& exchange : exchanges_) {
            if (!exchange->is_in_loop || now < exchange->deadline) continue;
            remove(*exchange);
            exchange->response.status = 0;
            exchange->response.error_text = "no answer in time";
        }
        std::erase_if(exchanges_, [&](const auto& exchange) {
            if (!exchange->is_in_loop) finished.push_back(std::move(exchange->response));
            return !exchange->is_in_loop;
        });
    }

    std::optional<core::Duration> next_timeout(core::Time now) const {
        std::optional<core::Time> next = loop_.timer();
        for (const auto& exchange : exchanges_) {
            const core::Time at = exchange->is_in_loop ? exchange->deadline : now;
            if (!next || at < *next) next = at;
        }
        if (!next) return std::nullopt;
        return std::max(core::Duration{0}, *next - now);
    }

    smtp::CurlLoop loop_;
    std::vector<std::unique_ptr<Exchange>> exchanges_;

private:
    static bool set_options(Exchange& exchange) {
        CURL* easy = exchange.easy.get();
        bool is_ok = true;
        const auto set = [&](CURLoption option, auto value) {
            is_ok &= curl_easy_setopt(easy, option, value) == CURLE_OK;
        };
        exchange.headers.reset(curl_slist_append(nullptr, "Accept: application/json"));
        set(CURLOPT_URL, exchange.request.url.c_str());
        set(CURLOPT_POSTFIELDSIZE, static_cast<long>(exchange.request.form.size()));
        set(CURLOPT_POSTFIELDS, exchange.request.form.c_str());
        set(CURLOPT_HTTPHEADER, exchange.headers.get());
        set(CURLOPT_USERAGENT, "mailer");
        set(CURLOPT_FOLLOWLOCATION, 0L);
        set(CURLOPT_FORBID_REUSE, 1L);
        set(CURLOPT_NOSIGNAL, 1L);
        is_ok &= allow_only(easy, "https,http") && close_at_once(easy);
        set(CURLOPT_PROXY, exchange.request.proxy ? exchange.request.proxy->c_str() : "");
        set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
        set(CURLOPT_CONNECTTIMEOUT_MS, 2 * to_ms(exchange.request.time_limit));  // turn() ends what takes too long
        set(CURLOPT_ERRORBUFFER, exchange.error.data());
        set(CURLOPT_WRITEFUNCTION, &Impl::on_body);
        set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
        set(CURLOPT_HEADERFUNCTION, &Impl::on_header);
        set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
        return is_ok;
    }

    // Returning less than what came ends the transfer.
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept {
        auto& exchange = *static_cast<Exchange*>(self);
        if (exchange.response.body.size() + size * count > longest_body) return 0;
        try {
            exchange.response.body.append(data, size * count);
        } catch (const std::exception&) {
            return 0;
        }
        return size * count;
    }

    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
        auto& exchange = *static_cast<Exchange*>(self);
        const std::string_view line{data, size * count};
        exchange.header_bytes += line.size();
        if (exchange.header_bytes > longest_header) return 0;
        try {
            if (is_header(line, "retry-after")) {
                const std::string_view value = line.substr(std::string_view("retry-after:").size());
                exchange.response.retry_after = value.substr(0, value.find_first_of("\r\n"));
            }
        } catch (const std::exception&) {
            return 0;
        }
        return line.size();
    }

    void remove(Exchange& exchange) {
        loop_.remove(exchange.easy.get());
        exchange.is_in_loop = false;
    }

    void finish(Exchange& exchange, CURLcode code) {
        if (!exchange.is_in_loop) return;
        long status = 0;
        curl_easy_getinfo(exchange.easy.get(), CURLINFO_RESPONSE_CODE, &status);
        remove(exchange);
        if (code == CURLE_OK) {
            exchange.response.status = static_cast<int>(status);
            return;
        }
        const std::string_view text{exchange.error.data()};
        exchange.response.error_text = code == CURLE_WRITE_ERROR ? "the answer is too long"
                                       : text.empty()            ? curl_easy_strerror(code)
                                                                 : std::string(text);
    }
};

HttpClient::HttpClient() : impl_(std::make_unique<Impl>()) {}
HttpClient::~HttpClient() = default;
void HttpClient::start(HttpRequest request, core::Time now) { impl_->start(std::move(request), now); }
void HttpClient::turn(core::Time now, std::vector<HttpResponse>& finished) { impl_->turn(now, finished); }
int HttpClient::poll_fd() const { return impl_->loop_.fd(); }
std::optional<core::Duration> HttpClient::next_timeout(core::Time now) const { return impl_->next_timeout(now); }
bool HttpClient::is_idle() const { return impl_->exchanges_.empty(); }

}  // namespace mailer::net
