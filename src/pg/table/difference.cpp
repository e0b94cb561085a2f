// See pg/table/difference.hpp. Plain C inside, for it runs within call().
#include "pg/table/difference.hpp"

extern "C" {
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"
}

namespace mailer::pg {
namespace {

void note(StringInfo differences, const char* what, const char* name) {
    appendStringInfo(differences, "%s%s \"%s\"", differences->len > 0 ? ", " : "", what, name);
}

void compare_kind(Relation table, StringInfo differences) {
    const Form_pg_class facts = table->rd_rel;
    if (facts->relkind != RELKIND_RELATION || facts->relispartition)
        note(differences, "another kind of table", RelationGetRelationName(table));
    if (facts->relrowsecurity) note(differences, "row security of", RelationGetRelationName(table));
    // pg_class still says so of a table whose last trigger or rule was dropped; these don't.
    if (table->rd_rules != nullptr) note(differences, "added rule on", RelationGetRelationName(table));
    if (table->trigdesc == nullptr) return;
    Oid last = InvalidOid;
    for (int i = 0; i < table->trigdesc->numtriggers; ++i) {
        const Trigger& trigger = table->trigdesc->triggers[i];
        if (!trigger.tgisinternal) note(differences, "added trigger", trigger.tgname);
        if (!trigger.tgisinternal || trigger.tgconstraint == last) continue;  // a foreign key has two
        last = trigger.tgconstraint;
        const char* constraint = get_constraint_name(last);
        note(differences, "added constraint", constraint != nullptr ? constraint : trigger.tgname);
    }
}

// Says which of the expected names weren't seen.
void note_missing(std::span<const char* const> expected, const bool* is_seen, const char* what,
                  StringInfo differences) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (!is_seen[i]) note(differences, what, expected[i]);
    }
}

// True: it is one of them, which is now seen.
bool see(std::span<const char* const> expected, const char* name, bool* is_seen) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (strcmp(expected[i], name) == 0) return is_seen[i] = true;
    }
    return false;
}

void compare_columns(const ShippedTable& shipped, Relation table, StringInfo differences) {
    const TupleDesc row = RelationGetDescr(table);
    bool is_seen[MaxTupleAttributeNumber] = {};
    for (int i = 0; i < row->natts; ++i) {
        const Form_pg_attribute column = TupleDescAttr(row, i);
        if (column->attisdropped) continue;
        const auto is_it = [&](const ShippedColumn& c) { return strcmp(c.name, NameStr(column->attname)) == 0; };
        const auto known = std::find_if(shipped.columns.begin(), shipped.columns.end(), is_it);
        if (known == shipped.columns.end()) {
            note(differences, "added column", NameStr(column->attname));
            continue;
        }
        is_seen[known - shipped.columns.begin()] = true;
        if (column->atttypid != known->type || column->atttypmod != -1 || column->attnotnull != known->is_not_null ||
            column->atthasdef != known->has_default)
            note(differences, "changed column", NameStr(column->attname));
    }
    for (std::size_t i = 0; i < shipped.columns.size(); ++i) {
        if (!is_seen[i]) note(differences, "missing column", shipped.columns[i].name);
    }
}

constexpr std::size_t most_names = 16;

void compare_checks(const ShippedTable& shipped, Relation table, StringInfo differences) {
    const TupleConstr* constraints = RelationGetDescr(table)->constr;
    bool is_seen[most_names] = {};
    for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
        const char* name = constraints->check[i].ccname;
        if (!see(shipped.checks, name, is_seen)) note(differences, "added constraint", name);
    }
    note_missing(shipped.checks, is_seen, "missing constraint", differences);
}

// What the writer can't maintain, whatever its name.
bool is_ordinary(Oid index) {
    HeapTuple relation = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
    HeapTuple facts = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
    bool is_it = HeapTupleIsValid(relation) && HeapTupleIsValid(facts);
    if (is_it) {
        const auto* c = reinterpret_cast<Form_pg_class>(GETSTRUCT(relation));
        const auto* i = reinterpret_cast<Form_pg_index>(GETSTRUCT(facts));
        is_it = c->relam == BTREE_AM_OID && i->indimmediate && !i->indisexclusion;
    }
    if (HeapTupleIsValid(relation)) ReleaseSysCache(relation);
    if (HeapTupleIsValid(facts)) ReleaseSysCache(facts);
    return is_it;
}

void compare_indexes(const ShippedTable& shipped, Relation table, StringInfo differences) {
    bool is_seen[most_names] = {};
    List* oids = RelationGetIndexList(table);
    ListCell* cell = nullptr;
    foreach (cell, oids) {
        const char* name = get_rel_name(lfirst_oid(cell));
        if (name == nullptr) continue;  // dropped beside us (CONCURRENTLY): missing, then, if it was ours
        if (!see(shipped.indexes, name, is_seen))
            note(differences, "added index", name);
        else if (!is_ordinary(lfirst_oid(cell)))
            note(differences, "changed index", name);
    }
    list_free(oids);
    note_missing(shipped.indexes, is_seen, "missing index", differences);
}

}  // namespace

char* difference_from(const ShippedTable& shipped, Relation table) {
    Assert(shipped.checks.size() <= most_names && shipped.indexes.size() <= most_names);
    StringInfoData differences;
    initStringInfo(&differences);
    compare_kind(table, &differences);
    compare_columns(shipped, table, &differences);
    compare_checks(shipped, table, &differences);
    compare_indexes(shipped, table, &differences);
    return differences.len > 0 ? differences.data : nullptr;
}

}  // namespace mailer::pg
