#include "core/notification.hpp"

#include <gtest/gtest.h>

namespace mailer::core {
namespace {

NotificationFacts reachable() {
    NotificationFacts facts;
    facts.has_address = true;
    return facts;
}

TEST(Notification, WithoutPreferencesItGoesBothWaysWithAMailOfItsOwn) {
    const NotificationPlan plan = plan_notification(reachable());
    EXPECT_TRUE(plan.is_in_app);
    EXPECT_TRUE(plan.is_mailed);
    EXPECT_TRUE(plan.makes_mail);
    EXPECT_EQ(plan.group, MailGroup::none);
    EXPECT_FALSE(plan.is_collapsed);
    EXPECT_FALSE(plan.is_counted);
}

TEST(Notification, ALocaleFindsItsTemplateHoweverItIsWritten) {
    using Names = std::vector<std::string>;
    EXPECT_EQ(locale_suffixes("de"), (Names{"de"}));
    EXPECT_EQ(locale_suffixes("DE"), (Names{"DE", "de"}));
    EXPECT_EQ(locale_suffixes("pt-br"), (Names{"pt-br", "pt-BR", "pt_BR", "pt"}));  // Django
    EXPECT_EQ(locale_suffixes("pt_BR"), (Names{"pt_BR", "pt-BR", "pt"}));           // Rails, gettext
    EXPECT_EQ(locale_suffixes("de_AT.UTF-8"), (Names{"de_AT.UTF-8", "de-AT", "de_AT", "de"}));
    EXPECT_EQ(locale_suffixes("ca_ES@valencia"), (Names{"ca_ES@valencia", "ca-ES", "ca_ES", "ca"}));
    EXPECT_EQ(locale_suffixes("ZH-HANT-TW"),
              (Names{"ZH-HANT-TW", "zh-Hant-TW", "zh_Hant_TW", "zh-Hant", "zh_Hant", "zh"}));
    EXPECT_EQ(locale_suffixes("-"), (Names{"-", ""}));
}

TEST(Notification, NobodyIsMailedWithoutAnAddress) {
    const NotificationPlan plan = plan_notification(NotificationFacts{});
    EXPECT_TRUE(plan.is_in_app);
    EXPECT_FALSE(plan.is_mailed);
    EXPECT_FALSE(plan.makes_mail);
}

TEST(Notification, WhoWantsNeitherIsNotTold) {
    NotificationFacts facts = reachable();
    facts.wants_in_app = facts.wants_mail = false;
    EXPECT_TRUE(plan_notification(facts).is_silent());
    facts.wants_mail = true;
    EXPECT_FALSE(plan_notification(facts).is_silent());
}

TEST(Notification, C1RequiredCategoriesGoBothWaysWhateverIsPreferred) {
    NotificationFacts facts = reachable();
    facts.is_required = true;
    facts.wants_in_app = facts.wants_mail = false;
    EXPECT_TRUE(plan_notification(facts).is_in_app);
    EXPECT_TRUE(plan_notification(facts).is_mailed);
    facts.wants_digest = true;
    EXPECT_EQ(plan_notification(facts).group, MailGroup::digest);
}

TEST(Notification, AKeyCollapsesTheRowAndGathersTheMail) {
    NotificationFacts facts = reachable();
    facts.has_key = true;
    const NotificationPlan plan = plan_notification(facts);
    EXPECT_TRUE(plan.is_collapsed);
    EXPECT_EQ(plan.group, MailGroup::key);
}

TEST(Notification, C2AloneItJoinsNobodyAndIsNotCounted) {
    NotificationFacts facts = reachable();
    facts.has_key = facts.is_rated = facts.is_alone = true;
    const NotificationPlan plan = plan_notification(facts);
    EXPECT_FALSE(plan.is_collapsed);
    EXPECT_EQ(plan.group, MailGroup::none);
    EXPECT_TRUE(plan.makes_mail);
    EXPECT_FALSE(plan.is_counted);
    facts.wants_digest = true;
    EXPECT_EQ(plan_notification(facts).group, MailGroup::digest);
    EXPECT_FALSE(plan_notification(facts).makes_mail);
}

TEST(Notification, C3OnlyMailsThatGoAtOnceAreCounted) {
    NotificationFacts facts = reachable();
    facts.is_rated = true;
    EXPECT_TRUE(plan_notification(facts).is_counted);
    facts.wants_digest = true;
    EXPECT_FALSE(plan_notification(facts).is_counted);
}

TEST(Notification, MailsThatGatherOrWaitForReadersAreLateBound) {
    EXPECT_FALSE(is_late_bound(MailGroup::none, false));
    EXPECT_TRUE(is_late_bound(MailGroup::none, true));
    EXPECT_TRUE(is_late_bound(MailGroup::rest, false));
}

TEST(Notification, GroupsHaveNamesThatNoKeyCanTake) {
    EXPECT_EQ(mail_group_name(MailGroup::none, "x"), "");
    EXPECT_EQ(mail_group_name(MailGroup::key, "rest"), "key:rest");
    EXPECT_EQ(mail_group_name(MailGroup::rest, "x"), "rest");
    EXPECT_EQ(mail_group_name(MailGroup::digest, "x"), "digest");
    for (const MailGroup group : {MailGroup::none, MailGroup::key, MailGroup::rest, MailGroup::digest})
        EXPECT_EQ(mail_group_of(mail_group_name(group, "digest")), group);
}

TEST(Notification, AContactsNameIsQuotedAndCannotBreakTheHeader) {
    EXPECT_EQ(contact_mailbox("ada@example.com", ""), "ada@example.com");
    EXPECT_EQ(contact_mailbox("ada@example.com", " \r\n "), "ada@example.com");
    EXPECT_EQ(contact_mailbox("ada@example.com", " Ada "), "\"Ada\" <ada@example.com>");
    EXPECT_EQ(contact_mailbox("ada@example.com", "A \"B\" \\ C"), "\"A \\\"B\\\" \\\\ C\" <ada@example.com>");
    EXPECT_EQ(contact_mailbox("ada@example.com", "A\r\nBcc: eve@example.com"),
              "\"A Bcc: eve@example.com\" <ada@example.com>");
    std::string wide;
    for (int i = 0; i < 1001; ++i)
        wide += "ż";
    EXPECT_EQ(contact_mailbox("a@b.c", wide).size(), 2000 + std::string("\"\" <a@b.c>").size());
}

}  // namespace
}  // namespace mailer::core
