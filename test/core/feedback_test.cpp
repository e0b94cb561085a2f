// What received mails mean: every sample of test/feedback by its expected rows, and what is bounded.
#include "core/feedback/feedback.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "core/feedback/answer_rules.hpp"
#include "core/feedback/bounce_rules.hpp"
#include "core/feedback/message_reader.hpp"
#include "core/feedback/text.hpp"

using namespace mailer::core::feedback;

namespace {

const std::filesystem::path folder = std::filesystem::path(MAILER_SOURCE_DIR) / "test/feedback";

std::string sample(const std::string& name) {
    std::ifstream in(folder / "samples" / (name + ".eml"), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    EXPECT_FALSE(out.str().empty()) << name;
    return out.str();
}

std::string with_crlf(const std::string& mail) {
    std::string out;
    for (const char c : mail)
        c == '\n' ? out += "\r\n" : out += c;
    return out;
}

// As in expected.tsv: kind, address, hard, code, enhanced code or -; "none" for no row.
std::vector<std::string> rows_of(const std::string& mail) {
    std::vector<std::string> rows;
    for (const Item& item : read_feedback(mail).items) {
        std::ostringstream row;
        row << to_text(item.kind) << '\t' << item.address << '\t' << (item.is_hard ? "hard" : "-") << '\t' << item.code
            << '\t' << (item.enhanced.empty() ? "-" : item.enhanced);
        rows.push_back(row.str());
    }
    if (rows.empty()) rows.emplace_back("none");
    return rows;
}

TEST(Feedback, EverySampleMeansWhatIsExpectedOfIt) {
    std::map<std::string, std::vector<std::string>> expected;
    std::ifstream in(folder / "expected.tsv");
    for (std::string line; std::getline(in, line);) {
        const auto tab = line.find('\t');
        expected[line.substr(0, tab)].push_back(line.substr(tab + 1));
    }
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "samples")) {
        const std::string name = entry.path().stem();
        files++;
        ASSERT_TRUE(expected.contains(name)) << name << " is missing in expected.tsv";
        EXPECT_EQ(rows_of(sample(name)), expected[name]) << name;
        EXPECT_EQ(rows_of(with_crlf(sample(name))), expected[name]) << name << " with CRLF";
    }
    EXPECT_EQ(files, expected.size());
}

TEST(Feedback, TheOriginalIsNamedByPartByThreadOrByText) {
    for (const char* name :
         {"postfix-unknown-user", "qmail-unknown-user", "exim-unknown-user", "reply", "abuse-report"})
        EXPECT_EQ(original_message_id(read_feedback(sample(name))), "7.0a1b2c3d@example.com") << name;
    EXPECT_EQ(read_feedback(sample("postfix-envelope-id")).envelope_id, "7.0a1b2c3d");
}

TEST(Feedback, AnAutomaticAnswerSaysThatSomebodyHasLeft) {
    EXPECT_TRUE(read_feedback(sample("left")).items.at(0).has_left);
    EXPECT_FALSE(read_feedback(sample("out-of-office")).items.at(0).has_left);
}

TEST(Feedback, AnAutomaticAnswerIsToldByItsSubjectInTheLanguagesOfMailPrograms) {
    for (const char* subject : {"Automatische Antwort",
                                "Réponse automatique",
                                "自動応答",
                                "自動返信",
                                "自动答复",
                                "自动回复",
                                "自動回覆",
                                "자동 회신",
                                "자동 응답",
                                "Otomatik Yanıt",
                                "Automatikus válasz",
                                "Răspuns automat",
                                "Αυτόματη απάντηση",
                                "Автоматический ответ",
                                "Автоматична відповідь",
                                "Автоматичен отговор",
                                "Automatski odgovor",
                                "Samodejni odgovor",
                                "תשובה אוטומטית",
                                "رد تلقائي"}) {
        const std::string mail = "From: ada@example.org\r\nIn-Reply-To: <1.a@example.com>\r\nSubject: ";
        EXPECT_EQ(rows_of(mail + subject + ": Spring\r\n\r\nAway.\r\n")[0].substr(0, 10), "auto_reply") << subject;
        EXPECT_EQ(rows_of(mail + "Re: " + subject + ": Spring\r\n\r\nThank you.\r\n")[0].substr(0, 6), "reply\t")
            << "a person who answers one: " << subject;
    }
}

TEST(Feedback, AWishForNoMoreMailIsToldInSeveralLanguages) {
    for (const char* text : {"Please unsubscribe me.", "Bitte austragen", "Veuillez me désabonner",
                             "Graag uitschrijven", "Disiscrivetemi", "Por favor, descadastrar"}) {
        const std::string mail =
            "From: ada@example.org\r\nIn-Reply-To: <1.a@example.com>\r\nSubject: Re: Spring\r\n\r\n";
        EXPECT_EQ(rows_of(mail + text + "\r\n")[0].substr(0, 12), "unsubscribe\t") << text;
    }
}

TEST(Feedback, AWishInAReplyIsAGuessAndAMailToTheUnsubscribeAddressIsNone) {
    EXPECT_TRUE(read_feedback(sample("reply-opt-out")).items.at(0).is_guess);
    EXPECT_FALSE(read_feedback(sample("unsubscribe-mail")).items.at(0).is_guess);
}

TEST(Feedback, WhatIsReadIsBounded) {
    std::string mail = "From: MAILER-DAEMON@x\nContent-Type: multipart/mixed; boundary=b\n\n";
    for (int i = 0; i < 10'000; ++i)
        mail += "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822;a" + std::to_string(i) +
                "@b.example\nAction: failed\nStatus: 5.1.1\n\n";
    EXPECT_LE(read_feedback(mail).items.size(), max_parts);
    std::string deep;
    for (int i = 0; i < 1000; ++i)
        deep += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\n\n--b" + std::to_string(i) + "\n";
    EXPECT_TRUE(read_feedback(deep).items.empty());
    EXPECT_TRUE(read_feedback("").items.empty());
    EXPECT_TRUE(read_feedback(std::string(100'000, '\0')).items.empty());
}

template <class Signs>
void expect_comparable(const Signs& signs) {
    for (const auto& sign : signs)
        EXPECT_EQ(sign.text, comparable(sign.text)) << sign.sample;
}

TEST(Feedback, SignsAreWrittenAsTextsAreCompared) {
    expect_comparable(machine_senders);
    expect_comparable(bounce_subjects);
    expect_comparable(delay_subjects);
    expect_comparable(failure_texts);
    expect_comparable(delay_texts);
    expect_comparable(copy_lines);
    expect_comparable(address_leads);
    expect_comparable(auto_subjects);
    expect_comparable(left_texts);
    expect_comparable(opt_out_texts);
    expect_comparable(unsubscribe_subjects);
    expect_comparable(challenge_subjects);
}

}  // namespace
