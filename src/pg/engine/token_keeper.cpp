// See token_keeper.hpp: the invariants are numbered there.
#include "pg/engine/token_keeper.hpp"

#include <algorithm>

#include "core/octets.hpp"
#include "core/outcome/backoff.hpp"
#include "oauth/request.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/engine/world.hpp"
#include "pg/server/clone_guard.hpp"
#include "pg/server/shared.hpp"

namespace mailer::pg {

using namespace std::chrono_literals;

namespace {

// Another process may bring the token, or a database that isn't preloaded may ask for it.
constexpr auto usual_look = 30s;
constexpr auto soon = 1s;
constexpr auto unpreloaded_look = 1s;

std::string random_text() {
    unsigned char bytes[16];
    if (!pg_strong_random(bytes, sizeof bytes)) throw std::runtime_error("no random numbers");
    return core::hexadecimal({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

std::int64_t microseconds(core::Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }

oauth::Grant grant_of(const Rows& rows) {
    oauth::Grant grant;
    grant.flow = flow_of(rows.text(0, "flow"));
    grant.token_url = rows.text(0, "token_url");
    grant.client_id = rows.text(0, "client_id");
    grant.client_secret = rows.text(0, "client_secret");
    grant.certificate = rows.text(0, "certificate");
    grant.private_key = rows.text(0, "private_key");
    grant.scope = rows.text(0, "scope");
    grant.subject = rows.text(0, "subject");
    grant.refresh_token = rows.text(0, "refresh_token");
    grant.code = rows.text(0, "code");
    grant.code_verifier = rows.text(0, "code_verifier");
    grant.redirect_uri = rows.text(0, "redirect_uri");
    grant.device_url = rows.text(0, "device_url");
    grant.device_code = rows.text(0, "device_code");
    return grant;
}

}  // namespace

oauth::Flow flow_of(std::string_view text) {
    if (text == "client_credentials") return oauth::Flow::client_credentials;
    if (text == "jwt_bearer") return oauth::Flow::jwt_bearer;
    if (text == "authorization_code") return oauth::Flow::authorization_code;
    if (text == "device_authorization") return oauth::Flow::device_authorization;
    if (text == "device_code") return oauth::Flow::device_code;
    return oauth::Flow::refresh_token;
}

void TokenKeeper::renew(const std::map<std::int64_t, core::Time>& refused) {
    refused_.insert(refused.begin(), refused.end());
}

bool TokenKeeper::turn(core::Time now, bool may_fetch) {
    collect(now);
    bool is_changed = store();
    if (!refused_.empty()) force();
    const auto at = Steady::now();
    const std::uint64_t generation_now = generation();
    if (generation_now != generation_ || !next_look_ || at >= *next_look_ || is_changed) {
        generation_ = generation_now;
        plan(may_fetch);
        for (const Due& due : std::exchange(due_, {}))
            lease(due, now);
    }
    const auto is_past = [&](std::optional<Steady::time_point>& t) {
        if (!t || at < *t) return false;
        t.reset();
        return true;
    };
    if (is_past(runs_out_)) is_changed = true;
    if (is_past(held_until_)) {
        is_changed = true;
        held_until_ = at + token_hold / 2;
    }
    return is_changed;
}

// What is due, and when to look again.
void TokenKeeper::plan(bool may_fetch) {
    static Statement statement(
        "SELECT app_id, token_mailbox_id, mailbox_id, wait_us, valid_us FROM mailer._token_plan()", {});
    transactions_.begin();
    const bool is_armed = look_at_arming().arming == Arming::armed;
    Rows rows = statement.run({});
    const auto at = Steady::now();
    next_look_ = at + soon;  // should this fail
    auto look_at = at + (is_preloaded() ? usual_look : unpreloaded_look);
    const bool was_holding = held_until_.has_value();
    bool is_holding = false;
    runs_out_.reset();
    std::map<Key, Due> due;
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        const Key key{rows.bigint(i, "app_id"), rows.bigint(i, "token_mailbox_id")};
        const std::int64_t valid_us = rows.bigint(i, "valid_us");
        if (valid_us > 0) {
            const auto end = at + std::chrono::microseconds(valid_us);
            runs_out_ = runs_out_ ? std::min(*runs_out_, end) : end;
        } else {
            is_holding = true;
        }
        if (rows.is_null(i, "wait_us") || !may_fetch || !is_armed) continue;
        const auto due_at = at + std::chrono::microseconds(rows.bigint(i, "wait_us"));
        if (due_at <= at) due.try_emplace(key, Due{key, rows.bigint(i, "mailbox_id")});
        look_at = std::min(look_at, std::max(due_at, at + soon));
        if (due_at > at) look_at = std::min(look_at, due_at);
    }
    if (!is_holding) held_until_.reset();
    if (is_holding && !was_holding) held_until_ = at + token_hold / 2;
    transactions_.commit();
    next_look_ = look_at;
    for (auto& [key, one] : due) {
        const bool is_on_its_way =
            std::any_of(asked_.begin(), asked_.end(), [&](const auto& a) { return a.second.key == key; }) ||
            std::any_of(answered_.begin(), answered_.end(), [&](const auto& a) { return a.asked.key == key; });
        if (!is_on_its_way) due_.push_back(one);
    }
}

void TokenKeeper::lease(const Due& due, core::Time now) {
    static Statement statement("SELECT * FROM mailer._token_lease($1, $2)", {INT8OID, INT8OID});
    transactions_.begin();
    Rows rows = statement.run({p_bigint(due.key.first), p_bigint(due.key.second)});
    if (rows.empty()) return transactions_.commit();
    Asked asked{due.key, rows.bigint(0, "lease"), static_cast<int>(rows.bigint(0, "failures")), grant_of(rows)};
    transactions_.commit();

    auto form = oauth::token_request(asked.grant, core::to_unix_us(now) / 1000000, random_text());
    if (!form) {
        oauth::Failure failure{oauth::Failure::Kind::grant, "settings", form.error().message, form.error().hint, {}};
        answered_.push_back({std::move(asked), std::move(failure)});
        return;
    }
    net::HttpRequest request;
    request.id = next_id_++;
    request.url =
        asked.grant.flow == oauth::Flow::device_authorization ? asked.grant.device_url : asked.grant.token_url;
    request.form = std::move(form).value();
    request.proxy = proxy_of(due.mailbox_id);
    asked_.emplace(request.id, std::move(asked));
    client_.start(std::move(request), now);
}

std::optional<std::string> TokenKeeper::proxy_of(std::int64_t mailbox_id) const {
    const Account* account = accounts_.find(mailbox_id);
    return account == nullptr ? std::nullopt : account->endpoint->proxy;
}

void TokenKeeper::force() {
    static Statement statement("SELECT mailer._token_force($1, $2)", {INT8OID, TIMESTAMPTZOID});
    transactions_.begin();
    for (const auto& [mailbox_id, tried_at] : refused_)
        (void)statement.run({p_bigint(mailbox_id), p_at(tried_at)});
    transactions_.commit();
    refused_.clear();
    look_again();
}

void TokenKeeper::collect(core::Time now) {
    std::vector<net::HttpResponse> responses;
    client_.turn(now, responses);
    for (net::HttpResponse& response : responses) {
        auto found = asked_.find(response.id);
        if (found == asked_.end()) continue;
        const oauth::HttpAnswer http{response.status, std::move(response.body), std::move(response.retry_after),
                                     std::move(response.error_text)};
        oauth::Answer answer = oauth::read_answer(http, found->second.grant, now);
        answered_.push_back({std::move(found->second), std::move(answer)});
        asked_.erase(found);
    }
}

// True when something was stored.
bool TokenKeeper::store() {
    bool is_any = false;
    while (!answered_.empty()) {
        transactions_.begin();
        store_one(answered_.back());
        transactions_.commit();
        answered_.pop_back();
        is_any = true;
    }
    return is_any;
}

void TokenKeeper::store_one(const Answered& answered) {
    static Statement token("SELECT mailer._token_store($1, $2, $3, $4, $5, $6, $7, $8)",
                           {INT8OID, INT8OID, INT8OID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTARRAYOID});
    static Statement failed("SELECT mailer._token_fail($1, $2, $3, $4, $5, $6, $7, $8)",
                            {INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID});
    static Statement device("SELECT mailer._token_device($1, $2, $3, $4, $5, $6, $7, $8)",
                            {INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID});
    static Statement pending("SELECT mailer._token_pending($1, $2, $3, $4)", {INT8OID, INT8OID, INT8OID, INT8OID});
    const Asked& asked = answered.asked;
    const auto maybe = [](const std::string& text) { return text.empty() ? p_null(TEXTOID) : p_text(text); };
    if (const auto* fresh = std::get_if<oauth::Token>(&answered.answer)) {
        (void)token.run({p_bigint(asked.key.first), p_bigint(asked.key.second), p_bigint(asked.lease),
                         p_text(fresh->access_token), p_bigint(microseconds(fresh->life)), maybe(fresh->refresh_token),
                         maybe(asked.grant.refresh_token),
                         fresh->account.empty() ? p_null(TEXTARRAYOID) : p_texts(fresh->account)});
        return;
    }
    if (const auto* code = std::get_if<oauth::DeviceCode>(&answered.answer)) {
        (void)device.run({p_bigint(asked.key.first), p_bigint(asked.key.second), p_bigint(asked.lease),
                          p_text(code->device_code), p_text(code->user_code), p_text(code->verification_uri),
                          p_bigint(microseconds(code->life)), p_bigint(microseconds(code->interval))});
        return;
    }
    const auto& failure = std::get<oauth::Failure>(answered.answer);
    if (failure.kind == oauth::Failure::Kind::pending) {
        (void)pending.run({p_bigint(asked.key.first), p_bigint(asked.key.second), p_bigint(asked.lease),
                           p_bigint(microseconds(failure.retry_after))});
        return;
    }
    const bool is_grant = failure.kind == oauth::Failure::Kind::grant;
    const auto seed = static_cast<std::uint64_t>(asked.key.first + asked.key.second);
    const core::Duration wait = is_grant ? core::breaker_delay(true, asked.failures + 1, seed)
                                         : oauth::provider_wait(asked.failures + 1, failure.retry_after);
    (void)failed.run({p_bigint(asked.key.first), p_bigint(asked.key.second), p_bigint(asked.lease),
                      p_text(is_grant ? "grant" : "provider"), p_text(failure.code), p_text(failure.words),
                      p_text(failure.hint), p_bigint(microseconds(wait))});
}

core::Duration TokenKeeper::next_timeout(core::Time now) const {
    const auto at = Steady::now();
    core::Duration wait = std::chrono::duration_cast<core::Duration>(usual_look);
    const auto consider = [&](const std::optional<Steady::time_point>& t) {
        if (t) wait = std::min(wait, std::chrono::ceil<core::Duration>(std::max(*t - at, Steady::duration::zero())));
    };
    consider(next_look_);
    consider(runs_out_);
    consider(held_until_);
    if (!answered_.empty()) wait = std::min<core::Duration>(wait, 200ms);
    if (const auto timeout = client_.next_timeout(now)) wait = std::min(wait, *timeout);
    return wait;
}

}  // namespace mailer::pg
