// Packing, and the parts; see preparer_exchange.hpp.
#include "pg/server/preparer_exchange.hpp"

#include <cstring>

namespace mailer::pg {

namespace {

template <class T>
void put(std::string& to, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put(std::string& to, const std::string& text) {
    put(to, static_cast<std::uint32_t>(text.size()));
    to += text;
}

template <class T>
T take(std::string_view& from) {
    T value{};
    memcpy(&value, from.data(), sizeof value);
    from.remove_prefix(sizeof value);
    return value;
}

std::string take_text(std::string_view& from) {
    const auto length = take<std::uint32_t>(from);
    std::string text(from.substr(0, length));
    from.remove_prefix(length);
    return text;
}

}  // namespace

std::string packed(const Question& question) {
    std::string octets;
    octets.reserve(64 + question.condition.size() + question.loader.size() + question.variables.size());
    put(octets, question.message_id);
    put(octets, question.role);
    put(octets, question.limit_us);
    put(octets, question.condition);
    put(octets, question.loader);
    put(octets, question.variables);
    return octets;
}

Question unpacked_question(std::string_view octets) {
    Question question;
    question.message_id = take<std::int64_t>(octets);
    question.role = take<Oid>(octets);
    question.limit_us = take<std::int64_t>(octets);
    question.condition = take_text(octets);
    question.loader = take_text(octets);
    question.variables = take_text(octets);
    return question;
}

std::string packed(const Reply& reply) {
    std::string octets;
    octets.reserve(sizeof reply + reply.octets.size());
    put(octets, reply.kind);
    put(octets, reply.took_us);
    octets += reply.octets;
    return octets;
}

Reply unpacked_reply(std::string_view octets) {
    Reply reply;
    reply.kind = take<Reply::Kind>(octets);
    reply.took_us = take<std::int64_t>(octets);
    reply.octets = octets;
    return reply;
}

bool Outgoing::put_part(PreparerSlot* slot) noexcept {
    const std::size_t length = std::min(octets_.size() - sent_, part_size);
    memcpy(slot->data, octets_.data() + sent_, length);
    slot->length = static_cast<std::uint32_t>(length);
    slot->total = static_cast<std::uint32_t>(octets_.size());
    sent_ += length;
    return sent_ == octets_.size();
}

bool Incoming::take_part(const PreparerSlot* slot) {
    octets_.reserve(slot->total);
    octets_.append(slot->data, slot->length);
    return octets_.size() >= slot->total;
}

}  // namespace mailer::pg
