// Finds the innermost loops of a disassembly and what they put on the stack.

/**
 * The loops with an instruction that matches, which jump over no other loop: an accumulator that lives on the stack there
 * costs a load and a store in every turn.
 * @param {string} disassembly of `objdump -d --no-show-raw-insn`
 * @param {RegExp} instruction
 * @returns {{ name: string, length: number, spills: string[] }[]}
 */
export function hotLoops(disassembly, instruction) {
  return disassembly.split(/\n(?=[0-9a-f]+ <[^>]+>:\n)/).flatMap((text) => {
    const name = /^[0-9a-f]+ <([^>]+)>:/.exec(text)?.[1];
    return name === undefined ? [] : loopsOf(name, text, instruction);
  });
}

function loopsOf(name, text, instruction) {
  const lines = [...text.matchAll(/^ *([0-9a-f]+):\t(.*)$/gm)].map(([, address, code]) => ({
    address: Number.parseInt(address, 16),
    code,
  }));
  const places = new Map(lines.map(({ address }, i) => [address, i]));
  const loops = lines.flatMap(({ code }, end) => {
    const target = /^j[a-z]+ +([0-9a-f]+) </.exec(code)?.[1];
    const begin = target === undefined ? undefined : places.get(Number.parseInt(target, 16));
    return begin !== undefined && begin <= end ? [{ begin, end }] : [];
  });
  const innermost = loops.filter(
    (loop) => !loops.some((other) => other !== loop && other.begin >= loop.begin && other.end < loop.end),
  );
  return innermost.flatMap(({ begin, end }) => {
    const body = lines.slice(begin, end + 1).map(({ code }) => code);
    if (!body.some((code) => instruction.test(code))) return [];
    return [
      { name, length: body.length, spills: body.filter((code) => /\(%rsp/.test(code) && /%[xyzt]mm/.test(code)) },
    ];
  });
}
