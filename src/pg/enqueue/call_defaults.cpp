// See call_defaults.hpp. No C++ object with a destructor lives here: what it calls may ereport.
#include "pg/enqueue/call_defaults.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "optimizer/planner.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace mailer::pg {
namespace {

planner_hook_type next_planner = nullptr;

// One function is enough: a second that is called as often would take turns with the first, and nothing breaks.
Oid known_function = InvalidOid;
int parameter_count = 0;
List* defaults = NIL;  // of the last parameters
MemoryContext memory = nullptr;
bool is_stale = true;  // set by the catalog's callback

void function_altered(Datum, int, uint32) { is_stale = true; }

// The arguments in the order of the parameters, as the planner's reorder_function_arguments() has them; null where a
// parameter was left out that has no default.
List* complete(const FuncExpr* function_call) {
    Node* arguments[FUNC_MAX_ARGS] = {};
    int position = 0;
    ListCell* cell = nullptr;
    foreach (cell, function_call->args) {
        auto* node = static_cast<Node*>(lfirst(cell));
        if (IsA(node, NamedArgExpr)) {
            auto* named = reinterpret_cast<NamedArgExpr*>(node);
            arguments[named->argnumber] = reinterpret_cast<Node*>(named->arg);
        } else {
            arguments[position++] = node;
        }
    }
    const int required = parameter_count - list_length(defaults);
    List* all = NIL;
    for (int i = 0; i < parameter_count; ++i) {
        if (arguments[i] == nullptr && i < required) return NIL;
        if (arguments[i] == nullptr)
            arguments[i] = static_cast<Node*>(copyObjectImpl(list_nth(defaults, i - required)));
        all = lappend(all, arguments[i]);
    }
    return all;
}

void complete_calls(Query* query) {
    if (is_stale || query->commandType != CMD_SELECT) return;
    ListCell* cell = nullptr;
    foreach (cell, query->targetList) {
        auto* expression = lfirst_node(TargetEntry, cell)->expr;
        if (!IsA(expression, FuncExpr)) continue;
        auto* function_call = reinterpret_cast<FuncExpr*>(expression);
        if (function_call->funcid != known_function || list_length(function_call->args) >= parameter_count) continue;
        if (List* all = complete(function_call)) function_call->args = all;
    }
}

PlannedStmt* plan(Query* query, const char* source, int cursor_options, ParamListInfo parameters) {
    complete_calls(query);
    return (next_planner != nullptr ? next_planner : standard_planner)(query, source, cursor_options, parameters);
}

}  // namespace

void install_call_defaults() {
    next_planner = planner_hook;
    planner_hook = plan;
}

void remember_defaults(Oid function) {
    if (!is_stale && function == known_function) return;
    if (memory == nullptr) {
        memory = AllocSetContextCreate(CacheMemoryContext, "defaults of parameters", ALLOCSET_SMALL_SIZES);
        CacheRegisterSyscacheCallback(PROCOID, function_altered, Datum{0});
    }
    known_function = InvalidOid;  // until all is known
    MemoryContextReset(memory);
    is_stale = false;  // what is told from here on came after
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for function %u", function);
    bool has_none = false;
    const Datum stored = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &has_none);
    parameter_count = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->pronargs;
    MemoryContext caller = MemoryContextSwitchTo(memory);
    defaults = has_none ? NIL : static_cast<List*>(stringToNode(TextDatumGetCString(stored)));
    MemoryContextSwitchTo(caller);
    ReleaseSysCache(tuple);
    known_function = function;
}

}  // namespace mailer::pg
