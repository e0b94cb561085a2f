// What a template sees of a single item, which by far the most mails and inbox rows have: a group of one, as
// mailer._collapsed makes it for any number. Built in one go, for putting jsonb together in SQL copies it at each step.
#include "pg/notify/notification.hpp"

extern "C" {
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
}

namespace mailer::pg {
namespace {

// Everything here runs within one call(): no object with a destructor.
struct Item {
    Datum variables;  // a jsonb object
    TextValue actor;
    TextValue actor_id;
    std::int64_t at;
};

JsonbValue string_of(std::string_view text) {
    JsonbValue value;
    memset(&value, 0, sizeof value);
    value.type = jbvString;
    value.val.string.val = const_cast<char*>(text.data());
    value.val.string.len = static_cast<int>(text.size());
    return value;
}

void push_key(JsonbParseState** state, std::string_view key) {
    JsonbValue value = string_of(key);
    pushJsonbValue(state, WJB_KEY, &value);
}

void push_text(JsonbParseState** state, std::string_view key, const TextValue& text) {
    push_key(state, key);
    JsonbValue value = string_of(text.view);
    if (!text) value.type = jbvNull;
    pushJsonbValue(state, WJB_VALUE, &value);
}

void push_number(JsonbParseState** state, std::string_view key, int number) {
    push_key(state, key);
    JsonbValue value;
    memset(&value, 0, sizeof value);
    value.type = jbvNumeric;
    value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(number)));
    pushJsonbValue(state, WJB_VALUE, &value);
}

void push_false(JsonbParseState** state, std::string_view key) {
    push_key(state, key);
    JsonbValue value;
    memset(&value, 0, sizeof value);
    value.type = jbvBool;
    pushJsonbValue(state, WJB_VALUE, &value);
}

// Its variables, and over them who did it and when: of equal keys jsonb keeps the last.
void push_item(JsonbParseState** state, const Item& item) {
    JsonbIterator* iterator = JsonbIteratorInit(&DatumGetJsonbP(item.variables)->root);
    JsonbValue value;
    for (JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, true); token != WJB_DONE;
         token = JsonbIteratorNext(&iterator, &value, true)) {
        if (token == WJB_KEY || token == WJB_VALUE) pushJsonbValue(state, token, &value);
    }
    push_text(state, "actor", item.actor);
    push_text(state, "actor_id", item.actor_id);
    push_key(state, "at");
    char buffer[MAXDATELEN + 1];
    JsonbValue at = string_of(JsonEncodeDateTime(buffer, TimestampTzGetDatum(item.at), TIMESTAMPTZOID, nullptr));
    at.val.string.val = pstrdup(at.val.string.val);
    pushJsonbValue(state, WJB_VALUE, &at);
}

}  // namespace

RawValue variables_of_one(const RawValue& variables, const TextValue& actor, const TextValue& actor_id, std::int64_t at,
                          const TextValue& name, const TextValue& category) {
    const Item item{variables.datum, actor, actor_id, at};
    return {false, call([&] {
                JsonbParseState* state = nullptr;
                pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
                if (category) {
                    push_text(&state, "name", name);
                    push_text(&state, "category", category);
                }
                push_item(&state, item);
                push_number(&state, "others_count", 0);
                push_false(&state, "one_other");
                push_false(&state, "many_others");
                push_number(&state, "count", 1);
                push_key(&state, "items");
                pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
                pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
                push_item(&state, item);
                pushJsonbValue(&state, WJB_END_OBJECT, nullptr);
                pushJsonbValue(&state, WJB_END_ARRAY, nullptr);
                return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
            })};
}

}  // namespace mailer::pg
