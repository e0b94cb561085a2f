// See response.hpp. First a whole answer is framed (lines and the literals within), then it is taken apart.
#include "imap/response.hpp"

#include <algorithm>
#include <charconv>

namespace mailer::imap {

namespace {

constexpr std::size_t longest_line = 64 * 1024;
constexpr std::size_t longest_literal = 512 * 1024;
constexpr std::size_t longest_answer = 2 * 1024 * 1024;
constexpr int deepest = 32;
constexpr std::size_t most_values = 20000;

// "… {123}" or "{123+}" at the end of a line.
std::optional<std::size_t> literal_size(std::string_view line) {
    if (!line.ends_with('}')) return std::nullopt;
    const auto open = line.rfind('{');
    if (open == std::string_view::npos) return std::nullopt;
    std::string_view digits = line.substr(open + 1, line.size() - open - 2);
    if (digits.ends_with('+')) digits.remove_suffix(1);
    std::size_t size = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (digits.empty() || problem != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return size;
}

class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool is_bad() const { return is_bad_; }
    std::string_view rest() const { return rest_; }

    void skip_spaces() {
        while (rest_.starts_with(' '))
            rest_.remove_prefix(1);
    }

    std::string word() {
        const std::size_t end = std::min(rest_.find_first_of(" \r\n"), rest_.size());
        std::string out(rest_.substr(0, end));
        rest_.remove_prefix(end);
        skip_spaces();
        return out;
    }

    std::vector<Value> values(int depth) {
        std::vector<Value> out;
        for (skip_spaces(); !is_bad_ && !is_at_end() && !rest_.starts_with(')'); skip_spaces()) {
            if (++count_ > most_values) {
                is_bad_ = true;
                break;
            }
            out.push_back(value(depth));
        }
        return out;
    }

    bool is_at_end() const { return rest_.empty() || rest_.starts_with("\r\n") || rest_.starts_with("\n"); }

private:
    Value value(int depth) {
        if (rest_.starts_with('(')) {
            rest_.remove_prefix(1);
            Value list{Value::Kind::list, {}, {}};
            if (depth >= deepest) {
                is_bad_ = true;
                return list;
            }
            list.items = values(depth + 1);
            if (rest_.starts_with(')')) {
                rest_.remove_prefix(1);
            } else {
                is_bad_ = true;
            }
            return list;
        }
        if (rest_.starts_with('"')) return quoted();
        if (rest_.starts_with('{')) return literal();
        return atom();
    }

    Value quoted() {
        Value out{Value::Kind::text, {}, {}};
        rest_.remove_prefix(1);
        while (!rest_.empty()) {
            const char c = rest_.front();
            rest_.remove_prefix(1);
            if (c == '"') return out;
            if (c == '\\' && !rest_.empty()) {
                out.text += rest_.front();
                rest_.remove_prefix(1);
            } else {
                out.text += c;
            }
        }
        is_bad_ = true;
        return out;
    }

    Value literal() {
        const auto end = rest_.find('\n');
        std::string_view head = rest_.substr(0, end);
        if (head.ends_with('\r')) head.remove_suffix(1);
        const auto size = literal_size(head);
        if (end == std::string_view::npos || !size || rest_.size() - end - 1 < *size) {
            is_bad_ = true;
            return {};
        }
        Value out{Value::Kind::text, std::string(rest_.substr(end + 1, *size)), {}};
        rest_.remove_prefix(end + 1 + *size);
        return out;
    }

    // BODY[HEADER.FIELDS (FROM TO)]<0> is one.
    Value atom() {
        std::size_t end = 0;
        int brackets = 0;
        for (; end < rest_.size(); ++end) {
            const char c = rest_[end];
            if (c == '\r' || c == '\n') break;
            if (c == '[') ++brackets;
            if (c == ']' && brackets > 0) --brackets;
            if (brackets == 0 && (c == ' ' || c == '(' || c == ')' || c == '"')) break;
        }
        if (end == 0) is_bad_ = true;
        Value out{Value::Kind::atom, std::string(rest_.substr(0, end)), {}};
        rest_.remove_prefix(end);
        if (equals_ignoring_case(out.text, "NIL")) out = Value{};
        return out;
    }

    std::string_view rest_;
    bool is_bad_ = false;
    std::size_t count_ = 0;
};

bool is_status(std::string_view word) {
    for (const std::string_view status : {"OK", "NO", "BAD", "BYE", "PREAUTH"})
        if (equals_ignoring_case(word, status)) return true;
    return false;
}

std::string_view line_of(std::string_view text) { return text.substr(0, text.find_first_of("\r\n")); }

}  // namespace

bool Value::is(std::string_view word) const { return kind == Kind::atom && equals_ignoring_case(text, word); }

std::optional<std::uint32_t> Value::number() const {
    std::uint32_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (kind != Kind::atom || problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// The size of the first whole answer in the buffer.
std::optional<std::size_t> ResponseParser::frame() {
    while (!is_broken_) {
        const auto end = buffer_.find('\n', scan_);
        if (end == std::string::npos) {
            scan_ = buffer_.size();
            is_broken_ = buffer_.size() - std::min(line_begin_, buffer_.size()) > longest_line;
            return std::nullopt;
        }
        std::string_view line = std::string_view(buffer_).substr(line_begin_, end - line_begin_);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.size() > longest_line) is_broken_ = true;
        const auto literal = literal_size(line);
        if (!literal) return end + 1;
        if (*literal > longest_literal || end + 1 + *literal > longest_answer) {
            is_broken_ = true;
            return std::nullopt;
        }
        if (buffer_.size() < end + 1 + *literal) {
            scan_ = end;  // looked at again when more has come
            return std::nullopt;
        }
        line_begin_ = scan_ = end + 1 + *literal;
    }
    return std::nullopt;
}

std::optional<Response> ResponseParser::next() {
    const auto size = frame();
    if (!size) return std::nullopt;
    const std::string whole = buffer_.substr(0, *size);
    buffer_.erase(0, *size);
    line_begin_ = scan_ = 0;

    Response response;
    Reader reader(whole);
    response.tag = reader.word();
    if (response.tag == "+") {
        response.text = line_of(reader.rest());
        return response;
    }
    Reader status = reader;
    if (const std::string word = status.word(); is_status(word)) {
        response.status = core::raised(word);
        std::string_view text = line_of(status.rest());
        if (text.starts_with('[')) {
            const auto end = std::min(text.find(']'), text.size());
            response.code = text.substr(1, end - 1);
            text.remove_prefix(std::min(end + 1, text.size()));
            if (text.starts_with(' ')) text.remove_prefix(1);
        }
        response.text = text;
        return response;
    }
    response.values = reader.values(0);
    is_broken_ = response.tag != "*" || reader.is_bad() || !reader.is_at_end();
    if (is_broken_) return std::nullopt;
    return response;
}

}  // namespace mailer::imap
