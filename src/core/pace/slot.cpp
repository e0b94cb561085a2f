// Slots are counted in UTC microseconds with integers only: the same to the last digit on every platform.
#include "core/pace/slot.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "core/bounds.hpp"

namespace mailer::core {

namespace {

// What a number is drawn for, so that two draws for one ordinal are independent.
enum class Draw : std::uint64_t { jitter = 1, opening = 2 };

// A fixed 64-bit mix (multiply, fold the high half down; repeated). Not for secrets. Changing it moves schedules.
std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15U;
    x ^= x >> 29;
    x *= 0xd6e8feb86659fd93U;
    x ^= x >> 32;
    return x;
}

std::uint64_t draw(const LaneFacts& lane, std::int64_t ordinal, Draw purpose) {
    const std::uint64_t seed = mix(static_cast<std::uint64_t>(lane.campaign_id) + 0x632be59bd9b4e019U);
    return mix(mix(seed ^ static_cast<std::uint64_t>(ordinal)) + static_cast<std::uint64_t>(purpose));
}

// gap × jitter without leaving 64 bits.
std::int64_t swing_of(const LaneFacts& lane) {
    constexpr std::int64_t kMillion = 1'000'000;
    const std::int64_t gap = lane.gap.count();
    const std::int64_t ppm = std::clamp<std::int64_t>(lane.jitter_ppm, 0, kMillion);
    return gap / kMillion * ppm + gap % kMillion * ppm / kMillion;
}

// Where in a span that opens the slot with this ordinal lies: within its first gap, so that campaigns that open at the
// same minute don't all start at it.
Time opening_slot(const LaneFacts& lane, const Span& span) {
    const auto room = std::min(lane.gap, span.to - span.from).count();
    if (room <= 0) return span.from;
    const auto n = draw(lane, lane.next_ordinal, Draw::opening) % static_cast<std::uint64_t>(room);
    return span.from + Duration{static_cast<std::int64_t>(n)};
}

// Since when something waits for the slot: first mails not before a day on which their cap has room.
Time wanted_since(const LaneFacts& pace, Time slot) {
    auto earlier = [](std::optional<Time> a, std::optional<Time> b) { return a && b ? std::min(a, b) : (a ? a : b); };
    std::optional<Time> fresh = earlier(pace.waiting_since, pace.new_waiting_since);
    if (fresh && pace.max_new_per_day && *pace.max_new_per_day > 0) {
        const Time at = std::max(slot, *fresh);
        auto span = pace.window.span_from(at);
        while (span && pace.new_use.used_on(span->day) >= *pace.max_new_per_day)
            span = pace.window.span_from(span->to);
        if (span && span->from > at) fresh = span->from;
    } else if (pace.max_new_per_day) {
        fresh.reset();  // none at all: it waits for no slot
    }
    return earlier(fresh, pace.follow_ups_waiting_since).value_or(Time::min());
}

bool has_room(const LaneFacts& lane, Date day) {
    // A cap of nothing moves no slot: its gate is shut on every day.
    return !lane.max_per_day || *lane.max_per_day <= 0 || lane.use.used_on(day) < *lane.max_per_day;
}

// How many slots the window, the nominal gap and the cap left room for in [from, to).
std::int64_t count_slots(const LaneFacts& lane, Time from, Time to) {
    std::int64_t count = 0, on_day = 0;
    std::optional<Date> day;
    Duration open{0};  // since the last slot that was counted
    const auto add = [&](std::int64_t n) {
        if (lane.max_per_day) {
            n = std::clamp<std::int64_t>(*lane.max_per_day - lane.use.used_on(*day) - on_day, 0, n);
        }
        on_day += n;
        count += n;
    };
    for (Time t = from; t < to;) {
        const auto span = lane.window.span_from(t);
        if (!span || span->from >= to) break;
        if (day != span->day) on_day = 0;
        day = span->day;
        open += std::min(span->to, to) - std::max(span->from, t);
        add(open / lane.gap);
        open %= lane.gap;
        t = span->to;
        // Where the window closes, the part of a gap that is left held a slot too.
        if (t < to && open > Duration{0} && lane.window.next_opening(t) != t) {
            add(1);
            open = Duration{0};
        }
    }
    return count;
}

std::optional<MissedSlots> missed_slots(const LaneFacts& lane, const CurrentSlot& slot, Time now,
                                        std::optional<Gate> why) {
    if (!slot.missed_from) return std::nullopt;
    const Time to = now - slot.at > lane.gap ? now : slot.at;  // else the slot of the new opening is the one used
    const std::int64_t count = count_slots(lane, *slot.missed_from, to);
    if (count == 0) return std::nullopt;
    return MissedSlots{*slot.missed_from, to, count, why};
}

void reserve_slot(LaneFacts& lane, Time now, std::optional<Gate> why_late, Reservation& taken) {
    const CurrentSlot slot = current_slot(lane, now);
    taken.missed = missed_slots(lane, slot, now, why_late);
    taken.ordinal = lane.next_ordinal++;
    taken.campaign_day = lane.window.day_of(now);
    lane.use.take(*taken.campaign_day, taken.is_warmup);
    if (taken.is_new) lane.new_use.take(*taken.campaign_day, taken.is_warmup);

    const Duration step = jittered_gap(lane, lane.next_ordinal);
    const Duration least = lane.gap - Duration{swing_of(lane)} - slot_tolerance(lane.gap);
    taken.slot_at = now - slot.at > lane.gap ? now : slot.at;
    const Time next = bounded(std::max(*taken.slot_at + step, now + least));
    lane.gap_from = next - step;
    lane.next_slot_at = bounded(placed_slot(lane, next));
    taken.gap_from = lane.gap_from;
    taken.next_slot_at = lane.next_slot_at;
    taken.next_ordinal = lane.next_ordinal;
}

void run_gap_from(std::optional<Time>& next_at, Duration gap, Time replied_at) {
    if (gap > Duration{0}) next_at = bounded(std::max(next_at.value_or(Time::min()), replied_at + gap));
}

void end_flight(LaneFacts& lane, MailboxFacts& mailbox, std::optional<Time> replied_at) {
    lane.in_flight = std::max(0, lane.in_flight - 1);
    mailbox.in_flight = std::max(0, mailbox.in_flight - 1);
    if (!replied_at) return;
    run_gap_from(mailbox.next_at, mailbox.gap, *replied_at);
    if (lane.kind == LaneKind::batch) run_gap_from(lane.next_at, lane.gap, *replied_at);
}

}  // namespace

