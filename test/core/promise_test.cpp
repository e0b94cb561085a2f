// The rules of core/standby/promise.hpp one by one, and then all together: no mail is sent by two servers, whatever
// dies, is cut off or promoted, and when.
#include "core/standby/promise.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace mailer::core {
namespace {

using std::chrono::seconds;

const Time start = from_unix_us(1'800'000'000'000'000);
Time at(int s) { return start + seconds(s); }

Standby standby(const std::string& name, Lsn flushed, Time replied_at = start) {
    return {.name = name, .flushed = flushed, .is_streaming = true, .replied_at = replied_at};
}

// Writes what is due, as the sender does.
bool write(PromiseBook& book, const std::vector<Standby>& standbys, Time now, Lsn lsn, bool is_busy = true) {
    const auto change = book.change(standbys, now, is_busy);
    if (change.empty()) return false;
    book.written(change, lsn, now);
    return true;
}

TEST(Promise, ServerWithoutStandbysWritesNothingAndWaitsForNobody) {
    PromiseBook book;
    EXPECT_FALSE(write(book, {}, at(0), 10));
    EXPECT_TRUE(book.ask(10, {}, at(0)).may_send);
}

TEST(Promise, NothingIsPromisedWhileNothingIsDue) {
    PromiseBook book;
    EXPECT_FALSE(write(book, {standby("n1", 10)}, at(0), 10, false));
}

TEST(Promise, DotWaitsUntilTheStandbyHasTheClaim) {
    PromiseBook book;
    EXPECT_FALSE(book.ask(10, {standby("n1", 10)}, at(0)).may_send);  // a promise comes first
    ASSERT_TRUE(write(book, {standby("n1", 5)}, at(0), 10));
    const StandbyWait wait = book.ask(20, {standby("n1", 19)}, at(0));
    EXPECT_FALSE(wait.may_send);
    EXPECT_FALSE(wait.is_missing);
    EXPECT_EQ(wait.for_whom, "n1");
    EXPECT_TRUE(book.ask(20, {standby("n1", 20)}, at(0)).may_send);
}

TEST(Promise, MissingStandbyIsWaitedForUntilItsPromiseRunsOut) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    const StandbyWait wait = book.ask(0, {}, at(74));
    EXPECT_FALSE(wait.may_send);
    EXPECT_TRUE(wait.is_missing);
    EXPECT_EQ(wait.until, at(75));
    EXPECT_TRUE(book.ask(20, {}, at(75)).may_send);
}

TEST(Promise, NewNameCountsOnceItAndAllOthersKnowIt) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    EXPECT_TRUE(book.promises()[0].is_joining);
    EXPECT_FALSE(write(book, {standby("n1", 9)}, at(0), 11));  // its joining row isn't on its disk
    ASSERT_TRUE(write(book, {standby("n1", 10)}, at(0), 11));
    EXPECT_FALSE(book.promises()[0].is_joining);
    // n2 joins; it counts only when n1 has its row, which then inherits it.
    ASSERT_TRUE(write(book, {standby("n1", 11), standby("n2", 11)}, at(1), 20));
    EXPECT_FALSE(write(book, {standby("n1", 19), standby("n2", 20)}, at(1), 30));
    ASSERT_TRUE(write(book, {standby("n1", 20), standby("n2", 20)}, at(1), 30));
    EXPECT_FALSE(book.promises()[1].is_joining);
}

TEST(Promise, IsRenewedWhenAQuarterHasPassed) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    write(book, {standby("n1", 10)}, at(0), 11);
    EXPECT_FALSE(write(book, {standby("n1", 11)}, at(18), 12));
    ASSERT_TRUE(write(book, {standby("n1", 11)}, at(19), 12));
    EXPECT_EQ(book.promises()[0].until, at(94));
    EXPECT_FALSE(book.promises()[0].is_joining);
}

TEST(Promise, NameThatRanOutJoinsAnew) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    write(book, {standby("n1", 10)}, at(0), 11);
    ASSERT_TRUE(write(book, {standby("n1", 11)}, at(80), 12));
    EXPECT_TRUE(book.promises()[0].is_joining);
}

TEST(Promise, ShorterLengthMovesNoPromiseBack) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    book.configure({.length = seconds{10}});
    write(book, {standby("n1", 10)}, at(1), 11);
    EXPECT_EQ(book.promises()[0].until, at(75));
}

