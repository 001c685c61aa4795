import { z } from 'zod';

import { maybe, size } from './schema.ts';

export interface LayerTypeKeys {
  readonly layer_types: readonly string[] | undefined;
  readonly sliding_window: number | undefined;
}

/** The keys that say which layers see only a window. */
export const layerTypeKeys: { readonly [Key in keyof LayerTypeKeys]: z.ZodType<LayerTypeKeys[Key]> } = {
  layer_types: maybe(z.array(z.string())),
  sliding_window: maybe(size),
};

/** Whether a layer sees only a window: as `layer_types` says, or by the architecture's own rule. */
export function slides(c: LayerTypeKeys, layer: number, rule: () => boolean): boolean {
  const type = c.layer_types?.[layer];
  return type === undefined ? rule() : type === 'sliding_attention';
}

/** The window of a layer, undefined where it sees everything. */
export function layerWindow(c: LayerTypeKeys, layer: number, rule: () => boolean): number | undefined {
  return slides(c, layer, rule) ? c.sliding_window : undefined;
}
