// A form with data-steps=ID is sent in the background, and the element of that id is asked for until the answer is
// there. Without scripts the form works as any other: all steps come with the page.
"use strict";

for (const form of document.querySelectorAll("form[data-steps]")) {
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const fields = new URLSearchParams(new FormData(form));
        fields.set("action", event.submitter.value);
        event.submitter.disabled = true;
        let isOver = false;
        const sent = fetch(form.action, { method: "POST", body: fields, redirect: "manual" }).finally(() => (isOver = true));
        while (!isOver) {
            await new Promise((resolve) => setTimeout(resolve, 500));
            const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } }).catch(() => null);
            if (!answer || !answer.ok) continue;
            const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(form.dataset.steps);
            const old = document.getElementById(form.dataset.steps);
            if (fresh && fresh.innerHTML !== old.innerHTML) old.replaceWith(fresh);
        }
        await sent.catch(() => {});
        location.reload();
    });
}
