import { DataSetError } from '../errors.ts';
import type { Row } from './task.ts';

/** Reads typed fields out of rows, with errors that name task, row and field. */
export class Fields {
  readonly #task: string;
  readonly #row: Row;
  readonly #index: number;

  constructor(task: string, row: Row, index: number) {
    this.#task = task;
    this.#row = row;
    this.#index = index;
  }

  has(name: string): boolean {
    return this.#row[name] !== undefined && this.#row[name] !== null;
  }

  text(name: string): string {
    const value = this.#row[name];
    if (typeof value !== 'string') throw this.wrong(name, 'a text');
    return value;
  }

  texts(name: string): string[] {
    const value = this.#row[name];
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw this.wrong(name, 'a list of texts');
    return value;
  }

  /** A whole number in 0 .. count - 1, also when it is written as a text. */
  index(name: string, count: number): number {
    const value = this.#row[name];
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : Number(value ?? NaN);
    if (!Number.isInteger(number) || number < 0 || number >= count)
      throw this.wrong(name, `a whole number from 0 to ${count - 1} (a split with hidden labels cannot be scored)`);
    return number;
  }

  wrong(name: string, expected: string): DataSetError {
    const fields = Object.keys(this.#row).join(', ');
    return new DataSetError(
      this.#task,
      this.#index,
      `'${name}' must be ${expected}; the row has: ${fields || 'nothing'}.`,
    );
  }
}
