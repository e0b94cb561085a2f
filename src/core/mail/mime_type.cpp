// See mime_type.hpp. The table is short on purpose: what people attach to mail. Who needs another type names it.
#include "core/mail/mime_type.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/mail/header_text.hpp"
#include "core/mail/header_words.hpp"

#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t kLongestType = 127;       // RFC 4288 4.2
constexpr std::size_t kLongestParameter = 500;  // each stands on one line, which may have 998

using Ending = std::pair<std::string_view, std::string_view>;
constexpr auto kEndings = std::to_array<Ending>({
    {"7z", "application/x-7z-compressed"},
    {"avi", "video/x-msvideo"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eml", "message/rfc822"},
    {"epub", "application/epub+zip"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"heic", "image/heic"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ics", "text/calendar"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"json", "application/json"},
    {"log", "text/plain"},
    {"md", "text/markdown"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ogg", "audio/ogg"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"txt", "text/plain"},
    {"vcf", "text/vcard"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
});
static_assert(std::is_sorted(kEndings.begin(), kEndings.end()));

// Up to the next semicolon that isn't inside quotes; takes it off.
std::string_view take_parameter(std::string_view& rest) {
    bool is_quoted = false;
    std::size_t i = 0;
    for (; i < rest.size() && (is_quoted || rest[i] != ';'); ++i) {
        if (is_quoted && rest[i] == '\\')
            ++i;
        else if (rest[i] == '"')
            is_quoted = !is_quoted;
    }
    i = std::min(i, rest.size());
    const std::string_view parameter = trimmed(rest.substr(0, i));
    rest.remove_prefix(std::min(i + 1, rest.size()));
    return parameter;
}

bool is_quoted_string(std::string_view text) {
    if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
    const std::string_view inner = text.substr(1, text.size() - 2);
    for (std::size_t i = 0; i < inner.size(); ++i) {
        if (inner[i] == '"') return false;
        if (inner[i] == '\\' && ++i == inner.size()) return false;
    }
    return true;
}

}  // namespace

bool ContentType::is_in(std::string_view top_level) const noexcept {
    return type.size() > top_level.size() && type.starts_with(top_level) && type[top_level.size()] == '/';
}

bool ContentType::has_parameter(std::string_view name) const {
    return std::any_of(parameters.begin(), parameters.end(), [&](const std::string& parameter) {
        return lowered(std::string_view(parameter).substr(0, parameter.find('='))) == name;
    });
}

Result<ContentType> parse_content_type(std::string_view text) {
    const auto refuse = [&](std::string detail) {
        return Error{"22023", "invalid content type " + quoted_for_error(text), std::move(detail),
                     "It looks like application/pdf or text/csv; charset=utf-8."};
    };
    if (!is_ascii(text) || find_offence(text)) return refuse("It holds a character that isn't printable ASCII.");
    std::string_view rest = text;
    const std::string_view type = take_parameter(rest);
    const auto slash = type.find('/');
    if (slash == std::string_view::npos || type.size() > kLongestType || !is_token(type.substr(0, slash)) ||
        !is_token(type.substr(slash + 1)))
        return refuse("A type and a subtype with a slash between them are wanted.");

    ContentType result{lowered(type), {}};
    while (!trimmed(rest, " ").empty()) {
        const std::string_view parameter = take_parameter(rest);
        if (parameter.empty()) continue;
        const auto equals = parameter.find('=');
        const std::string_view attribute = parameter.substr(0, equals);
        const std::string_view value = equals == std::string_view::npos ? "" : parameter.substr(equals + 1);
        if (!is_token(attribute) || (!is_token(value) && !is_quoted_string(value)) ||
            parameter.size() > kLongestParameter)
            return refuse("The parameter " + quoted_for_error(parameter) + " is malformed.");
        const std::string name = lowered(attribute);
        if (name == "name" || name.starts_with("name*")) continue;
        result.parameters.emplace_back(parameter);
    }
    return result;
}

std::string_view guess_content_type(std::string_view filename) noexcept {
    constexpr std::string_view kUnknown = "application/octet-stream";
    constexpr std::size_t kLongestEnding = 8;
    const auto dot = filename.rfind('.');
    if (dot == std::string_view::npos || filename.size() - dot - 1 > kLongestEnding) return kUnknown;
    const std::string ending = lowered(filename.substr(dot + 1));  // short: no allocation
    const auto found = std::lower_bound(kEndings.begin(), kEndings.end(), ending,
                                        [](const Ending& e, const std::string& wanted) { return e.first < wanted; });
    return found != kEndings.end() && found->first == ending ? found->second : kUnknown;
}

}  // namespace mailer::core
