// The state of the page in one place; whoever shows a part of it is told when that part changes.

/**
 * @typedef {"single" | "side" | "overlay"} View
 * @typedef {{
 *   stage: number, against: number, view: View, selected: string | null, colour: string, closed: ReadonlySet<string>,
 *   theme: "light" | "dark", tab: string, critical: boolean, marks: boolean,
 * }} State  `against` is the stage that a comparison starts from; `closed` are the boxes that are closed
 */

export class Store {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    /** @type {{keys: (keyof State)[], tell: (state: State, before: State) => void}[]} */
    this.listeners = [];
  }

  /** Change some of the state and tell those whom it concerns, in the order in which they asked. @param {Partial<State>} patch */
  set(patch) {
    const before = this.state;
    const changed = /** @type {(keyof State)[]} */ (Object.keys(patch)).filter((key) => patch[key] !== before[key]);
    if (changed.length === 0) return;
    this.state = { ...before, ...patch };
    for (const { keys, tell } of this.listeners) if (keys.some((key) => changed.includes(key))) tell(this.state, before);
  }

  /** Be told when one of `keys` changes. @param {(keyof State)[]} keys @param {(state: State, before: State) => void} tell */
  on(keys, tell) {
    this.listeners.push({ keys, tell });
  }
}
