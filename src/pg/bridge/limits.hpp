// How many databases are served, how many of them at a time, and how early: the settings that size the launcher's world.
#pragma once

#include <cstdint>

namespace mailer::pg {

int max_workers() noexcept;    // mailer.max_workers, or what max_worker_processes leaves for them
int max_listeners() noexcept;  // mailer.max_listeners, or half of max_workers()
int max_databases() noexcept;  // mailer.max_databases
std::int64_t promise_time_us() noexcept;

}  // namespace mailer::pg
