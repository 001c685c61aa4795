import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/**
 * Refuses an ELF file that has lost its end, in an interrupted download or copy: the system's loader would map pages that
 * are not there, and the process would die of a bus error. The table of sections is what a linker writes last.
 */
export function checkWhole(file: string): void {
  const header = Buffer.alloc(64);
  const descriptor = openSync(file, 'r');
  try {
    const length = readSync(descriptor, header);
    const is64BitElf = length === 64 && header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2;
    if (!is64BitElf || header[5] !== 1) return; // another format: its loader judges it
    const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
    const { size } = fstatSync(descriptor);
    if (end > size) throw new Error(`file too short: ${size} bytes of ${end}`);
  } finally {
    closeSync(descriptor);
  }
}
