#include "site/layout.hpp"

#include <stdexcept>

#include "person/random.hpp"
#include "site/embedded.hpp"
#include "site/page.hpp"

namespace mailer::web {

namespace {

std::string_view title_of(int status) {
    switch (status) {
        case 400:
            return "That can't be read";
        case 403:
            return "Not allowed";
        case 404:
            return "Not found";
        case 405:
            return "Not served";
        case 409:
            return "Not possible now";
        case 413:
            return "Too large";
        case 429:
            return "Too many tries";
        case 503:
            return "The database is away";
        case 504:
            return "That takes too long";
        default:
            return "Something went wrong";
    }
}

std::string type_of(std::string_view name) {
    if (name.ends_with(".css")) return "text/css; charset=utf-8";
    if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
    return "image/svg+xml";
}

}  // namespace

Layout::Layout() : versions_(core::Value::object()) {
    for (const EmbeddedFile& file : embedded_files()) {
        if (file.name.ends_with(".html")) {
            if (const auto error = templates_.add(file.name, file.content))
                throw std::runtime_error("template " + std::string(file.name) + ": " + error->text());
        } else {
            // Browsers keep these for a day; another content has another address.
            const std::string address =
                "/static/" + std::string(file.name) + "?v=" + signature("", file.content).substr(0, 12);
            (void)versions_.set(file.name.substr(0, file.name.find('.')), core::Value::string(address));
        }
    }
}

std::string Layout::render(const std::string& title, const std::string& template_name, core::Value variables) {
    const auto outer = templates_.find("layout.html");
    if (!outer || !*outer) throw std::runtime_error("there is no layout.html");
    (void)variables.set("title", core::Value::string(title));
    (void)variables.set("content", core::Value::string(template_name));
    (void)variables.set("static", versions_);
    auto html = core::render(**outer, variables, {.is_html = true, .partials = &templates_});
    if (!html) throw std::runtime_error("template " + template_name + ": " + html.error().text());
    return std::move(html).value();
}

Layout& layout() {
    static Layout only;
    return only;
}

Response static_file(const std::string& name) {
    for (const EmbeddedFile& file : embedded_files())
        if (file.name == name && !file.name.ends_with(".html")) {
            Response response{.type = type_of(name), .body = std::string(file.content)};
            response.set("Cache-Control", "public, max-age=86400");
            return response;
        }
    return error_page(404, "There is no such file.");
}

Response error_page(int status, const std::string& message, const std::string& detail, const std::string& hint) {
    return public_response(status, std::string(title_of(status)), "error.html",
                           object({{"message", text(message)}, {"detail", text(detail)}, {"hint", text(hint)}}));
}

Response public_response(int status, const std::string& title, const std::string& template_name,
                         core::Value variables) {
    return {.status = status, .body = layout().render(title, template_name, std::move(variables))};
}

}  // namespace mailer::web
