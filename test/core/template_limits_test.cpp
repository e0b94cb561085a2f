// Whatever a template or its variables try, the answer is text or an Error, soon and in bounded memory.
#include <gtest/gtest.h>

#include <chrono>

#include "core/template_cases.hpp"

namespace mailer::core::test {
namespace {

std::string repeated(std::string_view s, std::size_t times) {
    std::string out;
    out.reserve(s.size() * times);
    for (std::size_t i = 0; i < times; ++i)
        out += s;
    return out;
}

Value long_list(int size) {
    Value v = Value::array();
    for (int i = 0; i < size; ++i)
        EXPECT_TRUE(v.append(Value::number(std::int64_t{i})));
    return v;
}

TEST(TemplateLimits, AHundredThousandNestedSectionsAreAnError) {
    const Error e = error_of(repeated("{{#a}}", 100'000) + repeated("{{/a}}", 100'000), object({{"a", true}}));
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "template nests sections too deeply");
    EXPECT_EQ(e.detail, "Line 1 of the template. Sections may be nested 256 levels deep.");
}

TEST(TemplateLimits, TheDeepestAllowedNestingWorks) {
    const std::string source =
        repeated("{{#a}}", Template::max_nesting) + "x" + repeated("{{/a}}", Template::max_nesting);
    expect_renders({{"All levels.", source, object({{"a", true}}), "x"}});
    EXPECT_EQ(error_of(source, object({{"a", true}}), {.max_depth = 10}).message,
              "sections and partials are nested too deeply");
}

TEST(TemplateLimits, APartialThatIncludesItselfForeverIsAnError) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("p", "x\n {{>p}}\n"));
    const Error e = error_of("{{>p}}", object({}), {.partials = &partials});
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "sections and partials are nested too deeply");
    EXPECT_EQ(e.detail, "Line 2 of template \"p\".");
}

TEST(TemplateLimits, TwoPartialsThatIncludeEachOtherTwiceEndToo) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("p", "{{>q}}{{>q}}"));
    ASSERT_FALSE(partials.add("q", "{{^n}}{{>p}}{{>p}}{{/n}}"));
    EXPECT_EQ(error_of("{{>p}}", object({}), {.partials = &partials}).sqlstate, "54000");
}

TEST(TemplateLimits, PartialsThatDoubleThirtyTimesStopAtTheStepLimit) {
    PartialTable partials;
    for (int i = 0; i < 30; ++i) {
        const std::string next = "{{>p" + std::to_string(i + 1) + "}}";
        ASSERT_FALSE(partials.add("p" + std::to_string(i), next + next));
    }
    const Error e = error_of("{{>p0}}", object({}), {.partials = &partials});
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "rendering takes too many steps");
}

TEST(TemplateLimits, AGigabyteOfOutputIsAnErrorAndNeverBuilt) {
    const Value v = object({{"l", long_list(1000)}});
    const std::string body = repeated("x", 1000);
    const Error e = error_of("{{#l}}{{#l}}" + body + "{{/l}}{{/l}}", v);
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "rendered text is too large");
    EXPECT_EQ(e.hint, "At most 26214400 bytes are allowed.");
}

TEST(TemplateLimits, OutputMayReachTheLimitExactly) {
    const RenderOptions ten{.is_html = true, .max_output = 10};
    expect_renders({{"Ten bytes of ten.", "12345{{a}}", object({{"a", "67890"}}), "1234567890"}}, ten);
    EXPECT_EQ(error_of("12345{{a}}", object({{"a", "678901"}}), ten).message, "rendered text is too large");
    EXPECT_EQ(error_of("12345{{a}}", object({{"a", "6<"}}), ten).sqlstate, "00000");
    EXPECT_EQ(error_of("12345{{a}}", object({{"a", "67<"}}), ten).message, "rendered text is too large");
    EXPECT_EQ(error_of("1234567890\n", object({}), ten).message, "rendered text is too large");
}

TEST(TemplateLimits, NestedLoopsThatPrintNothingStopAtTheStepLimit) {
    const Error e = error_of("{{#l}}{{#l}}\n{{#l}}{{/l}}{{/l}}{{/l}}", object({{"l", long_list(1000)}}));
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "rendering takes too many steps");
    EXPECT_EQ(e.detail, "Line 2 of the template.");
}

