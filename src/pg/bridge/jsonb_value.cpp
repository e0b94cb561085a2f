// See jsonb_value.hpp. One guarded call per token: the iterator may ereport
// (interrupts, memory), and the builder's objects have destructors, so they
// must not share a frame.
#include "pg/bridge/jsonb_value.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
}

namespace mailer::pg {
namespace {

struct Token {
    JsonbIteratorToken kind;
    JsonbValue value;
};

// Nested containers come as tokens of their own, never as jbvBinary: skipNested
// is false.
Token next_token(JsonbIterator** iterator) {
    return call([&] {
        Token token;
        memset(&token, 0, sizeof token);
        token.kind = JsonbIteratorNext(iterator, &token.value, false);
        return token;
    });
}

std::string_view text_of(const JsonbValue& value) {
    return {value.val.string.val, static_cast<std::size_t>(value.val.string.len)};
}

void put_scalar(core::ValueBuilder& builder, const JsonbValue& value) {
    switch (value.type) {
        case jbvNull:
            builder.null();
            break;
        case jbvBool:
            builder.boolean(value.val.boolean);
            break;
        case jbvString:
            builder.string(text_of(value));
            break;
        case jbvNumeric: {
            char* text = call(
                [&] { return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))); });
            builder.number(std::string_view(text));
            pfree(text);
            break;
        }
        default:
            throw Refusal({"XX000", "unexpected type of jsonb value: " + std::to_string(value.type)});
    }
}

}  // namespace

core::Value read_jsonb(Datum jsonb) {
    Jsonb* const document = call([&] { return DatumGetJsonbP(jsonb); });
    // A scalar is stored as an array of one that says so; those brackets aren't
    // part of the document.
    const bool is_scalar = JB_ROOT_IS_SCALAR(document);
    JsonbIterator* iterator = call([&] { return JsonbIteratorInit(&document->root); });
    core::ValueBuilder builder;
    for (Token token = next_token(&iterator); token.kind != WJB_DONE; token = next_token(&iterator)) {
        switch (token.kind) {
            case WJB_BEGIN_ARRAY:
                if (!is_scalar) builder.begin_array();
                break;
            case WJB_BEGIN_OBJECT:
                builder.begin_object();
                break;
            case WJB_KEY:
                builder.key(text_of(token.value));
                break;
            case WJB_VALUE:
            case WJB_ELEM:
                put_scalar(builder, token.value);
                break;
            case WJB_END_ARRAY:
                if (!is_scalar) builder.end();
                break;
            case WJB_END_OBJECT:
                builder.end();
                break;
            case WJB_DONE:
                break;
        }
    }
    return expect(std::move(builder).finish());
}

std::optional<std::optional<std::string>> find_member(Datum object, std::string_view name) {
    struct Found {
        bool is_there;
        bool is_null;
        const char* text;
        std::size_t length;
    };
    const Found found = call([&]() -> Found {
        Jsonb* const document = DatumGetJsonbP(object);
        JsonbValue value;
        if (!JB_ROOT_IS_OBJECT(document) ||
            getKeyJsonValueFromContainer(&document->root, name.data(), static_cast<int>(name.size()), &value) ==
                nullptr)
            return {};
        switch (value.type) {
            case jbvNull:
                return {true, true, nullptr, 0};
            case jbvString:
                return {true, false, value.val.string.val, static_cast<std::size_t>(value.val.string.len)};
            case jbvBool:
                return {true, false, value.val.boolean ? "true" : "false", value.val.boolean ? 4U : 5U};
            case jbvNumeric: {
                const char* text =
                    DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
                return {true, false, text, strlen(text)};
            }
            case jbvBinary: {
                const char* text = JsonbToCString(nullptr, value.val.binary.data, value.val.binary.len);
                return {true, false, text, strlen(text)};
            }
            default:
                elog(ERROR, "unexpected type of jsonb value: %d", static_cast<int>(value.type));
        }
    });
    if (!found.is_there) return std::nullopt;
    if (found.is_null) return std::optional<std::string>();
    return std::optional<std::string>(std::in_place, found.text, found.length);
}

JsonbFacts inspect_jsonb(Datum jsonb) {
    return call([&] {
        Jsonb* const document = DatumGetJsonbP(jsonb);
        JsonbFacts facts;
        facts.size = VARSIZE_ANY(document);
        if (JB_ROOT_IS_SCALAR(document)) return facts;
        facts.shape = JB_ROOT_IS_OBJECT(document) ? JsonbShape::object : JsonbShape::array;
        facts.is_empty = JB_ROOT_COUNT(document) == 0;
        std::size_t open = 0;
        JsonbValue value;
        JsonbIterator* iterator = JsonbIteratorInit(&document->root);
        for (JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, false); token != WJB_DONE;
             token = JsonbIteratorNext(&iterator, &value, false)) {
            if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT) {
                if (++open > facts.depth) facts.depth = open;
            } else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT) {
                --open;
            }
        }
        return facts;
    });
}

}  // namespace mailer::pg
