import type { FakeQuantizeInputs } from './backend/blas-calls.ts';
import { backend } from './backend/load.ts';
import { rethrowTranslated } from './backend/translate-errors.ts';
import type {
  FakeQuantization,
  FakeQuantizeArguments,
  FakeQuantizeBackwardArguments,
  FakeQuantizeGradients,
  RoundingErrorsArguments,
} from './blas-types.ts';
import { checkLength, checkSizes } from './check-sizes.ts';
import { InvalidOptionError } from './errors.ts';
import { checkOptions } from './options.ts';

const allowed = [
  ...['rows', 'columns', 'weights', 'bits', 'groupSize', 'scheme'],
  ...['rounding', 'minimumScale', 'maximumScale', 'out'],
];
const bitCounts = [2, 3, 4, 5, 6, 7, 8];
const schemes: readonly string[] = ['sym', 'asym'];

/**
 * Rounds weights to a grid and back, as training with quantization does: what the quantized model will compute with. Runs
 * on the pool, off the event loop.
 * @returns the rounded weights [rows, columns]
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function fakeQuantize(options: FakeQuantizeArguments): Promise<Float32Array> {
  const inputs = checkedInputs(options, allowed, 'fakeQuantize()');
  const { out = new Float32Array(options.rows * options.columns) } = options;
  checkLength('out', out, options.rows * options.columns);
  await backend()
    .addon.fakeQuantize(...inputs, out)
    .catch(rethrowTranslated);
  return out;
}

/**
 * What rounding to a grid and back takes from weights, w - w' [rows, columns], with columns scaled or not. Runs on the pool, off the
 * event loop.
 * @throws {@link ShapeMismatchError} if an array's length is not that of its matrix
 */
export async function roundingErrors(options: RoundingErrorsArguments): Promise<Float32Array> {
  const known = [...allowed.filter((name) => name !== 'rounding'), 'columnScale'];
  const inputs = checkedInputs(options, known, 'roundingErrors()');
  const { rows, columns, columnScale, out = new Float32Array(rows * columns) } = options;
  if (columnScale) checkLength('columnScale', columnScale, columns);
  checkLength('out', out, rows * columns);
  await backend()
    .addon.roundingErrors(...inputs, columnScale, out)
    .catch(rethrowTranslated);
  return out;
}

/** The gradients that go with {@link fakeQuantize} of the same arguments. */
export async function fakeQuantizeBackward(options: FakeQuantizeBackwardArguments): Promise<FakeQuantizeGradients> {
  const inputs = checkedInputs(options, [...allowed, 'gradient'], 'fakeQuantizeBackward()');
  const { rows, columns, gradient } = options;
  checkLength('gradient', gradient, rows * columns);
  const groups = groupCount(options);
  const gradients = options.out ?? {
    rounding: new Float32Array(rows * columns),
    minimumScale: new Float32Array(groups),
    maximumScale: new Float32Array(groups),
  };
  checkLength('out.rounding', gradients.rounding, rows * columns);
  checkLength('out.minimumScale', gradients.minimumScale, groups);
  checkLength('out.maximumScale', gradients.maximumScale, groups);
  await backend()
    .addon.fakeQuantizeBackward(...inputs, gradient, gradients.rounding, gradients.minimumScale, gradients.maximumScale)
    .catch(rethrowTranslated);
  return gradients;
}

function checkedInputs(options: FakeQuantization, known: readonly string[], where: string): FakeQuantizeInputs {
  checkOptions(options, known, where);
  const { rows, columns, weights, bits, groupSize, scheme, rounding, minimumScale, maximumScale } = options;
  checkSizes({ rows, columns });
  if (!bitCounts.includes(bits)) throw new InvalidOptionError('bits', String(bits), bitCounts.map(String));
  if (groupSize !== -1) checkSizes({ groupSize });
  if (!schemes.includes(scheme)) throw new InvalidOptionError('scheme', scheme, schemes);
  checkLength('weights', weights, rows * columns);
  if (rounding) checkLength('rounding', rounding, rows * columns);
  if (minimumScale) checkLength('minimumScale', minimumScale, groupCount(options));
  if (maximumScale) checkLength('maximumScale', maximumScale, groupCount(options));
  const grid = [bits, groupLength(options), scheme === 'sym'] as const;
  return [rows, columns, ...grid, weights, rounding, minimumScale, maximumScale];
}

function groupLength({ columns, groupSize }: Pick<FakeQuantization, 'columns' | 'groupSize'>): number {
  return groupSize === -1 ? columns : Math.min(groupSize, columns);
}

function groupCount(options: Pick<FakeQuantization, 'rows' | 'columns' | 'groupSize'>): number {
  return options.rows * Math.ceil(options.columns / groupLength(options));
}
