// Which folders to listen to: INBOX, where mail is filed as junk, and the copies of what was sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mailer::imap {

struct ListedFolder {
    std::string name;                // as the server writes it (modified UTF-7, or UTF-8)
    std::vector<std::string> flags;  // \Junk, \Noselect …
};

struct FolderChoice {
    std::vector<std::string> folders;  // in the server's spelling, INBOX first
    std::vector<std::string> missing;  // of those that were wished for
    std::string sent;                  // the one with copies of what was sent; empty: none of them
};

// `wished` in UTF-8; empty: by SPECIAL-USE (RFC 6154), else by a table of names that clients and Exchange give.
FolderChoice choose_folders(const std::vector<ListedFolder>& listed, const std::vector<std::string>& wished);

// A quoted string, for a command. Empty when the name holds what can't be quoted.
std::string quoted_name(std::string_view name);

// RFC 3501, section 5.1.3.
std::string modified_utf7(std::string_view utf8);

}  // namespace mailer::imap
