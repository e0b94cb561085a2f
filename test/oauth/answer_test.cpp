// What a token endpoint's answer means: whose failure it is, how long to wait, and that no secret comes through.
#include "oauth/answer.hpp"

#include <gtest/gtest.h>

#include "oauth/hint.hpp"
#include "oauth/jwt.hpp"
#include "oauth/secret.hpp"

namespace mailer::oauth {
namespace {

using namespace std::chrono_literals;

const core::Time now{std::chrono::sys_days{std::chrono::year{2026} / 11 / 30}.time_since_epoch()};

Grant user() {
    Grant grant;
    grant.flow = Flow::refresh_token;
    grant.client_secret = "s3cr3t";
    grant.refresh_token = "old-refresh";
    return grant;
}

Answer answer(int status, std::string body, std::string retry_after = {}) {
    return read_answer({status, std::move(body), std::move(retry_after), {}}, user(), now);
}

Failure failure(int status, std::string body, std::string retry_after = {}) {
    return std::get<Failure>(answer(status, std::move(body), std::move(retry_after)));
}

TEST(Answer, ATokenHasItsLifeAndThePossiblyRotatedRefreshToken) {
    const auto token = std::get<Token>(answer(200, R"({"access_token":"a","expires_in":3599,"refresh_token":"new"})"));
    EXPECT_EQ(token.access_token, "a");
    EXPECT_EQ(token.life, 3599s);
    EXPECT_EQ(token.refresh_token, "new");
}

Token with_identity(std::string_view claims, std::string_view before = "e30.", std::string_view after = ".c2ln") {
    return std::get<Token>(answer(200, R"({"access_token":"a","id_token":")" + std::string(before) + base64url(claims) +
                                           std::string(after) + "\"}"));
}

TEST(Answer, AnIdTokenTellsWhoGaveConsent) {
    using Names = std::vector<std::string>;
    EXPECT_EQ(with_identity(R"({"email":"Ada@Example.com","email_verified":true})").account, Names{"ada@example.com"});
    EXPECT_EQ(
        with_identity(R"({"preferred_username":"ada@corp.example","email":"ada@example.com","upn":"ada@corp.example"})")
            .account,
        (Names{"ada@example.com", "ada@corp.example"}));
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a"})")).account, Names{});
}

TEST(Answer, AnIdTokenThatMakesNoSenseTellsNothingAndTheTokenIsTaken) {
    for (const char* claims : {"", "{", "[]", "null", R"({"email":7})", R"({"email":"ada"})",
                               R"({"email":"a\u0000@b"})", R"({"email":"a@b\nc"})", R"({"upn":"\u00e4@b.example"})"})
        EXPECT_TRUE(with_identity(claims).account.empty()) << claims;
    EXPECT_TRUE(with_identity(R"({"email":")" + std::string(400, 'a') + "@b.example\"}").account.empty());
    const std::string good = R"({"email":"ada@example.com"})";
    EXPECT_TRUE(with_identity(good, "").account.empty());
    EXPECT_TRUE(with_identity(good, "e30.", "").account.empty());
    EXPECT_TRUE(with_identity(good, "e30.=").account.empty());
    EXPECT_TRUE(with_identity(good, "e30. ").account.empty());
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a","id_token":{}})")).access_token, "a");
}

TEST(Answer, Base64urlIsReadBack) {
    for (std::size_t size = 0; size < 70; ++size) {
        std::string octets(size, '\0');
        for (std::size_t i = 0; i < size; ++i)
            octets[i] = static_cast<char>(i * 37 + size * 101);
        EXPECT_EQ(from_base64url(base64url(octets)), octets);
    }
    for (const char* wrong : {"a", "abcde", "ab=", "ab==", "a+bc", "a/bc", "ab c", "ab\nc", "a.bc"})
        EXPECT_EQ(from_base64url(wrong), std::nullopt) << wrong;
}

TEST(Answer, ALifeMayBeAStringOrMissingOrNonsense) {
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a","expires_in":"3"})")).life, 3s);
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a"})")).life, 1h);
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a","expires_in":-5})")).life, 1h);
    EXPECT_EQ(std::get<Token>(answer(200, R"({"access_token":"a","expires_in":1e300})")).life, 24h);
}

TEST(Answer, ARefusedGrantIsNoProviderFailure) {
    const Failure refused = failure(400, R"({"error":"invalid_grant","error_description":"Token has been revoked."})");
    EXPECT_EQ(refused.kind, Failure::Kind::grant);
    EXPECT_EQ(refused.code, "invalid_grant");
    EXPECT_EQ(refused.words, "Token has been revoked.");
    EXPECT_NE(refused.hint.find("mailer.oauth_url"), std::string::npos);
    EXPECT_EQ(failure(401, R"({"error":"invalid_client"})").kind, Failure::Kind::grant);
}

