// See dialogue.hpp: the invariants are numbered there.
#include "imap/dialogue.hpp"

#include <algorithm>

namespace mailer::imap {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t batch_size = 50;
constexpr std::size_t most_batch_bytes = 16 * 1024 * 1024;
constexpr std::size_t most_folders = 20;
constexpr std::size_t most_found = 200000;
constexpr core::Duration answer_limit = 60s;
constexpr core::Duration renewed_after = 4min;

std::string set_of(const std::vector<Mail>& mails, bool only_wanted) {
    std::string out;
    for (const Mail& mail : mails) {
        if (only_wanted && !mail.is_wanted) continue;
        if (!out.empty()) out += ',';
        out += std::to_string(mail.uid);
    }
    return out;
}

std::uint32_t number_in_code(std::string_view code, std::string_view name) {
    if (code.size() <= name.size() || !equals_ignoring_case(code.substr(0, name.size()), name)) return 0;
    const std::string_view digits = code.substr(name.size() + 1);
    return Value{Value::Kind::atom, std::string(digits.substr(0, digits.find(' '))), {}}.number().value_or(0);
}

}  // namespace

Dialogue::Dialogue(Plan plan, core::Time now) : plan_(std::move(plan)) { command(Step::capability, "CAPABILITY", now); }

void Dialogue::command(Step step, std::string text, core::Time now) {
    step_ = step;
    is_waiting_ = true;
    deadline_ = now + answer_limit;
    output_ += "m" + std::to_string(++tag_) + ' ' + std::move(text) + "\r\n";
}

void Dialogue::emit(Event event) {
    event.is_sent = !sent_folder_.empty() && event.folder == sent_folder_;
    event_ = std::move(event);
}

// Between the answer to EXAMINE and the last mail that its search found.
bool Dialogue::is_in_folder() const { return step_ == Step::search || step_ == Step::headers || step_ == Step::bodies; }

void Dialogue::fail(std::string text, bool is_told_to_wait) {
    if (event_ && event_->kind == Event::Kind::over) return;
    Event over;
    over.text = std::move(text);
    over.is_told_to_wait = is_told_to_wait;
    emit(std::move(over));
}

void Dialogue::receive_end(std::string_view why) { fail(std::string(why)); }

void Dialogue::log_out() {
    if (is_idling_) output_ += "DONE\r\n";
    output_ += "m0 LOGOUT\r\n";
}

void Dialogue::end_idle(core::Time now) {
    output_ += "DONE\r\n";
    is_idling_ = false;
    step_ = Step::idle_end;
    deadline_ = now + answer_limit;
}

// While the caller has a batch in hand, what the server says waits in the parser.
void Dialogue::receive(std::string_view bytes, core::Time now) {
    parser_.feed(bytes);
    while (!event_) {
        auto response = parser_.next();
        if (!response) break;
        on_response(*response, now);
    }
    if (parser_.is_broken()) fail("the server's answer makes no sense");
}

void Dialogue::on_response(Response& response, core::Time now) {
    if (response.tag == "+") {
        if (step_ == Step::idle && is_waiting_) {
            is_idling_ = true;
            if (std::any_of(folders_.begin(), folders_.end(), [](const Folder& one) { return one.is_due; }))
                return end_idle(now);  // something came in the meantime
            const bool polls = folders_.size() > 1 && !is_notified_;
            deadline_ = std::min(now + (polls ? plan_.poll : renewed_after), renew_at_);
            Event listening;
            listening.kind = Event::Kind::listening;
            emit(std::move(listening));
        }
        return;
    }
    if (response.tag != "*") {
        if (response.tag == "m" + std::to_string(tag_)) on_done(response, now);
        return;
    }
    if (response.status == "BYE") {
        const bool waits =
            equals_ignoring_case(response.code, "LIMIT") || equals_ignoring_case(response.code, "UNAVAILABLE");
        return fail("the server said goodbye: " + response.text, waits);
    }
    if (!response.status.empty()) {
        if (const auto value = number_in_code(response.code, "UIDVALIDITY")) uid_validity_ = value;
        if (const auto value = number_in_code(response.code, "UIDNEXT")) uid_next_ = value;
        if (is_notified_ && equals_ignoring_case(response.code, "NOTIFICATIONOVERFLOW")) {
            has_notify_ = is_notified_ = false;  // it tells no more (RFC 5465, 5.8)
            if (is_idling_) end_idle(now);
        }
        return;
    }
    on_data(response);
    const bool has_status_news =
        is_idling_ && !response.values.empty() && response.values[0].is("STATUS") &&
        std::any_of(folders_.begin(), folders_.end(), [](const Folder& one) { return one.is_due; });
    if (has_status_news) return end_idle(now);
    // With any command a server may tell of new mails in the folder that is open (RFC 9051, 5.2 and 7.4.1), and it
    // tells once. What answers EXAMINE is their number.
    const bool is_news =
        step_ != Step::examine && response.values.size() >= 2 && response.values[1].is("EXISTS") && !examined_.empty();
    if (!is_news) return;
    for (Folder& one : folders_) {
        if (one.name != examined_) continue;
        if (is_in_folder()) {
            one.has_news = true;
        } else {
            one.is_due = true;
        }
    }
    if (is_idling_) end_idle(now);
}

