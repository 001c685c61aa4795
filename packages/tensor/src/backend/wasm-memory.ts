import type { Addon } from './backend.ts';

/** Copies what native code has written for an array back into it; throws if native code does not know the array. */
export type CopyBack = (array: ArrayBufferView) => void;

type Callable = (...args: unknown[]) => unknown;

/**
 * WebAssembly sees its own memory only: arrays are copied into it when a call looks at them, and what the call writes stays
 * there. This wraps the addon so that after each call the arrays among its arguments and in its result hold what was
 * written, and so do arrays that it passes to callbacks.
 */
export function copyingBack(addon: Addon, copyBack: CopyBack): Addon {
  const refresh = (value: unknown, depth = 0): void => {
    if (ArrayBuffer.isView(value)) {
      if (value.byteLength === 0) return;
      try {
        copyBack(value);
      } catch {
        // Native code has never looked at this array.
      }
    } else if (Array.isArray(value) || (depth < 2 && isPlainObject(value))) {
      for (const part of Object.values(value)) refresh(part, depth + 1);
    }
  };

  const around = (call: Callable): Callable =>
    function (this: unknown, ...args: unknown[]): unknown {
      const result = Reflect.apply(call, this, args.map(listening));
      args.forEach((argument) => {
        refresh(argument);
      });
      refresh(result);
      return result;
    };

  const listening = (argument: unknown): unknown =>
    typeof argument !== 'function'
      ? argument
      : function (this: unknown, ...args: unknown[]): unknown {
          args.forEach((value) => {
            refresh(value);
          });
          return Reflect.apply(argument as Callable, this, args);
        };

  const wrapped: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(addon))
    wrapped[name] = typeof value !== 'function' ? value : isClass(value) ? wrapClass(value) : around(value as Callable);
  return wrapped as unknown as Addon;

  // The methods of a native prototype cannot be replaced, but each object may have its own in front of them.
  function wrapClass(type: { prototype: object }): unknown {
    const methods = Object.entries(Object.getOwnPropertyDescriptors(type.prototype)).flatMap(([name, { value }]) =>
      name !== 'constructor' && typeof value === 'function' ? [[name, { value: around(value as Callable) }]] : [],
    );
    const properties = Object.fromEntries(methods) as PropertyDescriptorMap;
    return new Proxy(type, {
      construct: (target, args, newTarget) => {
        const construct = target as unknown as new (...args: unknown[]) => object;
        return Object.defineProperties(
          Reflect.construct(construct, args.map(listening), newTarget) as object,
          properties,
        );
      },
    });
  }
}

function isClass(value: unknown): value is { prototype: object } {
  const prototype: unknown = (value as { prototype?: unknown }).prototype;
  return typeof prototype === 'object' && prototype !== null && Object.getOwnPropertyNames(prototype).length > 1;
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
