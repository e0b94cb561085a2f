// Files that are compiled into the program: style, script, icon and the pages' templates, by name.
#pragma once

#include <span>
#include <string_view>

namespace mailer::web {

struct EmbeddedFile {
    std::string_view name;
    std::string_view content;
};

std::span<const EmbeddedFile> embedded_files();

}  // namespace mailer::web
