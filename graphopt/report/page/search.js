// Finding nodes by name, operator, shape or attribute, and going there.

import { byId, make } from "./dom.js";
import { kindOf } from "./colours.js";
import { counted, salient, shapeText } from "./format.js";
import { keyOfNode } from "./story.js";

/** @typedef {import("./story.js").Stage} Stage @typedef {import("./story.js").NodeRecord} NodeRecord */

const SHOWN = 60;

/** The nodes in which each word of the query stands. @param {Stage} stage @param {string} query @returns {NodeRecord[]} */
export function find(stage, query) {
  const words = query.toLowerCase().replace(/(\d)[x*](?=\d)/g, "$1×").split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const { values } = stage.story;
  /** @type {NodeRecord[]} */
  const exact = [];
  /** @type {NodeRecord[]} */
  const rest = [];
  for (const node of stage.nodes) {
    const text = [node.op, node.name, node.kernel ?? "", node.device ?? "", ...node.sources, salient(stage.story, node), ...[...node.outputs, ...node.inputs].map((value) => (value === null ? "" : `${values[value].name} ${shapeText(values[value].shape)}`))].join("\n").toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    (node.name.toLowerCase() === query.toLowerCase() || node.op.toLowerCase() === words[0] ? exact : rest).push(node);
  }
  return [...exact, ...rest];
}

/** @param {() => Stage} current @param {(key: string) => void} go */
export function showSearch(current, go) {
  const input = /** @type {HTMLInputElement} */ (byId("search"));
  const list = byId("found");
  /** @type {NodeRecord[]} */
  let found = [];
  let at = -1;
  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  /** @param {NodeRecord} node */
  const choose = (node) => {
    close();
    byId("graph").focus({ preventScroll: true }); // from here arrows walk
    go(keyOfNode(node.id));
  };
  const mark = () => {
    [...list.querySelectorAll("[role=option]")].forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    const option = list.querySelector("[aria-selected=true]");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
  };
  const show = () => {
    found = find(current(), input.value);
    at = found.length ? 0 : -1;
    const { story } = current();
    list.replaceChildren(
      make("li", { class: "quiet", role: "presentation" }, input.value.trim() === "" ? "Type a name, an operator or a shape" : found.length === 0 ? "Nothing found" : counted(found.length, "node") + (found.length > SHOWN ? `, the first ${SHOWN} are listed` : "")),
      ...found.slice(0, SHOWN).map((node, index) => {
        const made = node.outputs.find((value) => value !== null);
        return make(
          "li",
          { role: "option", id: `found-${index}`, onpointerdown: (event) => { event.preventDefault(); choose(node); } },
          make("span", { class: "chip", style: `background:${kindOf(node.op)[1]}` }, node.op),
          make("span", { class: "name" }, node.name || node.label),
          make("span", { class: "quiet" }, made === undefined || made === null ? "" : shapeText(story.values[made].shape)),
        );
      }),
    );
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark();
  };
  input.addEventListener("input", show);
  input.addEventListener("focus", () => input.value && show());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = Math.min(found.length, SHOWN);
    if (event.key === "ArrowDown" && count) at = (at + 1) % count;
    else if (event.key === "ArrowUp" && count) at = (at + count - 1) % count;
    else if (event.key === "Enter" && found[at]) return choose(found[at]);
    else if (event.key === "Escape") {
      event.stopPropagation();
      close();
      input.blur();
      return;
    } else return;
    event.preventDefault();
    mark();
  });
}