void Dialogue::on_data(Response& response) {
    auto& values = response.values;
    if (values.empty()) return;
    if (values[0].is("CAPABILITY")) {
        bool has_extended = false, has_use = false;
        for (const Value& one : values) {
            has_idle_ |= one.is("IDLE");
            has_notify_ |= one.is("NOTIFY");
            has_use |= one.is("SPECIAL-USE");
            has_extended |= one.is("LIST-EXTENDED");
        }
        has_special_use_ = has_use && has_extended;
    } else if (values[0].is("LIST") && values.size() >= 4 && listed_.size() < 5000) {
        ListedFolder folder{values[3].text, {}};
        for (const Value& flag : values[1].items)
            folder.flags.push_back(flag.text);
        if (!quoted_name(folder.name).empty()) listed_.push_back(std::move(folder));
    } else if (values[0].is("SEARCH") && step_ == Step::search) {
        for (std::size_t i = 1; i < values.size() && found_.size() < most_found; ++i)
            if (const auto uid = values[i].number()) found_.push_back(*uid);
    } else if (values[0].is("STATUS") && values.size() >= 3) {
        std::uint32_t next = 0, validity = 0;
        for (std::size_t i = 0; i + 1 < values[2].items.size(); i += 2) {
            if (values[2].items[i].is("UIDNEXT")) next = values[2].items[i + 1].number().value_or(0);
            if (values[2].items[i].is("UIDVALIDITY")) validity = values[2].items[i + 1].number().value_or(0);
        }
        for (Folder& one : folders_) {
            if (one.name != values[1].text) continue;
            one.is_due |= (validity != 0 && validity != one.cursor.uid_validity) || next > one.cursor.last_uid + 1;
        }
    } else if (values.size() >= 3 && values[1].is("FETCH")) {
        on_fetch(values[2]);
    }
}

Mail* Dialogue::mail(std::uint32_t uid) {
    for (Mail& one : batch_)
        if (one.uid == uid) return &one;
    return nullptr;
}

// Untagged FETCH answers of flags come at any time, without a UID: they are none of ours.
void Dialogue::on_fetch(Value& items) {
    std::optional<std::uint32_t> uid;
    for (std::size_t i = 0; i + 1 < items.items.size(); i += 2)
        if (items.items[i].is("UID")) uid = items.items[i + 1].number();
    Mail* const one = uid ? mail(*uid) : nullptr;
    if (one == nullptr) return;
    for (std::size_t i = 0; i + 1 < items.items.size(); i += 2) {
        const std::string& name = items.items[i].text;
        Value& value = items.items[i + 1];
        if (items.items[i].is("BODYSTRUCTURE")) one->structure = structure_of(value);
        if (!equals_ignoring_case(std::string_view(name).substr(0, 5), "BODY[")) continue;
        batch_bytes_ += value.text.size();
        if (batch_bytes_ > most_batch_bytes) continue;
        if (step_ == Step::headers) {
            one->header = std::move(value.text);
        } else if (step_ == Step::bodies) {
            fetched_[*uid].push_back({name, std::move(value.text)});
        }
    }
}

