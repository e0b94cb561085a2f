// See charset.hpp. A stranger chooses the name, so none reaches the C library but those below: it would take options in
// it ("//TRANSLIT"), and load code for sets that no mail program writes.
#include "core/feedback/charset.hpp"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/octets.hpp"

namespace mailer::core::feedback {

namespace {

struct Name {
    std::string_view in_mail;  // lower case
    const char* in_iconv;      // nullptr: it is UTF-8, or what follows reads it as that where it can
    bool is_as_ascii = true;   // octets below 0x80 are ASCII
};

// Where programs write one set and mean another that contains it, it is that one (as the Encoding Standard has it).
constexpr auto names = std::to_array<Name>({
    {"utf-8", nullptr},
    {"utf8", nullptr},
    {"us-ascii", nullptr},
    {"ascii", nullptr},
    {"iso-8859-1", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"iso-8859-2", "ISO-8859-2"},
    {"iso-8859-3", "ISO-8859-3"},
    {"iso-8859-4", "ISO-8859-4"},
    {"iso-8859-5", "ISO-8859-5"},
    {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"},
    {"iso-8859-8", "ISO-8859-8"},
    {"iso-8859-8-i", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"},
    {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-13", "ISO-8859-13"},
    {"iso-8859-14", "ISO-8859-14"},
    {"iso-8859-15", "ISO-8859-15"},
    {"iso-8859-16", "ISO-8859-16"},
    {"windows-1250", "WINDOWS-1250"},
    {"windows-1251", "WINDOWS-1251"},
    {"windows-1252", "WINDOWS-1252"},
    {"windows-1253", "WINDOWS-1253"},
    {"windows-1254", "WINDOWS-1254"},
    {"windows-1255", "WINDOWS-1255"},
    {"windows-1256", "WINDOWS-1256"},
    {"windows-1257", "WINDOWS-1257"},
    {"windows-1258", "WINDOWS-1258"},
    {"windows-874", "CP874"},
    {"tis-620", "CP874"},
    {"macintosh", "MACINTOSH"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"utf-16", "UTF-16", false},
    {"utf-16le", "UTF-16LE", false},
    {"utf-16be", "UTF-16BE", false},
    {"unicode", "UTF-16", false},
    {"utf-32", "UTF-32", false},
    {"utf-7", "UTF-7", false},
    {"iso-2022-jp", "ISO-2022-JP-2", false},
    {"shift_jis", "CP932"},
    {"sjis", "CP932"},
    {"cp932", "CP932"},
    {"euc-jp", "EUC-JP"},
    {"euc-kr", "CP949"},
    {"ks_c_5601-1987", "CP949"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5-HKSCS"},
});

const Name* name_of(std::string_view charset) {
    std::string wanted = lowered(charset);
    if (wanted.starts_with("cp125")) wanted.replace(0, 2, "windows-");
    const auto* found = std::find_if(names.begin(), names.end(), [&](const Name& n) { return n.in_mail == wanted; });
    return found == names.end() ? nullptr : found;
}

constexpr std::size_t most_faults_before = 4;  // more than these, and one octet in eight

class Conversion {
public:
    explicit Conversion(const char* from) : handle_(iconv_open("UTF-8", from)) {}
    Conversion(const Conversion&) = delete;
    Conversion& operator=(const Conversion&) = delete;
    ~Conversion() {
        if (is_open()) iconv_close(handle_);
    }

    bool is_open() const noexcept { return handle_ != reinterpret_cast<iconv_t>(-1); }

    // Goes on behind what can't be converted, an octet at a time, so it ends. Nothing where the text isn't of this set.
    std::optional<std::string> run(std::string_view text, std::size_t limit) const {
        std::string in(text), out;
        std::size_t faults = 0;
        std::array<char, 4096> piece{};
        char* next = in.data();
        std::size_t left = in.size();
        while (left > 0 && out.size() < limit) {
            char* to = piece.data();
            std::size_t room = piece.size();
            const bool is_done = iconv(handle_, &next, &left, &to, &room) != static_cast<std::size_t>(-1);
            const bool is_full = !is_done && errno == E2BIG && room < piece.size();
            out.append(piece.data(), piece.size() - room);
            if (is_done || is_full) continue;
            out += "\xEF\xBF\xBD";
            ++next;
            --left;
            ++faults;
        }
        if (faults > most_faults_before + text.size() / 8) return std::nullopt;
        return out.size() > limit ? std::string(whole_characters(out, limit)) : out;
    }

private:
    iconv_t handle_;
};

}  // namespace

std::optional<std::string> to_utf8(std::string_view text, std::string_view charset, std::size_t limit) {
    const Name* name = name_of(charset);
    if (!name) return std::nullopt;
    if (!name->in_iconv || (name->is_as_ascii && is_ascii(text))) return std::string(whole_characters(text, limit));
    const Conversion conversion(name->in_iconv);
    if (!conversion.is_open()) return std::nullopt;
    return conversion.run(text, limit);
}

}  // namespace mailer::core::feedback
