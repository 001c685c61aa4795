export function random(seed: number): () => number;
export function mutate(bytes: Uint8Array, next: () => number, from?: number, to?: number): Buffer;
