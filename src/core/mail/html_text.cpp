// See html_text.hpp.
#include "core/mail/html_text.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/mail/html_entity.hpp"
#include "core/octets.hpp"

namespace mailer::core {
namespace {

constexpr std::size_t longest_tag_name = 12;

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

bool is_any_of(std::string_view name, auto const& names) noexcept {
    return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr auto paragraphs = std::to_array<std::string_view>(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "dl", "hr"});
constexpr auto lines =
    std::to_array<std::string_view>({"div", "tr", "li", "section", "article", "header", "footer", "main", "nav",
                                     "aside", "form", "dt", "dd", "address", "figure", "center", "tbody", "thead"});
// What lies inside is not for readers.
constexpr auto hidden = std::to_array<std::string_view>({"head", "style", "script", "title", "template", "noscript"});

class Reader {
public:
    explicit Reader(std::string_view html) : html_(html) {}

    std::string read() {
        out_.reserve(html_.size() / 2);
        while (at_ < html_.size()) {
            const char c = html_[at_];
            if (c == '<' && is_tag())
                tag();
            else if (!hidden_.empty())
                ++at_;
            else if (c == '&')
                entity();
            else if (is_blank(c) && (pre_depth_ == 0 || c == '\r'))
                ++at_, has_blank_ = has_blank_ || c != '\r' || pre_depth_ == 0;
            else if (c == '\n')
                ++at_, break_line(1);
            else
                ++at_, put({&c, 1});
        }
        while (!out_.empty() && (out_.back() == '\n' || out_.back() == ' '))
            out_.pop_back();
        if (!out_.empty()) out_ += '\n';
        return std::move(out_);
    }

private:
    bool is_tag() const {
        const char next = at_ + 1 < html_.size() ? html_[at_ + 1] : ' ';
        return next == '/' || next == '!' || next == '?' || (lowered(next) >= 'a' && lowered(next) <= 'z');
    }

    // Breaks and blanks wait until text follows, so that none gathers at the ends.
    void put(std::string_view text) {
        if (breaks_ > 0 && !out_.empty()) {
            out_.append(std::min(breaks_, 2), '\n');
        } else if (has_blank_ && !out_.empty() && out_.back() != '\n' && out_.back() != ' ') {
            out_ += ' ';
        }
        if (breaks_ > 0 || out_.empty()) out_ += std::exchange(mark_, {});
        breaks_ = 0;
        has_blank_ = false;
        out_ += text;
    }
    void break_line(int count) { breaks_ = std::max(breaks_, count), has_blank_ = false; }

    void entity() {
        const auto end = html_.substr(at_ + 1, longest_html_entity).find(';');
        const std::string text =
            end == std::string_view::npos ? std::string() : html_character(html_.substr(at_ + 1, end));
        if (text.empty()) {
            ++at_;
            return put("&");
        }
        at_ += end + 2;
        if (text == " ")
            has_blank_ = true;
        else if (text != "\x7F")
            put(text);
    }

    void tag() {
        if (html_.substr(at_, 4) == "<!--") {
            const auto end = html_.find("-->", at_ + 4);
            at_ = end == std::string_view::npos ? html_.size() : end + 3;
            return;
        }
        const std::size_t start = at_ + 1;
        char quote = 0;
        std::size_t end = start;
        for (; end < html_.size() && (quote != 0 || html_[end] != '>'); ++end) {
            const char c = html_[end];
            if (quote != 0)
                quote = c == quote ? '\0' : quote;
            else if ((c == '"' || c == '\'') && html_[end - 1] == '=')
                quote = c;
        }
        if (end == html_.size() && quote != 0) end = std::min(html_.find('>', start), html_.size());
        at_ = std::min(end + 1, html_.size());
        on_tag(html_.substr(start, end - start));
    }

