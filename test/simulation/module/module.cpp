// The library of the simulations. It is linked from the objects of mailer.so, the SQL functions left out, and is never
// installed with it: an installation can't settle as sent what nobody sent.
//
// It registers nothing. Settings, hooks and callbacks are those of mailer.so, which it loads; it has its own copy of
// everything that a process remembers, as the worker has.
#include "settings.hpp"

extern "C" {
#include "fmgr.h"

PG_MODULE_MAGIC;
}

MAILER_EXPORT void _PG_init(void);

void _PG_init(void) { load_file("$libdir/mailer", false); }
