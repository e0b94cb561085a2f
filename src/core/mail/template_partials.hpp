// A set of parsed templates by name: what src/pg keeps between mails, and what tests render partials from.
//
// Holds what it was given and looks nowhere else. Pointers that find() gave stay good until that name is replaced
// or removed, or the table ends.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/mail/template.hpp"

namespace mailer::core {

class PartialTable : public PartialSource {
public:
    // Replaces a template of the same name. When `source` doesn't parse, nothing changes.
    [[nodiscard]] Status add(std::string_view name, std::string_view source);
    void remove(std::string_view name);
    void clear() { templates_.clear(); }

    Result<const Template*> find(std::string_view name) override;

    // Names that the templates of this table mention as partials and that it doesn't hold: what to load next.
    std::vector<std::string> missing_names() const;

private:
    std::map<std::string, Template, std::less<>> templates_;
};

}  // namespace mailer::core
