// The forms that go to a token endpoint, and the signatures in them, read back by OpenSSL.
#include "oauth/request.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "oauth/jwt.hpp"

namespace mailer::oauth {
namespace {

struct Free {
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(BIO* p) const { BIO_free(p); }
    void operator()(X509* p) const { X509_free(p); }
    void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
};

EVP_PKEY* rsa() {
    static const std::unique_ptr<EVP_PKEY, Free> key(EVP_RSA_gen(2048));
    return key.get();
}

std::string text_of(BIO* out) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    return std::string(data, static_cast<std::size_t>(size));
}

std::string private_key() {
    const std::unique_ptr<BIO, Free> out(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(out.get(), rsa(), nullptr, nullptr, 0, nullptr, nullptr);
    return text_of(out.get());
}

std::string certificate() {
    const std::unique_ptr<X509, Free> x509(X509_new());
    X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
    X509_set_pubkey(x509.get(), rsa());
    X509_sign(x509.get(), rsa(), EVP_sha256());
    const std::unique_ptr<BIO, Free> out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), x509.get());
    return text_of(out.get());
}

std::string decoded(std::string_view text) {
    std::string out;
    unsigned bits = 0;
    int count = 0;
    for (const char c : text) {
        const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        bits = bits << 6 | static_cast<unsigned>(digits.find(c));
        if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8));
    }
    return out;
}

// The claims of a JWT whose signature is right; an empty object else.
nlohmann::json verified(const std::string& jwt) {
    const auto first = jwt.find('.'), second = jwt.rfind('.');
    const std::string signature = decoded(std::string_view(jwt).substr(second + 1));
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, rsa());
    const bool is_right =
        EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                         reinterpret_cast<const unsigned char*>(jwt.data()), second) == 1;
    return is_right ? nlohmann::json::parse(decoded(jwt.substr(first + 1, second - first - 1)))
                    : nlohmann::json::object();
}

std::string value_of(const std::string& form, const std::string& name) {
    const auto at = ("&" + form).find("&" + name + "=");
    if (at == std::string::npos) return {};
    const auto from = at + name.size() + 1;
    return form.substr(from, form.find('&', from) - from);
}

Grant application() {
    Grant grant;
    grant.flow = Flow::client_credentials;
    grant.token_url = "https://login.example.com/token";
    grant.client_id = "the app";
    grant.client_secret = "a&b";
    grant.scope = "https://outlook.office365.com/.default";
    return grant;
}

constexpr std::int64_t at = 1800000000;

TEST(Request, TheApplicationItself) {
    EXPECT_EQ(token_request(application(), at, "r").value(),
              "grant_type=client_credentials&client_id=the%20app&client_secret=a%26b&scope=https%3A%2F%2Foutlook."
              "office365.com%2F.default");
}

TEST(Request, ACertificateSignsInsteadOfASecret) {
    Grant grant = application();
    grant.certificate = certificate();
    grant.private_key = private_key();
    const std::string form = token_request(grant, at, "unique").value();
    EXPECT_EQ(value_of(form, "client_secret"), "");
    const auto claims = verified(value_of(form, "client_assertion"));
    EXPECT_EQ(claims["aud"], grant.token_url);
    EXPECT_EQ(claims["iss"], "the app");
    EXPECT_EQ(claims["sub"], "the app");
    EXPECT_EQ(claims["jti"], "unique");
    EXPECT_LE(claims["nbf"], at - 30);
}

TEST(Request, ARefreshTokenOfAPublicClientNeedsNoSecret) {
    Grant grant = application();
    grant.flow = Flow::refresh_token;
    grant.client_secret.clear();
    grant.refresh_token = "0.AX/+";
    const std::string form = token_request(grant, at, "r").value();
    EXPECT_EQ(value_of(form, "refresh_token"), "0.AX%2F%2B");
    EXPECT_EQ(form.find("client_secret"), std::string::npos);
}

TEST(Request, AServiceAccountSpeaksForItsSubjectForAnHourFromThirtySecondsAgo) {
    Grant grant = application();
    grant.flow = Flow::jwt_bearer;
    grant.private_key = private_key();
    grant.subject = "desk@example.com";
    const std::string form = token_request(grant, at, "r").value();
    EXPECT_EQ(value_of(form, "grant_type"), "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    const auto claims = verified(value_of(form, "assertion"));
    EXPECT_EQ(claims["iss"], "the app");
    EXPECT_EQ(claims["sub"], "desk@example.com");
    EXPECT_EQ(claims["aud"], grant.token_url);
    EXPECT_EQ(claims["iat"], at - 30);
    EXPECT_EQ(claims["exp"], at - 30 + 3600);
}

TEST(Request, ACodeGoesWithItsVerifier) {
    Grant grant = application();
    grant.flow = Flow::authorization_code;
    grant.code = "4/code";
    grant.code_verifier = "verifier";
    grant.redirect_uri = "http://localhost";
    const std::string form = token_request(grant, at, "r").value();
    EXPECT_EQ(value_of(form, "code"), "4%2Fcode");
    EXPECT_EQ(value_of(form, "code_verifier"), "verifier");
    EXPECT_EQ(value_of(form, "redirect_uri"), "http%3A%2F%2Flocalhost");
}

TEST(Request, WhatIsMissingIsNamedWithoutTheRest) {
    Grant grant = application();
    grant.client_secret.clear();
    EXPECT_NE(token_request(grant, at, "r").error().message.find("client_secret"), std::string::npos);
    grant.flow = Flow::jwt_bearer;
    grant.private_key = "-----BEGIN PRIVATE KEY-----\nhunter2";
    const auto error = token_request(grant, at, "r").error();
    EXPECT_NE(error.message.find("private key"), std::string::npos);
    EXPECT_EQ((error.message + error.detail + error.hint).find("hunter2"), std::string::npos);
}

TEST(Endpoint, IsHttpsOrOnThisMachine) {
    for (const char* url : {"https://login.example.com/t", "HTTPS://a.example", "http://127.0.0.1:8080/t",
                            "http://[::1]/t", "http://localhost:1"})
        EXPECT_EQ(endpoint_fault(url), "") << url;
    for (const char* url : {"http://login.example.com/t", "http://127.0.0.1.example.com/", "http://localhost.example/",
                            "ftp://a", "https://", "", "https://user:pw@a.example/", "http://127.0.0.1@evil.example/",
                            "https://a.example/ x", "file:///etc/passwd"})
        EXPECT_NE(endpoint_fault(url), "") << url;
}

TEST(Request, ADeviceCodeIsAskedForWithTheScopeAndRedeemedWithTheClient) {
    Grant grant;
    grant.flow = Flow::device_authorization;
    grant.token_url = "https://login.example.com/token";
    grant.client_id = "c";
    grant.client_secret = "s";
    grant.scope = "mail offline";
    EXPECT_FALSE(token_request(grant, 0, "r").ok());
    grant.device_url = "https://login.example.com/device";
    EXPECT_EQ(token_request(grant, 0, "r").value(), "client_id=c&scope=mail%20offline");
    grant.flow = Flow::device_code;
    EXPECT_FALSE(token_request(grant, 0, "r").ok());
    grant.device_code = "d";
    EXPECT_EQ(
        token_request(grant, 0, "r").value(),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d&client_id=c&client_secret=s");
}

}  // namespace
}  // namespace mailer::oauth
