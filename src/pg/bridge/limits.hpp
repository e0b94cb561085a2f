// How many databases are served, and how many of them at a time: the settings that size the launcher's world.
#pragma once

namespace mailer::pg {

int max_workers() noexcept;    // mailer.max_workers, or what max_worker_processes leaves for them
int max_listeners() noexcept;  // mailer.max_listeners, or half of max_workers()
int max_databases() noexcept;  // mailer.max_databases

}  // namespace mailer::pg
