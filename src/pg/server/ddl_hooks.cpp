// Sends the worker away before DDL that would otherwise wait for it, and lets it come back when the transaction ends.
//
// DROP/RENAME DATABASE, SET TABLESPACE and CREATE DATABASE … TEMPLATE fail while anybody is connected (after 5 s of
// waiting); DROP and ALTER EXTENSION wait for locks. All are seen here before they take their first lock. What reaches
// the extension in a way that no statement shows (a cascade) is seen by the object access hook; there the worker is
// only notified: it holds locks for milliseconds, waits for none over 50 ms, and finds the request then. A stay-away
// counts per database and is given back once, at the end of the top-level transaction, however that ends.
#include "pg/server/ddl_hooks.hpp"

#include <cstring>

#include "pg/server/shared.hpp"
#include "pg/server/wake.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
}

namespace mailer::pg {

namespace {

// DDL itself waits 5 s at most; past this it may as well try, and its own message is clearer than ours.
constexpr int longest_wait_ms = 4000;

// A transaction that sends away more databases than this at once isn't to be met; the rest then wait like anybody.
constexpr int away_capacity = 16;
Oid away[away_capacity];
int away_count = 0;

ProcessUtility_hook_type next_process_utility = nullptr;
object_access_hook_type next_object_access = nullptr;

void send_away(Oid database) noexcept {
    if (!OidIsValid(database)) return;
    for (int i = 0; i < away_count; ++i)
        if (away[i] == database) return;
    if (away_count == away_capacity) return;
    away[away_count++] = database;
    mark_ddl();
    ask_to_stay_away(database);
}

void send_away_and_wait(Oid database) {
    send_away(database);
    (void)wait_until_away(database, longest_wait_ms);
}

// A role that isn't allowed to do what the statement says must not disturb the worker with it.
#if PG_VERSION_NUM >= 160000
bool is_database_owner(Oid oid) { return object_ownercheck(DatabaseRelationId, oid, GetUserId()); }
bool is_extension_owner(Oid oid) { return object_ownercheck(ExtensionRelationId, oid, GetUserId()); }
bool is_schema_owner(Oid oid) { return object_ownercheck(NamespaceRelationId, oid, GetUserId()); }
#else
bool is_database_owner(Oid oid) { return pg_database_ownercheck(oid, GetUserId()); }
bool is_extension_owner(Oid oid) { return pg_extension_ownercheck(oid, GetUserId()); }
bool is_schema_owner(Oid oid) { return pg_namespace_ownercheck(oid, GetUserId()); }
#endif

bool may_create_databases() {
    if (superuser()) return true;
    HeapTuple const row = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
    if (!HeapTupleIsValid(row)) return false;
    bool const may = reinterpret_cast<Form_pg_authid>(GETSTRUCT(row))->rolcreatedb;
    ReleaseSysCache(row);
    return may;
}

void clear_database(const char* name) {
    Oid const oid = get_database_oid(name, true);
    if (OidIsValid(oid) && is_database_owner(oid)) send_away_and_wait(oid);
}

// A role that may create databases may copy templates and databases that it owns.
bool may_copy(Oid oid) {
    if (!may_create_databases()) return false;
    HeapTuple const row = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(oid));
    if (!HeapTupleIsValid(row)) return false;
    bool const is_template = reinterpret_cast<Form_pg_database>(GETSTRUCT(row))->datistemplate;
    ReleaseSysCache(row);
    return is_template || is_database_owner(oid);
}

void clear_template(const char* name) {
    Oid const oid = get_database_oid(name, true);
    if (OidIsValid(oid) && may_copy(oid)) send_away_and_wait(oid);
}

// For DDL on the extension or on the schema that carries it along.
void clear_this_database() {
    Oid const extension = get_extension_oid("mailer", true);
    if (!OidIsValid(extension)) return;
    Oid const schema = get_namespace_oid("mailer", true);
    if (is_extension_owner(extension) || (OidIsValid(schema) && is_schema_owner(schema)))
        send_away_and_wait(MyDatabaseId);
}

bool has_option(List* options, const char* name) {
    ListCell* cell;
    foreach (cell, options)
        if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0) return true;
    return false;
}

const char* template_of(CreatedbStmt* statement) {
    ListCell* cell;
    foreach (cell, statement->options) {
        DefElem* const option = lfirst_node(DefElem, cell);
        if (strcmp(option->defname, "template") == 0 && option->arg != nullptr) return defGetString(option);
    }
    return "template1";
}

