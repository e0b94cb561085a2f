// From nodes and variables to text.
//
// A loop over the nodes with three stacks of its own: the contexts that names are looked up in, the sections that are
// being repeated, the partials that are being expanded. Nothing here recurses, and everything that a template can
// make large is charged for: output to max_output, open sections and partials to max_depth, work to max_steps. Work is
// octets too: a value of ten megabytes that is read at every turn of a loop is paid for at every turn.
#include <algorithm>
#include <array>

#include "core/mail/template.hpp"

namespace mailer::core {

namespace {

using Node = TemplateNode;
using Kind = TemplateNode::Kind;

constexpr auto escapes = [] {
    std::array<std::string_view, 256> table{};
    table['&'] = "&amp;";
    table['<'] = "&lt;";
    table['>'] = "&gt;";
    table['"'] = "&quot;";
    table['\''] = "&#39;";
    return table;
}();

constexpr std::size_t steps_between_asking = 1 << 16;

// A step takes about 100 ns. So long is a hundred octets' way.
constexpr std::size_t steps_for(std::size_t octets) { return octets / 100; }

class Renderer {
public:
    Renderer(std::string& out, const Template& source, const Value& variables, const RenderOptions& options)
        : out_(out),
          options_(options),
          template_(&source),
          limit_(out.size() + std::min(options.max_output, out.max_size() - out.size())) {
        contexts_.reserve(16);
        contexts_.push_back(&variables);
        out_.reserve(out.size() + std::min(source.source().size(), options.max_output));
    }

    Status run() &&;

private:
    struct Loop {
        const std::vector<Value>* items = nullptr;  // of an array; nullptr: any other value, entered once
        std::size_t index = 0;
    };
    struct Call {
        const Template* caller;
        std::size_t resume_at;
        std::size_t indent_begin;
        std::size_t indent_size;
    };

    bool visit(const Node& node);
    bool show_variable(const Node& node);
    bool enter_section(const Node& node);
    bool end_section(const Node& node);
    bool skip_if_truthy(const Node& node);
    bool enter_partial(const Node& node);
    void leave_partial();

    const Value* look_up(const Node& node);
    bool append(std::string_view text);
    bool append_lines(std::string_view text);
    bool append_escaped(std::string_view text);
    bool has_room_for_level();
    bool spend(std::size_t steps);
    bool fail(const char* sqlstate, std::string message, std::string hint);

    std::string_view name_of(const Node& node) const { return template_->slice(node.text); }
    std::string_view indent() const { return std::string_view(indent_).substr(indent_begin_); }

