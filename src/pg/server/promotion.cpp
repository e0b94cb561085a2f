// The file of promotion.hpp: one line, "mailer-promotion 1 TIMELINE MICROSECONDS MACHINE NAME", blanks within escaped.
#include "pg/server/promotion.hpp"

#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include "core/standby/promise.hpp"
#include "pg/bridge/clock.hpp"
#include "pg/server/clone_guard.hpp"
#include "pg/server/shared.hpp"

extern "C" {
#include "replication/walreceiver.h"
#include "storage/spin.h"
}

namespace mailer::pg {

namespace {

constexpr const char* path = "pg_stat_tmp/mailer.promotion";
constexpr const char* path_aside = "pg_stat_tmp/mailer.promotion.new";
constexpr std::string_view header = "mailer-promotion-1";

// Fields are parted by tabs; none of them holds one (machine text and names are one-line values).
std::vector<std::string> read_fields() {
    std::vector<std::string> fields;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return fields;
    char buffer[2048];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    close(fd);
    std::string_view text(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
    if (text.empty() || text.back() != '\n') return fields;
    text.remove_suffix(1);
    for (;;) {
        const auto tab = text.find('\t');
        fields.emplace_back(text.substr(0, tab));
        if (tab == std::string_view::npos) return fields;
        text.remove_prefix(tab + 1);
    }
}

const char* setting(const char* name) {
    const char* const value = GetConfigOption(name, true, false);
    return value == nullptr ? "" : value;
}

// As the primary saw it when this server last streamed from it: Patroni empties primary_slot_name and primary_conninfo
// when the leader's key has run out, some moments before it promotes. The settings tell where it never streamed since
// it started.
std::string name_here() {
    char slot[NAMEDATALEN], conninfo[MAXCONNINFO];
    SpinLockAcquire(&WalRcv->mutex);
    const bool has_streamed = WalRcv->receiveStart != InvalidXLogRecPtr;
    strlcpy(slot, WalRcv->is_temp_slot ? "" : WalRcv->slotname, sizeof slot);
    strlcpy(conninfo, WalRcv->conninfo, sizeof conninfo);
    SpinLockRelease(&WalRcv->mutex);
    if (has_streamed) return core::own_name(slot, conninfo, setting("cluster_name"));
    return core::own_name(setting("primary_slot_name"), setting("primary_conninfo"), setting("cluster_name"));
}

void write_record() {
    const std::string name = name_here();
    const std::string line = std::string(header) + "\t" + std::to_string(current_timeline()) + "\t" +
                             std::to_string(core::to_unix_us(now())) + "\t" + current_machine() + "\t" + name + "\n";
    const int fd = open(path_aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    const bool is_written = write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(fd) == 0;
    close(fd);
    if (is_written) (void)rename(path_aside, path);
}

}  // namespace

std::optional<PromotionRecord> read_promotion() {
    const std::vector<std::string> fields = read_fields();
    if (fields.size() != 5 || fields[0] != header) return std::nullopt;
    PromotionRecord record;
    record.timeline = static_cast<std::uint32_t>(std::strtoul(fields[1].c_str(), nullptr, 10));
    record.promoted_at = core::from_unix_us(std::strtoll(fields[2].c_str(), nullptr, 10));
    record.name = fields[4];
    const bool is_of_here = worker::is_same(worker::machine_of(fields[3]), worker::machine_of(current_machine()));
    if (!is_of_here || record.timeline != call([] { return current_timeline(); })) return std::nullopt;
    return record;
}

void record_promotion() noexcept {
    if (!was_standby()) return;
    try {
        if (!read_promotion()) write_record();
    } catch (...) {
        // Without it the server is held as a copy, until somebody says mailer.arm().
    }
}

}  // namespace mailer::pg
