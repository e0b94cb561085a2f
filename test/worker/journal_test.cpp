// The crash journal as a sender finds it that comes after a dead one: what it may believe, and what it must not.
#include "worker/journal.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace mailer::worker {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class JournalFile : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/mailer-journal-XXXXXX";
        folder = mkdtemp(name);
        path = folder / "journal";
        binding = {"boot one", 42, 7, 5, 1, 1000};
    }
    void TearDown() override { fs::remove_all(folder); }

    FileJournal open() { return FileJournal(path, binding); }
    std::optional<Recorded> found(std::uint64_t token) { return open().recorded(token); }
    void leave_one_claim() { open().open_slot(11); }

    // One byte of the file, as a torn or rotten write would leave it.
    void spoil(std::streamoff at) {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(at);
        const char was = static_cast<char>(file.get());
        file.seekp(at);
        file.put(static_cast<char>(was ^ 0x55));
    }

    fs::path folder, path;
    JournalBinding binding;
};

core::Report answered() {
    core::Report report;
    report.token = 11;
    report.stage = core::Stage::done;
    report.ending = core::Ending::answered;
    report.dot_sent = true;
    report.recipient_count = 2;
    report.final_reply = core::Reply{250, "2.0.0", "taken as 4711"};
    report.recipients = {{0, {250, "2.1.5", "OK"}}, {1, {450, "4.2.0", "not now"}}};
    report.started_at = core::from_unix_us(1'000'000);
    report.dot_at = core::from_unix_us(2'000'000);
    report.finished_at = core::from_unix_us(3'000'000);
    return report;
}

TEST_F(JournalFile, TellsHowFarAClaimHadCome) {
    for (Phase phase : {Phase::claimed, Phase::preparing, Phase::ready, Phase::body, Phase::dot}) {
        {
            FileJournal journal = open();
            journal.open_slot(11);
            EXPECT_TRUE(journal.mark(11, phase));
        }
        auto recorded = found(11);
        ASSERT_TRUE(recorded);
        EXPECT_EQ(recorded->phase, phase);
        fs::remove(path);
    }
}

TEST_F(JournalFile, KnowsNothingOfATokenThatWasNeverOpened) {
    leave_one_claim();
    EXPECT_FALSE(found(12));
    EXPECT_FALSE(open().mark(12, Phase::dot));
}

TEST_F(JournalFile, RemembersAtTheDotWhoWasRefusedBefore) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.note_envelope(11, {2, 5});
        core::Report so_far = answered();
        so_far.final_reply.reset();
        so_far.dot_sent = false;
        EXPECT_TRUE(journal.record_dot(11, so_far, core::from_unix_us(2'500'000)));
    }
    auto recorded = found(11);
    ASSERT_TRUE(recorded && recorded->report);
    EXPECT_EQ(recorded->phase, Phase::dot);
    EXPECT_EQ(recorded->envelope, (std::vector{2, 5}));
    EXPECT_EQ(recorded->report->recipients.at(1).reply.code, 450);
    EXPECT_EQ(core::to_unix_us(recorded->report->dot_at), 2'500'000);
    EXPECT_FALSE(recorded->report->final_reply);
}

TEST_F(JournalFile, KeepsTheServersWholeAnswer) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.note_envelope(11, {1, 3});
        EXPECT_TRUE(journal.record_dot(11, answered(), core::from_unix_us(2'000'000)));
        EXPECT_TRUE(journal.record_reply(11, answered()));
    }
    auto recorded = found(11);
    ASSERT_TRUE(recorded && recorded->report && recorded->report->final_reply);
    EXPECT_EQ(recorded->phase, Phase::reply);
    EXPECT_EQ(recorded->envelope, (std::vector{1, 3}));
    EXPECT_EQ(recorded->report->final_reply->text, "taken as 4711");
    EXPECT_EQ(recorded->report->recipients.at(1).index, 1);
    EXPECT_EQ(core::to_unix_us(recorded->report->dot_at), 2'000'000);
}

TEST_F(JournalFile, AHundredRecipientsAndLongWordsStillFit) {
    core::Report report = answered();
    report.final_reply->text = std::string(5000, 'x');
    report.recipients.clear();
    std::vector<int> envelope;
    for (int i = 0; i < 100; ++i) {
        report.recipients.push_back({i, {550, "5.1.10", std::string(500, 'y')}});
        envelope.push_back(i + 1);
    }
    report.recipient_count = 100;
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.note_envelope(11, envelope);
        EXPECT_TRUE(journal.record_reply(11, report));
        journal.open_slot(12);  // its neighbour is untouched
    }
    EXPECT_EQ(found(12)->phase, Phase::claimed);
    auto recorded = found(11);
    ASSERT_TRUE(recorded && recorded->report);
    EXPECT_EQ(recorded->report->recipients.size(), 100u);
    EXPECT_EQ(recorded->envelope, envelope);
}

TEST_F(JournalFile, IsNotBelievedAfterTheOperatingSystemWasRestarted) {
    leave_one_claim();
    binding.boot_id = "boot two";
    EXPECT_FALSE(found(11));
}

TEST_F(JournalFile, IsNotBelievedWhereNoBootCanBeTold) {
    binding.boot_id.clear();
    leave_one_claim();
    EXPECT_FALSE(open().was_trusted());
}

TEST_F(JournalFile, IsNotBelievedByAnotherClusterDatabaseEpochOrTimeline) {
    const JournalBinding own = binding;
    for (auto change : std::initializer_list<void (*)(JournalBinding&)>{
             [](JournalBinding& b) { b.system_identifier++; }, [](JournalBinding& b) { b.database++; },
             [](JournalBinding& b) { b.epoch++; }, [](JournalBinding& b) { b.timeline++; }}) {
        binding = own;
        fs::remove(path);
        leave_one_claim();
        EXPECT_TRUE(found(11));
        change(binding);
        EXPECT_FALSE(found(11));
    }
}

