// What a page is made of. A page is one file in pages/ with a template beside it; README.md shows how to add one.
//
// A page asks the database as the person who looks, through Visit; what the person may not do the database refuses
// (42501), and that is a 403. Pages hold no state of their own and may be asked for by several threads at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/mail/value.hpp"
#include "db/connection.hpp"
#include "http/message.hpp"
#include "person/session.hpp"

namespace mailer::web {

// One request of somebody who is logged in.
class Visit {
public:
    Visit(const Request& asked, Session& who, Connection& connection)
        : request(asked), session(who), connection_(connection) {}

    const Request& request;
    Session& session;
    std::string leads_to = {};  // where an action that made something leads; empty: as the Action says

    // Statements of one request are not one transaction: each sees what was committed before it.
    core::Value rows(const std::string& sql, const Parameters& parameters = {}) {
        return connection_.rows(sql, parameters);
    }
    // The same; on_notice gets each NOTICE's text while the statement still runs.
    core::Value rows(const std::string& sql, const Parameters& parameters,
                     const std::function<void(const std::string&)>& on_notice) {
        return connection_.rows(sql, parameters, on_notice);
    }
    // The only row; HttpError 404 when there is none.
    core::Value row(const std::string& sql, const Parameters& parameters = {});
    // The first column of the first row as text; "" when there is no row.
    std::string value(const std::string& sql, const Parameters& parameters = {});

    // One page of a long list, by key and never by offset. `sql` gets two more parameters after its own, :limit and
    // :after (write them so): the number of rows to give, and the key of the last row of the page before, NULL for the
    // first. Gives {rows, next}: next is the query of the next page ("?after=…"), or is missing on the last.
    core::Value list(std::string sql, Parameters parameters, const std::string& key_column, int page_size = 50);

    std::vector<Remark> take_remarks() { return connection_.take_remarks(); }

    bool may(const std::string& function) const { return session.may().contains(function); }

    // {name} of the path as a bigint, in text; HttpError 400 when it is none.
    std::string id(std::string_view name = "id") const;
    // A field of the query or the form; nothing when it is missing or empty, which SQL takes as NULL.
    Parameter query(std::string_view name) const;
    Parameter form(std::string_view name) const;

private:
    Connection& connection_;
};

// A POST to the page's address with action=NAME. Runs after csrf and right are checked.
struct Action {
    std::string name;
    std::string needs;  // the function of mailer that the person must have a right to: 403 otherwise
    // Does it, and gives the notice for the page that is shown next, which shows also what the statements warned of. A
    // SqlError shows its words, DETAIL and HINT.
    std::function<std::string(Visit&)> run;
    std::string leads_to = {};  // where to go then; empty: back to the page
    // Instead of run: the page's template with these variables, as the answer to the POST. For steps that store
    // nothing.
    std::function<core::Value(Visit&)> show = {};
};

struct Page {
    std::string path;  // "/messages", "/messages/{id}"
    std::string title;
    int menu_place = 0;         // 0: not in the menu; its order otherwise
    std::string template_name;  // "overview.html"
    // The variables of the template: an object. What every page has besides: see layout.html.
    std::function<core::Value(Visit&)> show;
    std::vector<Action> actions = {};
    // Instead of show and template: a file, a frame, what isn't a page of this site.
    std::function<Response(Visit&)> respond = {};
    std::size_t body_limit = 256u << 10;  // of a POST, in octets
};

// Asks the database as the gateway's role. Opens a connection when it is first needed.
class Gateway {
public:
    virtual ~Gateway() = default;
    bool has_pages = true;  // whether this process serves people's pages, too, so that a link may lead there
    virtual core::Value rows(const std::string& sql, const Parameters& parameters = {}) = 0;
};

// What stands open to everybody: no cookie, no session, its own role.
struct PublicPage {
    std::string path;
    std::function<Response(Request&, Gateway&)> get = {};  // none: 404
    std::function<Response(Request&, Gateway&)> post = {};
    std::size_t body_limit = 0;
};

// `static const Registered here{Page{…}};` at the end of a page's file.
struct Registered {
    explicit Registered(Page page);
    explicit Registered(PublicPage page);
};
const std::vector<Page>& pages();
const std::vector<PublicPage>& public_pages();

// Whether `path` is of `pattern`; then `names` has what stands for each {name}. {name} is one element, not empty.
bool matches(std::string_view pattern, std::string_view path, std::map<std::string, std::string, std::less<>>& names);

// An object of these members.
core::Value object(std::initializer_list<std::pair<const char*, core::Value>> members);
inline core::Value text(std::string value) { return core::Value::string(std::move(value)); }

// A page for people who aren't logged in, in the layout without a menu.
Response public_response(int status, const std::string& title, const std::string& template_name, core::Value variables);

}  // namespace mailer::web
