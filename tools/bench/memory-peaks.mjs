// Watches how much memory a process holds, kind by kind, from a second process: while the first one computes, its own timers stand still.
//   node tools/bench/memory-peaks.mjs PID
// Prints the peaks in bytes as JSON when its input ends. Reads /proc, so that it needs Linux.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { clearInterval, setInterval } from 'node:timers';

const MILLISECONDS = 10;

/**
 * Starts to watch this process.
 * @returns what ends it and gives `{ anonymous, file, resident }`: the most memory of the process's own, the most pages of files that
 * it has mapped (the system takes those back at need), and the most of both at once; undefined where there is no /proc
 */
export function watchMemory() {
  if (process.platform !== 'linux') return () => Promise.resolve(undefined);
  const watcher = spawn(process.execPath, [import.meta.filename, String(process.pid)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  watcher.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  return () =>
    new Promise((resolve, reject) => {
      watcher.on('error', reject).on('close', () => resolve(JSON.parse(output)));
      watcher.stdin.end();
    });
}

if (process.argv[1] === import.meta.filename) {
  const peaks = { anonymous: 0, file: 0, resident: 0 };
  const look = () => {
    const status = readFileSync(`/proc/${process.argv[2]}/status`, 'latin1');
    const bytes = (field) => 1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    const [anonymous, file] = [bytes('RssAnon'), bytes('RssFile')];
    peaks.anonymous = Math.max(peaks.anonymous, anonymous);
    peaks.file = Math.max(peaks.file, file);
    peaks.resident = Math.max(peaks.resident, anonymous + file + bytes('RssShmem'));
  };
  look();
  const timer = setInterval(look, MILLISECONDS);
  process.stdin.resume().on('end', () => {
    clearInterval(timer);
    process.stdout.write(JSON.stringify(peaks));
  });
}
