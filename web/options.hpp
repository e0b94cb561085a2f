// The command line.
#pragma once

#include <string>

#include "http/server.hpp"
#include "site/site.hpp"

namespace mailer::web {

struct Options {
    ListenAddress listen = {};
    std::string cert_file = {};
    std::string key_file = {};
    SiteOptions site = {};
    bool has_no_proxy = false;
    bool is_help = false;
};

extern const char* const usage;

// Throws std::runtime_error with what is wrong, for a person at a terminal.
Options read_options(int count, char** arguments);

}  // namespace mailer::web
