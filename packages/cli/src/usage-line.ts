import type { Usage } from '@llm/runtime';

/** "12 tokens in 0.15 s, then 64 at 85.3 tokens/s" */
export function usageLine(usage: Usage): string {
  const { promptTokens, generatedTokens, promptSeconds, generateSeconds } = usage;
  const speed = generatedTokens > 1 ? `, then ${((generatedTokens - 1) / generateSeconds).toFixed(1)} tokens/s` : '';
  return `${promptTokens} prompt tokens, ${generatedTokens} written; first after ${promptSeconds.toFixed(2)} s${speed}`;
}