Duration jittered_gap(const LaneFacts& lane, std::int64_t ordinal) {
    const std::int64_t swing = swing_of(lane);
    const auto n = draw(lane, ordinal, Draw::jitter) % (2 * static_cast<std::uint64_t>(swing) + 1);
    return lane.gap + Duration{static_cast<std::int64_t>(n) - swing};
}

Duration slot_tolerance(Duration gap) { return std::min<Duration>(std::chrono::milliseconds{50}, gap / 4); }

namespace {

// The slot in one window; nothing when that never opens. The caps' day is always the one on the campaign's own clock.
std::optional<Time> placed_in(const Window& window, const LaneFacts& lane, Time t) {
    auto has_room_in = [&](const Span& span, Time at) {
        return has_room(lane, &window == &lane.window ? span.day : lane.window.day_of(at));
    };
    auto span = window.span_from(t);
    if (!span) return std::nullopt;
    if (span->from <= t && has_room_in(*span, t)) return t;
    while (span && (span->from <= t || !has_room_in(*span, span->from)))
        span = window.span_from(span->to);
    return span ? std::optional{opening_slot(lane, *span)} : std::nullopt;
}

}  // namespace

Time placed_slot(const LaneFacts& lane, Time t) {
    if (lane.windows.empty()) return placed_in(lane.window, lane, t).value_or(t);
    std::optional<Time> earliest;
    for (const Window& window : lane.windows) {
        const auto slot = placed_in(window, lane, t);
        if (slot && (!earliest || *slot < *earliest)) earliest = slot;
    }
    return earliest.value_or(t);
}

