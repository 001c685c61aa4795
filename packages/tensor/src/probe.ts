import { backend } from './backend/load.ts';
import { rethrowTranslated, translateErrors } from './backend/translate-errors.ts';
import { checkSizes } from './check-sizes.ts';
import { kernelsFor } from './cpu.ts';
import { InvalidOptionError } from './errors.ts';
import { checkOptions } from './options.ts';
import { checkThreads } from './threads/thread-plan.ts';

export interface ReadBandwidthOptions {
  /** Default: as many as computations use. */
  readonly threads?: number;
  /** A kernel table of {@link cpuInfo}; default: the best. */
  readonly isa?: string;
  /** What all threads together read in one pass; far more than the caches hold. Default 1 GiB. */
  readonly bytes?: number;
}

export interface PeakOptions {
  /** Products and sums of 8-bit integers in 32 bits, of single-precision numbers, or of bfloat16 numbers in single precision. */
  readonly kind: 'int8' | 'f32' | 'bf16';
  /** A kernel table of {@link cpuInfo}; default: the best. */
  readonly isa?: string;
  /** Default: as many as computations use. */
  readonly threads?: number;
}

const kinds = ['int8', 'f32', 'bf16'] as const;

/**
 * The bytes per second that this machine reads from memory now and keeps up: of several plain loops, each taken as the
 * median of five passes over `bytes`, the best. Hardly any kernel that streams weights is faster. Takes about a second. It changes
 * while other programs run, and on virtual machines by itself, so measure it next to what is compared with it.
 */
export function probeReadBandwidth(options: ReadBandwidthOptions = {}): Promise<number> {
  checkOptions(options, ['isa', 'threads', 'bytes'], 'probeReadBandwidth()');
  const { threads, bytes = 2 ** 30 } = options;
  if (threads !== undefined) checkThreads(threads, 'threads');
  checkSizes({ bytes });
  return translateErrors(() => backend().addon.probeReadBandwidth(kernelsFor(options.isa), threads ?? 0, bytes)).catch(
    rethrowTranslated,
  );
}

/** The operations per second, each product and each sum counted, that an instruction set reaches in registers now; 0 if it has none of this kind. */
export function probePeak(options: PeakOptions): Promise<number> {
  checkOptions(options, ['kind', 'isa', 'threads'], 'probePeak()');
  const { kind, threads } = options;
  if (!kinds.includes(kind)) throw new InvalidOptionError('kind', kind, kinds);
  if (threads !== undefined) checkThreads(threads, 'threads');
  return translateErrors(() => backend().addon.probePeak(kernelsFor(options.isa), kind, threads ?? 0)).catch(
    rethrowTranslated,
  );
}