TEST(Promise, WriteThatFailedBindsAllTheSame) {
    PromiseBook book;
    (void)book.change({standby("n1", 5)}, at(0), true);  // it may have reached the log
    EXPECT_FALSE(book.ask(20, {standby("n1", 19)}, at(1)).may_send);
    ASSERT_TRUE(write(book, {standby("n1", 5)}, at(20), 30));
    EXPECT_TRUE(book.promises()[0].is_joining);
}

TEST(Promise, OnlyThoseThatMayBePromotedAreWaitedFor) {
    PromiseBook book;
    book.configure({.to = parse_promise_to("n1, n3")});
    EXPECT_TRUE(book.ask(20, {standby("far", 1)}, at(0)).may_send);
    EXPECT_FALSE(write(book, {standby("far", 5)}, at(0), 10));
    EXPECT_TRUE(write(book, {standby("far", 5), standby("n1", 5)}, at(0), 10));
    EXPECT_EQ(book.promises().size(), 1U);
}

TEST(Promise, SeveralOfOneNameGetNoneAndAreWaitedFor) {
    PromiseBook book;
    Standby one = standby("walreceiver", 19), other = standby("walreceiver", 20);
    one.is_unique = other.is_unique = false;
    EXPECT_FALSE(write(book, {one, other}, at(0), 10));
    EXPECT_FALSE(book.ask(20, {one, other}, at(0)).may_send);
    one.flushed = 20;
    EXPECT_TRUE(book.ask(20, {one, other}, at(0)).may_send);
    EXPECT_EQ(book.unpromised({one}, at(0)).size(), 1U);
}

TEST(Promise, ClockThatDiffersGetsNoPromiseOnceItIsKnown) {
    PromiseBook book;
    write(book, {standby("n1", 5, at(0))}, at(0), 10);
    // It acknowledges what was written at 0 by a clock that shows ten seconds less.
    EXPECT_FALSE(write(book, {standby("n1", 10, at(-10))}, at(0), 11));
    EXPECT_EQ(book.unpromised({standby("n1", 10, at(-10))}, at(0)).size(), 1U);
    EXPECT_EQ(book.unpromised({standby("n1", 10, at(40))}, at(30)).size(), 1U);  // ahead
    EXPECT_EQ(book.unpromised({standby("n1", 10, at(1))}, at(30)).size(), 0U);   // an old reply is no difference
}

TEST(Promise, StandbyThatHasYetToCatchUpIsNotWaitedForUnlessItIsBound) {
    PromiseBook book;
    Standby behind = standby("n1", 1);
    behind.is_streaming = false;
    EXPECT_FALSE(write(book, {behind}, at(0), 10));
    EXPECT_TRUE(book.ask(20, {behind}, at(0)).may_send);
    write(book, {standby("n1", 5)}, at(0), 10);
    EXPECT_FALSE(book.ask(0, {behind}, at(1)).may_send);
}

TEST(Promise, StandstillBindsAnewWhatRanOutMeanwhile) {
    PromiseBook book;
    write(book, {standby("n1", 5)}, at(0), 10);
    book.hold_after_standstill(at(10), at(100));
    EXPECT_FALSE(book.ask(20, {}, at(174)).may_send);
    EXPECT_TRUE(book.ask(20, {}, at(175)).may_send);
}

TEST(Promotion, GoesOnOnlyWithAPromiseThatRunsAndCounts) {
    const std::vector<Promise> rows{{"n1", at(75), false, 0}, {"n2", at(75), true, 0}};
    EXPECT_TRUE(may_go_on(rows, "n1", seconds{5}, at(70)));
    EXPECT_FALSE(may_go_on(rows, "n1", seconds{5}, at(71)));  // the clocks may differ by that much
    EXPECT_FALSE(may_go_on(rows, "n2", seconds{5}, at(0)));
    EXPECT_FALSE(may_go_on(rows, "n3", seconds{5}, at(0)));
    EXPECT_FALSE(may_go_on({}, "n1", seconds{5}, at(0)));
}

TEST(Promotion, InheritsEveryOtherNameForAWholePromise) {
    const auto others = inherited({{"n1", at(75), false, 0}, {"n2", at(20), true, 0}, {"n3", at(200), false, 0}}, "n1",
                                  seconds{75}, at(30));
    ASSERT_EQ(others.size(), 2U);
    EXPECT_EQ(others[0].until, at(105));
    EXPECT_EQ(others[1].until, at(200));
    EXPECT_TRUE(others[1].is_joining);
}