CurrentSlot current_slot(const LaneFacts& lane, Time now) {
    const Time wanted = wanted_since(lane, lane.next_slot_at.value_or(now));
    Time slot = lane.next_slot_at.value_or(Time::min());
    if (!lane.next_slot_at) slot = placed_slot(lane, std::max({now, wanted, lane.starts_at.value_or(now)}));
    if (slot < wanted) slot = placed_slot(lane, wanted);
    if (lane.gap <= Duration{0} || now - slot <= lane.gap) return {slot, std::nullopt};

    // Where every window has closed since, the plan starts again where the first one opens (or has opened) next.
    std::optional<Time> restart;
    const std::span<const Window> windows = lane.windows.empty() ? std::span(&lane.window, 1) : std::span(lane.windows);
    for (const Window& window : windows) {
        const auto span = window.span_from(now);
        if (!span) continue;
        if (span->from <= slot) return {slot, slot};
        const auto at = span->from > now ? placed_in(window, lane, now) : opening_slot(lane, *span);
        if (at && (!restart || *at < *restart)) restart = at;
    }
    return {restart.value_or(slot), slot};
}

bool replan_slot(LaneFacts& lane, Time now) {
    if (lane.kind != LaneKind::campaign) return false;
    if (lane.next_slot_at && *lane.next_slot_at <= now) return false;
    const Time counted = lane.gap_from ? *lane.gap_from + jittered_gap(lane, lane.next_ordinal) : now;
    const Time slot = placed_slot(lane, std::max({now, counted, lane.starts_at.value_or(now)}));
    const bool is_moved = lane.next_slot_at != slot;
    lane.next_slot_at = slot;
    return is_moved;
}

void place_rate(MailboxFacts& mailbox, Time now) {
    mailbox.rate_next_at.reset();
    if (!mailbox.rate || !mailbox.last_used_at) return;
    mailbox.rate_next_at = std::min(*mailbox.last_used_at, now) + mailbox.rate->spacing();
}

std::optional<Time> hold_gap(MailboxFacts& mailbox, Time now) {
    if (!mailbox.next_at || *mailbox.next_at <= now + mailbox.gap) return std::nullopt;
    return std::exchange(mailbox.next_at, now + mailbox.gap);
}

std::optional<Time> hold_gap(LaneFacts& lane, Time now) {
    if (lane.kind == LaneKind::batch) {
        if (!lane.next_at || *lane.next_at <= now + lane.gap) return std::nullopt;
        return std::exchange(lane.next_at, now + lane.gap);
    }
    if (lane.kind != LaneKind::campaign || !lane.gap_from || *lane.gap_from <= now) return std::nullopt;
    lane.gap_from = now;
    return std::exchange(lane.next_slot_at, std::nullopt).value_or(now);  // upsert_lane places it again
}

std::string missed_reason_text(const std::optional<Gate>& reason) {
    return reason ? std::string{gate_name(*reason)} : "not_running";
}

Reservation reserve(LaneFacts& pace, LaneFacts& lane, MailboxFacts& mailbox, const MessageFacts& message, Time now,
                    std::optional<Gate> why_late) {
    Reservation taken{.lane_id = lane.id, .mailbox_id = mailbox.id, .message_id = message.id, .at = now};
    taken.is_warmup = message.is_warmup;
    taken.mailbox_day = mailbox.zone.date(now);
    mailbox.use.take(taken.mailbox_day, message.is_warmup);
    mailbox.last_used_at = now;
    if (mailbox.rate) mailbox.rate_next_at = bounded(next_by_rate(*mailbox.rate, mailbox.rate_next_at, now));
    mailbox.in_flight += 1;
    lane.in_flight += 1;
    taken.is_new = lane.kind == LaneKind::campaign && !lane.is_follow_up;
    if (lane.kind == LaneKind::campaign) reserve_slot(pace, now, why_late, taken);
    return taken;
}

void finish(LaneFacts& lane, MailboxFacts& mailbox, [[maybe_unused]] const Reservation& reservation, Time replied_at) {
    end_flight(lane, mailbox, replied_at);
}

bool release(LaneFacts& pace, LaneFacts& lane, MailboxFacts& mailbox, const Reservation& reservation, Time now,
             std::optional<Time> replied_at) {
    end_flight(lane, mailbox, replied_at);
    mailbox.use.give_back(reservation.mailbox_day, reservation.is_warmup);
    if (!reservation.campaign_day) return false;
    pace.use.give_back(*reservation.campaign_day, reservation.is_warmup);
    if (reservation.is_new) pace.new_use.give_back(*reservation.campaign_day, reservation.is_warmup);
    return replan_slot(pace, now);
}

}  // namespace mailer::core
