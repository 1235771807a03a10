// A convenience only; every page works without it. Adds Copy buttons and keeps a form from being sent twice.
"use strict";

function addCopyButton(field) {
  const button = document.createElement("button");
  const said = document.createElement("span");
  const label = field.labels[0];
  label.id ||= `${field.id}-label`;
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-describedby", label.id);
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
  if (field.parentElement.classList.contains("copyline")) {
    field.after(button);
    field.parentElement.after(said);
  } else {
    const row = document.createElement("div");
    row.className = "row";
    row.append(button, said);
    field.after(row);
  }
}

for (const field of document.querySelectorAll("[data-copy]")) {
  addCopyButton(field);
}
const sent = new WeakSet();
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (sent.has(form)) event.preventDefault();
    sent.add(form);
  });
  addEventListener("pageshow", () => sent.delete(form));
}
