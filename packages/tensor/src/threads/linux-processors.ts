import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What Linux says about the processors that this process may use. */
export interface Processors {
  /** Logical processors in the affinity mask. */
  readonly allowed: number;
  /** Cores behind them: two hardware threads of one core count once. */
  readonly cores: number;
  /** Those of the fastest kind, where there are several kinds (hybrid and big.LITTLE processors). */
  readonly fastCores: number;
  /** CPUs' worth of time that control groups allow, or undefined if they do not limit it. */
  readonly quota: number | undefined;
}

/** A core slower than this part of the fastest would be waited for by all others. */
const slowestFastCapacity = 0.75;

/**
 * @param root - where /proc and /sys are; tests pass a folder of their own
 * @returns undefined if /proc does not say
 */
export function linuxProcessors(root = '/'): Processors | undefined {
  const read = (path: string): string | undefined => {
    try {
      return readFileSync(join(root, path), 'utf8').trim();
    } catch {
      return undefined;
    }
  };
  const mask = /^Cpus_allowed_list:\s*(.*)$/m.exec(read('proc/self/status') ?? '')?.[1];
  if (mask === undefined) return undefined;
  const allowed = parseList(mask);
  if (allowed.length === 0) return undefined;
  return {
    allowed: allowed.length,
    cores: countCores(allowed, read),
    fastCores: countCores(fastest(allowed, read), read),
    quota: cpuQuota(read),
  };
}

type Read = (path: string) => string | undefined;

/** `0-3,8,10-11` */
function parseList(list: string): number[] {
  return list
    .split(',')
    .filter(Boolean)
    .flatMap((range) => {
      const [first = Number.NaN, last = first] = range.split('-').map(Number);
      return Number.isInteger(first) && last >= first
        ? Array.from({ length: last - first + 1 }, (_, i) => first + i)
        : [];
    });
}

function countCores(processors: readonly number[], read: Read): number {
  const topology = (processor: number): string => `sys/devices/system/cpu/cpu${String(processor)}/topology`;
  const siblings = processors.map(
    (processor) =>
      read(`${topology(processor)}/core_cpus_list`) ??
      read(`${topology(processor)}/thread_siblings_list`) ??
      String(processor),
  );
  return new Set(siblings).size;
}

function fastest(allowed: readonly number[], read: Read): readonly number[] {
  // Intel's hybrid processors have one list per kind of core.
  const performance = read('sys/devices/cpu_core/cpus');
  if (performance !== undefined) {
    const fast = new Set(parseList(performance));
    const chosen = allowed.filter((processor) => fast.has(processor));
    if (chosen.length > 0) return chosen;
  }
  // ARM's have a capacity, 1024 for the fastest.
  const capacities = allowed.map((processor) =>
    Number(read(`sys/devices/system/cpu/cpu${String(processor)}/cpu_capacity`) ?? Number.NaN),
  );
  const top = Math.max(...capacities);
  return Number.isFinite(top) ? allowed.filter((_, i) => (capacities[i] ?? 0) >= top * slowestFastCapacity) : allowed;
}

/** The tightest limit of the process's control group and all groups around it, versions 1 and 2. */
function cpuQuota(read: Read): number | undefined {
  const groups = (read('proc/self/cgroup') ?? '').split('\n').map((line) => {
    const [, controllers = '', ...path] = line.split(':');
    return { controllers: controllers.split(','), path: path.join(':') };
  });
  const mounts = (read('proc/self/mountinfo') ?? '').split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , inside, point] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (inside === undefined || point === undefined || !type?.startsWith('cgroup')) return [];
    return [{ inside, point, version2: type === 'cgroup2', controllers: options.split(',') }];
  });

  const limits: number[] = [];
  for (const { inside, point, version2, controllers } of mounts) {
    if (!version2 && !controllers.includes('cpu')) continue;
    const group = groups.find((it) => (version2 ? it.controllers[0] === '' : it.controllers.includes('cpu')));
    // A container sees its own group as the root of the mount, but may be told its path from the host's point of view.
    const path = group?.path ?? '/';
    const below = inside === '/' ? path : path.startsWith(inside) ? path.slice(inside.length) : '/';
    const parts = below.split('/').filter((part) => part !== '' && part !== '..');
    for (let depth = parts.length; depth >= 0; --depth) {
      const folder = join(point, ...parts.slice(0, depth));
      const limit = version2 ? quotaOfVersion2(folder, read) : quotaOfVersion1(folder, read);
      if (limit !== undefined) limits.push(limit);
    }
  }
  return limits.length > 0 ? Math.min(...limits) : undefined;
}

/** cpu.max: `max 100000` or `150000 100000` (microseconds of time per period) */
function quotaOfVersion2(folder: string, read: Read): number | undefined {
  const [time, period] = (read(join(folder, 'cpu.max')) ?? '').split(' ').map(Number);
  return positiveRatio(time, period);
}

/** -1 for no limit */
function quotaOfVersion1(folder: string, read: Read): number | undefined {
  const number = (file: string): number => Number(read(join(folder, file)) ?? Number.NaN);
  return positiveRatio(number('cpu.cfs_quota_us'), number('cpu.cfs_period_us'));
}

function positiveRatio(time = Number.NaN, period = Number.NaN): number | undefined {
  return time > 0 && period > 0 ? time / period : undefined;
}
