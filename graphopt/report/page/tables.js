// Tables that sort by a click and lead to the drawing; only the rows in view have elements.

import { make } from "./dom.js";

/**
 * @typedef {{title: string, text: (row: T) => string, order?: (row: T) => number | string | null, number?: boolean, wide?: boolean, long?: boolean, leads?: (row: T) => boolean}} Column
 * @template T
 */

const ROW = 30;

/**
 * @template T
 * @param {{name: string, columns: Column<T>[], choose: (row: T) => void, isCurrent: (row: T) => boolean}} options
 */
export function table({ name, columns, choose, isCurrent }) {
  /** @type {T[]} */
  let rows = [];
  let sorted = -1;
  let down = true;
  const heads = columns.map((column, at) =>
    make("th", { scope: "col", class: `${column.number ? "number" : ""}${column.wide ? " wide" : ""}`, "aria-sort": "none" }, make("button", { type: "button", onclick: () => sort(at) }, column.title)),
  );
  const body = make("tbody");
  const frame = make("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": name }, make("table", {}, make("caption", { class: "sr-only" }, name), make("thead", {}, make("tr", {}, ...heads)), body));
  /** @param {number} at */
  const sort = (at) => {
    down = sorted === at ? !down : Boolean(columns[at].number);
    sorted = at;
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== at ? "none" : down ? "descending" : "ascending"));
    arrange();
  };
  /** @type {T[]} */
  let shown = [];
  const arrange = () => {
    shown = [...rows];
    if (sorted >= 0) {
      const { text, order } = columns[sorted];
      const value = order ?? text;
      shown.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1; // what is not known comes last
        const less = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
        return down ? -less : less;
      });
    }
    draw(true);
  };
  let drawn = [-1, -1];
  /** @param {boolean} anew */
  const draw = (anew) => {
    const room = frame.clientHeight || 600;
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW) - 10);
    const last = Math.min(shown.length, first + Math.ceil(room / ROW) + 20);
    if (!anew && drawn[0] === first && drawn[1] === last) return;
    drawn = [first, last];
    /** @param {number} height */
    const space = (height) => make("tr", { "aria-hidden": "true", class: "space" }, make("td", { colspan: columns.length, style: `height:${height}px;padding:0` }));
    body.replaceChildren(
      ...(first > 0 ? [space(first * ROW)] : []),
      ...shown.slice(first, last).map((row) => {
        const line = make("tr", { class: isCurrent(row) ? "current" : "" }, ...columns.map((column, at) => {
          const text = column.text(row);
          return make("td", { class: `${column.number ? "number" : ""}${column.wide ? " wide" : ""}${column.long ? " long" : ""}`, title: text }, at === 0 && (column.leads?.(row) ?? true) ? make("button", { class: "link", type: "button" }, text) : text);
        }));
        line.addEventListener("click", () => choose(row));
        return line;
      }),
      ...(last < shown.length ? [space((shown.length - last) * ROW)] : []),
    );
  };
  frame.addEventListener("scroll", () => draw(false));
  new ResizeObserver(() => draw(false)).observe(frame);
  return {
    element: frame,
    /** @param {T[]} fresh */
    fill(fresh) {
      rows = fresh;
      arrange();
    },
    refresh: () => draw(true),
  };
}
