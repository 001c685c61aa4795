import type { TensorInfo } from '../../checkpoint.ts';
import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import { elementBytes, type ElementType } from '../../number-formats.ts';
import { FileReader } from '../../read-file.ts';
import { readPickle, type PickleValue } from './pickle.ts';
import { readZip, type ZipEntry } from './zip.ts';

/** Types by the names of their storages. */
const storageTypes: Readonly<Record<string, ElementType>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

const REBUILD = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';
const allowed: ReadonlySet<string> = new Set([
  ...Object.keys(storageTypes),
  REBUILD,
  PARAMETER,
  'collections.OrderedDict',
]);

/** Largest pickle of names and shapes; those of the biggest models are below 1 MB. */
const MAX_PICKLE_BYTES = 64 << 20;
const MAX_DIMENSIONS = 32;

/**
 * The tensors of a file that `torch.save` wrote: a zip archive with a pickle of names and shapes, which is read but not run, and
 * the bytes of the storages, which are left where they are.
 * Throws `CorruptFileError`, `PickleError` for a pickle with anything but tensors in it, and `UnsupportedFormatError`.
 */
export function readPytorchFile(path: string): Omit<TensorInfo, 'storage'>[] {
  using file = new FileReader(path);
  const entries = new Map(readZip(file).map((entry) => [entry.name, entry]));
  const pickleName = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/u.test(name));
  const pickle = entries.get(pickleName ?? '');
  if (pickleName === undefined || !pickle) throw new CorruptFileError(path, 0, 'the archive has no data.pkl');
  const folder = pickleName.slice(0, -'data.pkl'.length);
  checkByteOrder(file, entries.get(`${folder}byteorder`));
  if (pickle.byteLength > MAX_PICKLE_BYTES) throw new CorruptFileError(path, pickle.offset, 'the pickle is too large');
  const root = readPickle(path, file.read(pickle.offset, pickle.byteLength), allowed);
  return [...stateOf(path, root)].flatMap(([name, value]) => {
    if (typeof name !== 'string') throw new CorruptFileError(path, pickle.offset, 'a tensor has no name');
    const tensor = describe(path, name, value, (key) => entries.get(`${folder}data/${key}`));
    return tensor ? [tensor] : [];
  });
}

function checkByteOrder(file: FileReader, entry: ZipEntry | undefined): void {
  if (!entry || entry.byteLength > 16) return;
  const order = new TextDecoder().decode(file.read(entry.offset, entry.byteLength));
  if (order !== 'little') throw new UnsupportedFormatError(file.path, `its byte order is ${order}`);
}

/** The dictionary of tensors, also where a training checkpoint has it one level down. */
function stateOf(path: string, root: PickleValue): Map<PickleValue, PickleValue> {
  if (!(root instanceof Map)) throw new CorruptFileError(path, 0, 'the pickle is no dictionary of tensors');
  for (const key of ['state_dict', 'model']) {
    const inner = root.get(key);
    if (inner instanceof Map) return inner;
  }
  return root;
}

function describe(
  path: string,
  name: string,
  value: PickleValue,
  find: (key: string) => ZipEntry | undefined,
): Omit<TensorInfo, 'storage'> | undefined {
  if (typeof value !== 'object' || value === null || !('call' in value)) return undefined;
  if (value.call === PARAMETER) return describe(path, name, value.arguments[0], find);
  const fail = (reason: string): never => {
    throw new CorruptFileError(path, 0, `tensor ${name}: ${reason}`);
  };
  const [storage, start, shape, stride] = value.arguments;
  const reference =
    typeof storage === 'object' && storage !== null && 'reference' in storage ? storage.reference : undefined;
  if (!Array.isArray(reference)) return fail('it has no storage');
  const [kind, type, key] = reference;
  const global = typeof type === 'object' && type !== null && 'global' in type ? type.global : '';
  const dtype = Object.hasOwn(storageTypes, global) ? storageTypes[global] : undefined;
  if (kind !== 'storage' || !dtype || typeof key !== 'string') return fail('its storage is none that is known');
  const entry = find(key) ?? fail(`the archive lacks its storage ${key}`);
  if (!isSizes(shape) || !isSizes(stride) || !isSizes([start]) || shape.length > MAX_DIMENSIONS) {
    return fail('its shape is no list of sizes');
  }
  if (!isContiguous(shape, stride))
    throw new UnsupportedFormatError(path, `tensor ${name} is stored with gaps or turned`);
  const size = elementBytes[dtype];
  const byteLength = shape.reduce((product, dimension) => product * dimension, size);
  const offset = (start as number) * size;
  if (!(offset + byteLength <= entry.byteLength))
    return fail(`it needs ${offset + byteLength} bytes of ${entry.byteLength}`);
  return { name, dtype, shape, offset: entry.offset + offset, byteLength };
}

function isSizes(value: PickleValue): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}

function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== expected) return false;
    expected *= shape[i] as number;
  }
  return shape.length === stride.length;
}
