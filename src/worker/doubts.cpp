// See doubts.hpp.
#include "worker/doubts.hpp"

namespace mailer::worker {

namespace {

bool has_another(const std::set<std::int64_t>& tenants, std::int64_t tenant_id) {
    return tenants.size() > tenants.count(tenant_id);
}

}  // namespace

Doubts::Blame Doubts::refused(std::int64_t tenant_id) {
    refused_.insert(tenant_id);
    ++in_a_row_;
    if (!has_another(served_, tenant_id) || has_another(refused_, tenant_id)) return Blame::mailbox;
    if (in_a_row_ < most_in_a_row) return Blame::mail;
    in_a_row_ = 0;
    return Blame::moment;
}

void Doubts::proved(std::int64_t tenant_id) {
    served_.insert(tenant_id);
    refused_.clear();
    in_a_row_ = 0;
}

}  // namespace mailer::worker
