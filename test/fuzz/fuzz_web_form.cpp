// Any octets as a request to mailer-web, before they reach a page: addresses, queries, cookies, urlencoded and
// multipart forms. What is taken is UTF-8 without NUL (files apart) and bounded; what isn't is refused with 400.
//
// The first line is the Content-Type, the rest the body.
#include <unistr.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/message.hpp"

using namespace mailer::web;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void require_clean(std::string_view text) {
    require(text.find('\0') == std::string_view::npos);
    require(!u8_check(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

void require_form(const Fields& fields, std::size_t size) {
    require(fields.list().size() <= 2000);
    std::size_t all = 0;
    for (const Field& field : fields.list()) {
        require_clean(field.name);
        require_clean(field.file_name);
        all += field.name.size() + field.value.size() + field.file_name.size();
    }
    // Nothing is read twice.
    require(all <= size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::size_t line = std::min(input.find('\n'), input.size());
    Request request;
    request.headers["content-type"] = input.substr(0, line);
    request.body = input.substr(std::min(line + 1, input.size()));
    try {
        read_form(request);
        require_form(request.form, request.body.size());
    } catch (const HttpError& error) {
        require(error.status() == 400);
    }
    try {
        const Fields query = parse_query(input);
        require_form(query, size);
        for (const Field& field : query.list())
            require_clean(field.value);
    } catch (const HttpError& error) {
        require(error.status() == 400);
    }
    // Encoding and decoding are each other's way back.
    const std::string encoded = encode_percent(input);
    require(encoded.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%") ==
            std::string::npos);
    if (const auto decoded = decode_percent(encoded, false)) require(*decoded == input);
    request.headers["cookie"] = input;
    require(request.cookie("mailer_session").size() <= size);
    return 0;
}
