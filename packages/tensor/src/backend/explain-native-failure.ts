import { types } from 'node:util';

interface Explanation {
  readonly reason: string;
  readonly remedy: string;
}

const otherLibc =
  'Install on the system that it runs on: delete node_modules there and run the installation again, instead of copying the folder.';
const again = 'Delete node_modules and install again.';

/** What the loaders of operating systems say, and what it means here. */
const failures: readonly (readonly [pattern: RegExp, reason: string, remedy: string])[] = [
  [
    /invalid ELF header|file too short|wrong ELF class|not a valid Win32|mach-o|not a mach|slice is not valid|cannot read file data/i,
    'the file is damaged or for another processor',
    again,
  ],
  [
    /version [`'](GLIBC(?:XX)?_[\d.]+)' not found/,
    'the C library of this system is too old: $1 is missing',
    'Use a system with glibc 2.28 or newer (Debian 10, RHEL 8, Ubuntu 18.10).',
  ],
  [/libc\.musl|ld-musl/, 'it was built for musl (Alpine), and this system has glibc', otherLibc],
  [
    /ld-linux|libc\.so\.6|Error relocating|symbol not found/,
    'it was built for glibc, and this system has another C library',
    otherLibc,
  ],
  [
    /libstdc\+\+/,
    'the C++ library is missing',
    'Install it (Alpine: apk add libstdc++; Debian: apt-get install libstdc++6).',
  ],
  [
    /Permission denied|EACCES|not permitted/i,
    'the file may not be read or executed',
    'Check its permissions, and that its volume is not mounted noexec.',
  ],
];

/** Turns the error of one attempt into a reason and what to do about it. `file` is the binary, if one was found. */
export function explainNativeFailure(error: unknown, place: string, file: string | undefined): Explanation {
  const message = types.isNativeError(error) ? error.message : String(error);
  if (file === undefined) {
    if (place === 'this package') return { reason: 'there is no binary in this package', remedy: '' };
    return /No native build/.test(message)
      ? { reason: `${place} has no binary for this platform`, remedy: again }
      : {
          reason: `${place} is not installed`,
          remedy: `npm install ${place} (package managers leave it out with --omit=optional, or by a lock file of another platform), or compile it: npx llm-build-native`,
        };
  }
  for (const [pattern, reason, remedy] of failures) {
    const found = pattern.exec(message);
    if (found) return { reason: `${file}: ${reason.replace('$1', found[1] ?? '')}`, remedy };
  }
  return { reason: `${file}: ${message}`, remedy: again };
}
