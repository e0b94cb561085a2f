// Any bytes as templates, against variables of every kind: no crash, no hang, no output beyond its limit.
//
// The first byte chooses the options. The rest is split at NUL bytes: the template, then the partials "p", "q", "r".
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/mail/template_partials.hpp"

namespace {

using namespace mailer::core;

Value variables() {
    ValueBuilder b;
    b.begin_object();
    b.key("a");
    b.string("<&>\n\"'");
    b.key("n");
    b.number("0.10");
    b.key("no");
    b.boolean(false);
    b.key("null");
    b.null();
    b.key("o");
    b.begin_object();
    b.key("p");
    b.string("q");
    b.key("o");
    b.begin_object();
    b.end();
    b.end();
    b.key("l");
    b.begin_array();
    for (const char* item : {"p", "q", "x\ny"})
        b.string(item);
    b.begin_array();
    b.null();
    b.end();
    b.end();
    b.end();
    return std::move(b).finish().value();
}

std::string_view next_part(std::string_view& rest) {
    const auto end = rest.find('\0');
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Value values = variables();
    if (size == 0) return 0;
    const std::uint8_t choice = data[0];
    std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);

    const auto source = Template::parse(next_part(rest), "fuzz");
    if (!source.ok()) return 0;
    PartialTable partials;
    for (const char* name : {"p", "q", "r"}) {
        if (partials.add(name, next_part(rest))) continue;  // doesn't parse: stays missing
    }
    const RenderOptions options{.is_html = (choice & 1) != 0,
                                .is_strict = (choice & 2) != 0,
                                .max_depth = 40,
                                .max_output = 10'000,
                                .max_steps = 100'000,
                                .partials = &partials};
    std::string out = "kept";
    const Status failed = render_to(out, *source, values, options);
    if (!out.starts_with("kept") || out.size() > 4 + options.max_output || (failed && out.size() != 4)) std::abort();
    if (source->variable_names().size() + source->partial_names().size() > source->nodes().size()) std::abort();
    return 0;
}
