// What composing costs, beside GMime as the peer: a 2 KB text, text + HTML with a foreign subject, a 10 MB attachment.
//
//   c++ -std=c++20 -O2 -Isrc bench/compose_bench.cpp src/core/mail/{address,header,mime}*.cpp -o compose_bench
//       $(pkg-config --cflags --libs gmime-3.0) -lidn2 -lunistring && ./compose_bench          (one line)
// Prints the median of eleven rounds, in microseconds for one mail.
#include <gmime/gmime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/mail/mime.hpp"

namespace {

using namespace mailer::core;

template <class Work>
double microseconds(int repeats, Work work) {
    std::vector<double> rounds;
    for (int round = 0; round < 11; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < repeats; ++i)
            work();
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
        rounds.push_back(took.count() / repeats);
    }
    std::nth_element(rounds.begin(), rounds.begin() + 5, rounds.end());
    return rounds[5];
}

Mail sample(std::string text, std::string html, std::string_view content) {
    Mail mail;
    mail.from = {"Ada Lovelace", "ada", "example.com"};
    mail.to = {{"Jörg Müller", "joerg", "example.org"}};
    mail.subject = "Ticket 156: Größe geändert";
    mail.message_id_header = "<156.5e4f0c1d8a7b@mail.example.com>";
    mail.date = from_unix_us(1'729'927'800'000'000);
    mail.body_text = std::move(text);
    mail.body_html = std::move(html);
    if (!content.empty()) mail.attachments = {{"data.bin", "", "", content}};
    return mail;
}

void with_core(const Mail& mail, bool is_stuffed) {
    const auto composed = compose(mail);
    if (!composed) std::abort();
    std::string wire;
    if (is_stuffed) dot_stuff(composed.value().bytes, wire);
}

GMimeObject* gmime_part(const char* type, const char* subtype, std::string_view content,
                        GMimeContentEncoding encoding) {
    GMimePart* part = g_mime_part_new_with_type(type, subtype);
    GMimeStream* stream = g_mime_stream_mem_new_with_buffer(content.data(), content.size());
    GMimeDataWrapper* wrapper = g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
    g_mime_part_set_content(part, wrapper);
    g_mime_part_set_content_encoding(part, encoding);
    g_object_unref(wrapper);
    g_object_unref(stream);
    return GMIME_OBJECT(part);
}

GMimeObject* adopt(GMimeMultipart* parent, GMimeObject* child) {
    g_mime_multipart_add(parent, child);
    g_object_unref(child);
    return GMIME_OBJECT(parent);
}

void with_gmime(const Mail& mail) {
    GMimeMessage* message = g_mime_message_new(TRUE);
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_FROM, mail.from.name.c_str(), mail.from.mailbox().c_str());
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_TO, mail.to[0].name.c_str(), mail.to[0].mailbox().c_str());
    g_mime_message_set_subject(message, mail.subject.c_str(), "utf-8");
    g_mime_message_set_message_id(message, "156.5e4f0c1d8a7b@mail.example.com");
    GMimeObject* root = gmime_part("text", "plain", mail.body_text, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
    if (!mail.body_html.empty()) {
        GMimeMultipart* both = g_mime_multipart_new_with_subtype("alternative");
        adopt(both, root);
        root = adopt(both, gmime_part("text", "html", mail.body_html, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE));
    }
    for (const Attachment& attachment : mail.attachments) {
        GMimeMultipart* mixed = g_mime_multipart_new_with_subtype("mixed");
        adopt(mixed, root);
        root =
            adopt(mixed, gmime_part("application", "octet-stream", attachment.content, GMIME_CONTENT_ENCODING_BASE64));
    }
    g_mime_message_set_mime_part(message, root);
    GMimeFormatOptions* options = g_mime_format_options_new();
    g_mime_format_options_set_newline_format(options, GMIME_NEWLINE_FORMAT_DOS);
    GMimeStream* out = g_mime_stream_mem_new();
    g_mime_object_write_to_stream(GMIME_OBJECT(message), options, out);
    g_object_unref(out);
    g_mime_format_options_free(options);
    g_object_unref(root);
    g_object_unref(message);
}

void report(const char* what, int repeats, const Mail& mail) {
    std::printf("%-34s %12.1f %12.1f %12.1f\n", what, microseconds(repeats, [&] { with_core(mail, false); }),
                microseconds(repeats, [&] { with_core(mail, true); }),
                microseconds(repeats, [&] { with_gmime(mail); }));
}

}  // namespace

int main() {
    g_mime_init();
    std::string text;
    while (text.size() < 2048)
        text += "The ticket was updated. You find it in the tracker.\n";
    std::string html;
    while (html.size() < 2048)
        html += "<p>Größe und Maß von Ticket 156 wurden geändert &amp; gespeichert.</p>\n";
    std::string content(10'000'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i)
        content[i] = static_cast<char>(i * 2654435761u >> 13);
    std::printf("%-34s %12s %12s %12s\n", "microseconds for one mail", "compose", "+ dot_stuff", "GMime");
    report("2 KB text", 2000, sample(text, "", ""));
    report("2 KB text + 2 KB HTML", 2000, sample(text, html, ""));
    report("2 KB text + 10 MB attachment", 5, sample(text, "", content));
    g_mime_shutdown();
    return 0;
}
