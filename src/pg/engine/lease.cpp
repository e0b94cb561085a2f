// The lease's two kinds; see lease.hpp.
#include "pg/engine/lease.hpp"

#include <curl/curl.h>
#include <sys/stat.h>

#include "pg/bridge/clock.hpp"
#include "pg/server/shared.hpp"

namespace mailer::pg {

using namespace std::chrono_literals;

namespace {

constexpr core::Duration pause_between_questions = 2s;
constexpr core::Duration pause_while_asking = 10ms;
constexpr long longest_answer_ms = 2000;

size_t drop_body(char*, size_t size, size_t count, void*) { return size * count; }

// The instant until which the file is good.
core::Time file_good_until(const core::LeaseSource& source) {
    struct stat st = {};
    if (stat(source.address.c_str(), &st) != 0) return core::Time::min();
    return core::from_unix_us(st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000) + source.good_for;
}

core::SenderFence fence_of(bool is_good, const core::LeaseSource& source, const std::string& trouble) {
    core::SenderFence fence{.is_set = true, .is_open = is_good};
    fence.words = is_good ? "this server has the lease " + source.address
                          : "this server does not have the lease " + source.address + ": " + trouble;
    return fence;
}

}  // namespace

class HttpQuestion {
public:
    explicit HttpQuestion(const std::string& url) : multi_(curl_multi_init()), easy_(curl_easy_init()) {
        if (multi_ == nullptr || easy_ == nullptr) return;
        curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, longest_answer_ms);
        curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, drop_body);
        curl_easy_setopt(easy_, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(easy_, CURLOPT_USERAGENT, "mailer/" MAILER_VERSION);
        curl_multi_add_handle(multi_, easy_);
    }
    ~HttpQuestion() {
        if (multi_ != nullptr && easy_ != nullptr) curl_multi_remove_handle(multi_, easy_);
        if (easy_ != nullptr) curl_easy_cleanup(easy_);
        if (multi_ != nullptr) curl_multi_cleanup(multi_);
    }
    HttpQuestion(const HttpQuestion&) = delete;
    HttpQuestion& operator=(const HttpQuestion&) = delete;

    // True when there is an answer: `status` is 0 and `why` says why when it failed.
    bool is_answered(long* status, std::string* why) {
        *status = 0;
        *why = "out of memory";
        if (multi_ == nullptr || easy_ == nullptr) return true;
        int running = 0, left = 0;
        curl_multi_perform(multi_, &running);
        while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            *why = curl_easy_strerror(message->data.result);
            if (message->data.result == CURLE_OK) {
                curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, status);
                *why = "it answers " + std::to_string(*status);
            }
            return true;
        }
        return false;
    }

private:
    CURLM* multi_;
    CURL* easy_;
};

Lease::Lease() = default;
Lease::~Lease() = default;

void Lease::configure(const std::string& setting) {
    const auto source = core::parse_lease(setting);
    const core::LeaseSource wanted = source.ok() ? source.value() : core::LeaseSource{};
    if (wanted.kind == source_.kind && wanted.address == source_.address && wanted.good_for == source_.good_for) return;
    source_ = wanted;
    question_.reset();
    asked_at_ = good_until_ = core::Time::min();
}

void Lease::turn(core::Time now) {
    if (source_.kind != core::LeaseSource::Kind::http) return;
    if (question_) {
        long status = 0;
        std::string why;
        if (!question_->is_answered(&status, &why)) return;
        question_.reset();
        if (status == 200)
            good_until_ = asked_at_ + source_.good_for;
        else
            good_until_ = core::Time::min();
        trouble_ = why;
        report_lease(to_pg(good_until_ == core::Time::min() ? core::from_unix_us(0) : good_until_));
    }
    if (asked_at_ != core::Time::min() && now >= asked_at_ && now < asked_at_ + pause_between_questions) return;
    asked_at_ = now;
    question_ = std::make_unique<HttpQuestion>(source_.address);
    long status = 0;
    std::string why;
    (void)question_->is_answered(&status, &why);  // begins
}

bool Lease::is_good(core::Time now) const {
    switch (source_.kind) {
        case core::LeaseSource::Kind::none:
            return true;
        case core::LeaseSource::Kind::http:
            return now < good_until_;
        case core::LeaseSource::Kind::file:
            return now < file_good_until(source_);
    }
    return false;
}

core::SenderFence Lease::fence(core::Time now) const {
    if (source_.kind == core::LeaseSource::Kind::none) return {};
    const bool is_file = source_.kind == core::LeaseSource::Kind::file;
    return fence_of(is_good(now), source_, is_file ? "the file is missing or too old" : trouble_);
}

std::optional<core::Time> Lease::wake_at(core::Time now) const {
    switch (source_.kind) {
        case core::LeaseSource::Kind::none:
            return std::nullopt;
        case core::LeaseSource::Kind::http:
            return question_ ? now + pause_while_asking : asked_at_ + pause_between_questions;
        case core::LeaseSource::Kind::file:
            return is_good(now) ? std::nullopt : std::optional(now + 500ms);
    }
    return std::nullopt;
}

core::SenderFence lease_of_sender(const std::string& setting, core::Time now) {
    const auto source = core::parse_lease(setting);
    if (!source.ok() || source->kind == core::LeaseSource::Kind::none) return {};
    if (source->kind == core::LeaseSource::Kind::file)
        return fence_of(now < file_good_until(*source), *source, "the file is missing or too old");
    return fence_of(to_pg(now) < lease_good_until(), *source, "the sender has no 200 of the last five seconds from it");
}

}  // namespace mailer::pg