TEST(TemplateLimits, LookingThroughManyContextsIsCharged) {
    const std::string deep = repeated("{{#a}}", 200) + "{{#l}}{{no}}{{/l}}" + repeated("{{/a}}", 200);
    const Value v = object({{"a", true}, {"l", long_list(1000)}});
    EXPECT_EQ(error_of(deep, v, {.max_steps = 100'000}).message, "rendering takes too many steps");
    EXPECT_EQ(error_of(deep, v, {.max_steps = 1'000'000}).sqlstate, "00000");
}

TEST(TemplateLimits, IndentationThatGrowsWithEveryLevelIsBounded) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("p", repeated(" ", 1 << 20) + "{{>p}}\n"));
    const Error e = error_of(" {{>p}}", object({}), {.partials = &partials});
    EXPECT_EQ(e.sqlstate, "54000");
    EXPECT_EQ(e.message, "indentation of partials is too large");
}

TEST(TemplateLimits, IndentationThatIsCopiedAgainAndAgainIsCharged) {
    PartialTable partials;
    ASSERT_FALSE(partials.add("empty", ""));
    const std::string source = "{{#l}}{{#l}}\n" + repeated(" ", 100'000) + "{{>empty}}\n{{/l}}{{/l}}";
    const Error e = error_of(source, object({{"l", long_list(100)}}), {.partials = &partials});
    EXPECT_EQ(e.message, "rendering takes too many steps");
}

TEST(TemplateLimits, ManyTagsAfterALongBlankBeginningOfALineAreParsedInLinearTime) {
    const auto t = Template::parse(repeated(" ", 1'000'000) + repeated("{{!}}", 200'000));  // squared: minutes
    ASSERT_TRUE(t.ok());
    EXPECT_EQ(t->nodes().size(), 1u);
}

TEST(TemplateLimits, TemplatesOfTooManyBytesTagsOrLettersInANameAreRefused) {
    EXPECT_EQ(error_of(std::string(Template::max_source_size + 1, 'x')).message, "template is too large");
    EXPECT_EQ(error_of(repeated("{{a}}", Template::max_nodes + 1)).message, "template has too many tags");
    EXPECT_EQ(error_of("{{" + std::string(Template::max_name_size + 1, 'x') + "}}").message,
              "name in a template is too long");
}

TEST(TemplateLimits, AllBytesAreAllowedInTextAndValues) {
    std::string bytes;
    for (int i = 0; i < 256; ++i)
        bytes += static_cast<char>(i);
    expect_renders({{"Nothing is lost.", bytes + "{{{a}}}", object({{"a", bytes}}), bytes + bytes}});
}

TEST(TemplateRenderTo, AppendsAndLeavesNothingBehindAfterAnError) {
    const auto t = Template::parse("{{a}}{{b}}");
    ASSERT_TRUE(t.ok());
    std::string out = "before ";
    EXPECT_FALSE(render_to(out, *t, object({{"a", 1}, {"b", 2}})));
    EXPECT_EQ(out, "before 12");
    EXPECT_TRUE(render_to(out, *t, object({{"a", 1}}), {.is_strict = true}));
    EXPECT_EQ(out, "before 12");
}

TEST(TemplateRenderTo, AParsedTemplateMayBeMovedCopiedAndRenderedAgain) {
    auto parsed = Template::parse("Hi {{user.name}}");
    ASSERT_TRUE(parsed.ok());
    const Template moved = std::move(parsed).value();
    const Template copy = moved;
    for (const char* name : {"Ada", "Grace"}) {
        const auto out = render(copy, object({{"user", object({{"name", name}})}}));
        ASSERT_TRUE(out.ok());
        EXPECT_EQ(*out, std::string("Hi ") + name);
    }
}

// Each turn reads ten megabytes; by tags alone it would be a hundred thousand steps.
TEST(TemplateLimits, WorkIsChargedByWhatItReads) {
    Value items = Value::array();
    for (int i = 0; i < 20'000; ++i)
        EXPECT_TRUE(items.append(Value::object()));
    Value variables = Value::object();
    EXPECT_TRUE(variables.set("items", std::move(items)));
    EXPECT_TRUE(variables.set("big", Value::string(std::string(10 << 20, 'x'))));
    PartialTable partials;
    const auto began = std::chrono::steady_clock::now();
    RenderOptions options;
    options.partials = &partials;
    EXPECT_EQ(render("{{#items}}{{>*big}}{{/items}}", variables, options).value(),
              "");  // no template has such a name
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds{5});
}

TEST(TemplateLimits, ALongNumberIsTestedOnce) {
    Value variables = Value::object();
    EXPECT_TRUE(variables.set("items", long_list(100'000)));
    EXPECT_TRUE(variables.set("zero", Value::number("0." + std::string(16'000, '0'))));
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(render("{{#items}}{{#zero}}x{{/zero}}{{/items}}", variables, {}).value(), "");
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds{5});
}

TEST(TemplateLimits, RenderingCanBeInterrupted) {
    Value variables = Value::object();
    EXPECT_TRUE(variables.set("items", long_list(1'000'000)));
    RenderOptions options;
    int asked = 0;
    options.interrupted = [&asked]() -> Status {
        if (++asked < 3) return {};
        return Error{.sqlstate = "57014", .message = "enough"};
    };
    EXPECT_EQ(render("{{#items}}{{.}}{{/items}}", variables, options).error().sqlstate, "57014");
    EXPECT_EQ(asked, 3);
}

TEST(TemplateLimits, NumbersAreAsLargeAsTheyAreWritten) {
    ValueBuilder builder;
    builder.begin_array();
    for (int i = 0; i < 200; ++i)
        builder.number("1" + std::string(131'071, '0'));
    builder.end();
    EXPECT_EQ(std::move(builder).finish().error().sqlstate, "54000");
}

}  // namespace
}  // namespace mailer::core::test
