// What a Value promises: jsonb's order and text, unique keys, bounded depth.
#include "core/mail/value.hpp"

#include <gtest/gtest.h>

#include "core/value_literals.hpp"

namespace mailer::core {
namespace {

using test::list;
using test::number;
using test::object;

std::string json(const Value& v) {
    std::string out;
    v.append_json(out);
    return out;
}

std::string text(const Value& v) {
    std::string out;
    v.append_text(out);
    return out;
}

Value nested_arrays(std::size_t levels) {
    Value v = Value::array();
    for (std::size_t i = 1; i < levels; ++i) {
        Value outer = Value::array();
        EXPECT_TRUE(outer.append(std::move(v)));
        v = std::move(outer);
    }
    return v;
}

TEST(Value, KnowsItsKind) {
    EXPECT_EQ(Value().kind(), Value::Kind::null);
    EXPECT_EQ(Value::boolean(false).kind(), Value::Kind::boolean);
    EXPECT_EQ(Value::number(std::int64_t{1}).kind(), Value::Kind::number);
    EXPECT_EQ(Value::string("").kind(), Value::Kind::string);
    EXPECT_EQ(Value::array().kind(), Value::Kind::array);
    EXPECT_EQ(Value::object().kind(), Value::Kind::object);
    EXPECT_TRUE(Value().is_null());
    EXPECT_FALSE(Value::object().is_null());
}

TEST(Value, FindsEveryMemberWhateverTheOrderTheyCameIn) {
    Value v = Value::object();
    for (const char* key : {"zebra", "a", "mm", "", "b", "ab", "yak", "aa"})
        EXPECT_TRUE(v.set(key, Value::string(key)));
    for (const char* key : {"zebra", "a", "mm", "", "b", "ab", "yak", "aa"}) {
        ASSERT_NE(v.find(key), nullptr) << key;
        EXPECT_EQ(v.find(key)->scalar_text(), key);
    }
    EXPECT_EQ(v.find("c"), nullptr);
    EXPECT_EQ(v.find("zebras"), nullptr);
    EXPECT_EQ(Value::string("x").find("x"), nullptr);
    EXPECT_EQ(list({1}).find("0"), nullptr);
}

TEST(Value, KeepsMembersInJsonbsOrderShorterKeysFirst) {
    EXPECT_EQ(json(object({{"aa", 1}, {"c", 2}, {"b", 3}})), R"({"b": 3, "c": 2, "aa": 1})");
}

TEST(Value, SettingAKeyAgainReplacesItsValue) {
    Value v = object({{"a", 1}, {"b", 2}});
    EXPECT_TRUE(v.set("a", Value::string("new")));
    EXPECT_EQ(v, object({{"a", "new"}, {"b", 2}}));
    EXPECT_EQ(v.members().size(), 2u);
}

TEST(Value, PrintsJsonAsJsonbDoes) {
    EXPECT_EQ(json(object({{"a", list({1, true, false, nullptr, "x"})}, {"b", object({})}, {"c", list({})}})),
              R"({"a": [1, true, false, null, "x"], "b": {}, "c": []})");
    EXPECT_EQ(json(Value::string("\"\\\b\f\n\r\t\x01\x1f/\xc3\xa9")),
              "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\xc3\xa9\"");
    EXPECT_EQ(json(number("1.50")), "1.50");
}

TEST(Value, TextIsUnquotedAndNullIsNothing) {
    EXPECT_EQ(text(Value::string("a \"b\"")), "a \"b\"");
    EXPECT_EQ(text(Value()), "");
    EXPECT_EQ(text(Value::boolean(true)), "true");
    EXPECT_EQ(text(number("-0.25")), "-0.25");
    EXPECT_EQ(text(list({1, "a"})), R"([1, "a"])");
}

TEST(Value, TruthIsThatOfJavaScriptsDoubleNegationExceptForEmptyArrays) {
    const Value falsey[] = {Value(),       Value::boolean(false), number("0"),       number("-0"),
                            number("0.0"), number("0e7"),         Value::string(""), Value::array()};
    for (const Value& v : falsey)
        EXPECT_FALSE(v.is_truthy()) << json(v);
    const Value truthy[] = {Value::boolean(true),   number("1"),     number("-0.01"), Value::string("0"),
                            Value::string("false"), Value::object(), list({0})};
    for (const Value& v : truthy)
        EXPECT_TRUE(v.is_truthy()) << json(v);
}

TEST(Value, EqualityComparesKindAndContent) {
    EXPECT_EQ(object({{"a", list({1, "x"})}, {"b", nullptr}}), object({{"b", nullptr}, {"a", list({1, "x"})}}));
    EXPECT_NE(Value::string("1"), Value::number(std::int64_t{1}));
    EXPECT_NE(Value::boolean(true), Value::boolean(false));
    EXPECT_NE(Value(), Value::boolean(false));
    EXPECT_NE(list({1, 2}), list({2, 1}));
    EXPECT_NE(list({}), object({}));
    EXPECT_NE(object({{"a", 1}}), object({{"a", 2}}));
    EXPECT_NE(object({{"a", 1}}), object({{"b", 1}}));
}

TEST(Value, CopiesAreIndependent) {
    Value a = list({1});
    Value b = a;
    EXPECT_TRUE(b.append(Value::string("more")));
    EXPECT_EQ(a, list({1}));
    EXPECT_EQ(b, list({1, "more"}));
}

TEST(Value, RefusesToBecomeDeeperThanTheLimitAndStaysAsItWas) {
    Value deepest = nested_arrays(Value::max_depth);
    EXPECT_EQ(deepest.depth(), Value::max_depth);
    Value outer = list({1});
    EXPECT_FALSE(outer.append(deepest));
    EXPECT_EQ(outer, list({1}));
    Value holder = Value::object();
    EXPECT_FALSE(holder.set("x", deepest));
    EXPECT_EQ(holder, Value::object());
    EXPECT_EQ(deepest, nested_arrays(Value::max_depth));
    EXPECT_EQ(json(deepest).size(), 2 * Value::max_depth);
}

TEST(ValueBuilder, BuildsWhatTheTokensSay) {
    ValueBuilder b;
    b.begin_object();
    b.key("name");
    b.string("Ada");
    b.key("tags");
    b.begin_array();
    b.number("1.5");
    b.boolean(true);
    b.null();
    b.begin_object();
    b.end();
    b.end();
    b.end();
    const auto v = std::move(b).finish();
    ASSERT_TRUE(v.ok());
    EXPECT_EQ(*v, object({{"name", "Ada"}, {"tags", list({number("1.5"), true, nullptr, object({})})}}));
}

TEST(ValueBuilder, TakesAScalarAtTheTop) {
    ValueBuilder b;
    b.string("alone");
    const auto v = std::move(b).finish();
    ASSERT_TRUE(v.ok());
    EXPECT_EQ(v->scalar_text(), "alone");
}

TEST(ValueBuilder, AHundredThousandNestedArraysAreAnErrorAndNoOverflow) {
    ValueBuilder b;
    for (int i = 0; i < 100'000; ++i)
        b.begin_array();
    for (int i = 0; i < 100'000; ++i)
        b.end();
    const auto v = std::move(b).finish();
    ASSERT_FALSE(v.ok());
    EXPECT_EQ(v.error().sqlstate, "54000");
    EXPECT_EQ(v.error().message, "variables are nested too deeply");
}

TEST(ValueBuilder, SaysTooDeepAtTheFirstBeginningThatIs) {
    ValueBuilder b;
    for (std::size_t i = 0; i <= Value::max_depth; ++i)
        b.begin_object(), b.key("k");
    EXPECT_EQ(std::move(b).finish().error().sqlstate, "54000");
}

TEST(ValueBuilder, TheDeepestAllowedValueIsBuilt) {
    ValueBuilder b;
    for (std::size_t i = 0; i < Value::max_depth; ++i)
        b.begin_array();
    for (std::size_t i = 0; i < Value::max_depth; ++i)
        b.end();
    const auto v = std::move(b).finish();
    ASSERT_TRUE(v.ok());
    EXPECT_EQ(*v, nested_arrays(Value::max_depth));
}

TEST(ValueBuilder, MisuseIsAnErrorAndNoCrash) {
    const auto fails = [](auto use) {
        ValueBuilder b;
        use(b);
        return !std::move(b).finish().ok();
    };
    EXPECT_TRUE(fails([](ValueBuilder&) {})) << "nothing was built";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.begin_array(); })) << "not ended";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.end(); })) << "not begun";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.key("k"); })) << "key at the top";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.null(), b.null(); })) << "two values at the top";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.begin_object(), b.null(), b.end(); })) << "member without a key";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.begin_object(), b.key("k"), b.end(); })) << "key without a value";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.begin_object(), b.key("k"), b.key("l"); })) << "two keys";
    EXPECT_TRUE(fails([](ValueBuilder& b) { b.begin_array(), b.key("k"), b.null(), b.end(); })) << "key in an array";
}

}  // namespace
}  // namespace mailer::core
