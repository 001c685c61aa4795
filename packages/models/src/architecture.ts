/** What is known about one family of models. */
export interface Architecture {
  /** The `model_type`s of config.json that it covers. */
  readonly modelTypes: readonly string[];
}
