// What net/curl_options promises, whichever libcurl is below it.
#include "net/curl_options.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace mailer::net {
namespace {

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

Easy to(const char* url) {
    Easy easy(curl_easy_init(), curl_easy_cleanup);
    curl_easy_setopt(easy.get(), CURLOPT_URL, url);
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    return easy;
}

TEST(CurlOptions, AProtocolThatIsNotAllowedIsNotSpoken) {
    const Easy easy = to("http://127.0.0.1:1/");
    ASSERT_TRUE(allow_only(easy.get(), "smtp,smtps"));
    EXPECT_EQ(curl_easy_perform(easy.get()), CURLE_UNSUPPORTED_PROTOCOL);
}

TEST(CurlOptions, TheSecureFormOfAProtocolDoesNotAllowThePlainOne) {
    const Easy easy = to("http://127.0.0.1:1/");
    ASSERT_TRUE(allow_only(easy.get(), "https"));
    EXPECT_EQ(curl_easy_perform(easy.get()), CURLE_UNSUPPORTED_PROTOCOL);
}

TEST(CurlOptions, EachProtocolOfTheListIsTried) {
    for (const char* url : {"smtp://127.0.0.1:1/", "smtps://127.0.0.1:1/"}) {
        const Easy easy = to(url);
        ASSERT_TRUE(allow_only(easy.get(), "smtp,smtps"));
        EXPECT_EQ(curl_easy_perform(easy.get()), CURLE_COULDNT_CONNECT) << url;
    }
}

TEST(CurlOptions, AProtocolThatNobodyKnowsIsAnError) {
    EXPECT_FALSE(allow_only(to("http://127.0.0.1:1/").get(), "smoke"));
}

TEST(CurlOptions, ClosingAtOnceIsNeverAnError) { EXPECT_TRUE(close_at_once(to("http://127.0.0.1:1/").get())); }

}  // namespace
}  // namespace mailer::net
