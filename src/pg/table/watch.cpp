// See pg/table/watch.hpp.
#include "pg/table/watch.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
}

namespace mailer::pg {

TableWatch* TableWatch::first_ = nullptr;

bool TableWatch::concerns(Oid relation) const noexcept {
    if (relation == InvalidOid || relation == oid_) return true;
    return std::find(indexes_.begin(), indexes_.begin() + index_count_, relation) != indexes_.begin() + index_count_;
}

void TableWatch::invalidated(Datum, Oid relation) {
    for (TableWatch* watch = first_; watch != nullptr; watch = watch->next_) {
        if (watch->concerns(relation)) watch->is_stale_ = true;
    }
}

bool TableWatch::also(Oid index) noexcept {
    if (concerns(index)) return true;
    if (index_count_ == most_indexes) return false;
    indexes_[index_count_++] = index;
    return true;
}

bool TableWatch::is_news() {
    if (!is_stale_) return false;
    if (!is_listed_) {
        if (first_ == nullptr) CacheRegisterRelcacheCallback(invalidated, Datum{0});
        next_ = std::exchange(first_, this);
        is_listed_ = true;
    }
    oid_ = oid_of_relation(table_);
    index_count_ = 0;
    return true;
}

Oid oid_of_relation(const char* name) {
    const Oid oid = get_relname_relid(name, get_namespace_oid("mailer", false));
    if (!OidIsValid(oid)) elog(ERROR, "relation mailer.%s does not exist", name);
    return oid;
}

}  // namespace mailer::pg
