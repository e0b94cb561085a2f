// Who is logged in: sessions by a random cookie, in memory alone. A restart logs everybody out.
//
// A session ends after an hour without a click (pages that refresh themselves are no clicks) and after 12 h in any
// case.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "db/connection.hpp"

namespace mailer::web {

// What a long action has said so far, for a page that asks while it runs.
struct Progress {
    std::string subject;
    std::vector<std::string> steps;
    bool is_running = false;
    bool has_failed = false;
};

// What an action did, for the page that is shown next: in the page's words, and what the database remarked.
struct Notice {
    std::string text;
    std::vector<Remark> remarks;
};

struct Session {
    std::string id;
    std::string csrf;
    Credentials credentials;
    std::chrono::steady_clock::time_point began_at = std::chrono::steady_clock::now();

    Session() = default;
    Session(const Session&) = delete;
    ~Session();  // wipes the password

    void set_notice(Notice notice);
    Notice take_notice();
    void begin_progress(std::string subject);  // forgets the one before
    void add_progress(const std::string& step);
    void end_progress(bool has_failed);
    Progress progress() const;
    void set_may(std::set<std::string> functions);
    std::set<std::string> may() const;  // names of mailer's functions that the role may call

private:
    mutable std::mutex mutex_;
    Notice notice_;
    Progress progress_;
    std::set<std::string> may_;
};

class Sessions {
public:
    static constexpr std::chrono::hours max_idle{1};
    static constexpr std::chrono::hours max_age{12};
    static constexpr std::size_t max_sessions = 2000;
    static constexpr std::size_t max_sessions_per_role = 20;

    std::shared_ptr<Session> begin(Credentials credentials) { return begin(std::move(credentials), ""); }
    // With an id of the caller's choice; the one that is there already when there is one.
    std::shared_ptr<Session> begin(Credentials credentials, std::string id);
    std::shared_ptr<Session> find(const std::string& id, bool is_click);  // nullptr when there is none, or no longer
    void end(const std::string& id);

private:
    struct Entry {
        std::shared_ptr<Session> session;
        std::chrono::steady_clock::time_point used_at;
    };
    void make_room(const std::string& role);

    std::mutex mutex_;
    std::map<std::string, Entry> entries_;
};

}  // namespace mailer::web
