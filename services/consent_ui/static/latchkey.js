// A convenience only; every page works without it. Adds Copy buttons and keeps a form from being sent twice.
"use strict";

function addCopyButton(field) {
  const button = document.createElement("button");
  const said = document.createElement("span");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${field.dataset.copy}`);
  said.className = "soft small";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    field.focus();
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied";
    } catch {
      said.textContent = "Selected: press Ctrl+C or ⌘C to copy";
    }
  });
  const row = document.createElement("div");
  row.className = "row copy";
  row.append(button, said);
  field.after(row);
}

for (const field of document.querySelectorAll("[data-copy]")) {
  addCopyButton(field);
}
for (const form of document.querySelectorAll("form[data-once]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
