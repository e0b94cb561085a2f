// See authorities.hpp.
#include "net/authorities.hpp"

namespace mailer::smtp {

bool set_authorities(CURL* easy, const Endpoint& endpoint) {
    if (!endpoint.ca_file) return true;
    return curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint.ca_file->c_str()) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr) == CURLE_OK;
}

}  // namespace mailer::smtp
