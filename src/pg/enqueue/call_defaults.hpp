// The defaults of a function's parameters, put into calls before the planner does.
//
// A call that leaves parameters out gets its defaults twice, from the parser and from the planner, and each of the two
// reads the text of all of them in the catalog anew. For enqueue with its 21 that was two fifths of a statement that
// isn't prepared (decision 017). Once a function was called in this session its defaults are remembered, and a planner
// hook completes calls of it in the list of a SELECT. Every other call goes the planner's own way, to the same end.
#pragma once

#include "pg/bridge/pg.hpp"

namespace mailer::pg {

void install_call_defaults();  // from _PG_init

// From a function that is called by many statements, each parsed anew. May ereport.
void remember_defaults(Oid function);

}  // namespace mailer::pg
