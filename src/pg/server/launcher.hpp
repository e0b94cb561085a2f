// Starts one worker in every database that has the extension. See launcher.cpp.
#pragma once

namespace mailer::pg {

void register_launcher();  // from _PG_init while preloading

}  // namespace mailer::pg
