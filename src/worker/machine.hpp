// Which machine this is: what differs between a database and a copy of its files, and stays the same when the same
// volume is started elsewhere.
//
// A copy of the files lacks the nonce (a file that base backups skip, bound to its own inode), or the volume below it
// has another serial number (a snapshot). Where no serial number is known, the machine's own id stands in, outside
// containers. An identity that an administrator gave outdoes all of it.
#pragma once

#include <string>
#include <string_view>

namespace mailer::worker {

struct Machine {
    std::string identity;  // mailer.identity; empty: none
    std::string nonce;
    std::string volume;  // its serial number or world wide name; empty: unknown
    std::string host;    // /etc/machine-id; empty: unknown, or in a container

    bool can_tell_clones() const { return !identity.empty() || !volume.empty(); }
};

std::string to_text(const Machine& machine);  // one line, as table arming keeps it
Machine machine_of(std::string_view text);

// Whether what was noted then is where we are now.
bool is_same(const Machine& then, const Machine& now);

// The serial number of the volume with this path; empty when it can't be known. `sys` is /sys but in tests.
std::string read_volume(const std::string& path, const std::string& sys = "/sys");
std::string read_host_id(const std::string& root = "");  // empty in a container

// What the file holds, if it lies where it was created; else it is created again. Empty when it can't be written.
std::string read_nonce(const std::string& path);

}  // namespace mailer::worker
