/** One way to store one layer. */
export interface LayerOption {
  /** Bytes of the layer stored so. */
  readonly cost: number;
  /** Harm done, in any unit that adds up over layers. */
  readonly harm: number;
}

/**
 * Picks one option per layer so that the harm adds up to the least while the bytes stay within a budget. Dynamic programming
 * over exact costs, keeping only choices that no other beats in both (quant-spec's part 7; the idea of AutoRound's AutoScheme).
 *
 * @returns the index of each layer's option, or undefined where even the smallest do not fit
 */
export function allocate(layers: readonly (readonly LayerOption[])[], budget: number): number[] | undefined {
  interface State {
    readonly cost: number;
    readonly harm: number;
    readonly choice: number;
    readonly before: State | undefined;
  }
  // What the layers still to come need at the least: no state may spend that.
  const least = layers.map((options) => Math.min(...options.map((option) => option.cost)));
  let rest = least.reduce((sum, cost) => sum + cost, 0);
  let states: (State | undefined)[] = [undefined];

  for (const [i, options] of layers.entries()) {
    rest -= least[i]!;
    const grown = states.flatMap((before) =>
      options.map((option, choice) => ({
        cost: (before?.cost ?? 0) + option.cost,
        harm: (before?.harm ?? 0) + option.harm,
        choice,
        before,
      })),
    );
    states = pareto(grown.filter((state) => state.cost + rest <= budget));
    if (states.length === 0) return undefined;
  }

  // States are in order of cost, and the dearest of the undominated harms least.
  const choices: number[] = [];
  for (let state = states.at(-1); state; state = state.before) choices.unshift(state.choice);
  return choices;
}

/** The undominated, cheapest first. Beyond some thousands, neighbours that differ in nothing that matters are thinned out. */
function pareto<State extends { readonly cost: number; readonly harm: number }>(states: State[]): State[] {
  states.sort((a, b) => a.cost - b.cost || a.harm - b.harm);
  const kept: State[] = [];
  for (const state of states) if (kept.length === 0 || state.harm < kept.at(-1)!.harm) kept.push(state);
  const most = 4096;
  if (kept.length <= most) return kept;
  const stride = (kept.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, i) => kept[Math.round(i * stride)]!);
}