TEST(StandbyName, IsTheSlotElseTheApplicationName) {
    EXPECT_EQ(own_name("n1", "application_name=other", "cluster"), "n1");
    EXPECT_EQ(own_name("", "host=a application_name=n2 port=1", "cluster"), "n2");
    EXPECT_EQ(own_name("", "host=a application_name = 'n 2\\'s' port=1", ""), "n 2's");
    EXPECT_EQ(own_name("", "user=x application_name=first application_name=n2", ""), "n2");
    EXPECT_EQ(own_name("", "postgresql://u@h/db?sslmode=off&application_name=n%202", ""), "n 2");
    EXPECT_EQ(own_name("", "host=a", "cluster"), "cluster");
    EXPECT_EQ(own_name("", "host=a password='application_name=no'", ""), "walreceiver");
    EXPECT_EQ(own_name("", "", ""), "walreceiver");
}

TEST(StandbyName, BackupProgramsAreNone) {
    for (const char* name : {"pg_basebackup", "pg_receivewal", "barman_receive_wal", "pgbackrest backup"})
        EXPECT_TRUE(is_backup_program(name)) << name;
    EXPECT_FALSE(is_backup_program("n1"));
}

TEST(StandbyName, ListOfThoseThatMayBePromoted) {
    EXPECT_FALSE(parse_promise_to("all"));
    EXPECT_EQ(parse_promise_to("")->size(), 0U);
    EXPECT_EQ(parse_promise_to(" n1 ,n2,"), (std::vector<std::string>{"n1", "n2"}));
}

// ── All together ─────────────────────────────────────────────────────────────────────────────────────────────────

// A cluster in which anything may happen, but for two things that fencing is for: a primary that lost its place ends
// before the promises that it gave have run out, and clocks differ by less than the margin.
class World {
public:
    explicit World(unsigned seed) : random_(seed) {
        for (const char* name : {"a", "b", "c"})
            nodes_[name].clock = seconds(chance(5)) - seconds(2);
        lead("a");
    }

    void run(int steps) {
        for (int i = 0; i < steps && twice_.empty(); ++i)
            step();
    }
    const std::string& twice() const { return twice_; }
    std::size_t sent() const { return sent_.size(); }
    int promotions() const { return promotions_; }
    int went_on() const { return went_on_; }

private:
    enum class What { mail, claim, promises, held };
    struct Entry {  // of the log: a mail is queued or claimed, the table of promises changes, what was queued is held
        What what = What::mail;
        int number = 0;
        std::vector<Promise> promises = {};
    };
    struct Node {
        Duration clock{};
        std::vector<Entry> log;
        bool is_up = true, is_cut = false;
        // As a primary
        PromiseBook book;
        std::map<std::string, std::pair<Lsn, Time>> reported;
        std::map<int, Lsn> in_hand;
        std::set<int> queue;  // pending
        Time dies_at = Time::max();
    };

