// One mailbox read over IMAP, sans I/O: what is said, and what comes of it.
//
//  1. Nothing is changed: folders are opened by EXAMINE, content is asked for by PEEK. No other command could mark,
//  move or delete.
//  2. A batch is at most 50 mails of one folder, in the order of their UIDs. The next isn't begun before take_up() says
//  that this one is stored.
//  3. Every command has a deadline; while it listens, the server is spoken to at least every four minutes. A connection
//  that died silently costs that at most.
//  4. Whatever the server sends, what is kept is bounded (response.hpp), and so is a batch: 16 MB.
//
// The caller moves bytes (receive, output, sent), looks at event() and answers it, and calls expire(). Order: the
// folders are chosen, each is read from its cursor on, then IDLE in INBOX; its EXISTS, or a STATUS of the others, begins
// again where something is new. That STATUS comes by itself where the server has NOTIFY (RFC 5465), else it is asked for
// every `poll`.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pace/time.hpp"
#include "imap/folder.hpp"
#include "imap/response.hpp"
#include "imap/structure.hpp"

namespace mailer::imap {

struct Cursor {
    std::uint32_t uid_validity = 0;
    std::uint32_t last_uid = 0;
};

struct Plan {
    std::vector<std::string> wished;        // folders, in UTF-8; empty: chosen
    std::map<std::string, Cursor> cursors;  // by folder, as stored
    std::string since;                      // "31-Oct-2026": what a first look goes back to
    core::Duration poll = std::chrono::seconds{5};
};

struct Mail {
    std::uint32_t uid = 0;
    std::string header;
    Structure structure;
    bool may_be_report = false;
    bool is_wanted = false;  // the caller's answer to `headers`
    std::string raw;         // of a wanted one, in the event `mails`
};

struct Event {
    enum class Kind {
        folders,    // found; `missing` weren't
        headers,    // of a batch: say which mails are wanted, then take_up()
        mails,      // the wanted ones are there, or none was wanted: store them with the cursor, then take_up()
        listening,  // all has been read, and the server tells of what comes; again after each look
        over,       // the connection is of no use any more; `text` says why
    };
    Kind kind = Kind::over;
    std::string folder;
    bool is_sent = false;  // the folder holds copies of what was sent
    Cursor cursor;         // what is read once this batch is stored
    std::vector<Mail> mails;
    std::vector<std::string> missing;
    std::string text;
    bool is_told_to_wait = false;  // of `over`: [LIMIT], [UNAVAILABLE]
};

class Dialogue {
public:
    Dialogue(Plan plan, core::Time now);  // on a connection that is logged in

    void receive(std::string_view bytes, core::Time now);
    void receive_end(std::string_view why);
    std::string_view output() const { return output_; }
    void sent(std::size_t count) { output_.erase(0, count); }

    Event* event() { return event_ ? &*event_ : nullptr; }
    bool has_event() const { return event_.has_value(); }
    void take_up(core::Time now);  // event() is dealt with (an `over` stays)

    void expire(core::Time now);
    core::Time deadline() const { return deadline_; }
    void log_out();  // says so, as far as it can be sent at once

private:
    enum class Step { capability, list, examine, search, headers, bodies, status, notify, idle, idle_end, noop };
    struct Folder {
        std::string name;
        Cursor cursor;
        bool is_due = true;
        bool has_news = false;  // the server told of new mails since the last search began
    };

    void command(Step step, std::string text, core::Time now);
    void on_response(Response& response, core::Time now);
    void on_data(Response& response);
    void on_done(const Response& response, core::Time now);
    void on_fetch(Value& items);
    void next_folder(core::Time now);
    void finish_folder(core::Time now);
    void next_batch(core::Time now);
    void look_around(core::Time now);
    void ask_for_news(core::Time now);
    void begin_idle(core::Time now);
    void end_idle(core::Time now);
    void emit(Event event);
    void fail(std::string text, bool is_told_to_wait = false);
    bool is_in_folder() const;
    Folder& folder() { return folders_[current_]; }
    Mail* mail(std::uint32_t uid);

    Plan plan_;
    ResponseParser parser_;
    std::string output_;
    std::optional<Event> event_;
    Step step_ = Step::capability;
    bool is_waiting_ = false;  // for the answer to a command
    bool is_idling_ = false;   // the server has said so
    unsigned tag_ = 0;
    core::Time deadline_;
    core::Time renew_at_;
    core::Time inbox_due_at_;  // searched at the latest, told of something or not

    bool has_idle_ = false, has_special_use_ = false;
    bool has_notify_ = false;   // the server may be asked to tell of the other folders, too
    bool is_notified_ = false;  // it does
    std::vector<ListedFolder> listed_;
    std::string sent_folder_;
    std::vector<Folder> folders_;
    std::size_t current_ = 0;
    std::size_t polled_ = 0;  // of the folders that STATUS is asked of
    std::string examined_;
    std::uint32_t uid_validity_ = 0;
    std::uint32_t uid_next_ = 0;
    std::deque<std::uint32_t> found_;
    std::vector<Mail> batch_;
    std::map<std::uint32_t, std::vector<Fetched>> fetched_;
    std::size_t batch_bytes_ = 0;
};

}  // namespace mailer::imap
