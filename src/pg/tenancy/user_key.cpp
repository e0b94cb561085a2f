// See user_key.hpp; sql/60_notification_tables.sql has the same for SQL (_user_key, _shown_user, _user_tenant).
#include "pg/tenancy/user_key.hpp"

#include <charconv>

#include "pg/tenancy/principal.hpp"

namespace mailer::pg {
namespace {

constexpr char separator = '\x1f';

}  // namespace

TextValue user_key(std::int64_t tenant_id, const TextValue& user_id) {
    if (!user_id || tenant_id == operator_tenant) return user_id;
    return text_value(std::to_string(tenant_id) + separator + std::string(user_id.view));
}

TextValue shown_user(const TextValue& key) {
    const std::size_t at = key ? key.view.find(separator) : std::string_view::npos;
    return at == std::string_view::npos ? key : text_value(key.view.substr(at + 1));
}

std::int64_t tenant_of_user(const TextValue& key) {
    const std::size_t at = key ? key.view.find(separator) : std::string_view::npos;
    std::int64_t tenant = operator_tenant;
    if (at != std::string_view::npos) std::from_chars(key.view.data(), key.view.data() + at, tenant);
    return tenant;
}

}  // namespace mailer::pg