TEST_F(JournalFile, IsNotBelievedByADatabaseThatWentBackInTime) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.note_lsn(2000);
    }
    binding.lsn = 1999;
    EXPECT_FALSE(found(11));
}

TEST_F(JournalFile, IsBelievedAfterAPromotionOnTheSameFiles) {
    leave_one_claim();
    binding.timeline = 3;
    binding.ancestors = {{2, 4000}, {1, 2000}};
    EXPECT_TRUE(found(11));
    binding.ancestors = {};  // it is of the new timeline from now on
    EXPECT_TRUE(found(11));
}

TEST_F(JournalFile, IsNotBelievedWhenItsTimelineWentOnWithoutUs) {
    leave_one_claim();
    binding.timeline = 2;
    binding.ancestors = {{1, 999}};  // what the file knows of was written behind the fork
    EXPECT_FALSE(found(11));
}

TEST_F(JournalFile, IsBelievedWhenTheDatabaseHasMovedOn) {
    leave_one_claim();
    binding.lsn = 5000;
    EXPECT_TRUE(found(11));
}

TEST_F(JournalFile, IsNotBelievedWhenItIsACopyPutBack) {
    leave_one_claim();
    fs::copy(path, folder / "copy");
    open().close_slot(11);
    fs::rename(folder / "copy", path);
    EXPECT_FALSE(open().was_trusted());
    EXPECT_FALSE(found(11));
}

TEST_F(JournalFile, IsMadeAnewWhenItIsGoneOrCutShort) {
    leave_one_claim();
    fs::remove(path);
    EXPECT_FALSE(found(11));
    fs::resize_file(path, 20);
    EXPECT_FALSE(open().was_trusted());
    EXPECT_TRUE(open().was_trusted());
}

TEST_F(JournalFile, ASpoiledSlotIsAsGoodAsNone) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.record_reply(11, answered());
    }
    spoil(4096 + 100);
    EXPECT_TRUE(open().was_trusted());
    EXPECT_FALSE(found(11));
}

TEST_F(JournalFile, FreedSlotsAreUsedAgain) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.record_reply(11, answered());
        journal.close_slot(11);
        journal.open_slot(12);
    }
    EXPECT_EQ(fs::file_size(path) / 4096, 1u);  // header and the beginning of one slot
    EXPECT_FALSE(found(11));
    EXPECT_EQ(found(12)->phase, Phase::claimed);
}

TEST_F(JournalFile, WhatWasSettledButNotClosedIsFreedAtTheStart) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.open_slot(12);
    }
    open().keep_only({12});
    EXPECT_FALSE(found(11));
    EXPECT_TRUE(found(12));
}

TEST_F(JournalFile, IsNoLinkToSomewhereElse) {
    std::ofstream(folder / "other") << "precious";
    fs::create_symlink(folder / "other", path);
    EXPECT_THROW(open(), std::runtime_error);
    EXPECT_EQ(fs::file_size(folder / "other"), 8u);
}

TEST_F(JournalFile, SaysSoWhenItCantBeWritten) {
    path = "/dev/full";
    EXPECT_THROW(open(), std::runtime_error);
    path = folder / "missing" / "journal";
    EXPECT_THROW(open(), std::runtime_error);
}

TEST(Boot, HasAnIdentityHere) { EXPECT_FALSE(read_boot_id().empty()); }

TEST_F(JournalFile, ShowsWhichSlotsAreInUseToWhoIsBesideItsSender) {
    FileJournal journal = open();
    for (std::uint64_t token : {11, 12, 13})
        journal.open_slot(token);
    journal.mark(12, Phase::body);
    journal.record_reply(13, answered());
    journal.close_slot(11);
    const JournalView view = view_journal(path, binding);
    EXPECT_TRUE(view.is_trusted);
    EXPECT_EQ(view.tokens, (std::set<std::uint64_t>{12, 13}));
}

TEST_F(JournalFile, ShowsATokenWhoseReplyIsHalfWritten) {
    FileJournal journal = open();
    journal.open_slot(13);
    journal.record_reply(13, answered());
    spoil(4096 + 100);  // in the payload of the first slot: its checksum doesn't fit
    EXPECT_EQ(view_journal(path, binding).tokens, (std::set<std::uint64_t>{13}));
}

TEST_F(JournalFile, ShowsNothingOfAnotherHistoryOrOfNoFile) {
    leave_one_claim();
    binding.epoch++;
    EXPECT_FALSE(view_journal(path, binding).is_trusted);
    EXPECT_TRUE(view_journal(path, binding).tokens.empty());
    EXPECT_FALSE(view_journal(folder / "none", binding).is_trusted);
}

TEST_F(JournalFile, IsAsOldAsItsFileAndNotAsItsSender) {
    binding.at = core::from_unix_us(5'000'000);
    leave_one_claim();
    binding.at += 1h;
    EXPECT_TRUE(open().was_trusted());
    EXPECT_EQ(view_journal(path, binding).made_at, core::from_unix_us(5'000'000));
    binding.timeline++;
    EXPECT_FALSE(open().was_trusted());
    EXPECT_EQ(view_journal(path, binding).made_at, binding.at);
}

TEST_F(JournalFile, StaysKnownWhenItsDatabaseIsArmedAnewWhileItIsInUse) {
    {
        FileJournal journal = open();
        journal.open_slot(11);
        journal.note_epoch(binding.epoch + 1);
    }
    EXPECT_FALSE(view_journal(path, binding).is_trusted);
    binding.epoch++;
    EXPECT_TRUE(found(11));
}

}  // namespace
}  // namespace mailer::worker
