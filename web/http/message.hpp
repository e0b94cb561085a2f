// A request as handlers see it, and the response that they give.
//
// A Request is complete: head and body have been read within the limits (server.hpp). Names and values are decoded,
// valid UTF-8 and without NUL; what isn't is answered with 400 before a handler sees it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailer::web {

// Ends the handling of a request with this status and a page that says `what()`.
class HttpError : public std::runtime_error {
public:
    HttpError(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
    int status() const noexcept { return status_; }

private:
    int status_;
};

// Fields of a query or a form, in their order. A file's field holds its content, file_name what the browser called it.
struct Field {
    std::string name;
    std::string value;
    std::string file_name = {};
};

class Fields {
public:
    // The first field of that name; none: "".
    const std::string& get(std::string_view name) const noexcept;
    bool has(std::string_view name) const noexcept;
    std::vector<std::string> all(std::string_view name) const;
    const std::vector<Field>& list() const noexcept { return fields_; }
    void add(Field field) { fields_.push_back(std::move(field)); }

private:
    std::vector<Field> fields_;
};

struct Request {
    std::string method;  // GET (also for HEAD) or POST
    std::string path;    // decoded, without the query
    Fields query;
    Fields form;  // of a POST; empty unless read_form() was asked to read the body
    std::map<std::string, std::string, std::less<>> headers;  // names in lower case; of several values the last
    std::string body;
    std::set<std::string, std::less<>> repeated;  // names of headers that came more than once
    std::string peer;                             // who asks: the proxy's word for it when the proxy is on this machine
    bool is_secure = false;                       // came by TLS, to us or to the proxy
    bool is_from_proxy = false;                   // from this machine, where alone a proxy is believed
    std::map<std::string, std::string, std::less<>> names;  // what stands for {name} in the page's path

    const std::string& header(std::string_view name) const noexcept;
    std::string cookie(std::string_view name) const;
};

struct Response {
    int status = 200;
    std::string type = "text/html; charset=utf-8";
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> headers = {};  // besides those that every response has
    std::string content_policy = {};                                // instead of the one that every response has

    void set(std::string name, std::string value) { headers.emplace_back(std::move(name), std::move(value)); }
};

Response see_other(const std::string& address);

// Percent-decoding of RFC 3986; nothing when it is malformed, not UTF-8 or has a NUL.
std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space);
std::string encode_percent(std::string_view text);

// Throws HttpError 400. A form is urlencoded or multipart; another type has no fields.
Fields parse_query(std::string_view text);
void read_form(Request& request);

}  // namespace mailer::web
