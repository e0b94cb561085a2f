// Takes the lock of election.hpp. Plain system calls: the file is never read or written, and PostgreSQL's own file
// layer would close and reopen a descriptor behind our back, which would give the lock away.
#include "pg/server/election.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pg/bridge/guard.hpp"

extern "C" {
#include "common/relpath.h"
}

namespace mailer::pg {

namespace {

// The descriptor with the lock, or -1 when somebody else has it. May ereport.
int open_and_lock() {
    char path[MAXPGPATH];
    char* const folder = GetDatabasePath(MyDatabaseId, MyDatabaseTableSpace);
    snprintf(path, sizeof path, "%s/PG_VERSION", folder);
    pfree(folder);
    for (;;) {
        int const fd = open(path, O_RDWR | O_CLOEXEC);  // for writing: some file systems lock nothing that is only read
        if (fd < 0) {
            const char* const why = strerror(errno);
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %s", path, why)));
        }
        struct stat locked, named;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int const reason = errno;
            close(fd);
            if (reason == EINTR) continue;
            if (reason == EWOULDBLOCK) return -1;
            const char* const why = strerror(reason);
            errno = reason;
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not lock file \"%s\": %s", path, why)));
        }
        // Somebody who replaced the file would let a second sender in; be the one that holds the named file.
        if (fstat(fd, &locked) == 0 && stat(path, &named) == 0 && locked.st_ino == named.st_ino &&
            locked.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

}  // namespace

std::optional<SenderLock> SenderLock::try_take() {
    int const fd = call([] { return open_and_lock(); });
    if (fd < 0) return std::nullopt;
    return SenderLock(fd);
}

SenderLock::~SenderLock() {
    if (fd_ >= 0) close(fd_);
}

}  // namespace mailer::pg
