// Mustache templates: parsed once, rendered many times.
//
// The whole Mustache specification without lambdas and inheritance, with dynamic names ({{>*name}}). Logic-light on
// purpose: a template can read the variables it is given and other templates that the caller offers, nothing else.
//
// What it must never do: recurse on the C++ stack by what a user wrote, or run or grow without bound. A template is a
// flat list of nodes, rendering keeps its own stacks, and every limit ends in an Error that names the line.
// Text is bytes in UTF-8; delimiters, names and escapes are ASCII, so no character is ever cut.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/value.hpp"
#include "core/result.hpp"

namespace mailer::core {

struct TemplateNode {
    enum class Kind : std::uint8_t { text, variable, section, section_end, inverted, inverted_end, partial };
    struct Slice {  // of the template's source
        std::uint32_t begin = 0;
        std::uint32_t size = 0;
    };

    Kind kind = Kind::text;
    bool is_raw = false;         // variable: {{{x}}} or {{&x}}, never escaped
    bool is_dynamic = false;     // partial: the name is the value of the variable `name`
    bool is_standalone = false;  // was alone on its line, which is gone with it
    bool is_line_start = false;  // first on a line that isn't a standalone tag's: a partial's indentation goes here
    std::uint32_t line = 1;
    Slice text;                    // text: what it says; all others: the name as written
    Slice indent;                  // partial, standalone: the white space before the tag
    std::uint32_t path_begin = 0;  // of the dotted name, in paths(); no elements: the implicit iterator "."
    std::uint32_t path_size = 0;
    std::uint32_t partner = 0;  // section and inverted: index of the end; ends: index of the beginning
};

// Immutable once parsed; may be rendered by several threads at once.
class Template {
public:
    static constexpr std::size_t max_source_size = 16u << 20;
    static constexpr std::size_t max_nesting = 256;        // sections inside sections
    static constexpr std::size_t max_nodes = 1'000'000;    // bounds the memory that a parsed template takes
    static constexpr std::size_t max_name_size = 1000;     // bytes
    static constexpr std::size_t max_delimiter_size = 16;  // bytes of one delimiter

    // `name` is for error messages only. Errors: 42601 (syntax), 54000 (too large, too deeply nested).
    static Result<Template> parse(std::string_view source, std::string_view name = {});

    const std::string& name() const noexcept { return name_; }
    const std::string& source() const noexcept { return source_; }
    const std::vector<TemplateNode>& nodes() const noexcept { return nodes_; }
    const std::vector<TemplateNode::Slice>& paths() const noexcept { return paths_; }
    std::string_view slice(TemplateNode::Slice s) const noexcept {
        return std::string_view(source_).substr(s.begin, s.size);
    }

    // As written in the template, sorted, each once. Names are relative to the section they stand in.
    std::vector<std::string> partial_names() const;  // without dynamic ones, which only the variables know
    std::vector<std::string> variable_names() const;
    bool has_dynamic_partials() const;

private:
    friend class TemplateParser;
    Template() = default;

    std::string name_;
    std::string source_;
    std::vector<TemplateNode> nodes_;
    std::vector<TemplateNode::Slice> paths_;
};

// Where {{> name}} comes from.
class PartialSource {
public:
    virtual ~PartialSource() = default;
    // nullptr when there is no such partial. The template must stay where it is until rendering has ended.
    // An Error (it doesn't parse, it may not be read) ends the rendering.
    virtual Result<const Template*> find(std::string_view name) = 0;
};

struct RenderOptions {
    bool is_html = false;         // escape what {{x}} gives: & < > " '
    bool is_strict = false;       // a variable or partial that is missing is an Error; sections may still ask for it
    std::size_t max_depth = 256;  // sections and partials open at once
    std::size_t max_output = 25u << 20;  // bytes
    // Bounds the time (about 1 s): tags visited, places looked into for names, and what is read of values and names by
    // its length.
    std::size_t max_steps = 10'000'000;
    PartialSource* partials = nullptr;  // not owned; without it no partial exists
    // Asked every few milliseconds: an Error ends the rendering, and so does what it throws.
    std::function<Status()> interrupted = {};
    std::vector<std::string>* missing =
        nullptr;  // not owned; gets what is missing: names of variables, and `> name` of partials
};

// Errors: 22023 (missing in strict mode), 54000 (a limit), whatever `partials` gives.
Result<std::string> render(const Template& source, const Value& variables, const RenderOptions& options = {});

// The same, appended to `out`, whose room is reused. After an Error `out` is as long as it was before.
[[nodiscard]] Status render_to(std::string& out, const Template& source, const Value& variables,
                               const RenderOptions& options = {});

// Parses and renders once. Errors of both.
Result<std::string> render(std::string_view source, const Value& variables, const RenderOptions& options = {});

}  // namespace mailer::core
