// Connections by person: at most a few each, opened when they are needed, closed when they are a minute old.
//
// A minute bounds how long a revoked right, password or role still works. The Executor has already kept a person
// waiting who asks for more connections than the limit.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "db/connection.hpp"

namespace mailer::web {

class Pool {
public:
    static constexpr std::chrono::seconds max_age{60};

    Pool();
    ~Pool();

    // A connection of this person's, back in the pool when the pointer goes.
    using Lease = std::unique_ptr<Connection, std::function<void(Connection*)>>;
    // opens: makes a new one, and throws what it likes.
    Lease take(const std::string& person, const std::function<std::unique_ptr<Connection>()>& opens);
    void close_all(const std::string& person);

private:
    void give_back(const std::string& person, std::unique_ptr<Connection> connection);
    void close_old();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, std::vector<std::unique_ptr<Connection>>> idle_;
    bool is_ending_ = false;
    std::thread thread_;
};

}  // namespace mailer::web
