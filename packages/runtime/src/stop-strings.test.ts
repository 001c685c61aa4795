import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { StopStrings } from './stop-strings.ts';

test('a stop string across three pieces ends the text before it', () => {
  const stops = new StopStrings(['\nUser:']);
  expect(stops.push('Hello.\n')).toBe('Hello.');
  expect(stops.push('Us')).toBe('');
  expect(stops.push('er: and more')).toBe('');
  expect(stops.found).toBe('\nUser:');
  expect(stops.push('ignored')).toBe('');
});

test('held text comes out once it can no longer begin a stop string', () => {
  const stops = new StopStrings(['abc']);
  expect(stops.push('xab')).toBe('x');
  expect(stops.push('d')).toBe('abd');
  expect(stops.push('ab')).toBe('');
  expect(stops.flush()).toBe('ab');
});

test('of two stop strings at one place the longer is named', () => {
  const stops = new StopStrings(['end', 'ending']);
  expect(stops.push('the ending')).toBe('the ');
  expect(stops.found).toBe('ending');
});

test('the text before the first stop string comes out, however it is cut into pieces', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(letters, fc.array(stop, { maxLength: 3 }), fc.array(fc.nat(3)), (text, stopTexts, cuts) => {
      const stops = new StopStrings(stopTexts);
      let out = '';
      let at = 0;
      for (const cut of [...cuts, text.length]) {
        out += stops.push(text.slice(at, at + cut));
        at += cut;
      }
      if (stops.found === undefined) out += stops.flush();
      const places = stopTexts.map((each) => text.indexOf(each)).filter((place) => place >= 0);
      // A shorter stop string inside a longer one is complete first: the text ends where the earliest complete one begins.
      const ends = stopTexts
        .map((each) => ({ each, end: text.indexOf(each) + each.length }))
        .filter(({ each }) => text.includes(each));
      if (places.length === 0) expect(out).toBe(text);
      else {
        expect(text.startsWith(out)).toBe(true);
        const found = stops.found ?? '';
        expect(text.slice(out.length).startsWith(found)).toBe(true);
        expect(Math.min(...ends.map(({ end }) => end))).toBeLessThanOrEqual(out.length + found.length);
      }
    }),
  );
});
