// What a standby is called: by its primary, by itself, and in mailer.promise_to. See promise.hpp.
#include <algorithm>
#include <array>

#include "core/octets.hpp"
#include "core/standby/promise.hpp"

namespace mailer::core {

namespace {

constexpr std::string_view blanks = " \t\r\n";

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

// The value of `key` in postgresql://…?key=value&…
std::string value_in_uri(std::string_view uri, std::string_view key) {
    const auto question = uri.find('?');
    if (question == std::string_view::npos) return {};
    std::string_view rest = uri.substr(question + 1);
    while (!rest.empty()) {
        const auto end = rest.find('&');
        const std::string_view pair = rest.substr(0, end);
        const auto equals = pair.find('=');
        if (equals != std::string_view::npos && pair.substr(0, equals) == key)
            return percent_decoded(pair.substr(equals + 1));
        if (end == std::string_view::npos) break;
        rest.remove_prefix(end + 1);
    }
    return {};
}

// Reads a value of libpq's key = value form: quoted by ' or up to a blank, with \ before what is meant literally.
std::string take_value(std::string_view& rest) {
    std::string value;
    const bool is_quoted = !rest.empty() && rest.front() == '\'';
    if (is_quoted) rest.remove_prefix(1);
    while (!rest.empty()) {
        char c = rest.front();
        rest.remove_prefix(1);
        if (is_quoted ? c == '\'' : blanks.find(c) != std::string_view::npos) break;
        if (c == '\\' && !rest.empty()) {
            c = rest.front();
            rest.remove_prefix(1);
        }
        value += c;
    }
    return value;
}

std::string value_in_pairs(std::string_view rest, std::string_view key) {
    std::string found;
    while (true) {
        const auto equals = rest.find('=');
        if (equals == std::string_view::npos) return found;
        const std::string_view name = trimmed(rest.substr(0, equals));
        rest.remove_prefix(equals + 1);
        const auto first = rest.find_first_not_of(blanks);
        rest.remove_prefix(first == std::string_view::npos ? rest.size() : first);
        std::string value = take_value(rest);
        if (name == key) found = std::move(value);  // the last one counts
    }
}

}  // namespace

bool is_backup_program(std::string_view application_name) {
    constexpr std::array exact{std::string_view("pg_basebackup"),  std::string_view("pg_receivewal"),
                               std::string_view("pg_recvlogical"), std::string_view("pg_rewind"),
                               std::string_view("wal-g"),          std::string_view("barman")};
    constexpr std::array prefixes{std::string_view("barman_"), std::string_view("barman-"),
                                  std::string_view("pgbackrest"), std::string_view("pgBackRest"),
                                  std::string_view("pghoard")};
    return std::find(exact.begin(), exact.end(), application_name) != exact.end() ||
           std::any_of(prefixes.begin(), prefixes.end(),
                       [&](std::string_view prefix) { return application_name.starts_with(prefix); });
}

std::string own_name(std::string_view slot_name, std::string_view conninfo, std::string_view cluster_name) {
    if (!slot_name.empty()) return std::string(slot_name);
    const bool is_uri = conninfo.starts_with("postgresql://") || conninfo.starts_with("postgres://");
    std::string name =
        is_uri ? value_in_uri(conninfo, "application_name") : value_in_pairs(conninfo, "application_name");
    if (!name.empty()) return name;
    return cluster_name.empty() ? "walreceiver" : std::string(cluster_name);
}

std::optional<std::vector<std::string>> parse_promise_to(std::string_view text) {
    if (trimmed(text) == "all") return std::nullopt;
    std::vector<std::string> names;
    while (true) {
        const auto comma = text.find(',');
        if (const auto name = trimmed(text.substr(0, comma)); !name.empty()) names.emplace_back(name);
        if (comma == std::string_view::npos) return names;
        text.remove_prefix(comma + 1);
    }
}

}  // namespace mailer::core
