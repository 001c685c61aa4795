import { expect, test } from '@jest/globals';
import { MessageReader } from './message-reader.ts';

function messages(...lines: string[]): (string | undefined)[] {
  const reader = new MessageReader();
  return lines.map((line) => reader.push(line));
}

test('a line is a message; a backslash goes on in the next line', () => {
  expect(messages('one', ' two ')).toEqual(['one', 'two']);
  expect(messages('one\\', 'two\\', 'three', 'four')).toEqual([undefined, undefined, 'one\ntwo\nthree', 'four']);
});

test('three quotation marks enclose a block with empty lines', () => {
  expect(messages('"""', 'a\\', '', 'b', '"""')).toEqual([...Array<undefined>(4), 'a\\\n\nb']);
  expect(messages('sum this: """1', '2"""', 'next')).toEqual([undefined, 'sum this: 1\n2', 'next']);
  expect(messages('"""all at once"""')).toEqual(['all at once']);
});

test('what was begun can be forgotten', () => {
  const reader = new MessageReader();
  reader.push('"""');
  expect(reader.unfinished).toBe(true);
  reader.clear();
  expect(reader.unfinished).toBe(false);
  expect(reader.push('new')).toBe('new');
});
