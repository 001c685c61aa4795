import { styleText } from 'node:util';

/** Colours for people: none where NO_COLOR is set or standard output is no terminal. */
export interface Styles {
  strong(text: string): string;
  faint(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

const plain = (text: string): string => text;

export function styles(colours: boolean): Styles {
  if (!colours) return { strong: plain, faint: plain, good: plain, bad: plain };
  return {
    strong: (text) => styleText('bold', text),
    faint: (text) => styleText('dim', text),
    good: (text) => styleText('green', text),
    bad: (text) => styleText('red', text),
  };
}

/** NO_COLOR (no-color.org) wins, then FORCE_COLOR, then whether standard output is a terminal. */
export function wantsColours(
  environment: NodeJS.ProcessEnv = process.env,
  isTerminal: boolean = process.stdout.isTTY,
): boolean {
  if (environment['NO_COLOR']) return false;
  if (environment['FORCE_COLOR']) return true;
  return isTerminal;
}
