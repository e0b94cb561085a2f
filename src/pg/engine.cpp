// The engine, as long as it has nothing to send: waits until it is asked to stop. The pump takes this place.
#include "pg/engine.hpp"

#include "pg/settings.hpp"
#include "pg/shared.hpp"

namespace mailer::pg {

std::int64_t run_engine(EngineContext& context, const RunLimits&) {
    report_state("idle");
    while (!context.should_stop()) {
        (void)take_hints();
        report_tick(GetCurrentTimestamp());
        (void)context.wait(-1, settings().sweep_interval);
    }
    return 0;
}

}  // namespace mailer::pg