TEST(Answer, AProviderThatIsDownBusyOrTalksNonsenseRefusesNothing) {
    for (const int status : {301, 404, 408, 429, 500, 502, 503}) {
        EXPECT_EQ(failure(status, "<html>").kind, Failure::Kind::provider) << status;
    }
    EXPECT_EQ(failure(200, "<html>").kind, Failure::Kind::provider);
    EXPECT_EQ(failure(200, R"({"token_type":"Bearer"})").kind, Failure::Kind::provider);
    EXPECT_EQ(failure(200, R"({"access_token":7})").kind, Failure::Kind::provider);
    EXPECT_EQ(failure(400, "").kind, Failure::Kind::provider);
    EXPECT_EQ(failure(429, R"({"error":"invalid_grant"})").kind, Failure::Kind::provider);
    EXPECT_EQ(failure(400, R"({"error":"temporarily_unavailable"})").kind, Failure::Kind::provider);
    const auto unreachable = std::get<Failure>(read_answer({0, "", "", "Could not resolve host"}, user(), now));
    EXPECT_EQ(unreachable.kind, Failure::Kind::provider);
    EXPECT_EQ(unreachable.words, "Could not resolve host");
}

TEST(Answer, RetryAfterIsHonouredInBothForms) {
    EXPECT_EQ(failure(429, "", " 17 ").retry_after, 17s);
    EXPECT_EQ(failure(503, "", "Mon, 30 Nov 2026 00:02:00 GMT").retry_after, 2min);
    EXPECT_EQ(failure(503, "", "Sun, 29 Nov 2026 00:02:00 GMT").retry_after, 0s);
    EXPECT_EQ(failure(503, "", "soon").retry_after, 0s);
    EXPECT_EQ(failure(503, "", "999999999").retry_after, 1h);
}

TEST(Answer, TheFirstWaitIsShortAndItDoublesToFiveMinutes) {
    EXPECT_LE(provider_wait(1, 0s), 2s);
    EXPECT_EQ(provider_wait(2, 0s), 2 * provider_wait(1, 0s));
    EXPECT_EQ(provider_wait(100, 0s), 5min);
    EXPECT_EQ(provider_wait(1, 17s), 17s);
}

TEST(Answer, AProviderThatQuotesSecretsDoesntGetThemThrough) {
    const std::string long_token(90, 'x');
    const Failure quoted =
        failure(400, R"({"error":"invalid_grant s3cr3t","error_description":"client s3cr3t sent old-refresh\r\nand )" +
                         long_token + R"("})");
    for (const std::string& secret :
         {std::string("s3cr3t"), std::string("old-refresh"), long_token, std::string("\n")}) {
        EXPECT_EQ(quoted.words.find(secret), std::string::npos) << quoted.words;
        EXPECT_EQ(quoted.code.find(secret), std::string::npos) << quoted.code;
    }
}

TEST(Secret, AlsoInItsEncodedForm) {
    const std::vector<std::string_view> secrets{"p@ss word"};
    EXPECT_EQ(without_secrets("got p%40ss%20word here", secrets), "got […] here");
}

