// The crash journal: for every claim a slot in a small file that says how far its message has come.
//
// It is what tells a message that never left (send it) from one whose final dot was sent and whose reply never came
// (unconfirmed) when the process is gone. Written with pwrite before the fact it announces; the page cache survives
// kill -9 of any process. After a crash of the operating system, on a copy or after a restore the file can't be
// trusted: its header is bound to boot, device, inode and history, and on any difference every token is unknown.
//   J1  a change of phase is one byte, or one write within a page: a killed process has made it or hasn't
//   J2  a slot whose checksum doesn't fit is as good as none
//   J3  the caller learns of a write that fails; nothing is mapped (a full disk under mmap is a SIGBUS)
// The path should be one that base backups skip. One process at a time: the holder of the sender's lock.
#pragma once

#include <string>
#include <unordered_map>

#include "worker/ports.hpp"

namespace mailer::worker {

// A timeline that the database has left, and where.
struct Ancestor {
    std::uint32_t timeline = 0;
    std::uint64_t end = 0;
};

// What the file is bound to. `lsn`: the database may only have moved forward since the file was written.
struct JournalBinding {
    std::string boot_id;
    std::int64_t system_identifier = 0;
    std::int64_t epoch = 0;
    std::uint32_t database = 0;
    std::uint32_t timeline = 0;
    std::uint64_t lsn = 0;
    std::vector<Ancestor> ancestors =
        {};           // of the timeline, newest first: a file of theirs fits if it isn't past the end
    core::Time at{};  // when it is made, if it is: what was claimed before isn't in it
};

std::string read_boot_id();  // of the running kernel; empty when it can't be read

// The journal as a process that isn't its sender sees it, possibly while a sender is at work: which slots are in use.
// A slot that is being written is seen with its token all the same.
struct JournalView {
    bool is_trusted = false;  // the file is there, and bound to this
    core::Time made_at{};
    std::set<std::uint64_t> tokens;
};
JournalView view_journal(const std::string& path, const JournalBinding& binding);

class FileJournal final : public Journal {
public:
    // Opens or makes the file and reads what an earlier sender left, if the binding fits. Throws std::runtime_error
    // when the file can't be opened or written.
    FileJournal(std::string path, const JournalBinding& binding);
    ~FileJournal() override;
    FileJournal(const FileJournal&) = delete;
    FileJournal& operator=(const FileJournal&) = delete;

    void open_slot(std::uint64_t token) override;
    bool mark(std::uint64_t token, Phase phase) noexcept override;
    void close_slot(std::uint64_t token) noexcept override;
    std::optional<Recorded> recorded(std::uint64_t token) override;
    void keep_only(const std::set<std::uint64_t>& tokens) override;

    // Whom the reports to come count by index.
    void note_envelope(std::uint64_t token, const std::vector<int>& envelope);
    // Phase::dot with the replies so far: a recipient refused before the dot never becomes unconfirmed.
    bool record_dot(std::uint64_t token, const core::Report& so_far, core::Time now) noexcept;
    // The server's whole answer, before the connection is used again. False: could not be written.
    bool record_reply(std::uint64_t token, const core::Report& report) noexcept;
    // The last commit that this journal knows of; written now and then, cheap.
    void note_lsn(std::uint64_t lsn) noexcept;
    // After mailer.arm() beside a live sender: what it has in hand stays known.
    void note_epoch(std::int64_t epoch) noexcept;

    bool was_trusted() const { return was_trusted_; }

private:
    struct Slot {
        std::uint32_t place = 0;
        std::vector<int> envelope;
    };
    void read_slots();
    bool write_header() noexcept;
    bool record(std::uint64_t token, Phase phase, const core::Report& report, core::Time dot_at) noexcept;

    std::string path_;
    JournalBinding binding_;
    int fd_ = -1;
    bool was_trusted_ = false;
    std::uint32_t slot_count_ = 0;
    std::unordered_map<std::uint64_t, Slot> slots_;  // by token
    std::vector<std::uint32_t> free_;
    std::unordered_map<std::uint64_t, Recorded> found_;
};

}  // namespace mailer::worker
