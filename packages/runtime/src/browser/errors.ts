import { LlmError } from '@llm/tensor';

/** Something that needs a disk was asked of a browser. */
export class NoFileSystemError extends LlmError {
  readonly operation: string;

  constructor(operation: string) {
    super(
      'NO_FILE_SYSTEM',
      `Browsers have no file system, so that ${operation} cannot work. Give a model's files to mountFiles(), and load the path that it returns.`,
    );
    this.operation = operation;
  }
}

/** The kernels could not be fetched. */
export class KernelFetchError extends LlmError {
  readonly url: string;

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(
      'KERNEL_FETCH',
      `Cannot fetch the kernels from ${url}: ${reason}. Serve the folder prebuilds/wasm of @llm/tensor, and say where it is: loadKernels({ folder }).`,
      options,
    );
    this.url = url;
  }
}

/** Files that are no model. */
export class InvalidModelFilesError extends LlmError {
  readonly names: readonly string[];

  constructor(names: readonly string[], reason: string) {
    super(
      'INVALID_MODEL_FILES',
      `${reason} Give one .gguf file, or the files of a model's folder: config.json, tokenizer.json and *.safetensors.`,
    );
    this.names = names;
  }
}