TEST(Hint, TheWordsOfMicrosoftAndGoogleAreKnown) {
    EXPECT_NE(hint_for("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                       Flow::refresh_token)
                  .find("Set-CASMailbox"),
              std::string::npos);
    EXPECT_NE(
        hint_for("invalid_client AADSTS7000222: The provided client secret keys are expired.", Flow::client_credentials)
            .find("expired"),
        std::string::npos);
    EXPECT_NE(hint_for("535 5.7.3 Authentication unsuccessful", Flow::client_credentials).find("New-ServicePrincipal"),
              std::string::npos);
    EXPECT_EQ(hint_for("535 5.7.3 Authentication unsuccessful", Flow::refresh_token), "");
    EXPECT_EQ(hint_for("something else", Flow::jwt_bearer), "");
}

// What the pages about Microsoft 365 and Google promise, a line each: what the server or provider says, and a word of the hint.
TEST(Hint, EverySignHasItsOwn) {
    struct Case {
        const char* said;
        Flow flow;
        const char* word;
        bool is_another_cause;
    };
    const Case cases[] = {
        {"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
         Flow::refresh_token, "Set-CASMailbox", true},
        {"535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
         Flow::refresh_token, "Security defaults", true},
        {"550 5.7.30 Basic authentication is not supported for Client Submission.", Flow::refresh_token,
         "mailer.oauth_set()", true},
        {"535 5.7.3 Authentication unsuccessful [AM0PR01CA0001]", Flow::client_credentials, "Add-MailboxPermission",
         false},
        {"BAD User is authenticated but not connected.", Flow::refresh_token, "IMAP is off", true},
        {"AADSTS7000222: The provided client secret keys for app are expired.", Flow::client_credentials, "has expired",
         false},
        {"AADSTS7000215: Invalid client secret provided.", Flow::client_credentials, "id was copied", false},
        {"AADSTS700016: Application with identifier 'x' was not found.", Flow::client_credentials,
         "client id or the tenant", false},
        {"AADSTS90002: Tenant 'x' not found.", Flow::client_credentials, "no such tenant", false},
        {"invalid_grant AADSTS65001: The user has not consented.", Flow::refresh_token, "permissions is missing",
         false},
        {"invalid_grant AADSTS70008: The refresh token has expired due to inactivity.", Flow::refresh_token,
         "90 days unused", false},
        {"invalid_grant AADSTS50173: The provided grant has expired.", Flow::refresh_token,
         "password was changed since", false},
        {"invalid_grant: Token has been expired or revoked.", Flow::refresh_token, "in Testing", false},
        {"invalid_grant: Invalid email or User ID", Flow::jwt_bearer, "subject is not a mailbox", false},
        {"unauthorized_client: Client is unauthorized to retrieve access tokens.", Flow::jwt_bearer,
         "Domain-wide delegation", false},
        {"invalid_client: The OAuth client was not found.", Flow::refresh_token, "client id or secret is wrong", false},
    };
    for (const Case& one : cases) {
        EXPECT_NE(hint_for(one.said, one.flow).find(one.word), std::string::npos)
            << one.said << ": " << hint_for(one.said, one.flow);
        EXPECT_EQ(names_another_cause(one.said), one.is_another_cause) << one.said;
    }
}

TEST(Hint, OnlyWordsThatNameAnotherCauseKeepATokenFromBeingRenewed) {
    EXPECT_TRUE(names_another_cause("5.7.139 smtpclientauthentication IS disabled for the mailbox"));
    EXPECT_FALSE(names_another_cause("535 5.7.3 Authentication unsuccessful"));
}

Answer device_answer(Flow flow, int status, std::string body) {
    Grant grant;
    grant.flow = flow;
    grant.device_code = "dev-secret";
    return read_answer({status, std::move(body), {}, {}}, grant, now);
}

TEST(Answer, ADeviceCodeSaysWhatToEnterWhereAndHowOftenToAsk) {
    const auto code = std::get<DeviceCode>(device_answer(
        Flow::device_authorization, 200,
        R"({"device_code":"d","user_code":"AB-CD","verification_uri":"https://e.example/device","expires_in":900,"interval":7})"));
    EXPECT_EQ(code.device_code, "d");
    EXPECT_EQ(code.user_code, "AB-CD");
    EXPECT_EQ(code.verification_uri, "https://e.example/device");
    EXPECT_EQ(code.life, 900s);
    EXPECT_EQ(code.interval, 7s);
    const auto other = std::get<DeviceCode>(
        device_answer(Flow::device_authorization, 200,
                      R"({"device_code":"d","user_code":"AB","verification_url":"https://e.example/device"})"));
    EXPECT_EQ(other.interval, 5s);
    EXPECT_EQ(other.life, 15min);
}

TEST(Answer, WhatAPersonCouldNotBeShownIsNoDeviceCode) {
    for (const char* body : {R"({"device_code":"d","user_code":"A\nB","verification_uri":"https://e.example/"})",
                             R"({"device_code":"d","user_code":"AB","verification_uri":"javascript:alert"})
        ",
        R"({"device_code":"d","user_code":"AB","verification_uri":"http://e.example/"})",
                             R"({"user_code":"AB","verification_uri":"https://e.example/"})",
                             R"({"access_token":"a","expires_in":3600})"}) {
        const auto failed = std::get<Failure>(device_answer(Flow::device_authorization, 200, body));
        EXPECT_EQ(failed.kind, Failure::Kind::provider) << body;
    }
}

TEST(Answer, WhoHasNotEnteredTheCodeYetIsAskedAgainSlowerWhereTheProviderWantsIt) {
    const auto pending =
        std::get<Failure>(device_answer(Flow::device_code, 400, R"({"error":"authorization_pending"})"));
    EXPECT_EQ(pending.kind, Failure::Kind::pending);
    EXPECT_EQ(pending.retry_after, 0s);
    const auto slower = std::get<Failure>(device_answer(Flow::device_code, 400, R"({"error":"slow_down"})"));
    EXPECT_EQ(slower.kind, Failure::Kind::pending);
    EXPECT_EQ(slower.retry_after, 5s);
    const auto denied = std::get<Failure>(
        device_answer(Flow::device_code, 400, R"({"error":"access_denied","error_description":"dev-secret"})"));
    EXPECT_EQ(denied.kind, Failure::Kind::grant);
    EXPECT_EQ(denied.words.find("dev-secret"), std::string::npos);
}

}  // namespace
}  // namespace mailer::oauth
