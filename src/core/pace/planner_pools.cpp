// Pools (lanes of one tenant that may use the same mailboxes) and the order in which tenants take turns; see
// planner.hpp.
#include <algorithm>
#include <cassert>

#include "core/pace/planner.hpp"

namespace mailer::core {

void Planner::detach_pool(std::uint32_t index) {
    const PoolEntry& pool = pools_[index];
    if (pool.waiting.empty() || pool.is_blocked) return;
    leave_order(pool.tenant_id);
    tenants_[pool.tenant_id].ready_pools.erase({*pool.waiting.begin(), index});
    enter_order(pool.tenant_id);
}

void Planner::attach_pool(std::uint32_t index) {
    const PoolEntry& pool = pools_[index];
    if (pool.waiting.empty() || pool.is_blocked) return;
    leave_order(pool.tenant_id);
    tenants_[pool.tenant_id].ready_pools.emplace(*pool.waiting.begin(), index);
    enter_order(pool.tenant_id);
}

void Planner::leave_order(std::int64_t tenant_id) {
    const TenantEntry& tenant = tenants_[tenant_id];
    if (!tenant.ready_pools.empty()) ready_tenants_.erase({tenant.key, tenant_id});
}

// A tenant that was served stands behind all that were ready then, with all of its lanes.
void Planner::enter_order(std::int64_t tenant_id) {
    TenantEntry& tenant = tenants_[tenant_id];
    if (tenant.ready_pools.empty()) return;
    const Key& first = tenant.ready_pools.begin()->first;
    tenant.key = {std::max(first.ready_at, tenant.served_at), tenant.turn, first};
    ready_tenants_.emplace(tenant.key, tenant_id);
}

void Planner::take_turn(std::int64_t tenant_id, Time now) {
    leave_order(tenant_id);
    tenants_[tenant_id].turn = turn_;
    tenants_[tenant_id].served_at = now;
    enter_order(tenant_id);
}

std::uint32_t Planner::join_pool(std::int64_t tenant_id, std::vector<std::int64_t> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    const auto [known, is_new] = pool_index_.try_emplace({tenant_id, ids}, static_cast<std::uint32_t>(pools_.size()));
    if (is_new) {
        if (unused_pools_.empty()) {
            pools_.emplace_back();
        } else {
            known->second = unused_pools_.back();
            unused_pools_.pop_back();
        }
        pools_[known->second].tenant_id = tenant_id;
        pools_[known->second].ids = std::move(ids);
        list_members(known->second);
    }
    pools_[known->second].lane_count += 1;
    return known->second;
}

void Planner::leave_pool(std::uint32_t index) {
    PoolEntry& pool = pools_[index];
    assert(pool.lane_count > 0);
    if (--pool.lane_count > 0) return;
    for (const std::uint32_t member : pool.members)
        std::erase(pools_of_mailbox_[member], index);
    pool_index_.erase({pool.tenant_id, pool.ids});
    pool = {};
    unused_pools_.push_back(index);
}

void Planner::list_members(std::uint32_t index) {
    PoolEntry& pool = pools_[index];
    pool.members.clear();
    for (const std::int64_t id : pool.ids) {
        const auto known = mailbox_index_.find(id);
        if (known == mailbox_index_.end()) continue;
        pool.members.push_back(known->second);
        pools_of_mailbox_[known->second].push_back(index);
    }
}

void Planner::list_all_members() {
    for (auto& pools : pools_of_mailbox_)
        pools.clear();
    for (std::uint32_t index = 0; index < pools_.size(); ++index)
        list_members(index);
}

}  // namespace mailer::core