    int chance(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
    Time now_of(const Node& node) const { return now_ + node.clock; }

    static std::vector<Promise> promises_in(const std::vector<Entry>& log) {
        for (auto entry = log.rbegin(); entry != log.rend(); ++entry)
            if (entry->what == What::promises) return entry->promises;
        return {};
    }
    // What is neither claimed nor held in the log.
    static std::set<int> pending_in(const std::vector<Entry>& log) {
        std::set<int> pending;
        for (const Entry& entry : log) {
            if (entry.what == What::mail) pending.insert(entry.number);
            if (entry.what == What::claim) pending.erase(entry.number);
            if (entry.what == What::held) pending.clear();
        }
        return pending;
    }

    void lead(const std::string& name) {
        leader_ = name;
        Node& node = nodes_[name];
        node.book = PromiseBook();
        node.book.load(promises_in(node.log), node.log.size());
        node.in_hand.clear();
        node.reported.clear();
        node.dies_at = Time::max();
        node.queue = pending_in(node.log);
    }

    void promote(const std::string& name) {
        ++promotions_;
        Node& old = nodes_[leader_];
        // Fenced: it ends before the last of its promises does.
        Time until = now_ + seconds(1);
        for (const Promise& promise : old.book.promises())
            until = std::max(until, promise.until - old.clock - seconds(1));
        old.dies_at = old.is_up ? now_ + seconds(chance(static_cast<int>((until - now_) / seconds(1)) + 1)) : now_;
        deposed_.push_back(leader_);
        Node& node = nodes_[name];
        const std::vector<Promise> rows = promises_in(node.log);
        const bool goes_on = may_go_on(rows, name, seconds{5}, now_of(node));
        if (!goes_on) node.log.push_back({What::held, 0});
        node.log.push_back({What::promises, 0, inherited(rows, name, seconds{75}, now_of(node))});
        lead(name);
        if (goes_on) ++went_on_;
        node.is_cut = false;
    }

    void act(const std::string& name) {
        Node& node = nodes_[name];
        if (!node.is_up) return;
        const Time now = now_of(node);
        std::vector<Standby> standbys;
        for (const auto& [other, report] : node.reported)
            if (is_connected(name, other)) standbys.push_back(standby(other, report.first, report.second));
        const auto change = node.book.change(standbys, now, true);
        if (!change.empty() && chance(20) != 0) {
            node.log.push_back({What::promises, 0});
            node.book.written(change, node.log.size(), now);
            node.log.back().promises = node.book.promises();
        }
        if (!node.queue.empty() && node.in_hand.size() < 3 && node.book.ask(0, standbys, now).may_send) {
            const int mail = *node.queue.begin();
            node.queue.erase(node.queue.begin());
            node.log.push_back({What::claim, mail});
            node.in_hand[mail] = node.log.size();
        }
        for (auto it = node.in_hand.begin(); it != node.in_hand.end();) {
            if (!node.book.ask(it->second, standbys, now).may_send) {
                ++it;
                continue;
            }
            if (!sent_.insert(it->first).second)
                twice_ = "mail " + std::to_string(it->first) + " went again from " + name;
            it = node.in_hand.erase(it);
        }
    }

    bool is_connected(const std::string& primary, const std::string& other) {
        return primary == leader_ && other != primary && nodes_[other].is_up && !nodes_[other].is_cut &&
               !nodes_[primary].is_cut && !is_deposed(other);
    }
    bool is_deposed(const std::string& name) {
        return std::find(deposed_.begin(), deposed_.end(), name) != deposed_.end();
    }

    void replicate() {
        Node& leader = nodes_[leader_];
        for (auto& [name, node] : nodes_) {
            if (!is_connected(leader_, name) || !leader.is_up || chance(3) == 0) continue;
            // A timeline that was left is rewound to what both have.
            std::size_t same = 0;
            while (same < node.log.size() && same < leader.log.size() && node.log[same].what == leader.log[same].what &&
                   node.log[same].number == leader.log[same].number)
                ++same;
            node.log.resize(std::min(same, node.log.size()));
            const std::size_t n = std::min(leader.log.size(), node.log.size() + static_cast<std::size_t>(chance(4)));
            node.log.assign(leader.log.begin(), leader.log.begin() + static_cast<std::ptrdiff_t>(std::max(n, same)));
            leader.reported[name] = {node.log.size(), now_of(node)};
        }
    }

    void step() {
        now_ += std::chrono::milliseconds(chance(400));
        if (chance(4) == 0 && nodes_[leader_].is_up) {
            nodes_[leader_].log.push_back({What::mail, ++queued_});
            nodes_[leader_].queue.insert(queued_);
        }
        for (auto it = deposed_.begin(); it != deposed_.end();) {
            if (nodes_[*it].dies_at <= now_) {
                nodes_[*it].queue.clear();
                nodes_[*it].in_hand.clear();
                it = deposed_.erase(it);
            } else {
                act(*it);
                ++it;
            }
        }
        replicate();
        act(leader_);
        const std::vector<std::string> names{"a", "b", "c"};
        Node& some = nodes_[names[static_cast<std::size_t>(chance(3))]];
        if (chance(60) == 0) some.is_up = !some.is_up;
        if (chance(60) == 0) some.is_cut = !some.is_cut;
        if (chance(150) == 0) now_ += seconds(chance(90));
        if (chance(120) == 0 && deposed_.empty()) {
            const std::string& heir = names[static_cast<std::size_t>(chance(3))];
            if (heir != leader_ && nodes_[heir].is_up) promote(heir);
        }
    }

    std::mt19937 random_;
    Time now_ = start;
    std::map<std::string, Node> nodes_;
    std::string leader_;
    std::vector<std::string> deposed_;
    int queued_ = 0, promotions_ = 0, went_on_ = 0;
    std::set<int> sent_;
    std::string twice_;
};

TEST(Promise, NothingGoesTwiceWhateverDiesIsCutOffOrPromoted) {
    std::size_t sent = 0;
    int promotions = 0, went_on = 0;
    for (unsigned seed = 1; seed <= 300; ++seed) {
        World world(seed);
        world.run(3000);
        ASSERT_EQ(world.twice(), "") << "seed " << seed;
        sent += world.sent();
        promotions += world.promotions();
        went_on += world.went_on();
    }
    EXPECT_GT(sent, 1000U);
    EXPECT_GT(promotions, 300);
    EXPECT_GT(went_on, 30);
}

}  // namespace
}  // namespace mailer::core
