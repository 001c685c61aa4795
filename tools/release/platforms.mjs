// The platforms with a native binary in a package of their own, which package managers choose by these fields. Everything
// else runs on WebAssembly.
const platform = (os, cpu, libc) => ({
  os,
  cpu,
  ...(libc === undefined ? {} : { libc }),
  /** Of the package, after @llm/tensor-. */
  name: `${os}-${cpu}${libc === 'musl' ? '-musl' : ''}`,
  /** As prebuildify names it, in packages/tensor/prebuilds. */
  file: `${os}-${cpu}/${libc === 'musl' ? 'tensor.musl.node' : 'tensor.node'}`,
});

export const platforms = [
  platform('linux', 'x64', 'glibc'),
  platform('linux', 'x64', 'musl'),
  platform('linux', 'arm64', 'glibc'),
  platform('linux', 'arm64', 'musl'),
  platform('darwin', 'arm64'),
  platform('win32', 'x64'),
];