void Dialogue::on_done(const Response& response, core::Time now) {
    is_waiting_ = is_idling_ = false;
    const bool is_ok = response.status == "OK";
    if (!is_ok && step_ != Step::examine && step_ != Step::status && step_ != Step::list && step_ != Step::notify) {
        return fail(response.status + ' ' + response.text,
                    equals_ignoring_case(response.code, "LIMIT") || equals_ignoring_case(response.code, "UNAVAILABLE"));
    }
    switch (step_) {
        case Step::capability:
            return command(Step::list, has_special_use_ ? "LIST \"\" \"*\" RETURN (SPECIAL-USE)" : "LIST \"\" \"*\"",
                           now);
        case Step::list: {
            FolderChoice choice = choose_folders(listed_, plan_.wished);
            listed_.clear();
            sent_folder_ = std::move(choice.sent);
            for (const std::string& name : choice.folders) {
                if (folders_.size() == most_folders) break;
                const auto known = plan_.cursors.find(name);
                folders_.push_back({name, known == plan_.cursors.end() ? Cursor{} : known->second, true});
            }
            Event found;
            found.kind = Event::Kind::folders;
            found.missing = std::move(choice.missing);
            return emit(std::move(found));
        }
        case Step::examine: {
            if (!is_ok) {  // it went away meanwhile
                if (equals_ignoring_case(folder().name, "INBOX")) return fail(response.status + ' ' + response.text);
                examined_.clear();
                folder().has_news = false;
                return finish_folder(now);
            }
            examined_ = folder().name;
            folder().has_news = false;
            if (current_ == 0) inbox_due_at_ = now + renewed_after;
            found_.clear();
            const bool is_known = uid_validity_ != 0 && folder().cursor.uid_validity == uid_validity_;
            if (!is_known) folder().cursor = {uid_validity_, 0};
            if (is_known && uid_next_ != 0 && uid_next_ <= folder().cursor.last_uid + 1) {
                return finish_folder(now);
            }
            return command(Step::search,
                           is_known ? "UID SEARCH UID " + std::to_string(folder().cursor.last_uid + 1) + ":*"
                                    : "UID SEARCH SINCE " + plan_.since,
                           now);
        }
        case Step::search: {
            std::erase_if(found_, [&](std::uint32_t uid) {
                return uid <= folder().cursor.last_uid;
            });  // n:* names the last one at least
            std::sort(found_.begin(), found_.end());
            return next_batch(now);
        }
        case Step::headers: {
            std::erase_if(batch_, [](const Mail& one) { return one.header.empty(); });  // vanished meanwhile
            for (Mail& one : batch_)
                one.may_be_report = may_be_report(one.structure, one.header);
            Event headers;
            headers.kind = Event::Kind::headers;
            headers.folder = folder().name;
            headers.mails = std::move(batch_);
            return emit(std::move(headers));
        }
        case Step::bodies: {
            if (const auto next = std::find_if(batch_.begin(), batch_.end(),
                                               [](const Mail& one) { return one.is_wanted && one.raw.empty(); });
                next != batch_.end()) {
                // Answered, or not there any more: each is asked for once.
                next->raw = assemble(next->header, next->structure, fetched_[next->uid]);
                fetched_.clear();
            }
            const auto next = std::find_if(batch_.begin(), batch_.end(),
                                           [](const Mail& one) { return one.is_wanted && one.raw.empty(); });
            if (next != batch_.end()) {
                return command(Step::bodies,
                               "UID FETCH " + std::to_string(next->uid) + " (UID " + items_for(next->structure) + ")",
                               now);
            }
            Event mails;
            mails.kind = Event::Kind::mails;
            mails.folder = folder().name;
            mails.cursor = folder().cursor;
            mails.mails = std::move(batch_);
            return emit(std::move(mails));
        }
        case Step::notify:
            has_notify_ = is_notified_ = is_ok;
            return next_folder(now);
        case Step::status:
        case Step::noop:
            return look_around(now);
        case Step::idle:  // the server ended it
        case Step::idle_end:
            polled_ = 1;
            return look_around(now);
    }
}

