// From a template's text to its list of nodes, in one pass and in time linear in the text.
//
// The specification's rules about white space live here and nowhere else:
//   - A tag that stands alone on its line (all but variables) takes the whole line with it, line end included.
//   - A partial that stands alone passes the white space before it on, as indentation of all its lines.
//   - Lines end with "\n" or "\r\n"; a tag may span lines.
// Sections are matched with a stack on the heap and max_nesting, so nothing here recurses.
#include <algorithm>
#include <optional>
#include <utility>

#include "core/mail/template.hpp"

#include "core/octets.hpp"

namespace mailer::core {

namespace {

constexpr std::string_view blanks = " \t";
constexpr auto npos = std::string_view::npos;

std::string quoted(std::string_view s) {
    constexpr std::size_t enough = 60;
    std::string out = "\"";
    out += whole_characters(s, enough);
    if (s.size() > enough) out += "...";
    return out += '"';
}

}  // namespace

class TemplateParser {
public:
    TemplateParser(std::string_view source, std::string_view name) {
        result_.source_ = source;
        result_.name_ = name;
        source_ = result_.source_;
    }

    Result<Template> run() &&;

private:
    using Node = TemplateNode;
    using Kind = TemplateNode::Kind;

    // One tag as it stands in the source: [begin, end) with its delimiters, `sigil` 0 for a plain variable.
    struct Tag {
        std::size_t begin = 0;
        std::size_t end = 0;
        char sigil = 0;
        std::string_view content = {};  // without sigil, trimmed
    };

    Status parse_tag(std::size_t begin);
    Status read_tag(Tag& tag);
    Status apply(const Tag& tag, Node node);
    Status open_section(Node node);
    Status close_section(const Tag& tag, Node node);
    Status set_delimiters(std::string_view content);
    Status set_name(Node& node, std::string_view name);
    void split_path(Node& node, std::string_view name);
    std::optional<std::size_t> end_of_standalone_line(const Tag& tag) const;
    void add_text(std::size_t begin, std::size_t end, std::uint32_t line);
    void add_node(Node node);
    Error error(std::string message, std::string hint = {}) const;  // in the current tag

    Error limit(std::string message, std::string_view what, std::size_t most, std::string_view unit) const;

    Node::Slice slice_of(std::string_view part) const {
        return {static_cast<std::uint32_t>(part.data() - source_.data()), static_cast<std::uint32_t>(part.size())};
    }
    std::uint32_t lines_in(std::size_t begin, std::size_t end) const {
        return static_cast<std::uint32_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(begin),
                                                     source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    }

