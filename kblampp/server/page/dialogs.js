/** The dialogs: change, end, history, token.  Each resolves when it closes. */

import { momentText, windowText } from "./dates.js";
import { byId, el, name } from "./dom.js";

export const FIELDS = ["head", "relation", "tail", "context", "start", "end"];

/** What a form holds, trimmed. */
export function valuesOf(form) {
  return Object.fromEntries([...new FormData(form)].map(([key, value]) => [key, value.trim()]));
}

/** Shows an error inside a form; "" takes it away. */
export function formError(form, sentence) {
  form.querySelector(".error").textContent = sentence;
}

/**
 * Opens a dialog with a form and hands over what was entered.
 * @param submit async (values): the dialog stays open and shows the sentence if it throws
 * @returns whether it was submitted
 */
function opened(dialogId, formId, submit) {
  const [dialog, form] = [byId(dialogId), byId(formId)];
  formError(form, "");
  return new Promise((resolve) => {
    let done = false;
    const send = async (event) => {
      event.preventDefault();
      const button = form.querySelector("[type=submit]");
      if (button.disabled) return;
      button.disabled = true;
      formError(form, "");
      try {
        await submit(valuesOf(form));
        done = true;
        dialog.close();
      } catch (error) {
        formError(form, error.message);
      } finally {
        button.disabled = false;
      }
    };
    form.addEventListener("submit", send);
    dialog.addEventListener("close", () => {
      form.removeEventListener("submit", send);
      resolve(done);
    }, { once: true });
    dialog.showModal();
  });
}

/** The sentence of a fact follows a new head or tail, where it names the old one; what a person wrote stays. */
function keepSentence(form) {
  const named = { head: form.elements.head.value, tail: form.elements.tail.value };
  const follow = (field) => () => {
    const text = form.elements[field].value.trim();
    if (!text || !named[field] || text === named[field]) return;
    form.elements.context.value = form.elements.context.value.replaceAll(named[field], text);
    named[field] = text;
  };
  for (const field of ["head", "tail"]) form.elements[field].onchange = follow(field);
}

/** Lets a person change a fact; `save` gets only the fields that are new. */
export function editDialog(fact, save) {
  const form = byId("edit");
  for (const field of FIELDS) form.elements[field].value = fact[field] ?? "";
  keepSentence(form);
  const result = opened("edit-dialog", "edit", async (values) => {
    const fresh = FIELDS.filter((field) => values[field] !== (fact[field] ?? "").trim());
    if (fresh.length) await save(Object.fromEntries(fresh.map((field) => [field, values[field]])));
  });
  form.elements.tail.focus();
  form.elements.tail.select();
  return result;
}

/** Lets a person end a fact; `save` gets the last year, month or day on which it holds. */
export function endDialog(fact, suggestion, save) {
  byId("end-what").replaceChildren(`${fact.head} · ${fact.relation} · ${fact.tail}`);
  const input = byId("end").elements.namedItem("end");
  input.value = fact.end || suggestion;
  const result = opened("end-dialog", "end", ({ end }) => save(end));
  input.select();
  return result;
}

/** Asks for a token; resolves to it, or to null. */
export async function tokenDialog(sentence) {
  let given = null;
  byId("token").reset();
  const result = opened("token-dialog", "token", async ({ token }) => {
    given = token;
  });
  formError(byId("token"), sentence);
  await result;
  return given;
}

function version(one, former) {
  const show = (text, isNew) => (former && isNew ? el("mark", {}, name(text)) : name(text));
  const field = (key) => show(one[key] ?? "", (one[key] ?? "") !== (former?.[key] ?? ""));
  const window = show(windowText(one), one.start !== former?.start || one.end !== former?.end);
  const until = one.retired ? ` until ${momentText(one.retired)}` : ", and so it stands";
  const what = [field("head"), " · ", field("relation"), " · ", el("strong", {}, field("tail")), " "];
  return el("li", {},
    el("p", {}, what, el("span", { class: "muted" }, "(", window, ")")),
    one.context ? el("p", { class: "muted" }, field("context")) : null,
    el("p", { class: "muted" }, `Change ${one.call}: from ${momentText(one.written)}${until}`));
}

/** Shows the versions of a fact, oldest first; what is new in each is marked. */
export function historyDialog(versions) {
  byId("versions").replaceChildren(...versions.map((one, at) => version(one, versions[at - 1])));
  byId("history-dialog").showModal();
}

/** Lets every button that closes do so; a click beside a dialog closes it too. */
export function listenToDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
}
