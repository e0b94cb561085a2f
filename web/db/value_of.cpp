#include "db/value_of.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace mailer::web {

namespace {

using core::Value;

// pg_type.h: these numbers never change.
enum TypeOid : Oid {
    bool_oid = 16,
    int8_oid = 20,
    int2_oid = 21,
    int4_oid = 23,
    json_oid = 114,
    jsonb_oid = 3802,
    text_array_oid = 1009,
    timestamptz_oid = 1184
};

// numeric and double stay text: NaN and Infinity are no JSON, and templates print them as they are.
struct Builder : nlohmann::json_sax<nlohmann::json> {
    core::ValueBuilder out;
    bool null() override { return out.null(), true; }
    bool boolean(bool b) override { return out.boolean(b), true; }
    bool number_integer(number_integer_t n) override { return out.number(std::to_string(n)), true; }
    bool number_unsigned(number_unsigned_t n) override { return out.number(std::to_string(n)), true; }
    bool number_float(number_float_t, const string_t& text) override { return out.number(text), true; }
    bool string(string_t& text) override { return out.string(text), true; }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return out.begin_object(), true; }
    bool key(string_t& name) override { return out.key(name), true; }
    bool end_object() override { return out.end(), true; }
    bool start_array(std::size_t) override { return out.begin_array(), true; }
    bool end_array() override { return out.end(), true; }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
};

// To the second, as pages show it: 2026-11-30 07:47:20+01. A time that is a key of list() is to be cast to text.
std::string without_fraction(std::string_view time) {
    const std::size_t dot = time.find('.');
    if (dot == std::string_view::npos) return std::string(time);
    return std::string(time.substr(0, dot)).append(time.substr(std::min(time.find_first_of("+- ", dot), time.size())));
}

// {a,"b \"c\"",NULL}, of one dimension: what the views have.
Value value_of_array(std::string_view text) {
    Value items = Value::array();
    std::size_t at = 1;
    while (at < text.size() && text[at] != '}') {
        std::string item;
        const bool is_quoted = text[at] == '"';
        if (is_quoted) ++at;
        while (at < text.size() && (is_quoted ? text[at] != '"' : text[at] != ',' && text[at] != '}')) {
            if (text[at] == '\\' && at + 1 < text.size()) ++at;
            item += text[at++];
        }
        if (is_quoted) ++at;
        (void)items.append(!is_quoted && item == "NULL" ? Value() : Value::string(std::move(item)));
        if (at < text.size() && text[at] == ',') ++at;
    }
    return items;
}

Value value_of_field(const PGresult& result, int row, int column) {
    if (PQgetisnull(&result, row, column)) return {};
    const std::string_view text(PQgetvalue(&result, row, column),
                                static_cast<std::size_t>(PQgetlength(&result, row, column)));
    switch (PQftype(&result, column)) {
        case bool_oid:
            return Value::boolean(text == "t");
        case int2_oid:
        case int4_oid:
        case int8_oid:
            return Value::number(std::string(text));
        case json_oid:
        case jsonb_oid:
            return value_of_json(text);
        case text_array_oid:
            return value_of_array(text);
        case timestamptz_oid:
            return Value::string(without_fraction(text));
        default:
            return Value::string(std::string(text));
    }
}

}  // namespace

Value value_of_json(std::string_view text) {
    Builder builder;
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return {};
    auto made = std::move(builder.out).finish();
    return made ? std::move(made).value() : Value();
}

Value value_of(const PGresult& result) {
    Value rows = Value::array();
    for (int row = 0; row < PQntuples(&result); ++row) {
        Value object = Value::object();
        for (int column = 0; column < PQnfields(&result); ++column)
            (void)object.set(PQfname(&result, column), value_of_field(result, row, column));
        (void)rows.append(std::move(object));
    }
    return rows;
}

}  // namespace mailer::web
