// Reading what identifies a machine; see machine.hpp. Whatever can't be read is unknown, never an error.
#include "worker/machine.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "core/octets.hpp"

namespace mailer::worker {

namespace {

// The file's first bytes, without blanks at the ends; empty when there is none.
std::string read_line(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    std::array<char, 256> buffer;
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    close(fd);
    std::string text(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    text.resize(std::min(text.find('\n'), text.size()));
    return std::string(core::trimmed(text, " "));
}

// A partition has no serial number; the disk that it is on does.
std::string read_serial(const std::string& device) {
    for (const char* name : {"/serial", "/wwid", "/device/serial", "/device/wwid", "/dm/uuid", "/md/uuid"}) {
        if (std::string text = read_line(device + name); !text.empty()) return name + 1 + (":" + text);
    }
    return {};
}

std::string escaped(std::string_view text) {
    std::string out;
    for (char c : text)
        out += c == ';' || c == '=' || static_cast<unsigned char>(c) < ' ' ? '_' : c;
    return out;
}

// A nonce is 32 hexadecimal digits, then the place where the file was made.
std::string place_of(int fd) {
    struct stat st = {};
    if (fstat(fd, &st) != 0) return {};
    return std::to_string(st.st_ino);
}

std::optional<std::string> valid_nonce(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return std::nullopt;
    const std::string place = place_of(fd);
    close(fd);
    const std::string line = read_line(path);
    const auto blank = line.find(' ');
    if (blank != 32 || line.substr(blank + 1) != place) return std::nullopt;
    return line.substr(0, blank);
}

// Written aside and put in place whole.
bool make_nonce(const std::string& path) {
    std::string aside = path + ".XXXXXX";
    const int fd = mkstemp(aside.data());
    if (fd < 0) return false;
    std::array<unsigned char, 16> random;
    bool is_good = getrandom(random.data(), random.size(), 0) == static_cast<ssize_t>(random.size());
    std::string text;
    for (unsigned char c : random) {
        std::array<char, 3> digits;
        std::snprintf(digits.data(), digits.size(), "%02x", c);
        text += digits.data();
    }
    text += " " + place_of(fd) + "\n";
    is_good = is_good && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
    close(fd);
    is_good = is_good && link(aside.c_str(), path.c_str()) == 0;
    unlink(aside.c_str());
    return is_good;
}

}  // namespace

std::string to_text(const Machine& m) {
    if (!m.identity.empty()) return "identity=" + escaped(m.identity);
    return "nonce=" + m.nonce + ";volume=" + escaped(m.volume) + ";host=" + escaped(m.host);
}

Machine machine_of(std::string_view text) {
    Machine machine;
    while (!text.empty()) {
        const auto end = text.find(';');
        const std::string_view part = text.substr(0, end);
        const auto equals = part.find('=');
        if (equals != std::string_view::npos) {
            const std::string_view key = part.substr(0, equals);
            const std::string value(part.substr(equals + 1));
            if (key == "identity") machine.identity = value;
            if (key == "nonce") machine.nonce = value;
            if (key == "volume") machine.volume = value;
            if (key == "host") machine.host = value;
        }
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return machine;
}

bool is_same(const Machine& then, const Machine& now) {
    if (!then.identity.empty() || !now.identity.empty()) return then.identity == escaped(now.identity);
    if (then.nonce.empty() || then.nonce != now.nonce) return false;
    const std::string volume = escaped(now.volume), host = escaped(now.host);
    if (!then.volume.empty() && !volume.empty()) return then.volume == volume;
    if (!then.host.empty() && !host.empty()) return then.host == host;
    return true;
}

std::string read_volume(const std::string& path, const std::string& sys) {
    struct stat st = {};
    if (stat(path.c_str(), &st) != 0) return {};
    const std::string device =
        sys + "/dev/block/" + std::to_string(major(st.st_dev)) + ":" + std::to_string(minor(st.st_dev));
    std::string serial = read_serial(device);
    if (!serial.empty()) return serial;
    // The link leads to …/sda/sda1; its parent folder is the disk's.
    std::array<char, 4096> resolved;
    if (realpath(device.c_str(), resolved.data()) == nullptr) return {};
    if (read_line(std::string(resolved.data()) + "/partition").empty()) return {};
    const std::string whole(resolved.data());
    return read_serial(whole.substr(0, whole.rfind('/')));
}

std::string read_host_id(const std::string& root) {
    const bool is_container = access((root + "/.dockerenv").c_str(), F_OK) == 0 ||
                              access((root + "/run/.containerenv").c_str(), F_OK) == 0 ||
                              std::getenv("KUBERNETES_SERVICE_HOST") != nullptr || std::getenv("container") != nullptr;
    return is_container ? std::string() : read_line(root + "/etc/machine-id");
}

std::string read_nonce(const std::string& path) {
    if (auto nonce = valid_nonce(path)) return *nonce;
    // One at a time: the second process finds what the first has created.
    const int folder = open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || flock(folder, LOCK_EX) != 0) {
        if (folder >= 0) close(folder);
        return {};
    }
    auto nonce = valid_nonce(path);
    if (!nonce) {
        unlink(path.c_str());  // of another place: it came with a copy
        if (make_nonce(path)) nonce = valid_nonce(path);
    }
    close(folder);
    return nonce.value_or("");
}

}  // namespace mailer::worker
