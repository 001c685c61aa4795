import { Fields } from './fields.ts';
import type { Row, Task } from './task.ts';

interface WikitextDocument {
  /** The page as it is stored, in WikiText's spaced-out tokens; words and bytes are counted here. */
  readonly page: string;
}

/** WikiText-2 (Merity et al., 2016), whole pages of the raw test set: perplexity per word and byte by rolling windows. */
export const wikitext: Task<WikitextDocument> = {
  name: 'wikitext',
  description: 'perplexity of Wikipedia pages',
  primaryMetric: 'word_perplexity',
  metrics: [
    {
      name: 'word_perplexity',
      kind: 'weightedPerplexity',
      of: 'log_probability',
      weight: 'words',
      higherIsBetter: false,
    },
    {
      name: 'byte_perplexity',
      kind: 'weightedPerplexity',
      of: 'log_probability',
      weight: 'bytes',
      higherIsBetter: false,
    },
    { name: 'bits_per_byte', kind: 'bits', of: 'log_probability', weight: 'bytes', higherIsBetter: false },
  ],
  dataset: 'EleutherAI/wikitext_document_level, wikitext-2-raw-v1, test',
  files: ['wiki.test.raw', 'wikitext.jsonl', 'test.jsonl', 'test.parquet'],
  documents: (rows) => rows.map((row, index) => ({ page: new Fields('wikitext', row, index).text('page') })),
  requests: ({ page }) => [{ kind: 'rolling', text: detokenize(page) }],
  score: ({ page }, [answer]) => ({
    log_probability: answer?.logProbability ?? Number.NaN,
    words: page.split(/\s+/).length,
    bytes: Buffer.byteLength(page),
  }),
};

/** The pages of a raw WikiText file: each begins at a heading of the first level. */
export function wikitextPages(raw: string): Row[] {
  const pages: string[] = [];
  let lines: string[] = [];
  for (const line of raw.split('\n')) {
    const heading = line.replaceAll('= = =', '===').replaceAll('= =', '==').trim();
    if (heading.startsWith('= ') && heading.endsWith(' =')) {
      pages.push(lines.join('\n'));
      lines = [];
    }
    lines.push(line);
  }
  pages.push(lines.join('\n'));
  if (pages[0]?.trim() === '') pages.shift();
  return pages.map((page) => ({ page }));
}

/** Order matters: later rules see what earlier ones left. */
const replacements: readonly (readonly [string | RegExp, string])[] = [
  ["s '", "s'"],
  [' @-@ ', '-'],
  [' @,@ ', ','],
  [' @.@ ', '.'],
  [' : ', ': '],
  [' ; ', '; '],
  [' . ', '. '],
  [' ! ', '! '],
  [' ? ', '? '],
  [' , ', ', '],
  [/\(\s*([^)]*?)\s*\)/g, '($1)'],
  [/\[\s*([^\]]*?)\s*\]/g, '[$1]'],
  [/\{\s*([^}]*?)\s*\}/g, '{$1}'],
  [/"\s*([^"]*?)\s*"/g, '"$1"'],
  [/'\s*([^']*?)\s*'/g, "'$1'"],
  ['= = = =', '===='],
  ['= = =', '==='],
  ['= =', '=='],
  [' ° ', '°'],
  [' \n', '\n'],
  ['\n ', '\n'],
  [' N ', ' 1 '],
  [" 's", "'s"],
];

/** Undoes WikiText's tokenization as lm-evaluation-harness does. */
export function detokenize(page: string): string {
  return replacements.reduce((text, [find, by]) => text.replaceAll(find, by), page);
}
