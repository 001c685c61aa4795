import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { linuxProcessors } from './linux-processors.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function machine(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'machine-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

const status = (list: string): Record<string, string> => ({
  'proc/self/status': `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed:\t1`,
});
const sibling = (cpu: number, list: string): Record<string, string> => ({
  [`sys/devices/system/cpu/cpu${String(cpu)}/topology/core_cpus_list`]: list,
});

test('hardware threads of one core count once', () => {
  const root = machine({
    ...status('0-1,4-5'),
    ...sibling(0, '0,4'),
    ...sibling(4, '0,4'),
    ...sibling(1, '1,5'),
    ...sibling(5, '1,5'),
  });
  expect(linuxProcessors(root)).toEqual({ allowed: 4, cores: 2, fastCores: 2, quota: undefined });
});

test('without a topology every processor is a core', () => {
  expect(linuxProcessors(machine(status('2,7-9')))).toMatchObject({ allowed: 4, cores: 4 });
});

test('performance cores of an Intel hybrid', () => {
  const root = machine({
    ...status('0-5'),
    'sys/devices/cpu_core/cpus': '0-3',
    'sys/devices/cpu_atom/cpus': '4-5',
    ...sibling(0, '0-1'),
    ...sibling(1, '0-1'),
    ...sibling(2, '2-3'),
    ...sibling(3, '2-3'),
  });
  expect(linuxProcessors(root)).toMatchObject({ allowed: 6, cores: 4, fastCores: 2 });
  // An affinity mask without any of them leaves the others.
  expect(linuxProcessors(machine({ ...status('4-5'), 'sys/devices/cpu_core/cpus': '0-3' }))?.fastCores).toBe(2);
});

test('big cores of an ARM processor', () => {
  const capacity = (cpu: number, value: number): Record<string, string> => ({
    [`sys/devices/system/cpu/cpu${String(cpu)}/cpu_capacity`]: String(value),
  });
  const root = machine({
    ...status('0-3'),
    ...capacity(0, 400),
    ...capacity(1, 400),
    ...capacity(2, 1024),
    ...capacity(3, 900),
  });
  expect(linuxProcessors(root)).toMatchObject({ cores: 4, fastCores: 2 });
});

test('the tightest quota of control groups, version 2', () => {
  const root = machine({
    ...status('0-7'),
    'proc/self/cgroup': '0::/user.slice/app.scope',
    'proc/self/mountinfo': '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw',
    'sys/fs/cgroup/user.slice/app.scope/cpu.max': 'max 100000',
    'sys/fs/cgroup/user.slice/cpu.max': '150000 100000',
    'sys/fs/cgroup/cpu.max': '800000 100000',
  });
  expect(linuxProcessors(root)?.quota).toBe(1.5);
});

test('a container that is told its path from the outside', () => {
  const root = machine({
    ...status('0-7'),
    'proc/self/cgroup': '0::/docker/abc',
    'proc/self/mountinfo': '30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw',
    'sys/fs/cgroup/cpu.max': '50000 100000',
  });
  expect(linuxProcessors(root)?.quota).toBe(0.5);
});

test('control groups, version 1', () => {
  const files = (quota: string): Record<string, string> => ({
    ...status('0-7'),
    'proc/self/cgroup': '5:memory:/x\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x',
    'proc/self/mountinfo':
      '31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n' +
      '32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
    'sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': quota,
    'sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us': '100000',
  });
  expect(linuxProcessors(machine(files('250000')))?.quota).toBe(2.5);
  expect(linuxProcessors(machine(files('-1')))?.quota).toBeUndefined();
});

test('a system that does not say', () => {
  expect(linuxProcessors(machine({}))).toBeUndefined();
  expect(linuxProcessors(machine(status('')))).toBeUndefined();
});
