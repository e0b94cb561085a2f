// Text that administrators write about standbys and leases: any bytes must be read or refused, and what is read is
// sane.
#include "core/standby/lease.hpp"
#include "core/standby/promise.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto lease = mailer::core::parse_lease(text);
        lease.ok() && lease->kind == mailer::core::LeaseSource::Kind::file) {
        if (lease->address.empty() || lease->good_for <= mailer::core::Duration::zero()) __builtin_trap();
    }
    if (mailer::core::own_name("", text, "").empty()) __builtin_trap();
    if (const auto names = mailer::core::parse_promise_to(text)) {
        for (const std::string& name : *names)
            if (name.empty()) __builtin_trap();
    }
    return 0;
}
