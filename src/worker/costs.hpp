// What composing the mails of tenants has cost the sender lately: a tenant whose mails take long to read and to render
// waits for those that cost less. Mails that cost little are composed in the order of their claims.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>

#include "core/pace/time.hpp"

namespace mailer::worker {

class Costs {
public:
    static constexpr core::Duration worth_counting = std::chrono::milliseconds{5};
    static constexpr core::Duration remembered_for = std::chrono::seconds{1};

    void charge(std::int64_t tenant_id, core::Duration took, core::Time now) {
        if (took < worth_counting) return;
        if (of_tenant_.empty()) since_ = now;
        of_tenant_[tenant_id] += took;
    }
    void forget_old(core::Time now) {
        if (now < since_ || now >= since_ + remembered_for) of_tenant_.clear();
    }
    bool is_any() const { return !of_tenant_.empty(); }
    core::Duration of(std::int64_t tenant_id) const {
        const auto known = of_tenant_.find(tenant_id);
        return known == of_tenant_.end() ? core::Duration{0} : known->second;
    }

private:
    core::Time since_{};  // the first was charged
    std::unordered_map<std::int64_t, core::Duration> of_tenant_;
};

}  // namespace mailer::worker
