// Refreshes what is marked with data-refresh (and an id) every 5 seconds, and asks before forms with data-confirm are
// sent. Without scripts every page works as well.
"use strict";

document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
});

async function refresh() {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
    if (answer.redirected) location.reload();  // logged out in the meantime
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-refresh]")) {
        const now = fresh.getElementById(old.id);
        // Not under somebody's hands.
        if (now && !old.contains(document.activeElement) && now.innerHTML !== old.innerHTML) old.replaceWith(now);
    }
}
if (document.querySelector("[data-refresh]")) setInterval(() => refresh().catch(() => {}), 5000);
