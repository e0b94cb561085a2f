// See jwt.hpp. OpenSSL's objects are freed on every way out; its error queue is emptied, so that nothing of a key's
// text stays there for somebody else to print.
#include "oauth/jwt.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <memory>

namespace mailer::oauth {

namespace {

struct Free {
    void operator()(BIO* p) const noexcept { BIO_free(p); }
    void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
    void operator()(EVP_MD_CTX* p) const noexcept { EVP_MD_CTX_free(p); }
    void operator()(X509* p) const noexcept { X509_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// A key with a passphrase must not ask for it on the server's terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

Owned<BIO> reader_of(std::string_view text) {
    return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

core::Error failure(const char* message, const char* hint) {
    ERR_clear_error();
    return {"22023", message, "", hint};
}

std::string_view as_text(const unsigned char* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

std::string base64url(std::string_view octets) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string out;
    unsigned bits = 0;
    int count = 0;
    for (const char c : octets) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6)
            out += digits[bits >> (count - 6) & 63];
    }
    if (count > 0) out += digits[bits << (6 - count) & 63];
    return out;
}

std::optional<std::string> from_base64url(std::string_view text) {
    if (text.size() % 4 == 1 || text.size() > 100'000 || text.find_first_of("+/=") != std::string_view::npos)
        return std::nullopt;
    std::string padded(text);
    std::replace(padded.begin(), padded.end(), '-', '+');
    std::replace(padded.begin(), padded.end(), '_', '/');
    const std::size_t padding = (4 - text.size() % 4) % 4;
    padded.append(padding, '=');
    // It skips blanks at both ends and counts padding as octets.
    std::string out(padded.size() / 4 * 3, '\0');
    const int size =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(padded.data()), static_cast<int>(padded.size()));
    if (size < 0 || static_cast<std::size_t>(size) < padding) return std::nullopt;
    out.resize(static_cast<std::size_t>(size) - padding);
    return out;
}

core::Result<std::string> sign_rs256(std::string_view header, std::string_view claims, std::string_view private_key) {
    const auto reader = reader_of(private_key);
    const Owned<EVP_PKEY> key(reader ? PEM_read_bio_PrivateKey(reader.get(), nullptr, no_passphrase, nullptr)
                                     : nullptr);
    if (!key || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) {
        return failure("the private key is not an RSA key in PEM form",
                       "It begins with -----BEGIN PRIVATE KEY-----; a key with a passphrase can't be used.");
    }
    std::string text = base64url(header) + '.' + base64url(claims);
    const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
    std::size_t size = 0;
    if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
        EVP_DigestSignUpdate(context.get(), text.data(), text.size()) != 1 ||
        EVP_DigestSignFinal(context.get(), nullptr, &size) != 1) {
        return failure("the private key can't sign", "An RSA key of at least 2048 bits is wanted.");
    }
    std::string signature(size, '\0');
    if (EVP_DigestSignFinal(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size) != 1)
        return failure("the private key can't sign", "An RSA key of at least 2048 bits is wanted.");
    signature.resize(size);
    return text + '.' + base64url(signature);
}

core::Result<Thumbprints> thumbprints(std::string_view certificate) {
    const auto reader = reader_of(certificate);
    const Owned<X509> parsed(reader ? PEM_read_bio_X509(reader.get(), nullptr, no_passphrase, nullptr) : nullptr);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    Thumbprints prints;
    if (!parsed || X509_digest(parsed.get(), EVP_sha1(), digest.data(), &size) != 1)
        return failure("the certificate is not one in PEM form", "It begins with -----BEGIN CERTIFICATE-----.");
    prints.sha1 = base64url(as_text(digest.data(), size));
    if (X509_digest(parsed.get(), EVP_sha256(), digest.data(), &size) != 1)
        return failure("the certificate can't be digested", "");
    prints.sha256 = base64url(as_text(digest.data(), size));
    return prints;
}

}  // namespace mailer::oauth