// DROP EXTENSION and DROP SCHEMA that name us; the schema carries the extension along with CASCADE.
bool is_drop_of_ours(DropStmt* statement) {
    if (statement->removeType != OBJECT_EXTENSION && statement->removeType != OBJECT_SCHEMA) return false;
    ListCell* cell;
    foreach (cell, statement->objects) {
        Node* const object = static_cast<Node*>(lfirst(cell));
        if (IsA(object, String) && strcmp(strVal(object), "mailer") == 0) return true;
    }
    return false;
}

// Whether a setting of ours, or all settings, are set or reset.
bool is_about_our_settings(const VariableSetStmt* statement) {
    return statement->name == nullptr || pg_strncasecmp(statement->name, "mailer.", 7) == 0;
}

Oid restart_at_commit = InvalidOid;

void before(Node* statement) {
    switch (nodeTag(statement)) {
        case T_DropdbStmt:
            clear_database(reinterpret_cast<DropdbStmt*>(statement)->dbname);
            mark_databases();
            break;
        case T_CreatedbStmt:
            clear_template(template_of(reinterpret_cast<CreatedbStmt*>(statement)));
            mark_databases();
            break;
        case T_RenameStmt: {
            RenameStmt* const rename = reinterpret_cast<RenameStmt*>(statement);
            if (rename->renameType == OBJECT_DATABASE) clear_database(rename->subname);
            break;
        }
        case T_AlterDatabaseStmt: {
            AlterDatabaseStmt* const alter = reinterpret_cast<AlterDatabaseStmt*>(statement);
            if (has_option(alter->options, "tablespace")) clear_database(alter->dbname);
            mark_databases();  // it may take connections from now on
            break;
        }
        case T_DropStmt:
            if (is_drop_of_ours(reinterpret_cast<DropStmt*>(statement))) clear_this_database();
            break;
        case T_DropOwnedStmt:
            clear_this_database();
            break;
        case T_AlterExtensionStmt:
            if (strcmp(reinterpret_cast<AlterExtensionStmt*>(statement)->extname, "mailer") == 0) {
                clear_this_database();
                mark_created();  // the new version may fit where the old one didn't
            }
            break;
        default:
            break;
    }
}

// Once the statement was allowed: a transaction can go on after one that was refused, behind a savepoint.
void after(Node* statement) {
    if (!IsA(statement, AlterDatabaseSetStmt)) return;
    auto* const alter = reinterpret_cast<AlterDatabaseSetStmt*>(statement);
    if (!is_about_our_settings(alter->setstmt)) return;
    restart_at_commit = get_database_oid(alter->dbname, true);
    mark_ddl();
}

// The transaction that was prepared can't tell any more what it queued, or gave back.
bool is_end_of_prepared(Node* statement) {
    if (!IsA(statement, TransactionStmt)) return false;
    TransactionStmtKind const kind = reinterpret_cast<TransactionStmt*>(statement)->kind;
    return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

#if PG_VERSION_NUM >= 140000
void process_utility(PlannedStmt* statement, const char* query, bool is_tree_read_only, ProcessUtilityContext context,
                     ParamListInfo params, QueryEnvironment* environment, DestReceiver* receiver,
                     QueryCompletion* completion) {
    bool const ends_prepared = is_end_of_prepared(statement->utilityStmt);
    before(statement->utilityStmt);
    (next_process_utility != nullptr ? next_process_utility : standard_ProcessUtility)(
        statement, query, is_tree_read_only, context, params, environment, receiver, completion);
    if (ends_prepared) post_sweep();
    after(statement->utilityStmt);
}
#else
void process_utility(PlannedStmt* statement, const char* query, ProcessUtilityContext context, ParamListInfo params,
                     QueryEnvironment* environment, DestReceiver* receiver, QueryCompletion* completion) {
    bool const ends_prepared = is_end_of_prepared(statement->utilityStmt);
    before(statement->utilityStmt);
    (next_process_utility != nullptr ? next_process_utility : standard_ProcessUtility)(
        statement, query, context, params, environment, receiver, completion);
    if (ends_prepared) post_sweep();
    after(statement->utilityStmt);
}
#endif

void object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void* argument) {
    if (next_object_access != nullptr) next_object_access(access, class_id, object_id, sub_id, argument);
    if (access == OAT_DROP && class_id == ExtensionRelationId && object_id == get_extension_oid("mailer", true))
        send_away(MyDatabaseId);
}

}  // namespace

void end_ddl_of_transaction(bool is_committed) noexcept {
    if (is_committed && OidIsValid(restart_at_commit)) ask_to_restart(restart_at_commit);
    restart_at_commit = InvalidOid;
    while (away_count > 0)
        end_stay_away(away[--away_count]);
}

void install_ddl_hooks() {
    next_process_utility = ProcessUtility_hook;
    ProcessUtility_hook = process_utility;
    next_object_access = object_access_hook;
    object_access_hook = object_access;
}

}  // namespace mailer::pg
