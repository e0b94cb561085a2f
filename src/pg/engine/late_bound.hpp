// Late-bound functions in a session, for CALL mailer.run(); the worker's run in processes of their own (preparers.hpp).
//
// They are the user's code inside this session, at its own risk. Each call has a transaction of its own, the rights of
// the role that queued and nothing else (no RESET ROLE, no deferred trigger as superuser), settings that end with it,
// and a time limit. A function that keeps timing out is left alone for a while: its messages wait, the others go.
#pragma once

#include "core/mail/value.hpp"
#include "core/pace/time.hpp"
#include "pg/engine/engine.hpp"
#include "pg/engine/late_call.hpp"
#include "pg/engine/transaction.hpp"

namespace mailer::pg {

class LateBound {
public:
    explicit LateBound(EngineContext& context) : context_(context) {}

    struct Answer {
        bool is_ok = false;
        bool is_interrupted = false;           // not its fault: the sender was asked to leave meanwhile
        std::string fault;                     // when not ok: for people
        std::optional<bool> condition;         // of ask(): NULL is no answer
        std::optional<core::Value> variables;  // of load()
    };

    // `function` is the qualified name as enqueue stored it, `variables` jsonb text. Never throws for a fault of the
    // function; requires that no transaction is open.
    Answer ask(const std::string& function, std::int64_t message_id, const std::string& variables, Oid role,
               core::Duration limit, core::Time now);
    Answer load(const std::string& function, std::int64_t message_id, const std::string& variables, Oid role,
                core::Duration limit, core::Time now);

private:
    enum class Wanted { condition, variables };
    Answer run(Wanted wanted, const std::string& function, std::int64_t message_id, const std::string& variables,
               Oid role, core::Duration limit, core::Time now);
    void call_as(Wanted wanted, const std::string& function, std::int64_t message_id, const std::string& variables,
                 Oid role, core::Duration limit, Answer& answer);

    void start();
    void finish();

    struct Breaker {
        int timeouts = 0;
        core::Time open_until{};
    };
    EngineContext& context_;
    SessionFrame frame_;
    std::map<std::string, Breaker> breakers_;
};

}  // namespace mailer::pg
