// Secrets: random texts, signatures, and comparing without telling by the time it takes.
#pragma once

#include <string>
#include <string_view>

namespace mailer::web {

std::string random_text();                                           // 64 hexadecimal digits: 256 bits
std::string signature(std::string_view key, std::string_view text);  // HMAC with SHA-256, hexadecimal
bool is_same_secret(std::string_view a, std::string_view b);
void wipe(std::string& secret);

}  // namespace mailer::web