    std::string& out_;
    const RenderOptions& options_;
    const Template* template_;  // the one being rendered: the caller's or a partial
    std::size_t at_ = 0;        // the node that comes next
    std::uint32_t line_ = 1;    // of the node that is being rendered
    const std::size_t limit_;
    std::size_t steps_ = 0;
    std::size_t asked_at_ = steps_between_asking;  // from then on `interrupted` is asked again
    std::vector<const Value*> contexts_;
    std::vector<Loop> loops_;
    std::vector<Call> calls_;
    std::string indent_;            // of all partials being expanded, outermost first
    std::size_t indent_begin_ = 0;  // where the part begins that applies to the current one
    std::string scratch_;           // text of a value that isn't a string
    Status error_;
};

Status Renderer::run() && {
    for (;;) {
        if (at_ == template_->nodes().size()) {
            if (calls_.empty()) return {};
            leave_partial();
            continue;
        }
        const Node& node = template_->nodes()[at_++];
        line_ = node.line;
        if (!spend(1)) return error_;
        if (node.is_line_start && !append(indent())) return error_;
        if (!visit(node)) return error_;
    }
}

bool Renderer::visit(const Node& node) {
    switch (node.kind) {
        case Kind::text:
            return append_lines(template_->slice(node.text));
        case Kind::variable:
            return show_variable(node);
        case Kind::section:
            return enter_section(node);
        case Kind::section_end:
            return end_section(node);
        case Kind::inverted:
            return skip_if_truthy(node);
        case Kind::inverted_end:
            return true;
        case Kind::partial:
            return enter_partial(node);
    }
    return true;
}

bool Renderer::show_variable(const Node& node) {
    const Value* value = look_up(node);
    if (error_) return false;
    if (!value) {
        const std::string name(name_of(node));
        if (options_.missing) options_.missing->push_back(name);
        if (!options_.is_strict) return true;
        return fail("22023", "variable \"" + name + "\" is missing",
                    "Pass it in the variables, or guard it with {{#" + name + "}}...{{/" + name + "}}.");
    }
    std::string_view text = value->scalar_text();
    if (text.empty()) {
        scratch_.clear();
        value->append_text(scratch_);
        text = scratch_;
        if (!spend(steps_for(text.size()))) return false;
    }
    return options_.is_html && !node.is_raw ? append_escaped(text) : append(text);
}

bool Renderer::enter_section(const Node& node) {
    const Value* value = look_up(node);
    if (error_) return false;
    if (!value || !value->is_truthy()) {
        at_ = node.partner + 1;
        return true;
    }
    if (!has_room_for_level()) return false;
    const bool is_list = value->kind() == Value::Kind::array;
    loops_.push_back({.items = is_list ? &value->items() : nullptr});
    contexts_.push_back(is_list ? &value->items().front() : value);
    return true;
}

bool Renderer::end_section(const Node& node) {
    Loop& loop = loops_.back();
    if (loop.items && ++loop.index < loop.items->size()) {
        contexts_.back() = &(*loop.items)[loop.index];
        at_ = node.partner + 1;
    } else {
        loops_.pop_back();
        contexts_.pop_back();
    }
    return true;
}

bool Renderer::skip_if_truthy(const Node& node) {
    const Value* value = look_up(node);
    if (value && value->is_truthy()) at_ = node.partner + 1;
    return !error_;
}

bool Renderer::enter_partial(const Node& node) {
    std::string_view name = name_of(node);
    if (node.is_dynamic) {
        const Value* value = look_up(node);
        if (error_) return false;
        // What is longer, and a list, can't be the name of a template.
        scratch_.clear();
        if (value && value->scalar_text().size() <= Template::max_name_size) scratch_ = value->scalar_text();
        if (!spend(steps_for(scratch_.size()))) return false;
        if (scratch_.empty() && options_.is_strict) {
            return fail("22023", "variable \"" + std::string(name) + "\" names no partial",
                        "Pass the name of a template in it.");
        }
        name = scratch_;
    }
    const Template* partial = nullptr;
    if (options_.partials && !name.empty()) {
        Result<const Template*> found = options_.partials->find(name);
        if (!found) {
            error_ = found.error();
            return false;
        }
        partial = *found;
    }
    if (!partial) {
        if (options_.missing && !name.empty()) options_.missing->push_back("> " + std::string(name));
        if (!options_.is_strict) return true;
        return fail("22023", "partial \"" + std::string(name) + "\" is missing", "Store a template of that name.");
    }
    if (!has_room_for_level()) return false;

    calls_.push_back({template_, at_, indent_begin_, indent_.size()});
    if (node.is_standalone) {
        const std::string_view own = template_->slice(node.indent);
        if (!spend(steps_for(own.size()))) return false;
        if (own.size() > options_.max_output - std::min(options_.max_output, indent_.size())) {
            return fail("54000", "indentation of partials is too large", "Does a partial include itself?");
        }
        indent_ += own;
    } else {
        indent_begin_ = indent_.size();
    }
    template_ = partial;
    at_ = 0;
    return true;
}

void Renderer::leave_partial() {
    const Call& call = calls_.back();
    template_ = call.caller;
    at_ = call.resume_at;
    indent_begin_ = call.indent_begin;
    indent_.resize(call.indent_size);
    calls_.pop_back();
}

// The first part of a dotted name is looked for from the innermost context outwards, the other parts only in what
// the first one gave. nullptr also when the steps are used up.
const Value* Renderer::look_up(const Node& node) {
    if (node.path_size == 0) return contexts_.back();
    const auto* path = template_->paths().data() + node.path_begin;
    const std::string_view first = template_->slice(path[0]);
    const Value* value = nullptr;
    std::size_t cost = 0;
    for (auto context = contexts_.rbegin(); context != contexts_.rend() && !value; ++context) {
        value = (*context)->find(first);
        cost += 1 + steps_for(first.size());
    }
    for (std::uint32_t i = 1; i < node.path_size && value; ++i) {
        const std::string_view name = template_->slice(path[i]);
        value = value->find(name);
        cost += 1 + steps_for(name.size());
    }
    return spend(cost) ? value : nullptr;
}

bool Renderer::append(std::string_view text) {
    if (text.size() > limit_ - out_.size()) {
        return fail("54000", "rendered text is too large",
                    "At most " + std::to_string(options_.max_output) + " bytes are allowed.");
    }
    out_ += text;
    return true;
}

// A partial's own text: every line that begins inside of it is indented (a first line by is_line_start).
bool Renderer::append_lines(std::string_view text) {
    if (indent().empty()) return append(text);
    for (;;) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos || end + 1 == text.size()) return append(text);
        if (!append(text.substr(0, end + 1)) || !append(indent())) return false;
        text.remove_prefix(end + 1);
    }
}

bool Renderer::append_escaped(std::string_view text) {
    std::size_t plain_begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string_view escape = escapes[static_cast<unsigned char>(text[i])];
        if (escape.empty()) continue;
        if (!append(text.substr(plain_begin, i - plain_begin)) || !append(escape)) return false;
        plain_begin = i + 1;
    }
    return append(text.substr(plain_begin));
}

bool Renderer::has_room_for_level() {
    if (loops_.size() + calls_.size() < options_.max_depth) return true;
    return fail(
        "54000", "sections and partials are nested too deeply",
        "At most " + std::to_string(options_.max_depth) + " may be open at once. Does a partial include itself?");
}

bool Renderer::spend(std::size_t steps) {
    if (steps > options_.max_steps - steps_) {
        return fail(
            "54000", "rendering takes too many steps",
            "At most " + std::to_string(options_.max_steps) + " are allowed. Are loops over long lists nested?");
    }
    steps_ += steps;
    if (steps_ < asked_at_) return true;
    asked_at_ = steps_ + steps_between_asking;
    if (options_.interrupted) error_ = options_.interrupted();
    return !error_;
}

bool Renderer::fail(const char* sqlstate, std::string message, std::string hint) {
    std::string where = "Line " + std::to_string(line_) + " of ";
    where += template_->name().empty() ? "the template." : "template \"" + template_->name() + "\".";
    error_ =
        Error{.sqlstate = sqlstate, .message = std::move(message), .detail = std::move(where), .hint = std::move(hint)};
    return false;
}

}  // namespace

Status render_to(std::string& out, const Template& source, const Value& variables, const RenderOptions& options) {
    const std::size_t before = out.size();
    Status failed = Renderer(out, source, variables, options).run();
    if (failed) out.resize(before);
    return failed;
}

Result<std::string> render(const Template& source, const Value& variables, const RenderOptions& options) {
    std::string out;
    if (Status failed = render_to(out, source, variables, options)) return std::move(*failed);
    return out;
}

Result<std::string> render(std::string_view source, const Value& variables, const RenderOptions& options) {
    Result<Template> parsed = Template::parse(source);
    if (!parsed) return parsed.error();
    return render(*parsed, variables, options);
}

}  // namespace mailer::core