    Template result_;
    std::string_view source_;
    std::string_view open_ = "{{";
    std::string_view close_ = "}}";
    std::vector<std::uint32_t> sections_;  // indexes of those that aren't closed yet
    std::size_t at_ = 0;                   // all before it is done
    std::size_t line_begin_ = 0;           // of the line that the text before the current tag ends on
    std::uint32_t line_ = 1;               // of at_, and while a tag is parsed of the tag
    bool is_line_start_ = true;            // nothing that shows stands before at_ on its line
};

Result<Template> TemplateParser::run() && {
    while (at_ < source_.size()) {
        const std::size_t begin = source_.find(open_, at_);
        if (begin == npos) {
            add_text(at_, source_.size(), line_);
            break;
        }
        if (Status failed = parse_tag(begin)) return std::move(*failed);
        if (result_.nodes_.size() > Template::max_nodes) {
            return limit("template has too many tags", "A template may have about", Template::max_nodes / 2, "tags");
        }
    }
    if (!sections_.empty()) {
        const Node& open = result_.nodes_[sections_.back()];
        line_ = open.line;
        return error("section " + quoted(result_.slice(open.text)) + " is never closed",
                     "Close it with {{/" + std::string(result_.slice(open.text)) + "}}.");
    }
    return std::move(result_);
}

Status TemplateParser::parse_tag(std::size_t begin) {
    const std::string_view before = source_.substr(at_, begin - at_);
    if (const auto line_end = before.rfind('\n'); line_end != npos) line_begin_ = at_ + line_end + 1;
    const std::uint32_t text_line = line_;
    line_ += lines_in(at_, begin);

    Tag tag{.begin = begin};
    if (Status failed = read_tag(tag)) return failed;

    Node node;
    node.line = line_;
    const auto after_line = end_of_standalone_line(tag);
    if (after_line) {
        add_text(at_, line_begin_, text_line);
        node.is_standalone = true;
        if (tag.sigil == '>') node.indent = slice_of(source_.substr(line_begin_, begin - line_begin_));
    } else {
        add_text(at_, begin, text_line);
        node.is_line_start = is_line_start_;
    }
    if (Status failed = apply(tag, node)) return failed;

    line_ += lines_in(begin, after_line.value_or(tag.end));
    at_ = after_line.value_or(tag.end);
    if (after_line) {
        line_begin_ = at_;
        is_line_start_ = true;
    }
    return {};
}

Status TemplateParser::read_tag(Tag& tag) {
    std::size_t inside = source_.find_first_not_of(white_space, tag.begin + open_.size());
    if (inside == npos) inside = source_.size();
    if (inside < source_.size() && std::string_view("#^/>!&{=<$").find(source_[inside]) != npos) {
        // A closing delimiter may begin with such a character: with <a> the tag <> is empty, not a partial.
        if (source_.substr(inside, close_.size()) != close_) tag.sigil = source_[inside++];
    }
    std::string end(close_);
    if (tag.sigil == '{') end.insert(0, 1, '}');
    if (tag.sigil == '=') end.insert(0, 1, '=');
    const std::size_t close = source_.find(end, inside);
    if (close == npos) {
        return error("tag is never closed", "Close it with " + quoted(end) + ".");
    }
    tag.content = trimmed(source_.substr(inside, close - inside));
    if (tag.sigil != '!' && tag.sigil != '=' && open_.size() > 1 && tag.content.find(open_) != npos) {
        return error("tag is never closed", "Another tag begins before " + quoted(end) + ".");
    }
    tag.end = close + end.size();
    return {};
}

// The position after the tag's line when nothing else but white space stands on it.
std::optional<std::size_t> TemplateParser::end_of_standalone_line(const Tag& tag) const {
    if (tag.sigil == 0 || tag.sigil == '&' || tag.sigil == '{') return {};
    if (at_ > line_begin_) return {};  // another tag stands on this line; don't read its beginning again and again
    const auto before = source_.substr(line_begin_, tag.begin - line_begin_);
    if (before.find_first_not_of(blanks) != npos) return {};
    const std::size_t after = source_.find_first_not_of(blanks, tag.end);
    if (after == npos) return source_.size();
    if (source_[after] == '\n') return after + 1;
    if (source_.substr(after, 2) == "\r\n") return after + 2;
    return {};
}

Status TemplateParser::apply(const Tag& tag, Node node) {
    switch (tag.sigil) {
        case '!':
            return {};
        case '=':
            return set_delimiters(tag.content);
        case '/':
            return close_section(tag, node);
        case '<':
        case '$':
            return error("template inheritance is not supported",
                         "Use partials ({{> name}}) to share parts between templates.");
        case '>':
            node.kind = Kind::partial;
            node.is_dynamic = tag.content.starts_with('*');
            break;
        case '#':
            node.kind = Kind::section;
            break;
        case '^':
            node.kind = Kind::inverted;
            break;
        default:
            node.kind = Kind::variable;
            node.is_raw = tag.sigil != 0;
    }
    const auto name = node.is_dynamic ? trimmed(tag.content.substr(1)) : tag.content;
    if (Status failed = set_name(node, name)) return failed;
    if (tag.sigil == '#' || tag.sigil == '^') return open_section(node);
    add_node(node);
    return {};
}

Status TemplateParser::open_section(Node node) {
    if (sections_.size() >= Template::max_nesting) {
        return limit("template nests sections too deeply", "Sections may be nested", Template::max_nesting,
                     "levels deep");
    }
    sections_.push_back(static_cast<std::uint32_t>(result_.nodes_.size()));
    add_node(node);
    return {};
}

Status TemplateParser::close_section(const Tag& tag, Node node) {
    if (sections_.empty()) return error("no section is open that " + quoted(tag.content) + " could close");
    const std::uint32_t partner = sections_.back();
    Node& open = result_.nodes_[partner];
    if (result_.slice(open.text) != tag.content) {
        Error mismatch = error("section " + quoted(result_.slice(open.text)) + " is closed as " + quoted(tag.content));
        mismatch.detail += " The section was opened on line " + std::to_string(open.line) + ".";
        return mismatch;
    }
    sections_.pop_back();
    open.partner = static_cast<std::uint32_t>(result_.nodes_.size());
    node.kind = open.kind == Kind::section ? Kind::section_end : Kind::inverted_end;
    node.text = slice_of(tag.content);
    node.partner = partner;
    add_node(node);
    return {};
}

Status TemplateParser::set_delimiters(std::string_view content) {
    const auto first_end = std::min(content.find_first_of(white_space), content.size());
    const auto first = content.substr(0, first_end);
    const auto second = trimmed(content.substr(first_end));
    const auto is_delimiter = [](std::string_view d) {
        return !d.empty() && d.size() <= Template::max_delimiter_size && d.find('=') == npos &&
               d.find_first_of(white_space) == npos;
    };
    if (!is_delimiter(first) || !is_delimiter(second)) {
        return error("malformed delimiters " + quoted(content),
                     "Write two delimiters of at most " + std::to_string(Template::max_delimiter_size) +
                         " bytes without white space and equals signs, for example {{=<% %>=}}.");
    }
    open_ = first;
    close_ = second;
    return {};
}

Status TemplateParser::set_name(Node& node, std::string_view name) {
    if (name.empty()) return error("tag without a name");
    if (name.size() > Template::max_name_size) {
        return limit("name in a template is too long", "A name may have", Template::max_name_size, "bytes");
    }
    node.text = slice_of(name);
    if (node.kind == Kind::partial && !node.is_dynamic) return {};  // any name that a stored template may have
    if (name == ".") return {};
    if (name.find_first_of(white_space) != npos) {
        return error("white space inside the name " + quoted(name),
                     "Mustache has no helpers such as \"if\" or \"each\"; {{#name}}...{{/name}} does both.");
    }
    if (name.front() == '.' || name.back() == '.' || name.find("..") != npos) {
        return error("malformed name " + quoted(name), "Names are joined by single dots, for example user.name.");
    }
    split_path(node, name);
    return {};
}

void TemplateParser::split_path(Node& node, std::string_view name) {
    node.path_begin = static_cast<std::uint32_t>(result_.paths_.size());
    for (std::size_t begin = 0; begin <= name.size();) {
        const std::size_t end = std::min(name.find('.', begin), name.size());
        result_.paths_.push_back(slice_of(name.substr(begin, end - begin)));
        begin = end + 1;
    }
    node.path_size = static_cast<std::uint32_t>(result_.paths_.size()) - node.path_begin;
}

void TemplateParser::add_text(std::size_t begin, std::size_t end, std::uint32_t line) {
    if (begin >= end) return;
    Node node;
    node.text = slice_of(source_.substr(begin, end - begin));
    node.line = line;
    node.is_line_start = is_line_start_;
    add_node(node);
    is_line_start_ = source_[end - 1] == '\n';
}

void TemplateParser::add_node(Node node) {
    result_.nodes_.push_back(node);
    is_line_start_ = false;
}

Error TemplateParser::error(std::string message, std::string hint) const {
    std::string where = "Line " + std::to_string(line_) + " of ";
    where += result_.name_.empty() ? "the template." : "template " + quoted(result_.name_) + ".";
    return {.sqlstate = "42601", .message = std::move(message), .detail = std::move(where), .hint = std::move(hint)};
}

Error TemplateParser::limit(std::string message, std::string_view what, std::size_t most, std::string_view unit) const {
    Error e = error(std::move(message));
    e.sqlstate = "54000";
    e.detail.append(" ").append(what).append(" ").append(std::to_string(most)).append(" ").append(unit).append(".");
    return e;
}

Result<Template> Template::parse(std::string_view source, std::string_view name) {
    if (source.size() > max_source_size) {
        return Error{.sqlstate = "54000",
                     .message = "template is too large",
                     .detail = "It has " + std::to_string(source.size()) + " bytes; at most " +
                               std::to_string(max_source_size) + " are allowed."};
    }
    return TemplateParser(source, name).run();
}

}  // namespace mailer::core