    void on_tag(std::string_view inside) {
        const bool is_closing = inside.starts_with('/');
        if (is_closing) inside.remove_prefix(1);
        std::string name;
        for (const char c : inside.substr(0, longest_tag_name)) {
            if (is_blank(c) || c == '/' || c == '>') break;
            name += lowered(c);
        }
        if (!hidden_.empty()) {
            if (is_closing && name == hidden_) hidden_.clear();
            return;
        }
        if (is_any_of(name, hidden) && !is_closing && !inside.ends_with('/')) hidden_ = name;
        if (name == "pre") pre_depth_ = std::max(0, pre_depth_ + (is_closing ? -1 : 1));
        if (name == "br") return add_break();
        if (name == "a") return is_closing ? close_link() : open_link(inside);
        if (name == "img" && !is_closing) return image(inside);
        if (name == "td" || name == "th") has_blank_ = true;
        if (is_any_of(name, paragraphs)) break_line(2);
        if (is_any_of(name, lines)) break_line(1);
        if (name == "li" && !is_closing) mark_ = "- ";
        if (name == "hr" && !is_closing) put("----"), break_line(2);
    }

    void add_break() { breaks_ = std::min(breaks_ + 1, 2), has_blank_ = false; }

    void open_link(std::string_view inside) {
        link_ = attribute(inside, "href");
        link_begins_ = out_.size();
    }

    // "text <https://…>", and the address alone where it is the text.
    void close_link() {
        const std::string link = std::exchange(link_, {});
        const bool is_useful = starts_ignoring_case(link, "http:") || starts_ignoring_case(link, "https:") ||
                               starts_ignoring_case(link, "mailto:");
        if (!is_useful) return;
        std::string_view text = std::string_view(out_).substr(std::min(link_begins_, out_.size()));
        while (!text.empty() && is_blank(text.front()))
            text.remove_prefix(1);
        const std::string_view shown = starts_ignoring_case(link, "mailto:") ? std::string_view(link).substr(7) : link;
        if (text == shown || text == link) return;
        has_blank_ = has_blank_ || !text.empty();
        put("<" + std::string(shown) + ">");
    }

    void image(std::string_view inside) {
        const std::string text = attribute(inside, "alt");
        if (!text.empty()) put(text);
    }

    // An attribute's value with its entities read.
    static std::string attribute(std::string_view inside, std::string_view name) {
        for (std::size_t at = 0; at + name.size() < inside.size(); ++at) {
            if (!is_blank(inside[at]) || !starts_ignoring_case(inside.substr(at + 1), name)) continue;
            std::size_t i = at + 1 + name.size();
            while (i < inside.size() && is_blank(inside[i]))
                ++i;
            if (i >= inside.size() || inside[i] != '=') continue;
            ++i;
            while (i < inside.size() && is_blank(inside[i]))
                ++i;
            if (i >= inside.size()) return {};
            const char quote = inside[i] == '"' || inside[i] == '\'' ? inside[i] : '\0';
            const std::size_t start = quote == 0 ? i : i + 1;
            std::size_t end = start;
            while (end < inside.size() && (quote == 0 ? !is_blank(inside[end]) : inside[end] != quote))
                ++end;
            return plain(inside.substr(start, end - start));
        }
        return {};
    }

    static std::string plain(std::string_view value) {
        std::string out;
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] == '&') {
                const auto end = value.substr(i + 1, longest_html_entity).find(';');
                const std::string text =
                    end == std::string_view::npos ? std::string() : html_character(value.substr(i + 1, end));
                if (!text.empty()) {
                    if (text != "\x7F") out += text;
                    i += end + 1;
                    continue;
                }
            }
            out += is_blank(value[i]) ? ' ' : value[i];
        }
        return out;
    }

    std::string_view html_;
    std::size_t at_ = 0;
    std::string out_ = {};
    std::string hidden_ = {};  // the element that hides what comes, empty: none
    std::string mark_ = {};    // of a list item that begins
    int breaks_ = 0;           // line ends that wait
    bool has_blank_ = false;   // a blank that waits
    int pre_depth_ = 0;
    std::string link_ = {};
    std::size_t link_begins_ = 0;
};

}  // namespace

std::string text_of_html(std::string_view html) { return Reader(html).read(); }

}  // namespace mailer::core
