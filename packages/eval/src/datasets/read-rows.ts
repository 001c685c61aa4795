import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataSetError } from '../errors.ts';
import type { Row, Task } from '../tasks/task.ts';
import { wikitextPages } from '../tasks/wikitext.ts';

/**
 * The rows of a task's data set: from a file (JSON lines, also gzipped; parquet; WikiText's raw text) or from a folder that
 * holds one of the file names the task knows, itself or in a subfolder named after the task.
 */
export async function readRows(task: Task, path: string): Promise<Row[]> {
  const file = await locate(task, path);
  if (file.endsWith('.raw')) return wikitextPages(await readFile(file, 'utf8'));
  if (file.endsWith('.parquet')) return readParquet(file);
  const rows = await readJsonLines(task.name, file);
  return rows.length > 0 && rows[0]?.['label'] === undefined ? withLabels(rows, task, file) : rows;
}

async function locate(task: Task, path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new DataSetError(task.name, undefined, `no file or folder ${path}.`);
  if (!found.isDirectory()) return path;
  for (const folder of [path, join(path, task.name), ...subfolders(task).map((name) => join(path, name))])
    for (const name of task.files) if (await stat(join(folder, name)).catch(() => undefined)) return join(folder, name);
  throw new DataSetError(
    task.name,
    undefined,
    `${path} holds none of ${task.files.join(', ')}. The data set is ${task.dataset}.`,
  );
}

function subfolders(task: Task): string[] {
  return task.name === 'wikitext' ? ['wikitext2'] : [];
}

async function readParquet(file: string): Promise<Row[]> {
  return (await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors })) as Row[];
}

async function readJsonLines(task: string, file: string): Promise<Row[]> {
  const bytes = createReadStream(file);
  const input = file.endsWith('.gz') ? bytes.pipe(createGunzip()) : bytes;
  const rows: Row[] = [];
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    if (line.trim() === '') continue;
    try {
      rows.push(JSON.parse(line) as Row);
    } catch (cause) {
      throw new DataSetError(task, rows.length, `${file} is not JSON lines: ${String(cause)}`);
    }
  }
  return rows;
}

/** PIQA is published as questions and, beside them, a file of labels. */
async function withLabels(rows: readonly Row[], task: Task, file: string): Promise<Row[]> {
  const labels = await readFile(join(dirname(file), 'valid-labels.lst'), 'utf8').catch(() => undefined);
  if (labels === undefined) return [...rows];
  const values = labels.split('\n').filter((line) => line !== '');
  if (values.length !== rows.length)
    throw new DataSetError(task.name, undefined, `${values.length} labels for ${rows.length} rows in ${file}.`);
  return rows.map((row, i) => ({ ...row, label: values[i] }));
}
