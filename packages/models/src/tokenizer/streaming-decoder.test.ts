import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { ByteStreamingDecoder } from './streaming-decoder.ts';

test('bytes cut anywhere give the text that they give at once, broken ones too', () => {
  const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0x20, 0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac));
  const tokens = fc.array(fc.uint8Array({ max: 6 }).chain((some) => fc.constantFrom(some, Uint8Array.of(0x61))));
  const pieces = fc.oneof(tokens, fc.array(fc.array(byte, { maxLength: 4 }).map((some) => Uint8Array.from(some))));
  fc.assert(
    fc.property(pieces, fc.integer({ min: 0, max: 2 }), (list, spaces) => {
      const decoder = new ByteStreamingDecoder((id) => list[id], spaces);
      const given = list.map((_, id) => decoder.push(id)).join('') + decoder.flush();
      const whole = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(list));
      expect(given).toBe(whole.replace(new RegExp(`^ {0,${spaces}}`), ''));
    }),
    { numRuns: 2000 },
  );
});
