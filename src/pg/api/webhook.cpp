// What the SQL of webhooks needs from C++: the judgement on words and codes, and signatures by public keys.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "core/feedback/fault.hpp"
#include "core/feedback/reply_code.hpp"
#include "pg/bridge/arguments.hpp"

namespace mailer::pg {
namespace {

template <auto Free>
struct Freed {
    template <class T>
    void operator()(T* p) const {
        Free(p);
    }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Context = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;

Bio memory_of(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A certificate or public key in PEM, or a public key in DER.
Key read_key(std::string_view text) {
    if (text.find("BEGIN CERTIFICATE") != std::string_view::npos) {
        const Certificate certificate(PEM_read_bio_X509(memory_of(text).get(), nullptr, nullptr, nullptr));
        return Key(certificate ? X509_get_pubkey(certificate.get()) : nullptr);
    }
    if (text.find("BEGIN PUBLIC KEY") != std::string_view::npos)
        return Key(PEM_read_bio_PUBKEY(memory_of(text).get(), nullptr, nullptr, nullptr));
    return Key(d2i_PUBKEY_bio(memory_of(text).get(), nullptr));
}

bool is_signed(std::string_view key_text, std::string_view message, std::string_view signature, bool is_sha1) {
    const Key key = read_key(key_text);
    const Context context(EVP_MD_CTX_new());
    if (!key || !context) return false;
    const EVP_MD* digest = is_sha1 ? EVP_sha1() : EVP_sha256();
    if (EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.get()) != 1) return false;
    return EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                            reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1;
}

bool is_signed(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const TextValue key = arguments.text();
    const TextValue message = arguments.text();
    const TextValue signature = arguments.text();
    return is_signed(key.view, message.view, signature.view, arguments.boolean().value_or(false));
}

bool is_hard(FunctionCallInfo fcinfo) {
    Arguments arguments(fcinfo);
    const int code = arguments.integer().value_or(0);
    const TextValue enhanced = arguments.text();
    const TextValue words = arguments.text();
    std::string own_enhanced = core::feedback::find_enhanced(words.view);
    if (own_enhanced.empty()) own_enhanced = enhanced.view;
    return core::feedback::weigh(code, own_enhanced, words.view).is_hard();
}

}  // namespace
}  // namespace mailer::pg

MAILER_FUNCTION(mailer_is_signed) {
    return BoolGetDatum(mailer::pg::entry([&] { return mailer::pg::is_signed(fcinfo); }));
}

MAILER_FUNCTION(mailer_is_hard) {
    return BoolGetDatum(mailer::pg::entry([&] { return mailer::pg::is_hard(fcinfo); }));
}