void Dialogue::take_up(core::Time now) {
    if (!event_ || event_->kind == Event::Kind::over) return;
    Event done = std::move(*event_);
    event_.reset();
    switch (done.kind) {
        case Event::Kind::folders:
            next_folder(now);
            break;
        case Event::Kind::headers: {
            batch_ = std::move(done.mails);
            fetched_.clear();
            const auto first =
                std::find_if(batch_.begin(), batch_.end(), [](const Mail& one) { return one.is_wanted; });
            if (first != batch_.end() && !items_for(first->structure).empty()) {
                command(Step::bodies,
                        "UID FETCH " + std::to_string(first->uid) + " (UID " + items_for(first->structure) + ")", now);
            } else {
                for (Mail& one : batch_)
                    if (one.is_wanted) one.raw = assemble(one.header, one.structure, {});
                Event mails;
                mails.kind = Event::Kind::mails;
                mails.folder = folder().name;
                mails.cursor = folder().cursor;
                mails.mails = std::move(batch_);
                emit(std::move(mails));
            }
            break;
        }
        case Event::Kind::mails:
            next_batch(now);
            break;
        case Event::Kind::listening:
        case Event::Kind::over:
            break;
    }
    receive({}, now);
}

void Dialogue::next_batch(core::Time now) {
    batch_.clear();
    batch_bytes_ = 0;
    while (!found_.empty() && batch_.size() < batch_size) {
        Mail one;
        one.uid = found_.front();
        found_.pop_front();
        batch_.push_back(std::move(one));
    }
    if (batch_.empty()) {
        // What lies before UIDNEXT and wasn't found is older than we look.
        if (folder().cursor.last_uid == 0 && uid_next_ > 1) {
            folder().cursor.last_uid = uid_next_ - 1;
            Event read;
            read.kind = Event::Kind::mails;
            read.folder = folder().name;
            read.cursor = folder().cursor;
            return emit(std::move(read));
        }
        return finish_folder(now);
    }
    folder().cursor.last_uid = batch_.back().uid;
    command(Step::headers,
            "UID FETCH " + set_of(batch_, false) + " (UID BODYSTRUCTURE " + std::string(header_items()) + ")", now);
}

// All that the search found is read; what came in since is found by another.
void Dialogue::finish_folder(core::Time now) {
    folder().is_due = folder().has_news;
    next_folder(now);
}

void Dialogue::next_folder(core::Time now) {
    for (std::size_t i = 0; i < folders_.size(); ++i) {
        if (!folders_[i].is_due) continue;
        current_ = i;
        uid_validity_ = uid_next_ = 0;
        return command(Step::examine, "EXAMINE " + quoted_name(folder().name), now);
    }
    if (!folders_.empty() && examined_ != folders_[0].name) {
        folders_[0].is_due = true;
        return next_folder(now);
    }
    begin_idle(now);
}

// After IDLE was broken: the folders that it doesn't tell of, one STATUS each.
void Dialogue::look_around(core::Time now) {
    if (polled_ < folders_.size()) {
        const std::string& name = folders_[polled_++].name;
        return command(Step::status, "STATUS " + quoted_name(name) + " (UIDNEXT UIDVALIDITY)", now);
    }
    if (!folders_.empty() && (!has_idle_ || now >= inbox_due_at_)) folders_[0].is_due = true;
    next_folder(now);
}

// IDLE then tells of all folders. The answer says how each is now, so that what came in since it was read isn't missed.
void Dialogue::ask_for_news(core::Time now) {
    std::string others;
    for (std::size_t i = 1; i < folders_.size(); ++i)
        others += (others.empty() ? "" : " ") + quoted_name(folders_[i].name);
    command(Step::notify,
            "NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (mailboxes (" + others +
                ") (MessageNew MessageExpunge))",
            now);
}

void Dialogue::begin_idle(core::Time now) {
    if (has_idle_ && has_notify_ && !is_notified_ && folders_.size() > 1) return ask_for_news(now);
    polled_ = 1;
    renew_at_ = now + renewed_after;
    if (has_idle_) return command(Step::idle, "IDLE", now);
    step_ = Step::noop;
    is_waiting_ = false;
    deadline_ = now + plan_.poll;
    Event listening;
    listening.kind = Event::Kind::listening;
    emit(std::move(listening));
}

void Dialogue::expire(core::Time now) {
    if (now < deadline_ || event_) return;
    if (is_idling_) return end_idle(now);
    if (step_ == Step::noop && !is_waiting_) {
        polled_ = 1;
        return command(Step::noop, "NOOP", now);
    }
    fail("the server took too long");
}

}  // namespace mailer::imap
