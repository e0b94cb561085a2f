#include "options.hpp"

#include <cctype>
#include <stdexcept>

#include "core/octets.hpp"

namespace mailer::web {

const char* const usage =
    "mailer-web: a page for people who look after mail, and the public URLs that mail needs\n"
    "\n"
    "  mailer-web --listen ADDRESS:PORT --database CONNINFO [--gateway CONNINFO]\n"
    "  mailer-web --listen unix:PATH --database CONNINFO --trust-header NAME [--gateway CONNINFO]\n"
    "  mailer-web --listen ADDRESS:PORT --public-only --gateway CONNINFO\n"
    "\n"
    "  --listen ADDRESS:PORT   127.0.0.1:8080, [::1]:8080, or unix:/run/mailer-web/socket; port 0: any that is free\n"
    "  --database CONNINFO     host, port and database as libpq reads them; people bring role and password\n"
    "  --gateway CONNINFO      the role that mailer.grant_gateway() was called for, for /u/, /oauth/callback and "
    "/hook/\n"
    "  --trust-header NAME     single sign-on: the proxy says in this header, and overwrites it in every request, "
    "which\n"
    "                          role it is; --database then names the role that may SET ROLE to all of them\n"
    "  --public-only           serves those and nothing else\n"
    "  --tls-cert FILE --tls-key FILE\n"
    "                          PEM; without them a proxy does TLS\n"
    "  --i-have-no-proxy       lets it listen on an address that isn't this machine's own\n"
    "\n"
    "Passwords come from pgpass or service files, never from arguments.\n";

namespace {

ListenAddress read_address(const std::string& text) {
    if (text.starts_with("unix:") && text.size() > 5) return {.socket_path = text.substr(5)};
    if (text.starts_with("/")) return {.socket_path = text};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
        throw std::runtime_error("--listen takes ADDRESS:PORT or unix:PATH, not " + text);
    std::string host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string::npos)
        throw std::runtime_error("an IPv6 address stands in brackets: [::1]:8080");
    const std::string port = text.substr(colon + 1);
    for (const char c : port)
        if (!std::isdigit(static_cast<unsigned char>(c))) throw std::runtime_error("the port is not a number: " + port);
    if (port.size() > 5 || std::stoi(port) > 65535) throw std::runtime_error("there is no such port: " + port);
    return {.host = host, .port = port};
}

std::string read_header_name(std::string name) {
    name = core::lowered(name);
    for (const char c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-')
            throw std::runtime_error("--trust-header takes a name of letters, digits and hyphens, not " + name);
    if (name.empty()) throw std::runtime_error("--trust-header needs a name");
    return name;
}

void check_sign_on(const Options& options) {
    if (options.site.is_public_only) throw std::runtime_error("--trust-header and --public-only don't go together");
    if (options.has_no_proxy)
        throw std::runtime_error("--trust-header takes a proxy on this machine: it doesn't go with --i-have-no-proxy");
    // Otherwise libpq would take the name of the system's user, who may be anybody in the database.
    if (!conninfo_value(options.site.database, "user") && !conninfo_value(options.site.database, "service"))
        throw std::runtime_error("with --trust-header, --database names the role that may SET ROLE to the persons'");
}

void check(const Options& options, bool has_listen) {
    if (!has_listen) throw std::runtime_error("--listen is missing");
    if (options.cert_file.empty() != options.key_file.empty())
        throw std::runtime_error("--tls-cert and --tls-key go together");
    if (options.site.is_public_only && options.site.gateway.empty())
        throw std::runtime_error("--public-only needs --gateway");
    if (!options.site.is_public_only && options.site.database.empty())
        throw std::runtime_error("--database is missing");
    if (!options.site.database.empty()) check_conninfo(options.site.database);
    if (!options.site.gateway.empty()) check_conninfo(options.site.gateway);
    if (!options.site.trust_header.empty()) check_sign_on(options);
    if (!options.has_no_proxy && !is_loopback(options.listen))
        throw std::runtime_error(options.listen.host +
                                 " can be reached from elsewhere. Listen on 127.0.0.1 or a Unix socket behind nginx or "
                                 "Caddy, or say --i-have-no-proxy.");
}

}  // namespace

Options read_options(int count, char** arguments) {
    Options options;
    bool has_listen = false;
    for (int i = 1; i < count; ++i) {
        std::string name = arguments[i];
        std::string given;
        const std::size_t equals = name.starts_with("--") ? name.find('=') : std::string::npos;
        const bool has_given = equals != std::string::npos;
        if (has_given) given = name.substr(equals + 1), name = name.substr(0, equals);
        const auto value = [&] {
            if (has_given) return given;
            if (i + 1 >= count) throw std::runtime_error(name + " needs a value");
            return std::string(arguments[++i]);
        };
        if (name == "--listen")
            options.listen = read_address(value()), has_listen = true;
        else if (name == "--database")
            options.site.database = value();
        else if (name == "--gateway")
            options.site.gateway = value();
        else if (name == "--trust-header")
            options.site.trust_header = read_header_name(value());
        else if (name == "--tls-cert")
            options.cert_file = value();
        else if (name == "--tls-key")
            options.key_file = value();
        else if (name == "--public-only")
            options.site.is_public_only = true;
        else if (name == "--i-have-no-proxy")
            options.has_no_proxy = true;
        else if (name == "--help" || name == "-h")
            options.is_help = true;
        else
            throw std::runtime_error("unknown option " + name + "; --help lists what there is");
    }
    if (!options.is_help) check(options, has_listen);
    return options;
}

}  // namespace mailer::web
