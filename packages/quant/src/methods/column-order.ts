import { groupLength, type Grid } from '../grid.ts';

/**
 * The order in which GPTQ goes through the columns of a matrix.
 *
 * - `natural`      as they are
 * - `activation`   largest inputs first (act-order); the grid of every group is fixed before, so that groups stay neighbours
 * - `group-aware`  the groups by their largest input, and inside each group the columns by theirs; grids are fitted on the way
 */
export type ColumnOrder = 'natural' | 'activation' | 'group-aware';

export const columnOrders: readonly ColumnOrder[] = ['natural', 'activation', 'group-aware'];

/** columns[i] is the column that comes i-th. `diagonal`: mean squares of the inputs. */
export function orderColumns(order: ColumnOrder, grid: Grid, diagonal: ArrayLike<number>): Int32Array {
  const count = diagonal.length;
  const natural = Array.from({ length: count }, (_, column) => column);
  const size = (column: number): number => diagonal[column] ?? 0;
  // Stable: equal columns stay in their order.
  const descending = (columns: number[]): number[] => columns.toSorted((a, b) => size(b) - size(a));
  if (order === 'natural') return Int32Array.from(natural);
  if (order === 'activation') return Int32Array.from(descending(natural));

  const length = groupLength(grid, count);
  const groups = Array.from({ length: Math.ceil(count / length) }, (_, group) =>
    descending(natural.slice(group * length, (group + 1) * length)),
  );
  // A short group stays last: whatever follows a group starts on a full one.
  const tail = count % length === 0 ? [] : groups.splice(-1);
  groups.sort((a, b) => size(b[0] ?? 0) - size(a[0] ?? 0));
  return Int32Array.from([...groups, ...tail].flat());
}
