/** Lines of cells in aligned columns. A column of nothing but numbers (below its heading) stands to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)));
  const numeric = widths.map((_, i) => rows.slice(1).every((row) => isNumber(row[i] ?? '')));
  return rows
    .map((row) => {
      const cells = row.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)));
      return cells.join('  ').trimEnd();
    })
    .join('\n');
}

function isNumber(cell: string): boolean {
  return /^(|[-+±]?[\d.,]+( ?(%|s|ms|x|[KMGT]?i?B|GB\/s|TOPS))?)$/.test(cell);
}
