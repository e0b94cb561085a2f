// See trigger_event.hpp.
#include "pg/enqueue/trigger_event.hpp"

#include "core/mail/template.hpp"
#include "pg/bridge/identity.hpp"
#include "pg/bridge/jsonb_value.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"
}

#include "core/bounds.hpp"

namespace mailer::pg {
namespace {

// The server's to_jsonb, called with a type that only an expression can tell it: the row's. As a statement it would be
// parsed and planned for every row, which was a fifth of what a notification cost.
RawValue to_jsonb(const TriggerData& trigger, HeapTuple tuple) {
    if (tuple == nullptr) return {};
    return {false, call([&] {
                Const* row = makeNullConst(trigger.tg_relation->rd_rel->reltype, -1, InvalidOid);
                FmgrInfo function;
                fmgr_info(F_TO_JSONB, &function);
                fmgr_info_set_expr(reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(row),
                                                                        InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL)),
                                   &function);
                return FunctionCall1(&function, heap_copy_tuple_as_datum(tuple, RelationGetDescr(trigger.tg_relation)));
            })};
}

// A plan for each function that triggers name, kept: they are few, and each call would be planned again.
SPIPlanPtr plan_for(const std::string& sql, int argument_count) {
    static std::unordered_map<std::string, SPIPlanPtr> plans;
    SPIPlanPtr& plan = plans[sql];
    if (plan != nullptr) return plan;
    return plan = call([&] {
               Oid types[] = {JSONBOID, JSONBOID, TEXTOID};
               SPIPlanPtr made = SPI_prepare(sql.c_str(), argument_count, types);
               if (made == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
               SPI_keepplan(made);
               return made;
           });
}

struct Found {
    Oid function;
    int argument_count;
    const char* name;  // quoted and qualified
};

// An unqualified name is looked up beside the table first: a role that writes to the table chooses the search_path, but
// not what lies in the table's schema.
Found find_function(const TriggerData& trigger, const std::string& name) {
    return call([&] {
        Found found{};
        List* parts = textToQualifiedNameList(cstring_to_text_with_len(name.data(), static_cast<int>(name.size())));
        List* beside = nullptr;
        if (list_length(parts) == 1)
            beside = lcons(makeString(get_namespace_name(RelationGetNamespace(trigger.tg_relation))), list_copy(parts));
        Oid types[] = {JSONBOID, JSONBOID, TEXTOID};
        for (List* candidate : {beside, parts}) {
            for (const int count : {3, 1}) {
                if (candidate == nullptr || OidIsValid(found.function)) continue;
                found.function = LookupFuncName(candidate, count, types, true);
                found.argument_count = count;
            }
        }
        if (OidIsValid(found.function))
            found.name = quote_qualified_identifier(get_namespace_name(get_func_namespace(found.function)),
                                                    get_func_name(found.function));
        return found;
    });
}

// A kept plan may have the function's body in it, planned for somebody who had this right.
void check_right(Oid function) {
    call([&] {
#if PG_VERSION_NUM >= 160000
        const AclResult right = object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE);
#else
        const AclResult right = pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
#endif
        if (right != ACLCHECK_OK) aclcheck_error(right, OBJECT_FUNCTION, get_func_name(function));
    });
}

void check_result(const SPITupleTable* table, const std::string& name) {
    const TupleDesc shape = table->tupdesc;
    const Oid first = shape->natts > 0 ? getBaseType(TupleDescAttr(shape, 0)->atttypid) : InvalidOid;
    const bool is_text = first == TEXTOID || first == VARCHAROID;
    if (is_text && (shape->natts == 1 || (shape->natts == 2 && TupleDescAttr(shape, 1)->atttypid == JSONBOID))) return;
    refuse("recipients function \"" + name + "\" has the wrong result", {},
           "It must return TABLE (recipient text, variables jsonb).", "42804");
}

}  // namespace

TriggerArguments read_trigger_arguments(const Trigger& trigger) {
    if (trigger.tgnargs < 2 || trigger.tgnargs > 5)
        refuse(
            "notify_trigger takes 2 to 5 arguments", "The trigger has " + std::to_string(trigger.tgnargs) + ".",
            "EXECUTE FUNCTION mailer.notify_trigger('template', 'recipients_function' [, 'gap' [, 'label template' [, "
            "'mailbox']]])");
    std::string arguments[5];
    for (int i = 0; i < trigger.tgnargs; ++i)
        arguments[i] = trigger.tgargs[i];
    return {arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]};
}

