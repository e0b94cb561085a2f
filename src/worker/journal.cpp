// The journal's file format and its reading; see journal.hpp.
//
// One header block and slots of a fixed size. A slot: token, phase letter, length, checksum, then the reply as packed
// fields. Numbers are in the machine's own order: the file never leaves the machine, nor survives its next boot.
#include "worker/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "core/octets.hpp"

namespace mailer::worker {

namespace {

constexpr std::uint64_t magic = 0x6d61696c65724a32;  // "mailerJ2"
constexpr std::size_t header_size = 4096;
constexpr std::size_t slot_size = 4096;
constexpr std::size_t text_limit = 600;       // of the final reply
constexpr std::size_t each_text_limit = 160;  // of a recipient's

struct Header {
    std::uint64_t magic_number;
    std::uint64_t device, inode;
    std::int64_t system_identifier, epoch;
    std::uint64_t lsn;
    std::uint32_t database, timeline;
    std::int64_t made_at;  // microseconds of the Unix epoch
    char boot_id[64];
};

// The same server may have been promoted again on its own files; what it wrote before belongs to its history.
bool is_of_history(const Header& header, const JournalBinding& binding) {
    if (header.timeline == binding.timeline) return header.lsn <= binding.lsn;
    return std::any_of(binding.ancestors.begin(), binding.ancestors.end(), [&](const Ancestor& ancestor) {
        return header.timeline == ancestor.timeline && header.lsn <= ancestor.end;
    });
}

// Nothing when there is no header that fits.
std::optional<Header> trusted_header(int fd, const JournalBinding& binding) {
    struct stat st = {};
    Header header{};
    if (fstat(fd, &st) != 0 || pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return {};
    const bool is_same_file = header.magic_number == magic && header.device == static_cast<std::uint64_t>(st.st_dev) &&
                              header.inode == static_cast<std::uint64_t>(st.st_ino);
    const bool is_same_database = header.system_identifier == binding.system_identifier &&
                                  header.epoch == binding.epoch && header.database == binding.database &&
                                  is_of_history(header, binding);
    const bool is_same_boot = !binding.boot_id.empty() &&
                              std::strncmp(header.boot_id, binding.boot_id.c_str(), sizeof header.boot_id - 1) == 0;
    return is_same_file && is_same_database && is_same_boot ? std::optional(header) : std::nullopt;
}

struct SlotHead {
    std::uint64_t token;
    std::uint64_t checksum;  // over token and payload
    std::uint32_t length;    // of the payload
    char phase;              // 0: free
    char unused[3];
};

std::uint64_t checksum_of(std::uint64_t token, const char* data, std::size_t length) {
    std::uint64_t h = 1469598103934665603ULL ^ token;  // FNV-1a
    for (std::size_t i = 0; i < length; ++i)
        h = (h ^ static_cast<unsigned char>(data[i])) * 1099511628211ULL;
    return h * 1099511628211ULL + length + 1;
}

// Appends to a buffer of fixed size; what doesn't fit is cut (texts) or refused (the rest).
class Packer {
public:
    explicit Packer(std::array<char, slot_size - sizeof(SlotHead)>& to) : to_(to) {}
    template <class T>
    void number(T v) {
        if (at_ + sizeof v > to_.size()) return void(is_full_ = true);
        std::memcpy(to_.data() + at_, &v, sizeof v);
        at_ += sizeof v;
    }
    void text(const std::string& v, std::size_t limit) {
        std::size_t n = core::whole_characters(v, limit).size();
        if (at_ + 2 + n > to_.size()) n = 0;
        number(static_cast<std::uint16_t>(n));
        if (is_full_) return;
        std::memcpy(to_.data() + at_, v.data(), n);
        at_ += n;
    }
    void reply(const core::Reply& r, std::size_t limit) {
        number(static_cast<std::int16_t>(r.code));
        text(r.enhanced, 16);
        text(r.text, limit);
    }
    std::size_t size() const { return at_; }
    bool is_full() const { return is_full_; }

private:
    std::array<char, slot_size - sizeof(SlotHead)>& to_;
    std::size_t at_ = 0;
    bool is_full_ = false;
};

class Unpacker {
public:
    Unpacker(const char* from, std::size_t length) : from_(from), length_(length) {}
    template <class T>
    T number() {
        T v{};
        if (at_ + sizeof v > length_) return is_short_ = true, v;
        std::memcpy(&v, from_ + at_, sizeof v);
        at_ += sizeof v;
        return v;
    }
    std::string text() {
        std::size_t n = number<std::uint16_t>();
        if (is_short_ || at_ + n > length_) return is_short_ = true, std::string();
        at_ += n;
        return std::string(from_ + at_ - n, n);
    }
    core::Reply reply() {
        core::Reply r;
        r.code = number<std::int16_t>();
        r.enhanced = text();
        r.text = text();
        return r;
    }
    bool is_short() const { return is_short_; }

private:
    const char* from_;
    std::size_t length_;
    std::size_t at_ = 0;
    bool is_short_ = false;
};

std::size_t pack(const core::Report& report, core::Time dot_at, const std::vector<int>& envelope,
                 std::array<char, slot_size - sizeof(SlotHead)>& to, bool* fits) {
    Packer p(to);
    p.number(static_cast<std::uint8_t>(report.stage));
    p.number(static_cast<std::uint8_t>(report.ending));
    p.number(static_cast<std::uint8_t>(report.dot_sent));
    p.number(static_cast<std::int32_t>(report.recipient_count));
    p.number(core::to_unix_us(report.started_at));
    p.number(core::to_unix_us(dot_at));
    p.number(core::to_unix_us(report.finished_at));
    p.number(static_cast<std::uint8_t>((report.final_reply ? 1 : 0) | (report.session_reply ? 2 : 0)));
    if (report.final_reply) p.reply(*report.final_reply, text_limit);
    if (report.session_reply) p.reply(*report.session_reply, text_limit);
    const std::size_t limit = report.recipients.size() > 10 ? 0 : each_text_limit;
    p.number(static_cast<std::uint16_t>(report.recipients.size()));
    for (const auto& r : report.recipients) {
        p.number(static_cast<std::uint16_t>(r.index));
        p.reply(r.reply, limit);
    }
    p.number(static_cast<std::uint16_t>(envelope.size()));
    for (int n : envelope)
        p.number(static_cast<std::uint16_t>(n));
    *fits = !p.is_full();
    return p.size();
}

// False when it can't be read whole.
bool unpack(std::uint64_t token, const char* data, std::size_t length, Recorded& recorded) {
    Unpacker u(data, length);
    core::Report report;
    report.token = token;
    report.stage = static_cast<core::Stage>(u.number<std::uint8_t>());
    report.ending = static_cast<core::Ending>(u.number<std::uint8_t>());
    report.dot_sent = u.number<std::uint8_t>() != 0;
    report.recipient_count = u.number<std::int32_t>();
    report.started_at = core::from_unix_us(u.number<std::int64_t>());
    report.dot_at = core::from_unix_us(u.number<std::int64_t>());
    report.finished_at = core::from_unix_us(u.number<std::int64_t>());
    const auto which = u.number<std::uint8_t>();
    if (which & 1) report.final_reply = u.reply();
    if (which & 2) report.session_reply = u.reply();
    const auto n = u.number<std::uint16_t>();
    for (int i = 0; i < n && !u.is_short(); ++i) {
        core::RecipientResult r;
        r.index = u.number<std::uint16_t>();
        r.reply = u.reply();
        report.recipients.push_back(std::move(r));
    }
    const auto size = u.number<std::uint16_t>();
    std::vector<int> envelope;
    for (int i = 0; i < size && !u.is_short(); ++i)
        envelope.push_back(u.number<std::uint16_t>());
    if (u.is_short()) return false;
    recorded.report = std::move(report);
    recorded.envelope = std::move(envelope);
    return true;
}

bool write_at(int fd, const void* data, std::size_t n, off_t at) noexcept {
    const char* from = static_cast<const char*>(data);
    while (n > 0) {
        ssize_t done = pwrite(fd, from, n, at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        from += done;
        at += done;
        n -= static_cast<std::size_t>(done);
    }
    return true;
}

off_t place_of(std::uint32_t slot) { return static_cast<off_t>(header_size + slot * slot_size); }

}  // namespace

std::string read_boot_id() {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return "";
    char text[64] = {};
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : "";
}

FileJournal::FileJournal(std::string path, const JournalBinding& binding) : path_(std::move(path)), binding_(binding) {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0)
        throw std::runtime_error("could not open the crash journal \"" + path_ + "\": " + std::strerror(errno));
    const auto header = trusted_header(fd_, binding_);
    was_trusted_ = header.has_value();
    if (was_trusted_) {
        read_slots();
        binding_.at = core::from_unix_us(header->made_at);
        if (header->timeline != binding_.timeline) write_header();
    } else if (ftruncate(fd_, 0) != 0 || !write_header()) {
        const std::string why = std::strerror(errno);
        close(fd_);
        throw std::runtime_error("could not write the crash journal \"" + path_ + "\": " + why);
    }
}

FileJournal::~FileJournal() { close(fd_); }

bool FileJournal::write_header() noexcept {
    struct stat st = {};
    if (fstat(fd_, &st) != 0) return false;
    Header header{};
    header.magic_number = magic;
    header.device = static_cast<std::uint64_t>(st.st_dev);
    header.inode = static_cast<std::uint64_t>(st.st_ino);
    header.system_identifier = binding_.system_identifier;
    header.epoch = binding_.epoch;
    header.lsn = binding_.lsn;
    header.database = binding_.database;
    header.timeline = binding_.timeline;
    header.made_at = core::to_unix_us(binding_.at);
    std::strncpy(header.boot_id, binding_.boot_id.c_str(), sizeof header.boot_id - 1);
    return write_at(fd_, &header, sizeof header, 0);
}

void FileJournal::note_lsn(std::uint64_t lsn) noexcept {
    binding_.lsn = lsn;
    write_at(fd_, &lsn, sizeof lsn, offsetof(Header, lsn));
}

void FileJournal::note_epoch(std::int64_t epoch) noexcept {
    if (epoch == binding_.epoch || !write_at(fd_, &epoch, sizeof epoch, offsetof(Header, epoch))) return;
    binding_.epoch = epoch;
}

JournalView view_journal(const std::string& path, const JournalBinding& binding) {
    JournalView view;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return view;
    if (const auto header = trusted_header(fd, binding)) {
        view.is_trusted = true;
        view.made_at = core::from_unix_us(header->made_at);
        SlotHead head;
        for (std::uint32_t slot = 0; pread(fd, &head, sizeof head, place_of(slot)) == static_cast<ssize_t>(sizeof head);
             ++slot) {
            if (head.phase != 0) view.tokens.insert(head.token);
        }
    }
    close(fd);
    return view;
}

void FileJournal::read_slots() {
    std::array<char, slot_size> block;
    for (slot_count_ = 0;; ++slot_count_) {
        ssize_t n = pread(fd_, block.data(), block.size(), place_of(slot_count_));
        if (n < static_cast<ssize_t>(sizeof(SlotHead))) break;
        SlotHead head;
        std::memcpy(&head, block.data(), sizeof head);
        const char* payload = block.data() + sizeof head;
        const bool is_whole = sizeof head + head.length <= static_cast<std::size_t>(n) &&
                              head.checksum == checksum_of(head.token, payload, head.length);
        if (head.phase == 0 || !is_whole) {
            free_.push_back(slot_count_);
            continue;
        }
        Recorded recorded;
        recorded.phase = static_cast<Phase>(head.phase);
        if (head.length > 0 && !unpack(head.token, payload, head.length, recorded)) {
            recorded.phase = Phase::dot;  // something was answered, what is not to be read
        }
        slots_[head.token] = Slot{slot_count_, recorded.envelope};
        found_[head.token] = std::move(recorded);
    }
}

std::optional<Recorded> FileJournal::recorded(std::uint64_t token) {
    auto it = found_.find(token);
    return it == found_.end() ? std::nullopt : std::optional(it->second);
}

void FileJournal::keep_only(const std::set<std::uint64_t>& tokens) {
    std::vector<std::uint64_t> settled;
    for (const auto& [token, slot] : slots_) {
        if (!tokens.contains(token)) settled.push_back(token);
    }
    for (std::uint64_t token : settled)
        close_slot(token);
}

void FileJournal::open_slot(std::uint64_t token) {
    const bool is_new = free_.empty();
    const std::uint32_t slot = is_new ? slot_count_ : free_.back();
    SlotHead head{token, checksum_of(token, nullptr, 0), 0, static_cast<char>(Phase::claimed), {}};
    if (!write_at(fd_, &head, sizeof head, place_of(slot))) {
        throw std::runtime_error("could not write the crash journal \"" + path_ + "\": " + std::strerror(errno));
    }
    if (is_new) {
        ++slot_count_;
    } else {
        free_.pop_back();
    }
    slots_[token] = Slot{slot, {}};
}

bool FileJournal::mark(std::uint64_t token, Phase phase) noexcept {
    auto it = slots_.find(token);
    if (it == slots_.end()) return false;
    const char letter = static_cast<char>(phase);
    return write_at(fd_, &letter, 1, place_of(it->second.place) + static_cast<off_t>(offsetof(SlotHead, phase)));
}

void FileJournal::note_envelope(std::uint64_t token, const std::vector<int>& envelope) {
    if (auto it = slots_.find(token); it != slots_.end()) it->second.envelope = envelope;
}

bool FileJournal::record_dot(std::uint64_t token, const core::Report& so_far, core::Time now) noexcept {
    return record(token, Phase::dot, so_far, now);
}

bool FileJournal::record_reply(std::uint64_t token, const core::Report& report) noexcept {
    return record(token, Phase::reply, report, report.dot_at);
}

bool FileJournal::record(std::uint64_t token, Phase phase, const core::Report& report, core::Time dot_at) noexcept {
    auto it = slots_.find(token);
    if (it == slots_.end()) return false;
    std::array<char, slot_size - sizeof(SlotHead)> payload;
    bool fits = false;
    const std::size_t length = pack(report, dot_at, it->second.envelope, payload, &fits);
    if (!fits) return false;
    const SlotHead head{token,
                        checksum_of(token, payload.data(), length),
                        static_cast<std::uint32_t>(length),
                        static_cast<char>(phase),
                        {}};
    std::array<char, slot_size> block;
    std::memcpy(block.data(), &head, sizeof head);
    std::memcpy(block.data() + sizeof head, payload.data(), length);
    return write_at(fd_, block.data(), sizeof head + length, place_of(it->second.place));
}

void FileJournal::close_slot(std::uint64_t token) noexcept {
    auto it = slots_.find(token);
    if (it == slots_.end()) return;
    SlotHead head{};
    if (!write_at(fd_, &head, sizeof head, place_of(it->second.place)))
        return;  // stays taken: worth a slot, not a mail
    try {
        free_.push_back(it->second.place);
    } catch (const std::bad_alloc&) {
    }
    slots_.erase(it);
}

}  // namespace mailer::worker
