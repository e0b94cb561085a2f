// See answer.hpp. A provider's JSON is read without exceptions and without trust: wrong types are as good as missing.
#include "oauth/answer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/octets.hpp"
#include "oauth/hint.hpp"
#include "oauth/jwt.hpp"
#include "oauth/request.hpp"
#include "oauth/secret.hpp"

namespace mailer::oauth {

using namespace std::chrono_literals;

namespace {

constexpr core::Duration usual_life = 1h;  // where the answer has no expires_in (RFC 6749 5.1)
constexpr core::Duration longest_life = 24h;
constexpr core::Duration longest_retry_after = 1h;
constexpr core::Duration usual_device_life = 15min;
constexpr core::Duration usual_interval = 5s;  // RFC 8628 3.5, and what slow_down adds
constexpr std::size_t longest_device_code = 4000;

std::string text_of(const nlohmann::json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double seconds_of(const nlohmann::json& object, const char* name) {
    const auto found = object.find(name);
    double seconds = 0;
    if (found != object.end() && found->is_number()) seconds = found->get<double>();
    if (found != object.end() && found->is_string()) {
        const auto text = found->get<std::string>();
        (void)std::from_chars(text.data(), text.data() + text.size(), seconds);
    }
    return std::isfinite(seconds) && seconds > 0 ? std::min(seconds, 86400.0) : 0;
}

core::Duration life_of(const nlohmann::json& object) {
    const double seconds = seconds_of(object, "expires_in");
    if (seconds == 0) return usual_life;
    return std::min(longest_life, core::Duration(static_cast<std::int64_t>(seconds * 1e6)));
}

bool is_plain(std::string_view text, std::size_t most) {
    return !text.empty() && text.size() <= most &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// RFC 8628 3.2. Google says verification_url. What can't be shown to a person is as good as missing.
std::optional<DeviceCode> device_code_of(const nlohmann::json& object) {
    DeviceCode code;
    code.device_code = text_of(object, "device_code");
    code.user_code = text_of(object, "user_code");
    code.verification_uri = text_of(object, "verification_uri");
    if (code.verification_uri.empty()) code.verification_uri = text_of(object, "verification_url");
    if (code.device_code.empty() || code.device_code.size() > longest_device_code || !is_plain(code.user_code, 60) ||
        !is_plain(code.verification_uri, 500) || !endpoint_fault(code.verification_uri).empty())
        return std::nullopt;
    const double life = seconds_of(object, "expires_in"), interval = seconds_of(object, "interval");
    code.life = life == 0 ? usual_device_life : core::Duration(static_cast<std::int64_t>(life * 1e6));
    code.interval = interval == 0 ? usual_interval : core::Duration(static_cast<std::int64_t>(interval * 1e6));
    return code;
}

// Microsoft tells the name that one logs in with beside the address of mail; either may be the mailbox's.
std::vector<std::string> account_of(std::string_view id_token) {
    constexpr std::size_t longest_name = 320;
    const auto begin = id_token.find('.'), end = id_token.find('.', begin + 1);
    if (begin == std::string_view::npos || end == std::string_view::npos) return {};
    const auto text = from_base64url(id_token.substr(begin + 1, end - begin - 1));
    const auto claims = nlohmann::json::parse(text.value_or(""), nullptr, false);
    std::vector<std::string> names;
    if (!claims.is_object()) return names;
    for (const char* claim : {"email", "preferred_username", "upn"}) {
        std::string name = core::lowered(text_of(claims, claim));
        const bool is_address = is_plain(name, longest_name) && name.find('@') != std::string::npos;
        if (is_address && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
    }
    return names;
}

int number_at(std::string_view text, std::size_t at, std::size_t length) {
    int value = -1;
    if (at + length > text.size()) return -1;
    const auto [end, problem] = std::from_chars(text.data() + at, text.data() + at + length, value);
    return problem == std::errc{} && end == text.data() + at + length ? value : -1;
}

// RFC 9110 5.6.7, the preferred form: "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<core::Time> http_date(std::string_view text) {
    constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
    const auto month = months.find(text.substr(8, 3));
    const int day = number_at(text, 5, 2), year = number_at(text, 12, 4);
    const int hour = number_at(text, 17, 2), minute = number_at(text, 20, 2), second = number_at(text, 23, 2);
    if (month == std::string_view::npos || month % 3 != 0 || std::min({day, year, hour, minute, second}) < 0)
        return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{year},
                                           std::chrono::month{static_cast<unsigned>(month / 3 + 1)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) return std::nullopt;
    return core::Time(std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{hour} +
                      std::chrono::minutes{minute} + std::chrono::seconds{second});
}

core::Duration retry_after_of(std::string_view text, core::Time now) {
    while (text.starts_with(' '))
        text.remove_prefix(1);
    while (text.ends_with(' '))
        text.remove_suffix(1);
    core::Duration wait{};
    std::int64_t seconds = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (problem == std::errc{} && end == text.data() + text.size() && seconds > 0) {
        wait = std::chrono::seconds(std::min<std::int64_t>(seconds, 86400));
    } else if (const auto at = http_date(text); at && *at > now) {
        wait = *at - now;
    }
    return std::min(wait, longest_retry_after);
}

// Errors of RFC 6749 5.2 and Microsoft's codes that say "later" although the status says "never".
bool is_passing(std::string_view code, std::string_view words) {
    constexpr std::array<std::string_view, 3> codes{"temporarily_unavailable", "server_error", "slow_down"};
    constexpr std::array<std::string_view, 3> signs{"AADSTS90033", "AADSTS90006", "AADSTS50033"};
    return std::find(codes.begin(), codes.end(), code) != codes.end() ||
           std::any_of(signs.begin(), signs.end(),
                       [&](auto sign) { return words.find(sign) != std::string_view::npos; });
}

}  // namespace

Answer read_answer(const HttpAnswer& http, const Grant& grant, core::Time now) {
    const auto secrets = grant.secrets();
    Failure failure;
    failure.retry_after = retry_after_of(http.retry_after, now);
    if (http.status == 0) {
        failure.code = "unreachable";
        failure.words = without_secrets(http.error_text, secrets);
        return failure;
    }
    const auto body = nlohmann::json::parse(http.body, nullptr, false);
    const bool is_object = body.is_object();
    if (http.status == 200 && is_object) {
        if (grant.flow == Flow::device_authorization) {
            if (auto code = device_code_of(body)) return *code;
        }
        Token token{text_of(body, "access_token"), life_of(body), text_of(body, "refresh_token"),
                    account_of(text_of(body, "id_token"))};
        if (!token.access_token.empty() && grant.flow != Flow::device_authorization) return token;
    }
    const std::string error = is_object ? text_of(body, "error") : std::string();
    failure.code =
        error.empty() ? "HTTP " + std::to_string(http.status) : without_secrets(error, secrets).substr(0, 80);
    failure.words = is_object ? without_secrets(text_of(body, "error_description"), secrets) : std::string();
    if (failure.words.empty() && http.status == 200)
        failure.words = grant.flow == Flow::device_authorization ? "the answer holds no code that a person could enter"
                                                                 : "the answer holds no token";
    if (grant.flow == Flow::device_code && (error == "authorization_pending" || error == "slow_down")) {
        failure.kind = Failure::Kind::pending;
        failure.retry_after = error == "slow_down" ? usual_interval : core::Duration{};
        return failure;
    }
    failure.hint = hint_for(failure.code + " " + failure.words, grant.flow);
    const bool is_refusal = http.status >= 400 && http.status < 500 && http.status != 408 && http.status != 429;
    if (is_refusal && !error.empty() && !is_passing(error, failure.words)) failure.kind = Failure::Kind::grant;
    return failure;
}

core::Duration provider_wait(int failures, core::Duration retry_after) {
    const core::Duration doubled = 1500ms * (1LL << std::clamp(failures - 1, 0, 10));
    return std::max(std::min<core::Duration>(doubled, 5min), retry_after);
}

}  // namespace mailer::oauth