ChangedRow read_changed_row(const TriggerData& trigger) {
    if (!TRIGGER_FIRED_FOR_ROW(trigger.tg_event))
        refuse("notify_trigger must be fired FOR EACH ROW", {}, "Write CREATE TRIGGER … AFTER INSERT … FOR EACH ROW.",
               "39P01");
    ChangedRow row;
    if (TRIGGER_FIRED_BY_INSERT(trigger.tg_event)) {
        row.operation = "INSERT";
        row.new_row = to_jsonb(trigger, trigger.tg_trigtuple);
    } else if (TRIGGER_FIRED_BY_UPDATE(trigger.tg_event)) {
        row.operation = "UPDATE";
        row.new_row = to_jsonb(trigger, trigger.tg_newtuple);
        row.old_row = to_jsonb(trigger, trigger.tg_trigtuple);
    } else {
        row.operation = "DELETE";
        row.old_row = to_jsonb(trigger, trigger.tg_trigtuple);
    }
    return row;
}

std::vector<BatchItem> call_recipients_function(const TriggerData& trigger, const std::string& name,
                                                const ChangedRow& row) {
    const Found found = find_function(trigger, name);
    if (!OidIsValid(found.function))
        refuse("recipients function \"" + name + "\" does not exist", {},
               "Create FUNCTION " + name +
                   "(new_row jsonb) or (new_row jsonb, old_row jsonb, operation text) RETURNS TABLE "
                   "(recipient text, variables jsonb).",
               "42883");
    const std::string sql =
        std::string("SELECT * FROM ") + found.name + (found.argument_count == 1 ? "($1)" : "($1, $2, $3)");
    const Param operation = p_text(row.operation);
    check_right(found.function);
    SPIPlanPtr const plan = plan_for(sql, found.argument_count);
    call([&] {
        Datum values[] = {row.new_row.datum, row.old_row.datum, operation.value};
        const char nulls[] = {row.new_row.is_null ? 'n' : ' ', row.old_row.is_null ? 'n' : ' ', ' '};
        const int code = SPI_execute_plan(plan, values, nulls, false, 0);
        if (code != SPI_OK_SELECT)
            elog(ERROR, "a recipients function can't be called: %s", SPI_result_code_string(code));
    });
    const Rows rows(SPI_tuptable, SPI_processed);
    check_result(SPI_tuptable, name);
    const bool has_variables = SPI_tuptable->tupdesc->natts == 2;
    std::vector<BatchItem> items;
    for (std::uint64_t i = 0; i < rows.count(); ++i) {
        BatchItem item;
        bool is_null = false;
        const Datum recipient = rows.datum(i, 1, &is_null);
        // Nobody: a misspelt key of the row, mostly. It becomes a failed mail that somebody sees.
        if (!is_null) item.recipient = detoasted_text(recipient).view;
        if (has_variables) item.variables.datum = rows.datum(i, 2, &item.variables.is_null);
        items.push_back(item);
    }
    return items;
}

RawValue row_variables(const ChangedRow& row) {
    static Statement build(
        R"sql(
            SELECT CASE WHEN $1 IS NULL THEN '{}'::pg_catalog.jsonb ELSE pg_catalog.jsonb_build_object('new',
                $1) END OPERATOR(pg_catalog.||) CASE WHEN $2 IS NULL THEN '{}'::pg_catalog.jsonb ELSE
                pg_catalog.jsonb_build_object('old', $2) END)sql",
        {JSONBOID, JSONBOID});
    const Rows rows = build.run({p_datum(JSONBOID, row.new_row.datum, row.new_row.is_null),
                                 p_datum(JSONBOID, row.old_row.datum, row.old_row.is_null)});
    RawValue out;
    out.datum = rows.datum(0, 1, &out.is_null);
    return out;
}

std::string render_label(const std::string& source, const ChangedRow& row) {
    core::Value variables = read_jsonb(row.new_row ? row.new_row.datum : row.old_row.datum);
    for (const auto& [name, part] : {std::pair{"new", &row.new_row}, std::pair{"old", &row.old_row}}) {
        if (*part && !variables.set(name, read_jsonb(part->datum)))
            refuse("the row is nested too deeply", {}, {}, "54000");
    }
    core::RenderOptions options;
    options.max_output = core::longest_subject;
    options.interrupted = []() -> core::Status {
        call([] { CHECK_FOR_INTERRUPTS(); });
        return {};
    };
    return expect(core::render(std::string_view(source), variables, options));
}

Actor sender_of_trigger(const TriggerData& trigger) {
    const Actor of_table = actor_of(trigger.tg_relation->rd_rel->relowner);
    Actor found = actor();
    if ((of_table.tenant_id != 0 && of_table.tenant_id != operator_tenant) || found.tenant_id == 0) {
        if (of_table.tenant_id == 0) refuse_sender(calling_role());
        found = of_table;
    }
    found.principal_id = principal_of(calling_role());
    return found;
}

}  // namespace mailer::pg
