/** What the declarations of @llm/models name of zod, whose code is inside the package: a schema of zod itself fits. */
export declare namespace z {
  interface ZodType<Output = unknown> {
    readonly _output: Output;
    parse(value: unknown): Output;
  }
  type output<Schema extends ZodType> = Schema['_output'];
}
