// What the packages expect of Node's global scope.
export { Buffer } from 'node:buffer';
export { process } from './node-modules.ts';

// Engines without `using` do not have it; what stands for the keyword asks for this symbol.
for (const name of ['dispose', 'asyncDispose'] as const)
  if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: Symbol.for(`Symbol.${name}`) });
