// Reads mails from files and prints what they mean, one row a line, fields separated by tabs; with --time how long it
// takes. For the corpus tests, and for a look at a mail that somebody reports.
//
//   feedback_cli FILE…             file, kind, address, hard, code, enhanced code, cause, words
//   feedback_cli --time N FILE…    reads all of them N times and prints mails a second
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "core/feedback/feedback.hpp"

using namespace mailer::core::feedback;

namespace {

std::string content_of(const char* path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

void print(const char* path) {
    const Feedback feedback = read_feedback(content_of(path));
    if (feedback.items.empty()) std::cout << path << "\tnone\n";
    for (const Item& item : feedback.items) {
        std::cout << path << '\t' << to_text(item.kind) << '\t' << item.address << '\t' << (item.is_hard ? "hard" : "-")
                  << '\t' << item.code << '\t' << item.enhanced << '\t' << to_text(item.cause) << '\t' << item.words
                  << '\t' << original_message_id(feedback) << '\n';
    }
}

void measure(int rounds, char** paths, int count) {
    std::vector<std::string> mails;
    for (int i = 0; i < count; ++i)
        mails.push_back(content_of(paths[i]));
    std::size_t items = 0;
    const auto start = std::chrono::steady_clock::now();
    for (int round = 0; round < rounds; ++round) {
        for (const std::string& mail : mails)
            items += read_feedback(mail).items.size();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%.0f mails/s (%zu rows)\n", rounds * count / took.count(), items);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 3 && std::string_view{argv[1]} == "--time") {
        measure(std::atoi(argv[2]), argv + 3, argc - 3);
        return 0;
    }
    for (int i = 1; i < argc; ++i)
        print(argv[i]);
}
