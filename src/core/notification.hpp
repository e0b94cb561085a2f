// What becomes of one notification: the inbox, a mail, both or neither, and which mail takes it.
//
// The one place that decides it; src/pg reads the facts and does what the plan says. It knows no clocks and no tables:
// how long a mail waits is the database's arithmetic on intervals (src/pg/notify/notification_mail.cpp), named here by
// its group.
//
// C1  What a category requires can't be switched off: a preference chooses only between at once and a digest.
// C2  A notification made alone (the second try after a deadlock) joins no row and no mail, and isn't counted.
// C3  Digests aren't counted against the rate limit; a mail that joins one that waits isn't either.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mailer::core {

struct NotificationFacts {
    // of the category
    bool is_required = false;
    bool is_rated = false;    // has a rate limit
    bool is_delayed = false;  // mails only what is still unread after a while
    // of the user: what he prefers, and whether mail can reach him
    bool wants_in_app = true;
    bool wants_mail = true;
    bool wants_digest = false;
    bool has_address = false;
    // of the event
    bool has_key = false;
    bool is_alone = false;
};

// With which others an item shares its mail.
enum class MailGroup { none, key, rest, digest };

struct NotificationPlan {
    bool is_in_app = false;
    bool is_collapsed = false;  // joins the open inbox row of its key
    bool is_mailed = false;
    MailGroup group = MailGroup::none;
    bool makes_mail = false;  // joins its group's mail, or makes one; false: goes with whatever digest is next
    bool is_counted = false;  // a mail that is made counts; over the limit the item moves to the group `rest`

    bool is_silent() const noexcept { return !is_in_app && !is_mailed; }
};

NotificationPlan plan_notification(const NotificationFacts& facts) noexcept;

// Whether a mail is looked at again when it is sent: it gathers, or it goes only if something is unread.
constexpr bool is_late_bound(MailGroup group, bool is_delayed) noexcept {
    return group != MailGroup::none || is_delayed;
}

// Whether a mail leaves out what was read in the meantime: one that waited for that, and one that gathered for long.
constexpr bool is_unread_only(MailGroup group, bool is_delayed) noexcept {
    return is_delayed || group == MailGroup::digest || group == MailGroup::rest;
}

// What notification_item.mail_group says; empty for a mail of one's own.
std::string mail_group_name(MailGroup group, std::string_view key);
MailGroup mail_group_of(std::string_view name) noexcept;

// What a template for this locale may be called after its name, the most particular first: for "pt_br.UTF-8" the locale
// as it is, then pt-BR, pt_BR and pt. Tags are the same in any case (BCP 47, section 2.1.1), and frameworks write them in
// their own.
std::vector<std::string> locale_suffixes(std::string_view locale);

// Name and address as one mailbox of RFC 5322, section 3.4, the name always quoted; controls in it are blanks. Without
// a name that one can see it is the address alone.
std::string contact_mailbox(std::string_view address, std::string_view name);

}  // namespace mailer::core
