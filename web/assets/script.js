// Refreshes what is marked with data-refresh (and an id) every 5 seconds, and asks before forms with data-confirm are
// sent. Without scripts every page works as well.
"use strict";

document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
});

// Under somebody's hands: it has the focus, or a field that was filled in.
function isInUse(part) {
    const isChanged = (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked;
    return part.contains(document.activeElement) || [...part.querySelectorAll("input, textarea")].some(isChanged);
}

async function refresh() {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
    if (answer.redirected) location.reload();  // logged out in the meantime
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-refresh]")) {
        const now = fresh.getElementById(old.id);
        if (now && !isInUse(old) && now.innerHTML !== old.innerHTML) old.replaceWith(now);
    }
}
if (document.querySelector("[data-refresh]")) setInterval(() => refresh().catch(() => {}), 5000);
