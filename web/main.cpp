// mailer-web: see README.md. Starts the server and waits for SIGTERM or SIGINT.
#include <curl/curl.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "options.hpp"

namespace {

std::string content_of(const std::string& path) {
    if (path.empty()) return {};
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    if (!file || content.str().empty()) throw std::runtime_error("can't read " + path);
    return content.str();
}

}  // namespace

int main(int count, char** arguments) {
    using namespace mailer::web;
    Options options;
    try {
        options = read_options(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mailer-web: %s\n", error.what());
        return 2;
    }
    if (options.is_help) return std::fputs(usage, stdout), 0;

    // Before there are threads: they inherit the mask, and only sigwait below takes the signals.
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    try {
        Site site(options.site);
        const Server server(options.listen, content_of(options.cert_file), content_of(options.key_file), site);
        std::printf("mailer-web: listening on %s\n", server.address().c_str());
        std::fflush(stdout);
        int signal = 0;
        sigwait(&ending, &signal);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mailer-web: %s\n", error.what());
        return 1;
    }
    return 0;
}
