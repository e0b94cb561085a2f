// See listener_lock.hpp.
#include "pg/listen/listener_lock.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "pg/bridge/guard.hpp"

namespace mailer::pg {

namespace {

// The descriptor with the lock, or -1 when somebody else has it. May ereport.
int open_and_lock() {
    char path[MAXPGPATH];
    snprintf(path, sizeof path, "pg_stat_tmp/mailer.%u.listener", MyDatabaseId);
    int const fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        const char* const why = strerror(errno);
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %s", path, why)));
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        close(fd);
        return -1;
    }
    return fd;
}

}  // namespace

std::optional<ListenerLock> ListenerLock::try_take() {
    int const fd = call([] { return open_and_lock(); });
    if (fd < 0) return std::nullopt;
    return ListenerLock(fd);
}

ListenerLock::~ListenerLock() {
    if (fd_ >= 0) close(fd_);
}

}  // namespace mailer::pg
