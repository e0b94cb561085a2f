// See folder.hpp.
#include "imap/folder.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "imap/response.hpp"

namespace mailer::imap {

namespace {

// The last part of the name, in UTF-8. Exchange Online has no SPECIAL-USE and names folders in the language of their
// owner.
constexpr std::array<std::string_view, 22> junk_names{"Junk",
                                                      "Junk Email",
                                                      "Junk E-mail",
                                                      "Junk-E-Mail",
                                                      "Spam",
                                                      "Bulk Mail",
                                                      "Bulk",
                                                      "Courrier indésirable",
                                                      "Indésirables",
                                                      "Correo no deseado",
                                                      "Posta indesiderata",
                                                      "Ongewenste e-mail",
                                                      "Wiadomości-śmieci",
                                                      "Skräppost",
                                                      "Uønsket e-post",
                                                      "Roskaposti",
                                                      "Nevyžádaná pošta",
                                                      "Lixo Eletrônico",
                                                      "E-mail de lixo",
                                                      "迷惑メール",
                                                      "垃圾邮件",
                                                      "Нежелательная почта"};
constexpr std::array<std::string_view, 20> sent_names{
    "Sent",          "Sent Items",       "Sent Messages",    "Sent Mail",          "Gesendete Elemente",
    "Gesendet",      "Éléments envoyés", "Messages envoyés", "Elementos enviados", "Enviados",
    "Posta inviata", "Elementi inviati", "Verzonden items",  "Verzonden",          "Elementy wysłane",
    "Wysłane",       "Skickade objekt",  "Sendte elementer", "Itens Enviados",     "Отправленные"};

std::string_view last_part(std::string_view name) {
    const auto at = name.find_last_of("/.");
    return at == std::string_view::npos ? name : name.substr(at + 1);
}

bool is_selectable(const ListedFolder& folder) {
    return std::none_of(folder.flags.begin(), folder.flags.end(), [](const std::string& flag) {
        return equals_ignoring_case(flag, "\\Noselect") || equals_ignoring_case(flag, "\\NonExistent");
    });
}

bool has_flag(const ListedFolder& folder, std::string_view wanted) {
    return std::any_of(folder.flags.begin(), folder.flags.end(),
                       [&](const std::string& flag) { return equals_ignoring_case(flag, wanted); });
}

bool is_named(std::string_view listed, std::string_view utf8) {
    return equals_ignoring_case(listed, utf8) || equals_ignoring_case(listed, modified_utf7(utf8));
}

template <class Names>
const ListedFolder* find(const std::vector<ListedFolder>& listed, std::string_view flag, const Names& names) {
    for (const ListedFolder& folder : listed)
        if (is_selectable(folder) && has_flag(folder, flag)) return &folder;
    for (const std::string_view name : names)
        for (const ListedFolder& folder : listed)
            if (is_selectable(folder) && is_named(last_part(folder.name), name)) return &folder;
    return nullptr;
}

void append_utf16(std::u16string& out, std::uint32_t point) {
    if (point >= 0x10000) {
        out += static_cast<char16_t>(0xd800 + ((point - 0x10000) >> 10));
        point = 0xdc00 + ((point - 0x10000) & 0x3ff);
    }
    out += static_cast<char16_t>(point);
}

std::string shifted(const std::u16string& units) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
    std::string out = "&";
    std::uint32_t bits = 0;
    int count = 0;
    for (const char16_t unit : units) {
        bits = bits << 16 | unit;
        for (count += 16; count >= 6; count -= 6)
            out += digits[bits >> (count - 6) & 63];
        bits &= (1U << count) - 1;
    }
    if (count > 0) out += digits[bits << (6 - count) & 63];
    return out + '-';
}

}  // namespace

std::string modified_utf7(std::string_view utf8) {
    std::string out;
    std::u16string pending;
    const auto flush = [&] {
        if (!pending.empty()) out += shifted(pending);
        pending.clear();
    };
    for (std::size_t i = 0; i < utf8.size();) {
        const auto first = static_cast<unsigned char>(utf8[i]);
        std::size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
        length = std::min(length, utf8.size() - i);
        std::uint32_t point = length == 1 ? first : first & (0xffU >> (length + 1));
        for (std::size_t k = 1; k < length; ++k)
            point = point << 6 | (static_cast<unsigned char>(utf8[i + k]) & 0x3fU);
        i += length;
        if (point >= 0x20 && point < 0x7f) {
            flush();
            out += static_cast<char>(point);
            if (point == '&') out += '-';
        } else {
            append_utf16(pending, point);
        }
    }
    flush();
    return out;
}

std::string quoted_name(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '\r' || c == '\n' || c == '\0') return {};
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

FolderChoice choose_folders(const std::vector<ListedFolder>& listed, const std::vector<std::string>& wished) {
    FolderChoice choice;
    const auto add = [&](const std::string& name) {
        if (std::find(choice.folders.begin(), choice.folders.end(), name) == choice.folders.end())
            choice.folders.push_back(name);
    };
    const ListedFolder* const sent = find(listed, "\\Sent", sent_names);
    if (sent != nullptr) choice.sent = sent->name;
    for (const std::string& wish : wished) {
        const auto found = std::find_if(listed.begin(), listed.end(), [&](const ListedFolder& folder) {
            return is_selectable(folder) && is_named(folder.name, wish);
        });
        if (found != listed.end()) {
            add(found->name);
        } else if (equals_ignoring_case(wish, "INBOX")) {
            add("INBOX");
        } else {
            choice.missing.push_back(wish);
        }
    }
    if (!wished.empty()) return choice;
    add("INBOX");
    if (const ListedFolder* junk = find(listed, "\\Junk", junk_names)) {
        add(junk->name);
    } else {
        choice.missing.push_back("Junk");
    }
    if (sent != nullptr) add(sent->name);
    return choice;
}

}  // namespace mailer::imap
